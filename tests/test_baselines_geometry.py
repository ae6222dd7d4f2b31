"""The geometric methods: by hand, against the reference implementations, and what they owe whatever they are given."""

import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prunebench_baselines.class_quota import class_quota, missed, quotas
from prunebench_baselines.d2 import FLOOR, d2, edges_of, forward
from prunebench_baselines.facility_location import facility_location, lazy_greedy
from prunebench_baselines.geometry import unit_rows
from prunebench_baselines.graph_cut import cut_greedy, graph_cut
from prunebench_baselines.herding import herd, herding, herding_place
from prunebench_baselines.kcenter import farthest_first, kcenter, kcenter_place
from prunebench_baselines.mix_random import mix_random
from prunebench_baselines.per_class import per_class
from prunebench_baselines.prototypicality import kmeans, prototypicality
from prunebench_baselines.zcore import raw_scores, zcore

from prunebench import UserError
from prunebench.datasets.loading import load
from prunebench.evidence.neighbours import nearest
from prunebench.evidence.scoring import score
from prunebench.evidence.selecting import select
from prunebench.harness.shared import Harness
from prunebench.registry import collect
from prunebench.store import Store

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def geometry():
    return golden("deepcore_geometry")


@pytest.fixture(scope="module")
def gradients():
    return golden("deepcore_gradients")


@pytest.fixture(scope="module")
def graph():
    return golden("d2")


# k-Center and herding


@pytest.mark.proves("selector:kcenter", "golden")
@pytest.mark.parametrize("seed", [0, 7])
def test_kcenter_is_deepcores(geometry, seed):
    order = geometry[f"kcenter_seed{seed}__order"]
    assert farthest_first(torch.from_numpy(geometry["features"]), 15, [int(order[0])]).tolist() == order.tolist()


def test_kcenter_counts_the_preselected_where_deepcore_adds_them(geometry):
    h, theirs = torch.from_numpy(geometry["features"]), geometry["kcenter_preselected_3_11_12_plus6__indices"]
    assert sorted(farthest_first(h, 9, [3, 11, 12]).tolist()) == theirs.tolist()
    assert farthest_first(h, 6, [3, 11, 12]).tolist() == farthest_first(h, 9, [3, 11, 12])[:6].tolist()


def test_kcenter_passes_over_duplicates_until_nothing_else_is_left(geometry):
    h, theirs = torch.from_numpy(geometry["kcenter_dup_features"]), geometry["kcenter_dup_b10__indices"].tolist()
    assert theirs in [sorted(farthest_first(h, 10, [i]).tolist()) for i in theirs]  # their first centre is random
    assert farthest_first(h[[0, 0, 1, 0]], 4).tolist() == [0, 2, 1, 3]
    assert len(farthest_first(h, len(h)).unique()) == len(h)


def test_kcenter_in_each_class_also_with_a_budget_of_one_where_deepcore_fails(geometry):
    h, labels = torch.from_numpy(geometry["features"]), torch.from_numpy(geometry["labels"])
    theirs = torch.from_numpy(geometry["kcenter_balanced_f25__indices"])
    for c in range(4):
        members = torch.nonzero(labels == c).squeeze(1)
        kept = {members.tolist().index(i) for i in theirs[labels[theirs] == c].tolist()}
        assert kept in [set(farthest_first(h[members], len(kept), [i]).tolist()) for i in kept]
    assert geometry["kcenter_balanced_f10__indices"].tolist() == [-1]  # it raises
    inside = per_class(labels, lambda i, k: i[kcenter(lambda: h[i], i, k)], 4)
    assert sorted(labels[inside].tolist()) == [0, 1, 2, 3]


@pytest.mark.proves("selector:herding", "golden")
def test_herding_takes_the_nearest_and_deepcores_the_farthest(geometry):
    h = torch.from_numpy(geometry["features"])
    assert herd(h, 15).tolist() == geometry["herding_intended_argmin_rederived__order"].tolist()
    assert herd(h, 15, "argmax").tolist() == geometry["herding_deepcore_argmax__order"].tolist()
    mean = h.double().mean(0)
    error = {rule: float((h[herd(h, 10, rule)].double().mean(0) - mean).norm()) for rule in ("argmin", "argmax")}
    assert error["argmin"] < 0.1 * error["argmax"]


