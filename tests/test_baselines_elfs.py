"""ELFS: clusters by hand and on planted truth, the released code's windows, and what no label may reach."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from prunebench_baselines.accumulated_margin import accumulated_margin
from prunebench_baselines.double_end import double_end, double_end_oracle
from prunebench_baselines.elfs import elfs, kmeans_labels, temi_labels
from prunebench_baselines.temi import TEACHER, pair_loss, pairs, temi
from sklearn.metrics import normalized_mutual_info_score
from sklearn.neighbors import NearestNeighbors
from trainings import QUICK

import prunebench as pb
from prunebench import UserError, statistic
from prunebench.datasets.loading import load
from prunebench.evidence.scoring import score
from prunebench.evidence.selecting import select
from prunebench.harness.shared import Harness
from prunebench.leaderboard import board
from prunebench.registry import collect
from prunebench.store import Store
from prunebench.types import Dataset, Split

GOLDEN = Path(__file__).parent / "golden"
CHEAP = "elfs(candidates=2, epochs=4)"


def arrays(name: str) -> dict[str, torch.Tensor]:
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as z:
        return {key: torch.from_numpy(z[key]) for key in z.files if z[key].dtype.kind in "biuf"}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def seeds_of(examples: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).permutation(10 * examples)[:examples])


def neighbours(x, k):
    distances, indices = NearestNeighbors(n_neighbors=k).fit(x.numpy()).kneighbors()
    return torch.from_numpy(distances), torch.from_numpy(indices)


def blobs(per_cluster=(80, 120, 100, 60), dimensions=8, distance=8.0, seed=0):
    """Gaussian clusters of deviation 1 around orthogonal centres: (N, D) and (N,)."""
    draws = generator(seed)
    truth = torch.repeat_interleave(torch.arange(len(per_cluster)), torch.tensor(per_cluster))
    e = torch.eye(dimensions)[truth] * distance + torch.randn(len(truth), dimensions, generator=draws)
    mixed = torch.randperm(len(truth), generator=draws)
    return e[mixed], truth[mixed]


# clusters


def test_the_loss_of_a_pair_by_hand():
    q_t = torch.tensor([[[0.8, 0.2], [0.6, 0.4]], [[0.5, 0.5], [0.1, 0.9]]])  # two heads, one pair x, x'
    q_s = torch.tensor([[[0.7, 0.3], [0.9, 0.1]], [[0.4, 0.6], [0.2, 0.8]]])
    shares = torch.tensor([[[0.6, 0.4]], [[0.5, 0.5]]])
    weight = ((0.8 * 0.6 + 0.2 * 0.4) + (0.5 * 0.1 + 0.5 * 0.9)) / 2  # mean over heads

    def information(s, t, pi):
        return math.log(sum((a * b) ** 0.6 / c for a, b, c in zip(s, t, pi, strict=True)))

    first = -weight * (
        information([0.7, 0.3], [0.6, 0.4], [0.6, 0.4]) + information([0.9, 0.1], [0.8, 0.2], [0.6, 0.4])
    )
    second = -weight * (information([0.4, 0.6], [0.1, 0.9], [0.5, 0.5]) + information([0.2, 0.8], [0.5] * 2, [0.5] * 2))
    assert pair_loss(q_s, q_t, shares, 0.6).tolist() == pytest.approx([first / 2, second / 2], rel=1e-5)


def test_a_pair_that_certainly_belongs_to_two_clusters_has_a_finite_loss_and_gradient():
    q_s = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]).requires_grad_()
    loss = pair_loss(q_s, torch.tensor([[[0.9, 0.1], [0.0, 1.0]]]), torch.full((1, 1, 2), 0.5), 0.6)
    loss.sum().backward()
    assert bool(torch.isfinite(loss).all()) and bool(torch.isfinite(q_s.grad).all())


def test_every_example_comes_once_per_pass_with_a_neighbour_of_its_own():
    near = torch.arange(10)[:, None] + 10 * torch.arange(1, 4)  # neighbours of i are i + 10, i + 20, i + 30
    drawn = list(pairs(near, 4, 5, generator()))
    x, partner = (torch.cat(part) for part in zip(*drawn, strict=True))
    assert sorted(x.tolist()) == sorted(2 * list(range(10)))
    assert set((partner - x).tolist()) == {10, 20, 30} and set((partner % 10 - x).tolist()) == {0}


@pytest.mark.proves("elfs", "closed form")
@pytest.mark.parametrize("heads", ["temi", "kmeans"])
def test_well_separated_clusters_are_found(heads):
    e, truth = blobs()
    near = neighbours(e, 20)[1]
    if heads == "temi":
        found = temi_labels(e, near, 4, generator(), candidates=4, epochs=60, rate=2e-3).labels
    else:
        found = kmeans_labels(e.double(), 4, generator())
    assert normalized_mutual_info_score(truth, found) > 0.99
    assert found.dtype == torch.int64 and found.unique().tolist() == [0, 1, 2, 3]


def test_of_six_heads_the_one_of_lowest_loss_is_taken_and_finds_the_planted_clusters():
    e, truth = blobs((60,) * 6, distance=6.0)
    near = neighbours(e, 20)[1]
    found = temi(e, near, 6, generator(1), candidates=6, epochs=100, batch=64, rate=2e-3, width=32)
    assert found.losses.shape == (6,) and found.head == int(found.losses.argmin())
    assert found.losses.max() - found.losses.min() > 0.01
    assert normalized_mutual_info_score(truth, found.labels) > 0.99
    assert TEACHER == 0.996


def test_without_training_nothing_is_learnt():
    """The planted clusters are found by the training, not by the initial heads."""
    e, truth = blobs()
    near = neighbours(e, 20)[1]
    found = temi_labels(e, near, 4, generator(), candidates=4, epochs=1, rate=1e-12).labels
    assert normalized_mutual_info_score(truth, found) < 0.9


# the scorer


class Trained:
    """Stands for a training of the reference network on given labels; keeps what it was given."""

    def __init__(self, margins=None, predicted=None):
        self.margins, self.predicted, self.calls = margins, predicted, []

    def __call__(self, labels=None, indices=None, epochs=None, seed=0, watch=()):
        self.calls.append((labels, indices, watch))
        margins = self.margins(labels) if self.margins else None
        logits = None if self.predicted is None else self.predicted(indices)
        return SimpleNamespace(history={"probability_margin": margins}, logits=lambda: logits)


def margins_of(labels):
    """Two epochs whose margins tell the pseudo-label."""
    return torch.stack([labels.float() / 10, 0.5 - labels.float() / 20])


def run_elfs(e, seeds, observe, gen, **options):
    options = {"candidates": 2, "epochs": 10, "nearest": 10} | options
    return elfs(lambda name: e, neighbours, observe, "abcd", seeds, gen, torch.device("cpu"),
                lambda it, total, text: it, **options)  # fmt: skip


@pytest.mark.parametrize("heads", ["temi", "kmeans"])
def test_the_score_is_the_accumulated_margin_of_the_pseudo_labels(heads):
    e, _ = blobs()
    observe = Trained(margins_of)
    found = run_elfs(e, seeds_of(360), observe, generator(), heads=heads)
    ((labels, indices, watch),) = observe.calls
    pseudo = found.details["pseudo_labels"]
    assert torch.equal(labels, pseudo) and indices is None and watch == "probability_margin"
    assert torch.equal(found.values, accumulated_margin(margins_of(pseudo)[None]))
    assert found.details["clusters"] == 4 and found.details["clusters_used"] == len(pseudo.unique())
    assert ("head" in found.details) == (heads == "temi")


@pytest.mark.proves("elfs", "property")
@pytest.mark.parametrize("heads", ["temi", "kmeans"])
def test_an_examples_score_does_not_depend_on_its_place(heads):
    e, _ = blobs()
    seeds, moved = seeds_of(360), torch.randperm(360, generator=generator(4))
    first = run_elfs(e, seeds, Trained(margins_of), generator(3), heads=heads)
    again = run_elfs(e[moved], seeds[moved], Trained(margins_of), generator(3), heads=heads)
    assert torch.equal(again.values, first.values[moved])
    assert torch.equal(again.details["pseudo_labels"], first.details["pseudo_labels"][moved])


@pytest.mark.proves("elfs", "golden")
def test_against_the_released_codes_accumulated_margin():
    z = arrays("training_dynamics")
    history = torch.stack([statistic("probability_margin")(epoch, z["labels"]) for epoch in z["logits"]])[None]
    assert torch.allclose(accumulated_margin(history).float(), z["elfs_accumulated_margin"], atol=5e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": "swav"}, "heads must be 'temi' or 'kmeans', got 'swav'"),
        ({"clusters": 1}, "clusters must be at least 2, got 1"),
        ({"clusters": 360}, "360 clusters of 360 examples"),
        ({"candidates": 0}, "must be at least 1"),
        ({"nearest": 0}, "must be at least 1"),
        ({"rate": 0.0}, "beta and rate above 0"),
    ],
)
def test_wrong_options_are_told_in_a_sentence(options, message):
    e, _ = blobs()
    with pytest.raises(UserError, match=message):
        run_elfs(e, seeds_of(360), Trained(margins_of), generator(), **options)


def test_embeddings_that_are_not_finite_are_told():
    e, _ = blobs()
    e[3, 2] = math.nan
    with pytest.raises(UserError, match="not finite"):
        run_elfs(e, seeds_of(360), Trained(margins_of), generator())


# the window


def pruned(margin, budget, observe=None, held_out=None, details=None, seeds=None, **options):
    seeds = seeds_of(len(margin)) if seeds is None else seeds
    held_out = torch.zeros(len(margin), dtype=torch.bool) if held_out is None else held_out
    return double_end(-margin, seeds, budget, details or {}, observe or Trained(), held_out, **options)


@pytest.mark.proves("double_end", "golden")
def test_windows_of_the_released_code_and_where_its_slice_is_empty():
    z = arrays("elfs_selection")
    margin, differ = z["accumulated_margin"].double(), []
    for ratio, cutoff, _, target, chop, found in z["grid_ratio_beta_cut_target_chop_nref"].tolist():
        name = f"r{round(ratio * 100)}_b{round(cutoff * 100)}"
        if chop < 0:  # keep and cut-off do not fit together: the released code returns nothing
            with pytest.raises(UserError, match=rf"cutoff={cutoff} drops 100 of 200 .* the 120 .* from 0 to 0\.4"):
                pruned(margin, int(target), cutoff=cutoff)
            continue
        kept = pruned(margin, int(target), cutoff=cutoff).indices
        assert kept.tolist() == z[f"{name}__intended"].tolist()
        if chop > 0:
            assert kept.tolist() == z[f"{name}__ref"].tolist()
        else:
            assert len(z[f"{name}__ref"]) == found == 0 and len(kept) == target
            differ.append(name)
    assert differ == ["r30_b70", "r50_b50"]


@pytest.mark.proves("double_end", "closed form")
def test_the_window_by_hand_and_ties_by_seed():
    margin = torch.tensor([0.5, -1.0, 0.5, 2.0, 0.0])
    assert pruned(margin, 2, cutoff=0.2, seeds=torch.tensor([9, 8, 7, 6, 5])).indices.tolist() == [4, 2]
    assert pruned(margin, 2, cutoff=0.4, seeds=torch.tensor([9, 8, 7, 6, 5])).indices.tolist() == [2, 0]
    assert pruned(margin, 5, cutoff=0.3).indices.sort().values.tolist() == [0, 1, 2, 3, 4]  # nothing to drop
    assert len(pruned(torch.arange(100.0), 71, cutoff=0.29).indices) == 71  # int(0.29 * 100) is 28 in floating point


@pytest.mark.parametrize("cutoff", [-0.1, 1.5, math.nan, "sear"])
def test_a_cutoff_that_is_no_share_is_told(cutoff):
    with pytest.raises(UserError, match="cutoff must be a number from 0 to 1 or 'search'"):
        pruned(torch.arange(10.0), 3, cutoff=cutoff)


def predicting(goodness, labels):
    """Logits that are right on the first ``goodness(indices)`` held-out examples and wrong on the others."""

    def predicted(indices):
        right = torch.arange(len(labels)) < goodness(indices)
        return torch.nn.functional.one_hot(torch.where(right, labels, (labels + 1) % 3), 3).float()

    return predicted


@pytest.mark.proves("double_end", "closed form")
def test_the_search_trains_on_each_window_without_held_out_and_takes_the_first_best():
    n, k = 100, 30
    pseudo = torch.arange(n) % 3
    held_out = torch.zeros(n, dtype=torch.bool)
    held_out[:10] = True
    margin = (torch.arange(n) * 37 % n).double()  # 0..99, mixed
    order = margin.argsort()
    best = {frozenset(order[s : s + k].tolist()) - set(range(10)): 6 for s in (30, 50)}
    observe = Trained(predicted=predicting(lambda i: best.get(frozenset(i.tolist()), 4), pseudo))
    found = pruned(margin, k, observe, held_out, {"pseudo_labels": pseudo.numpy()}, cutoff="search")
    assert len(observe.calls) == 8
    for start, (labels, indices, _) in zip(range(0, 80, 10), observe.calls, strict=True):
        assert torch.equal(labels, pseudo)
        assert set(indices.tolist()) == set(order[start : start + k].tolist()) - set(range(10))
    assert found.details["starts"].tolist() == pytest.approx([0.1 * i for i in range(8)])
    assert found.details["agreements"].tolist() == pytest.approx([0.4, 0.4, 0.4, 0.6, 0.4, 0.6, 0.4, 0.4])
    assert found.details["cutoff"] == 0.3
    assert found.indices.tolist() == order[30:60].tolist()


def test_a_window_of_held_out_examples_alone_teaches_nothing():
    pseudo, held_out = torch.zeros(50, dtype=torch.int64), torch.arange(50) < 10
    observe = Trained(predicted=lambda indices: torch.ones(50, 1))
    found = pruned(torch.arange(50.0), 10, observe, held_out, {"pseudo_labels": pseudo.numpy()}, cutoff="search")
    assert found.details["agreements"].tolist() == [0.0] + [1.0] * 8 and found.details["cutoff"] == 0.1


def test_one_window_is_not_searched():
    observe = Trained()
    found = pruned(torch.arange(50.0), 48, observe, None, {"pseudo_labels": np.zeros(50, int)}, cutoff="search")
    assert found.indices.tolist() == list(range(48)) and not observe.calls
    assert np.isnan(found.details["agreements"]).all()


@pytest.mark.parametrize(
    ("details", "held", "options", "message"),
    [
        ({}, 5, {}, "needs the pseudo_labels that elfs leaves"),
        ({"pseudo_labels": np.zeros(50, int)}, 0, {}, "none of the 50 examples is held out"),
        ({"pseudo_labels": np.zeros(50, int)}, 5, {"step": 0.0}, "step must lie in"),
    ],
)
def test_a_search_that_cannot_be_made_is_told(details, held, options, message):
    held_out = torch.arange(50) < held
    with pytest.raises(UserError, match=message):
        pruned(torch.arange(50.0), 10, Trained(), held_out, details, cutoff="search", **options)


@pytest.mark.proves("double_end_oracle", "closed form")
def test_the_oracle_is_the_same_search_on_true_labels():
    n, k, labels = 60, 20, torch.arange(60) % 3
    held_out = torch.arange(n) % 6 == 0
    margin = torch.randn(n, generator=generator()).double()
    observe = [Trained(predicted=predicting(lambda i: int(i.sum()) % 50, labels)) for _ in range(2)]
    oracle = double_end_oracle(-margin, seeds_of(n), k, labels, observe[0], held_out)
    same = pruned(margin, k, observe[1], held_out, {"pseudo_labels": labels.numpy()}, cutoff="search")
    assert all(torch.equal(given, labels) for given, _, _ in observe[0].calls) and len(observe[0].calls) == 7
    assert oracle.indices.tolist() == same.indices.tolist() and oracle.details["cutoff"] == same.details["cutoff"]


# through the harness

DATA = "planted(train=120,test=20)"


def harness_on(data: Dataset, store: Store, **settings) -> Harness:
    return Harness(data, store, collect([]), reference="test_resnet", reference_epochs=1, device_name="cpu", **settings)


@pytest.fixture(scope="module")
def data():
    return load(collect([]), DATA, Path("."))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("elfs"))


def test_no_label_has_a_part_in_the_scores_and_the_searched_window(data, store, tmp_path):
    """On the label-free track, and bit for bit the same, in the same record, whatever the labels are."""
    split = data.train
    other = replace(data, train=Split(split.images, np.roll(split.labels, 7), split.keys))
    found = []
    for labelled, place in ((data, store), (other, Store(tmp_path / "other"))):
        h = harness_on(labelled, place, track="label-free")
        scores = score(h, h.registry.method("scorer", CHEAP))
        method = h.registry.method("selector", "double_end(cutoff=search, step=0.4)")
        found.append((scores, select(h, scores, method, 0.2, 0, 0)))
    (scores, chosen), (again, chosen_again) = found
    assert data.fingerprint != other.fingerprint and scores.fingerprint == data.images_fingerprint
    assert scores.id == again.id and np.array_equal(scores.values, again.values)
    assert np.array_equal(scores.details["pseudo_labels"], again.details["pseudo_labels"])
    assert np.array_equal(chosen.indices, chosen_again.indices) and len(chosen) == 24
    assert chosen.details["agreements"].tolist() == chosen_again.details["agreements"].tolist()
    assert len(chosen.details["starts"]) == 3 and chosen.details["cutoff"] in chosen.details["starts"]
    assert scores.label_free and chosen.label_free and chosen.cost.backward > 0
    assert not chosen.oracle


def test_pseudo_labels_are_in_the_data_sets_order(data, store):
    h = harness_on(data, store)
    scores = score(h, h.registry.method("scorer", "elfs(heads=kmeans, clusters=3)"))
    pseudo = scores.details["pseudo_labels"]
    x = data.train.images.pixels(range(120)).flatten(1).double() / 255
    centres = torch.stack([x[pseudo == c].mean(0) for c in range(3)])
    assert np.mean(torch.cdist(x, centres).argmin(1).numpy() == pseudo) > 0.95


def test_there_may_be_more_clusters_than_classes(data, store):
    h = harness_on(data, store)
    scores = score(h, h.registry.method("scorer", "elfs(heads=kmeans, clusters=9)"))
    assert len(data.classes) == 4 and scores.details["clusters_used"] > 4 and np.isfinite(scores.values).all()
    found = select(h, scores, h.registry.method("selector", "double_end(cutoff=search, step=0.5)"), 0.3, 0, 0)
    assert len(found) == 36 and np.isfinite(found.details["agreements"]).all()


def test_scores_without_pseudo_labels_can_be_cut_but_not_searched(data, store):
    h = harness_on(data, store)
    scores = score(h, h.registry.method("scorer", "random"))
    assert len(select(h, scores, h.registry.method("selector", "double_end"), 0.5, 0, 0)) == 60
    with pytest.raises(UserError, match="score with elfs, or give a cutoff"):
        select(h, scores, h.registry.method("selector", "double_end(cutoff=search)"), 0.5, 0, 0)
    assert len(pb.select("double_end(cutoff=0.2)", scores, keep=0.1)) == 12


def test_logits_of_another_training_are_those_of_its_network(data, store):
    from prunebench.evidence.account import Account
    from prunebench.evidence.given import Evidence

    h = harness_on(data, store)
    account = Account("mine")
    evidence = Evidence(h.registry.method("scorer", "random"), account, 0, 0, h)
    labels = torch.arange(120) % 6
    training = evidence.observe(labels=labels, indices=torch.arange(60))
    found = training.logits()
    assert found.shape == (120, 6) and not account.reached
    net = training.network()
    assert torch.allclose(found[:8], net(h.train.images.pixels(range(8))), atol=1e-4)
    assert account.cost(1e9).forward >= 120


def test_label_freeness_and_the_mark_are_told_by_the_records():
    registry = collect([])
    told = {
        kind: registry.method(kind, text).label_free for kind, text in (("scorer", "elfs"), ("selector", "double_end"))
    }
    assert told == {"scorer": "depends", "selector": "depends"}
    oracle = registry.method("selector", "double_end_oracle")
    assert oracle.label_free == "no" and oracle.oracle and not registry.method("selector", "double_end").oracle
    assert registry.method("selector", "per_class(double_end_oracle)").oracle


def test_the_mark_travels_from_the_record_to_the_board_and_with_an_index_file(tmp_path):
    plan = replace(
        QUICK,
        scorers=("elfs(heads=kmeans)",),
        selectors=("double_end", "double_end_oracle(step=0.5)"),
        dataset=DATA,
        keep=(0.3,),
        steps=2,
        store=str(tmp_path / "runs"),
    )
    results = list(pb.run(plan))
    marked = [r for r in results if r.oracle]
    assert [r.selector for r in marked] == ["prunebench/double_end_oracle(step=0.5)"] and not marked[0].label_free
    (table,) = board(results).tables
    assert table.rows[-1].oracle and table.rows[-1].difference is None and "oracle" in str(board(results))
    assert [r.oracle for r in table.rows].count(True) == 1
    store = Store(plan.store)
    told = [record.result for record in store.records("trials")]
    assert sum("oracle" in result for result in told) == 1  # other records are as they were
    file = pb.save_selection(
        pb.load_selection(store.root / "selections" / f"{marked[0].selection}.json"), tmp_path / "s"
    )
    assert pb.load_selection(file).oracle