@pytest.mark.parametrize("percent", [10, 25])
def test_herding_in_each_class_as_deepcore_ships_it(geometry, percent):
    h, labels = torch.from_numpy(geometry["features"]), torch.from_numpy(geometry["labels"])
    kept = []
    for members in (torch.nonzero(labels == c).squeeze(1) for c in range(4)):
        kept += members[herd(h[members], round(percent / 100 * len(members)), "argmax")].tolist()
    assert sorted(kept) == geometry[f"herding_deepcore_balanced_f{percent}__indices"].tolist()


@pytest.mark.proves("scorer:kcenter", "property")
@pytest.mark.proves("scorer:herding", "property")
def test_the_orders_as_scores_keep_what_the_selectors_keep(geometry):
    h, seeds = torch.from_numpy(geometry["features"]), torch.randperm(45, generator=generator())
    for place, selector in ((kcenter_place, kcenter), (herding_place, herding)):
        values = place(lambda: h, seeds)
        assert sorted(values.tolist()) == list(range(45))
        assert values.argsort()[:7].tolist() == selector(lambda: h, seeds, 7).tolist()


# submodular


@pytest.mark.proves("facility_location", "golden")
@pytest.mark.parametrize("candidates", [1, 5, 64])
def test_facility_location_is_deepcores_whatever_the_block(gradients, candidates):
    unit = unit_rows(torch.from_numpy(gradients["lastlayer_gradients"]))
    for way in ("Naive", "Lazy"):
        theirs = gradients[f"FacilityLocation_{way}Greedy__order"].tolist()
        assert lazy_greedy(unit, 9, candidates).tolist() == theirs


@pytest.mark.proves("graph_cut", "golden")
def test_graph_cut_is_deepcores(gradients):
    unit = unit_rows(torch.from_numpy(gradients["lastlayer_gradients"]))
    for way in ("Naive", "Lazy"):
        assert cut_greedy(unit, 9).tolist() == gradients[f"GraphCut_{way}Greedy__order"].tolist()


@pytest.mark.proves("facility_location", "closed form")
@pytest.mark.proves("graph_cut", "closed form")
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), examples=st.integers(1, 30), ratio=st.floats(0.05, 1))
def test_both_greedies_are_those_of_the_whole_matrix(seed, examples, ratio):
    unit = unit_rows(torch.randn(examples, 4, generator=generator(seed)))
    sim, budget = (0.5 + 0.5 * unit @ unit.T).numpy(), max(1, int(ratio * examples))
    facility, cut = [], []
    for _ in range(budget):
        covered = sim[:, facility].max(axis=1) if facility else np.zeros(examples)
        gain = np.maximum(sim - covered[:, None], 0).sum(axis=0)
        gain[facility] = -np.inf
        facility.append(int((gain >= gain.max() - 1e-9).argmax()))
        gain = sim.sum(axis=0) - 2 * sim[:, cut].sum(axis=1)
        gain[cut] = -np.inf
        cut.append(int((gain >= gain.max() - 1e-9).argmax()))
    assert lazy_greedy(unit, budget, 4).tolist() == facility
    assert cut_greedy(unit, budget).tolist() == cut


# D2


def run_d2(s: np.ndarray, h: np.ndarray, budget: int, **options) -> list[int]:
    x = torch.from_numpy(h)
    found = d2(
        *(torch.from_numpy(s).double(), lambda: x, lambda a, k: nearest(a, k, None), lambda text: None),
        *(torch.arange(len(s)), budget),
        **options,
    )
    return found.tolist()


@pytest.mark.proves("d2", "golden")
@pytest.mark.parametrize("name", ["forgetting", "cont"])
@pytest.mark.parametrize(
    ("k", "gamma", "message", "reverse"),
    [(5, 0.1, "sum", "weighted"), (5, 1.0, "sum", "weighted"), (3, 0.0, "sum", "weighted"),
     (4, 0.5, "product", "weighted"), (4, 0.5, "sum", "absolute")],
)  # fmt: skip
def test_d2_with_the_codes_kernel(graph, name, k, gamma, message, reverse):
    config, s = f"{name}_k{k}_g{gamma}_{message}_{reverse}", graph["cont_score" if name == "cont" else name]
    distances, indices = nearest(torch.from_numpy(graph["features"]), k, None)
    edges = edges_of(distances.double().numpy(), indices.numpy())
    u = forward(s.astype(np.float64), edges, "code", gamma, message, FLOOR)
    np.testing.assert_allclose(u, graph[f"{config}__density0"], rtol=1e-5, atol=1e-12)
    options = {"k": k, "gamma": gamma, "message": message, "reverse": reverse, "kernel": "code"}
    assert run_d2(s, graph["features"], 30, **options) == graph[f"{config}__order"].tolist()


@pytest.mark.proves("d2", "golden")
@pytest.mark.parametrize("name", ["forgetting", "cont"])
def test_d2s_edges_are_the_codes(graph, name):
    distances, indices = nearest(torch.from_numpy(graph["features"]), 5, None)
    rows, columns, lengths = edges_of(distances.double().numpy(), indices.numpy())
    ours = np.zeros((60, 60))
    ours[rows, columns] = np.exp(-lengths) * np.maximum(graph["cont_score" if name == "cont" else name], FLOOR)[columns]
    np.testing.assert_allclose(ours, graph[f"{name}_k5__connect"], rtol=1e-5)


@pytest.mark.proves("d2", "closed form")
def test_d2_with_the_papers_kernel_is_the_default(graph):
    s, name = graph["cont_score"], "paper_rederived_k5_gf1_gr0.1"
    distances, indices = nearest(torch.from_numpy(graph["features"]), 5, None)
    edges = edges_of(distances.double().numpy(), indices.numpy())
    u = forward(s.astype(np.float64), edges, "paper", 1.0, "sum", FLOOR)
    np.testing.assert_allclose(u, graph[f"{name}__density0"], rtol=1e-5)
    assert run_d2(s, graph["features"], 30) == graph[f"{name}__order"].tolist()


def test_d2_directed_is_the_codes_branch_for_precomputed_neighbours(graph):
    s, name = graph["cont_score"], "precomputed_cont_k5_g0.1"
    distances, indices = nearest(torch.from_numpy(graph["features"]), 5, None)
    edges = edges_of(distances.double().numpy(), indices.numpy(), "directed")
    u = forward(s.astype(np.float64), edges, "code", 1.0, "sum", None)
    np.testing.assert_allclose(u, graph[f"{name}__density0"], rtol=1e-5)
    assert run_d2(s, graph["features"], 30, kernel="code", graph="directed") == graph[f"{name}__order"].tolist()


@pytest.mark.proves("d2", "golden")
@pytest.mark.proves("per_class", "golden")
@pytest.mark.parametrize("name", ["forgetting", "cont"])
@pytest.mark.parametrize("percent", [20, 41])
def test_d2s_class_mode_is_per_class_with_equal_quotas(graph, name, percent):
    s, labels = graph["cont_score" if name == "cont" else name], torch.from_numpy(graph["labels"])

    def inner(i, k):
        return i[run_d2(s[i.numpy()], graph["features"][i.numpy()], k, kernel="code")]

    kept = per_class(labels, inner, int(percent / 100 * 60), quota="equal")
    assert sorted(kept.tolist()) == sorted(graph[f"class_mode_{name}_r{percent}__selected"].tolist())
    assert torch.bincount(labels[kept]).tolist() == graph[f"class_mode_{name}_r{percent}__per_class"].tolist()


def test_d2_keeps_the_budget_in_a_class_of_at_most_k_where_the_code_takes_all():
    h = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    for budget in (1, 2, 4):
        assert len(set(run_d2(np.arange(4.0), h, budget, k=10))) == budget
    assert run_d2(np.array([3.0]), h[:1], 1) == [0]


def test_d2_reads_scores_below_zero_as_the_code_reads_margins(graph):
    s = graph["cont_score"].astype(np.float64)
    options = {"kernel": "code", "k": 5}
    assert run_d2(s - 10, graph["features"], 20, **options) == run_d2(s - s.min(), graph["features"], 20, **options)


def test_d2_cuts_the_lowest_margins_first_and_tells_where_too_few_are_left(graph):
    x, margin = torch.from_numpy(graph["features"]), torch.arange(60.0).double()
    given_ = (torch.from_numpy(graph["cont_score"]).double(), lambda: x, lambda a, k: nearest(a, k, None))
    kept = d2(*given_, lambda text: margin, torch.arange(60), 36, cutoff=0.4)
    assert sorted(kept.tolist()) == list(range(36))
    with pytest.raises(UserError, match=r"leaves 36 of 60 examples, but 37"):
        d2(*given_, lambda text: margin, torch.arange(60), 37, cutoff=0.4)


# ZCore and prototypes


@pytest.mark.proves("zcore", "golden")
def test_zcore_is_the_ports_on_the_same_stream():
    z = golden("zcore")
    raw = raw_scores(z["embeddings"], int(z["n_samples"]), 1000, 4.0, np.random.default_rng(int(z["seed"])))
    np.testing.assert_allclose(raw, z["raw_score"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose((raw - raw.min()) / np.ptp(raw), z["normalised"], atol=1e-5)


@pytest.mark.proves("zcore", "golden")
def test_zcore_is_the_ports_on_average():
    z = golden("zcore")
    e, seeds = torch.from_numpy(z["embeddings"]), torch.arange(60)
    runs = [zcore(lambda name: e, seeds, generator(i), random_start=False) for i in range(8)]
    mean = np.mean([run.details["raw"].numpy() for run in runs], axis=0)
    assert (np.abs(mean - z["raw_mean_60"]) < 5 * z["raw_std_60"] / 8**0.5).all()
    assert all(float(run.values.min()) == 0 and float(run.values.max()) == 1 for run in runs)


@pytest.mark.parametrize("examples", [1, 2, 3])
def test_zcore_of_few_or_equal_embeddings_is_finite(examples):
    e = torch.ones(examples, 3)
    found = zcore(lambda name: e, torch.arange(examples), generator(), random_start=False)
    assert bool(torch.isfinite(found.values).all())
    with pytest.raises(UserError, match="two dimensions"):
        zcore(lambda name: e[:, :1], torch.arange(examples), generator())


@pytest.mark.proves("prototypicality", "closed form")
def test_prototypicality_finds_the_clusters_and_measures_to_the_nearest():
    rng = np.random.default_rng(0)
    centres = np.array([[9.0, 0, 0], [0, 9, 0], [0, 0, 9]])
    e = torch.from_numpy(np.repeat(centres, 30, axis=0) + 0.1 * rng.standard_normal((90, 3))).float()
    found = kmeans(e.double(), 3, generator(2))
    assert sorted(found.argmax(1).tolist()) == [0, 1, 2]
    options = {"classes": "abc", "seeds": torch.arange(90), "embeddings": lambda name: e}
    far = prototypicality(**options, generator=generator(2), distance="euclidean")
    truth = (e.double()[:, None] - found[None]).norm(dim=2).amin(1)
    torch.testing.assert_close(far, truth, atol=1e-6, rtol=1e-6)
    cosine = prototypicality(**options, generator=generator(2))
    truth = 1 - torch.nn.functional.cosine_similarity(e.double()[:, None], found[None], dim=2).amax(1)
    torch.testing.assert_close(cosine, truth, atol=1e-9, rtol=1e-6)
    e[17] = torch.tensor([4.0, 4.0, 4.0])
    assert int(prototypicality(**options, generator=generator(2)).argmax()) == 17


def test_kmeans_of_fewer_distinct_examples_than_clusters():
    e = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]).double()
    assert kmeans(e, 5, generator()).sort(dim=0).values.tolist() == [[0, 0], [1, 0]]


# class quotas and mixtures


@pytest.mark.proves("class_quota", "property")
@settings(max_examples=150, deadline=None)
@given(
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=8),
    seed=st.integers(0, 2**31),
    ratio=st.floats(0, 1),
    easy=st.booleans(),
)
def test_class_quotas_fill_the_budget_and_no_class_twice(counts, seed, ratio, easy):
    counts = np.array(counts)
    error = np.round(np.random.default_rng(seed).random(len(counts)), 1) * (0 if easy else 1)
    budget = int(ratio * counts.sum())
    found = quotas(counts, error, budget)
    assert found.sum() == budget and (found >= 0).all() and (found <= counts).all()


@pytest.mark.proves("class_quota", "closed form")
def test_class_quotas_by_hand():
    assert quotas(np.array([100, 100, 100]), np.array([0.1, 0.2, 0.3]), 60).tolist() == [10, 20, 30]
    assert quotas(np.array([100, 100, 20]), np.array([0.1, 0.1, 0.8]), 120).tolist() == [50, 50, 20]  # 20 is all
    assert quotas(np.array([10, 30]), np.array([0.0, 0.0]), 20).tolist() == [5, 15]
    assert quotas(np.array([10, 10]), np.array([0.0, 1.0]), 14).tolist() == [4, 10]


def test_recall_of_a_class_that_nobody_asked_about_is_that_of_all():
    recall, error = missed(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 0, 1, 1]), 3)
    assert recall[:2].tolist() == [0.5, 1.0] and np.isnan(recall[2])
    assert error.tolist() == [0.5, 0.0, 0.25]
    assert missed(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 0, 1, 1]), 3, 1.0)[1][:2].tolist() == [0.5, 0.25]


@pytest.mark.proves("class_quota", "property")
def test_class_quota_trains_without_the_held_out_and_asks_about_them_only():
    labels = torch.arange(40) % 2
    held_out = torch.arange(40) >= 20
    asked = []

    class Net(torch.nn.Module):
        size = 4

        def forward(self, x):  # right on class 0 always, on class 1 for every second one
            truth, odd = x[:, 0, 0, 0] % 2, x[:, 0, 0, 0] % 4 == 3
            return torch.nn.functional.one_hot((truth * ~odd).long(), 2).float()

    def pixels(indices, size):
        asked.extend(indices.tolist())
        return indices[:, None, None, None].expand(-1, 3, size, size)

    def observe(indices):
        assert indices.tolist() == list(range(20))
        return SimpleNamespace(network=Net)

    images = SimpleNamespace(pixels=pixels)
    given_ = (images, labels, held_out, observe, torch.device("cpu"))
    found = class_quota(*given_, 10, generator())
    assert asked == list(range(20, 40))
    assert found.details["recall"].tolist() == [1.0, 0.5] and found.details["quota"].tolist() == [0, 10]
    assert len(found.indices.unique()) == 10 and bool((labels[found.indices] == 1).all())
    assert 0 < class_quota(*given_, 10, generator(), smoothing=1.0).details["quota"][0] < 5
    with pytest.raises(UserError, match="held-out"):
        class_quota(images, labels, torch.zeros(40).bool(), observe, torch.device("cpu"), 10, generator())


@pytest.mark.proves("mix_random", "property")
@settings(max_examples=60, deadline=None)
@given(examples=st.integers(1, 40), ratio=st.floats(0.01, 1), share=st.floats(0, 1), seed=st.integers(0, 99))
def test_a_mixture_keeps_the_inner_part_and_weighs_to_the_whole_set(examples, ratio, share, seed):
    budget = max(1, int(ratio * examples))

    def inner(indices, k):
        assert indices.tolist() == list(range(examples)) and k > 0
        return indices[-k:]

    found = mix_random(torch.arange(examples), inner, budget, generator(seed), share=share)
    assert found.indices.shape == (budget,) and len(found.indices.unique()) == budget
    first = budget - found.details["random"]
    assert found.indices[:first].tolist() == list(range(examples))[examples - first :]
    if found.weights is not None:
        assert abs(float(found.weights.sum()) - examples) < 1e-9 and found.weights[:first].tolist() == [1.0] * first
    assert mix_random(torch.arange(examples), inner, budget, generator(seed), calibration="none").weights is None


@pytest.mark.proves("mix_random", "property")
def test_the_random_part_of_a_mixture_is_uniform_over_the_rest():
    taken = torch.zeros(10)
    for seed in range(1000):
        taken[mix_random(torch.arange(10), lambda i, k: i[:k], 4, generator(seed)).indices] += 1
    assert taken[:2].tolist() == [1000, 1000]
    assert bool(((taken[2:] - 250).abs() < 4.5 * (1000 * 0.25 * 0.75) ** 0.5).all())


# what all owe


def run_method(name: str, h: torch.Tensor, s: torch.Tensor, seeds: torch.Tensor, budget: int) -> torch.Tensor:
    methods = {
        "kcenter": lambda: kcenter(lambda: h, seeds, budget),
        "herding": lambda: herding(lambda: h, seeds, budget),
        "facility_location": lambda: facility_location(lambda: h, seeds, budget),
        "graph_cut": lambda: graph_cut(lambda: h, seeds, budget),
        "d2": lambda: d2(s, lambda: h, lambda a, k: nearest(a, k, None), lambda text: s, seeds, budget),
    }
    return methods[name]()


SELECTORS = ("kcenter", "herding", "facility_location", "graph_cut", "d2")


@pytest.mark.proves("selector:kcenter", "property")
@pytest.mark.proves("selector:herding", "property")
@pytest.mark.proves("facility_location", "property")
@pytest.mark.proves("graph_cut", "property")
@pytest.mark.proves("d2", "property")
@pytest.mark.parametrize("name", SELECTORS)
@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    examples=st.integers(1, 50),
    ratio=st.floats(0.02, 1),
    kind=st.sampled_from(["plain", "duplicates", "constant", "huge"]),
)
def test_every_selector_keeps_k_and_does_not_see_the_order(name, seed, examples, ratio, kind):
    rng = np.random.default_rng(seed)
    h, budget = rng.standard_normal((examples, 3)).astype(np.float32), max(1, int(ratio * examples))
    if kind == "duplicates" and name != "d2":  # neighbours at equal distance are in the order given
        h = h[rng.integers(0, max(1, examples // 3), examples)]
    if kind == "constant":
        h = np.ones_like(h) if name != "d2" else h
    s = rng.standard_normal(examples) * (1e307 if kind == "huge" else 1)
    seeds = rng.permutation(10 * examples)[:examples]
    h, s, seeds = torch.from_numpy(h), torch.from_numpy(s), torch.from_numpy(seeds)
    chosen = run_method(name, h, s, seeds, budget)
    assert chosen.dtype == torch.int64 and len(chosen.unique()) == budget == len(chosen)
    moved = torch.from_numpy(rng.permutation(examples))
    again = run_method(name, h[moved], s[moved], seeds[moved], budget)
    assert moved[again].tolist() == chosen.tolist()


@pytest.mark.proves("scorer:kcenter", "property")
@pytest.mark.proves("scorer:herding", "property")
@pytest.mark.proves("prototypicality", "property")
@pytest.mark.proves("zcore", "property")
@pytest.mark.parametrize("name", ["kcenter", "herding", "prototypicality", "zcore"])
@pytest.mark.parametrize("examples", [1, 7, 40])
def test_an_examples_score_does_not_depend_on_its_place(name, examples):
    e, seeds = torch.randn(examples, 4, generator=generator(1)), torch.randperm(examples, generator=generator(2))
    e[examples // 2] = e[0]

    def values(e, seeds):
        return {
            "kcenter": lambda: kcenter_place(lambda: e, seeds),
            "herding": lambda: herding_place(lambda: e, seeds),
            "prototypicality": lambda: prototypicality(lambda name: e, "abc", seeds, generator(3)),
            "zcore": lambda: zcore(lambda name: e, seeds, generator(3)).values,
        }[name]()

    moved = torch.randperm(examples, generator=generator(4))
    found = values(e, seeds)
    assert found.dtype == torch.float64 and found.shape == (examples,) and bool(torch.isfinite(found).all())
    assert torch.equal(values(e[moved], seeds[moved]), found[moved])  # bit for bit


@pytest.mark.parametrize("name", SELECTORS[:4])
def test_features_that_are_not_finite_are_told(name):
    h = torch.tensor([[0.0, 1.0], [float("nan"), 1.0]])
    with pytest.raises(UserError, match="not finite"):
        run_method(name, h, torch.zeros(2), torch.arange(2), 1)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (lambda h, i: herding(lambda: h, i, 1, rule="nearest"), "'argmin' or 'argmax', got 'nearest'"),
        (lambda h, i: graph_cut(lambda: h, i, 1, weight=0.0), "weight must be above 0"),
        (lambda h, i: prototypicality(lambda n: h, "ab", i, generator(), distance="L1"), "got 'L1'"),
        (lambda h, i: prototypicality(lambda n: h, "ab", i, generator(), clusters=0), "clusters=0"),
        (lambda h, i: zcore(lambda n: h, i, generator(), draws=0), "must be positive"),
        (lambda h, i: mix_random(i, lambda a, k: a[:k], 1, generator(), share=1.5), "share must lie in"),
        (lambda h, i: mix_random(i, lambda a, k: a[:k], 1, generator(), calibration="sign"), "got 'sign'"),
        (lambda h, i: run_d2(i.numpy().astype(float), h.numpy(), 1, kernel="rbf"), "kernel must be 'paper' or 'code'"),
        (lambda h, i: run_d2(i.numpy().astype(float), h.numpy(), 1, gamma=-1.0), "gammas at least 0"),
    ],
)
def test_wrong_options_are_told_in_a_sentence(method, message):
    with pytest.raises(UserError, match=message):
        method(torch.ones(5, 2), torch.arange(5))


def test_d2s_memory_is_that_of_a_sparse_graph():
    n = 20_000
    rng = np.random.default_rng(0)
    indices = (np.arange(n)[:, None] + rng.integers(1, n, (n, 5))) % n
    distances, seeds = torch.from_numpy(rng.random((n, 5))).float(), torch.arange(n)
    s, x = torch.from_numpy(rng.random(n)), torch.zeros(n, 1)
    tracemalloc.start()
    d2(s, lambda: x, lambda a, k: (distances, torch.from_numpy(indices)), lambda text: s, seeds, n // 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2000 * n  # N x N would be 160 000 bytes per example


# through the harness


@pytest.fixture(scope="module")
def harness(tmp_path_factory):
    registry = collect([])
    data = load(registry, "planted(train=60,test=20)", Path("."))
    store = Store(tmp_path_factory.mktemp("geometry"))
    return Harness(data, store, registry, reference="test_resnet", reference_epochs=2, device_name="cpu")


@pytest.mark.parametrize(
    ("text", "label_free"),
    [("kcenter", False), ("herding", False), ("prototypicality", True), ("zcore(draws=100)", True)],
)
def test_every_scorer_runs_and_only_the_embeddings_are_label_free(harness, text, label_free):
    found = score(harness, harness.registry.method("scorer", text))
    assert len(found.values) == 60 and np.isfinite(found.values).all() and found.label_free is label_free


@pytest.mark.parametrize(
    "text",
    [*SELECTORS, "d2(cutoff=0.2)", "class_quota", "class_quota(smoothing=1.0)", "mix_random(hardest)",
     "mix_random(mix_random(d2))", "mix_random(bws, share=0.3)", "per_class(kcenter)", "per_class(d2, quota=equal)",
     "per_class(mix_random(hardest))", "per_class(facility_location)"],
)  # fmt: skip
def test_every_selector_runs(harness, text):
    scores = score(harness, harness.registry.method("scorer", "random"))
    found = select(harness, scores, harness.registry.method("selector", text), 0.3, 0, 0)
    assert len(set(found.indices.tolist())) == 18
    assert (found.weights is None) == ("mix_random" not in text)
