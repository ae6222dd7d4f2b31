"""GraNd, CRAIG and GRAD-MATCH: closed forms, the reference implementations, and what they owe whatever is given."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prunebench_baselines import coverage, grand
from prunebench_baselines.craig import craig, medoids
from prunebench_baselines.geometry import unit_rows
from prunebench_baselines.gradmatch import completed, gradmatch, matching_pursuit, not_negative
from prunebench_baselines.last_layer import Gradients, errors_of
from scipy.optimize import nnls
from torch import nn

from prunebench import UserError
from prunebench.datasets.loading import load
from prunebench.evidence.scoring import score
from prunebench.evidence.selecting import select
from prunebench.harness.shared import Harness
from prunebench.registry import collect
from prunebench.store import Store
from prunebench.training.models import build
from prunebench.training.statistics import statistic

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> dict[str, torch.Tensor]:
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


@pytest.fixture(scope="module")
def deepcore():
    return golden("deepcore_gradients")


@pytest.fixture(scope="module")
def data_diet():
    return golden("grand_el2n_models")


class Head(nn.Module):
    """A network that is its last layer."""

    def __init__(self, weight, bias):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def features(self, x):
        return x

    def forward(self, x):
        return self.features(x) @ self.weight + self.bias


class Perceptron(Head):
    """One hidden layer of tanh."""

    def __init__(self, w1, b1, w2, b2):
        super().__init__(w2, b2)
        self.w1, self.b1 = nn.Parameter(w1), nn.Parameter(b1)

    def features(self, x):
        return torch.tanh(x @ self.w1 + self.b1)


def factored(golden):
    """The last-layer gradients of the golden head, as factors and as DeepCore writes them out."""
    h = golden["embeddings"].double()
    a = errors_of(h @ golden["head_W"].double() + golden["head_b"].double(), golden["labels"])
    return Gradients(a, torch.cat([h, torch.ones(len(h), 1)], dim=1)), golden["lastlayer_gradients"].double()


def random_gradients(seed, examples, duplicates=False):
    rng = np.random.default_rng(seed)
    a, x = rng.standard_normal((examples, 3)), rng.standard_normal((examples, 4))
    if duplicates:
        rows = rng.integers(0, max(1, examples // 3), examples)
        a, x = a[rows], x[rows]
    return Gradients(torch.from_numpy(a), torch.from_numpy(x))


def written_out(g):
    return (g.a[:, :, None] * g.x[:, None]).flatten(1)


# GraNd


@pytest.mark.proves("grand", "golden")
@pytest.mark.parametrize("chunk", [None, 1, 5, 24])
def test_grand_of_all_parameters_is_data_diets(data_diet, chunk):
    perceptron = Perceptron(*(data_diet[f"mlp_{name}"] for name in ("W1", "b1", "W2", "b2")))
    linear = Head(data_diet["linear_W"], data_diet["linear_b"])
    for network, theirs in ((linear, "linear_grand"), (perceptron, "mlp_grand")):
        found = grand.gradient_norms(network, data_diet["inputs"], data_diet["labels"], chunk)
        torch.testing.assert_close(found, data_diet[theirs].double(), rtol=1e-4, atol=1e-5)


@pytest.mark.proves("el2n", "golden")
def test_el2n_of_a_model_is_data_diets(data_diet):
    perceptron = Perceptron(*(data_diet[f"mlp_{name}"] for name in ("W1", "b1", "W2", "b2")))
    linear = Head(data_diet["linear_W"], data_diet["linear_b"])
    for network, theirs in ((linear, "linear"), (perceptron, "mlp")):
        logits, labels = network(data_diet["inputs"]).detach(), data_diet["labels"]
        found = statistic("el2n")(logits, labels)
        torch.testing.assert_close(found, data_diet[f"{theirs}_el2n"], rtol=1e-5, atol=1e-6)
        p = statistic("true_probability")(logits, labels)
        torch.testing.assert_close(2 * (1 - p), data_diet[f"{theirs}_el1n"], rtol=1e-5, atol=1e-6)
        margin = -statistic("probability_margin")(logits, labels)
        torch.testing.assert_close(margin, data_diet[f"{theirs}_max_margin"], rtol=1e-5, atol=1e-6)


@pytest.mark.proves("grand", "closed form")
def test_grand_of_a_linear_model_is_its_closed_form(data_diet):
    x, y = data_diet["inputs"], data_diet["labels"]
    linear = Head(data_diet["linear_W"], data_diet["linear_b"])
    by_hand = (linear(x).softmax(1) - nn.functional.one_hot(y, 4)).norm(dim=1) * (1 + x.square().sum(1)).sqrt()
    torch.testing.assert_close(grand.gradient_norms(linear, x, y), by_hand.detach().double(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(grand.last_layer_norms(linear, x, y), by_hand.detach().double(), rtol=1e-5, atol=1e-6)
    perceptron = Perceptron(*(data_diet[f"mlp_{name}"] for name in ("W1", "b1", "W2", "b2")))
    assert bool((grand.last_layer_norms(perceptron, x, y) < data_diet["mlp_grand"]).all())


def test_grand_by_hand():
    network = Head(torch.zeros(1, 2), torch.zeros(2))  # p = (1/2, 1/2), whatever x
    x, y = torch.tensor([[0.0], [3.0**0.5]]), torch.tensor([0, 1])
    for norms in (grand.gradient_norms, grand.last_layer_norms):
        torch.testing.assert_close(norms(network, x, y), torch.tensor([0.5**0.5, 2 * 0.5**0.5]).double())


def test_grand_does_not_inflate_the_last_batch_where_deepcores_does(deepcore):
    network = Head(deepcore["head_W"], deepcore["head_b"])
    x, y, batch = deepcore["embeddings"], deepcore["labels"], int(deepcore["batch_size"])
    ours = torch.cat([grand.last_layer_norms(network, *b) for b in zip(x.split(batch), y.split(batch), strict=True)])
    torch.testing.assert_close(ours, deepcore["grand_deepcore_batch1"].double(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(ours, deepcore["grand_lastlayer_closed_form"].double(), rtol=1e-4, atol=1e-6)
    own_batch = torch.cat([torch.full((len(b),), len(b)) for b in y.split(batch)])  # 10, 10, 10, 10, 3
    torch.testing.assert_close(ours / own_batch, deepcore["grand_deepcore_ref"].double(), rtol=1e-4, atol=1e-6)
    assert {40, 41, 42} < set(deepcore["grand_deepcore_ref"].topk(4).indices.tolist())  # theirs: who came last
    assert {40, 41, 42}.isdisjoint(ours.topk(21).indices.tolist())
    assert torch.equal(ours, grand.last_layer_norms(network, x, y))


@pytest.mark.proves("grand", "closed form")
@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "vit_tiny"])
def test_grand_of_a_network_is_the_norm_that_autograd_gives_one_by_one(name):
    network = build(name, 3, 8, seed=0).eval().requires_grad_(False)
    x, y = torch.randint(0, 256, (4, 3, 8, 8), generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 2])
    x = x.to(torch.uint8)
    found, last = grand.gradient_norms(network, x, y), grand.last_layer_norms(network, x, y)
    if name == "resnet18":
        torch.testing.assert_close(grand.gradient_norms(network, x, y, chunk=3), found, rtol=1e-4, atol=1e-6)
    assert not any(p.requires_grad for p in network.parameters())
    network.requires_grad_(True)
    head = list(network.backbone.get_classifier().parameters())
    for i in range(4):
        loss = nn.functional.cross_entropy(network(x[i : i + 1]), y[i : i + 1])
        for parameters, ours in ((list(network.parameters()), found), (head, last)):
            slopes = torch.autograd.grad(loss, parameters, retain_graph=True)
            wanted = torch.cat([s.flatten() for s in slopes]).double().norm()
            torch.testing.assert_close(ours[i], wanted, rtol=1e-4, atol=1e-6)


def run_grand(labels, networks, **options):
    asked = []

    def network(run, epoch):
        asked.append((run, epoch))
        return networks[run]

    images = SimpleNamespace(pixels=lambda rows, size: rows[:, None].float() / len(labels))
    cut = {}

    def blocks(compute, rows):
        cut["rows"] = rows
        return torch.cat([compute(part) for part in torch.arange(len(labels)).split(7)])

    return grand.grand(images, labels, network, blocks, torch.device("cpu"), **options), asked, cut["rows"]


def test_grand_is_the_mean_over_networks_on_the_way():
    rng = torch.Generator().manual_seed(0)
    networks = [Head(torch.randn(1, 3, generator=rng), torch.randn(3, generator=rng)) for _ in range(3)]
    for net in networks:
        net.size = 1
    labels = torch.arange(20) % 3
    x = torch.arange(20)[:, None].float() / 20
    for parameters in ("all", "last"):
        found, asked, rows = run_grand(labels, networks, parameters=parameters, epoch=4, runs=3)
        assert asked == [(0, 4), (1, 4), (2, 4)] and rows == 64 and found.dtype == torch.float64
        wanted = torch.stack([grand.last_layer_norms(net, x, labels) for net in networks]).mean(0)
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"), [({"parameters": "first"}, "'all' or 'last', got 'first'"), ({"runs": 0}, "runs must be")]
)
def test_grands_wrong_options_are_told_in_a_sentence(options, message):
    with pytest.raises(UserError, match=message):
        run_grand(torch.zeros(3, dtype=torch.int64), [], **options)


# the factored gradients


def test_factored_gradients_are_deepcores_written_out(deepcore):
    g, full = factored(deepcore)
    rows, columns = torch.tensor([3, 0, 42]), slice(5, 30)
    torch.testing.assert_close(g.inner(rows, columns), full[rows] @ full[columns].T, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(g.distances(rows, columns), torch.cdist(full[rows], full[columns]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(g.squares, full.square().sum(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(g.onto_sum(), full @ full.sum(0), rtol=1e-5, atol=1e-5)
    assert g.distances(slice(None), slice(None)).diagonal().tolist() == [0.0] * 43
    own = g.of(rows)
    torch.testing.assert_close(own.squares, g.squares[rows])


# CRAIG


@pytest.mark.proves("facility_location", "golden")
def test_similarity_of_gradients_is_deepcores(deepcore):
    gradients = unit_rows(deepcore["lastlayer_gradients"])
    torch.testing.assert_close(((1 + gradients @ gradients.T) / 2).float(), deepcore["cossim"], rtol=1e-5, atol=1e-6)


@pytest.mark.proves("craig", "golden")
@pytest.mark.parametrize("percent", [10, 30])
@pytest.mark.parametrize(("whole", "candidates"), [(8192, 64), (0, 64), (0, 1), (8192, 5)])
def test_craig_is_deepcores_but_for_the_weights_that_count_an_example_twice(deepcore, percent, whole, candidates):
    g, _ = factored(deepcore)
    kept, weights = [], []
    for c in range(3):
        members = torch.nonzero(deepcore["labels"] == c).squeeze(1)
        chosen, served = medoids(g.of(members), round(percent / 100 * len(members)), whole, candidates)
        kept += members[chosen].tolist()
        weights += served.tolist()
    for way in ("Lazy", "Naive"):
        theirs = dict(
            zip(
                deepcore[f"craig_{way}Greedy_f{percent}__indices"].tolist(),
                deepcore[f"craig_{way}Greedy_f{percent}__weights"].tolist(),
                strict=True,
            )
        )
        assert dict(zip(kept, weights, strict=True)) == {i: w - 1 for i, w in theirs.items()}
        assert sum(weights) == 43 and sum(theirs.values()) == 43 + len(kept)


@pytest.mark.proves("craig", "closed form")
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), examples=st.integers(1, 30), ratio=st.floats(0.03, 1), blocks=st.booleans())
def test_medoids_are_the_greedy_ones_of_the_definition(seed, examples, ratio, blocks):
    g, budget = random_gradients(seed, examples), max(1, int(ratio * examples))
    full = written_out(g)
    d = (full[:, None] - full).norm(dim=2)
    nearest, by_hand = torch.full((examples,), 1e9), []
    for _ in range(budget):
        after = torch.minimum(nearest[:, None], d).sum(0)
        after[by_hand] = torch.inf
        by_hand.append(int((after <= after.min() + 1e-9).to(torch.uint8).argmax()))  # two left: either one
        nearest = torch.minimum(nearest, d[by_hand[-1]])
    chosen, served = medoids(g, budget, whole=0 if blocks else 8192, candidates=4)
    assert chosen.tolist() == by_hand
    server = d[chosen].argmin(0)
    assert served.tolist() == torch.bincount(server, minlength=budget).tolist()
    apart = (full.sum(0) - served @ full[chosen]).norm()  # what the method is for
    assert float(apart) <= float(nearest.sum()) + 1e-9


def test_gains_over_the_whole_set_do_not_depend_on_the_blocks(monkeypatch):
    """DeepCore's gains over the whole set leave out most of the data as soon as there are several batches."""
    g = random_gradients(3, 90)
    at_once = medoids(g, 12, whole=0)
    for rows, candidates in ((7, 64), (32, 5), (1, 90)):
        monkeypatch.setattr(coverage, "ROWS", rows)
        monkeypatch.setattr("prunebench_baselines.craig.ROWS", rows)
        found = medoids(g, 12, whole=0, candidates=candidates)
        assert torch.equal(found[0], at_once[0]) and torch.equal(found[1], at_once[1])


def test_a_large_class_is_worked_through_in_blocks_never_n_by_n(monkeypatch):
    asked = []
    whole = Gradients.distances

    def distances(self, rows, columns):
        found = whole(self, rows, columns)
        asked.append(found.numel())
        return found

    monkeypatch.setattr("prunebench_baselines.craig.ROWS", 50)
    monkeypatch.setattr("prunebench_baselines.craig.CANDIDATES", 8)
    monkeypatch.setattr(Gradients, "distances", distances)
    chosen, served = medoids(random_gradients(0, 300), 20, whole=299, candidates=8)
    assert len(chosen.unique()) == 20 and served.sum() == 300
    assert max(asked) <= 8 * 50  # 300 x 300 would be 90 000


def test_duplicates_serve_themselves():
    g = Gradients(torch.ones(6, 2).double(), torch.ones(6, 3).double())
    chosen, served = medoids(g, 4)
    assert chosen.tolist() == [0, 1, 2, 3] and served.tolist() == [3.0, 1.0, 1.0, 1.0]


# GRAD-MATCH


def pursuit(g, budget, ridge, start="ridge"):
    return matching_pursuit(lambda new: g.inner(slice(None), new).squeeze(1), g.onto_sum(), budget, ridge, start)


@pytest.mark.proves("gradmatch", "golden")
@pytest.mark.parametrize("percent", [10, 30])
def test_gradmatch_is_deepcores_at_their_ridge(deepcore, percent):
    """Their gradients are divided by the size of the batch, here the class, so lambda = 1 is n_c^2 in our units."""
    g, _ = factored(deepcore)
    theirs = dict(
        zip(
            deepcore[f"gradmatch_f{percent}__indices"].tolist(),
            deepcore[f"gradmatch_f{percent}__weights"].tolist(),
            strict=True,
        )
    )
    for c in range(3):
        members = torch.nonzero(deepcore["labels"] == c).squeeze(1)
        own, budget = g.of(members), round(percent / 100 * len(members))
        chosen, w = pursuit(own, budget, len(members) ** 2.0, start="projection")
        assert set(members[chosen].tolist()) == {i for i in theirs if i in members.tolist()}
        if budget > 1:
            assert chosen.tolist() != pursuit(own, budget, len(members) ** 2.0)[0].tolist()  # the paper's rule
        if budget == 1:  # theirs is then 1, whatever the gradients; ours is the solution of the problem
            torch.testing.assert_close(w, own.onto_sum()[chosen] / (own.squares[chosen] + len(members) ** 2))
        else:
            wanted = torch.tensor([theirs[i] for i in members[chosen].tolist()], dtype=torch.float64)
            torch.testing.assert_close(w / len(members), wanted, rtol=1e-4, atol=1e-6)  # theirs match the mean


def test_one_example_of_a_class_weighs_as_much_as_several_where_deepcores_weighs_50_times_one_of_them(deepcore):
    theirs = deepcore["gradmatch_f10__weights"].tolist()
    assert max(theirs) == 1.0 and sorted(theirs)[1] < 0.05
    found = run(gradmatch, deepcore["embeddings"], deepcore["labels"], torch.arange(43), 4, head=deepcore)
    per_class = torch.zeros(3).double().index_add(0, deepcore["labels"][found.indices], found.weights)
    assert per_class.tolist() == pytest.approx([14, 16, 13])


@pytest.mark.proves("gradmatch", "closed form")
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    examples=st.integers(1, 25),
    ratio=st.floats(0.05, 1),
    ridge=st.floats(1e-3, 100),
    start=st.sampled_from(["ridge", "projection"]),
)
def test_the_pursuit_is_that_of_the_definition(seed, examples, ratio, ridge, start):
    g, budget = random_gradients(seed, examples), max(1, int(ratio * examples))
    full = written_out(g).numpy()
    b = full.sum(0)
    residual, by_hand = b, []
    for _ in range(budget):
        along = full @ residual
        along[by_hand] = -np.inf
        if along.max() <= 1e-12 * np.abs(full @ b).max():
            break
        by_hand.append(int(along.argmax()))
        rows = full[by_hand]
        damped = 0 if start == "projection" and len(rows) == 1 else ridge
        residual = b - rows.T @ np.linalg.solve(rows @ rows.T + damped * np.eye(len(rows)), rows @ b)
    chosen, w = pursuit(g, budget, ridge, start)
    assert chosen.tolist() == by_hand
    stacked = np.vstack([full[by_hand].T, np.sqrt(ridge) * np.eye(len(by_hand))])
    wanted = nnls(stacked, np.concatenate([b, np.zeros(len(by_hand))]))[0] if by_hand else np.zeros(0)
    np.testing.assert_allclose(w.numpy(), wanted, atol=1e-7 * max(1, np.abs(wanted).max(initial=0)))


def test_weights_that_are_bound_to_0_solve_the_problem_where_deepcores_do_not():
    rows = np.array([[1.0, 0.2, 0.0], [0.9, 0.5, 0.1], [-0.3, 1.0, 0.4]])
    b, ridge = np.array([3.0, -2.0, 0.5]), 0.1
    gram = rows @ rows.T + ridge * np.eye(3)

    def error(w):
        return np.sum((b - rows.T @ w) ** 2) + ridge * np.sum(w**2)

    factor = np.linalg.cholesky(gram)
    ours, theirs = not_negative(factor, np.linalg.solve(factor, rows @ b)), nnls(gram, rows @ b)[0]
    assert (ours == 0).any() and error(ours) < error(theirs) - 0.01
    rng = np.random.default_rng(0)
    assert all(error(np.abs(ours + 0.1 * rng.standard_normal(3))) >= error(ours) for _ in range(200))


def test_the_pursuit_finds_the_few_that_make_the_sum():
    a = torch.eye(4).double()
    g = Gradients(a[[0, 1, 2, 3, 3]] * torch.tensor([5, 4, 1e-3, 1, -1]).double()[:, None], torch.ones(5, 1).double())
    chosen, w = pursuit(g, 2, 1e-9)
    assert chosen.tolist() == [0, 1] and w.tolist() == pytest.approx([1, 1])


def test_where_the_pursuit_ends_early_the_rest_is_filled_and_weighs_1():
    a = torch.tensor([[2.0, 0], [0, 1], [0, -1], [-1, 0]]).double()
    g = Gradients(a, torch.ones(4, 1).double())  # the sum is (1, 0): only example 0 points along it
    chosen, w = pursuit(g, 3, 1e-6)
    assert chosen.tolist() == [0] and w.tolist() == pytest.approx([0.5], rel=1e-5)
    kept, weights, filled = completed(chosen, w, g.onto_sum(), 3)
    assert kept.tolist() == [0, 1, 2] and weights.tolist() == pytest.approx([2, 1, 1]) and filled == 2
    opposite = Gradients(torch.tensor([[1.0], [-1.0]]).double(), torch.ones(2, 1).double())  # the sum is 0
    assert completed(*pursuit(opposite, 1, 0.5), opposite.onto_sum(), 1)[1].tolist() == [2.0]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), examples=st.integers(1, 20))
def test_completed_weights_are_positive_and_sum_to_n(data, examples):
    budget = data.draw(st.integers(1, examples))
    found = data.draw(st.integers(0, budget))
    w = torch.tensor(data.draw(st.lists(st.sampled_from([0.0, 1e-9, 0.3, 7.0]), min_size=found, max_size=found)))
    chosen = torch.randperm(examples, generator=torch.Generator().manual_seed(examples))[:found]
    target = torch.arange(examples).double() % 3
    kept, weights, filled = completed(chosen, w.double(), target, budget)
    assert len(kept.unique()) == budget == len(weights) and kept[:found].tolist() == chosen.tolist()
    assert bool((weights > 0).all()) and float(weights.sum()) == pytest.approx(examples)
    assert 0 <= filled <= budget and (filled == budget or filled >= budget - found)


# what both selectors owe


def run(selector, x, labels, seeds, budget, head=None, classes=None, **options):
    """The selector on features x (N, D), the network being a linear head on them; rows never share a computation."""
    rng = np.random.default_rng(0)
    classes = classes or int(labels.max()) + 1
    weight = torch.from_numpy(rng.standard_normal((x.shape[1], classes))).float() if head is None else head["head_W"]
    bias = torch.zeros(classes) if head is None else head["head_b"]

    class Net(nn.Module):
        size = 1

        def forward(self, x):
            return (x[:, :, None] * weight).sum(1) + bias

    images = SimpleNamespace(pixels=lambda rows, size: x[rows])
    return selector(images, labels, lambda: x, Net, seeds, torch.device("cpu"), budget, **options)


SELECTORS = pytest.mark.parametrize("selector", [craig, gradmatch], ids=["craig", "gradmatch"])


@pytest.mark.proves("craig", "property")
@pytest.mark.proves("gradmatch", "property")
@SELECTORS
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    examples=st.integers(1, 40),
    classes=st.integers(1, 6),
    ratio=st.floats(0.02, 1),
    kind=st.sampled_from(["plain", "duplicates", "constant", "sure", "large"]),
    by=st.sampled_from(["class", "set"]),
    quota=st.sampled_from(["proportional", "equal"]),
)
def test_exactly_k_whatever_is_given_and_the_order_is_not_seen(
    selector, seed, examples, classes, ratio, kind, by, quota
):
    rng = np.random.default_rng(seed)
    x, budget = rng.standard_normal((examples, 3)).astype(np.float32), max(1, int(ratio * examples))
    labels = rng.integers(0, classes, examples)  # some classes may be empty
    if kind == "duplicates":
        rows = rng.integers(0, max(1, examples // 3), examples)
        x, labels = x[rows], labels[rows]
    x = np.ones_like(x) if kind == "constant" else x * {"sure": 300, "large": 1e6}.get(kind, 1)
    x, labels = torch.from_numpy(x.astype(np.float32)), torch.from_numpy(labels)
    seeds = torch.from_numpy(rng.permutation(10 * examples)[:examples])
    options = {"classes": classes, "by": by, "quota": quota}
    found = run(selector, x, labels, seeds, budget, **options)
    assert found.indices.dtype == torch.int64 and len(found.indices.unique()) == budget == len(found.indices)
    assert found.weights.shape == (budget,) and bool(torch.isfinite(found.weights).all())
    assert bool((found.weights > 0).all())
    stood_for = torch.isin(labels, labels[found.indices]).sum() if by == "class" else examples
    assert float(found.weights.sum()) == pytest.approx(int(stood_for))
    moved = torch.from_numpy(rng.permutation(examples))
    again = run(selector, x[moved], labels[moved], seeds[moved], budget, **options)
    assert moved[again.indices].tolist() == found.indices.tolist() and torch.equal(again.weights, found.weights)


@SELECTORS
def test_classes_get_their_share_down_to_one_example_each(selector):
    x, seeds = torch.randn(12, 3, generator=torch.Generator().manual_seed(1)), torch.arange(12)
    labels = torch.tensor([0] * 6 + [1] * 3 + [2] * 3)
    assert sorted(labels[run(selector, x, labels, seeds, 4).indices].tolist()) == [0, 0, 1, 2]
    assert sorted(labels[run(selector, x, labels, seeds, 6, quota="equal").indices].tolist()) == [0, 0, 1, 1, 2, 2]
    everyone = run(selector, x, torch.arange(12), seeds, 12)  # one example per class
    assert sorted(everyone.indices.tolist()) == list(range(12)) and everyone.weights.tolist() == [1.0] * 12
    assert run(selector, x, torch.zeros(12, dtype=torch.int64), seeds, 1).weights.tolist() == [12.0]  # p = y: all 0
    whole = run(craig, x, labels, seeds, 12)
    assert whole.weights.tolist() == [1.0] * 12


@SELECTORS
@pytest.mark.parametrize(
    ("options", "message"),
    [({"by": "batch"}, "'class' or 'set', got 'batch'"), ({"quota": "fair"}, "got 'fair'"), ({}, "not finite")],
)
def test_wrong_options_and_diverged_networks_are_told_in_a_sentence(selector, options, message):
    x, labels = torch.ones(4, 2), torch.tensor([0, 1, 0, 1])
    if not options:
        x[2, 1] = float("nan")
    with pytest.raises(UserError, match=message):
        run(selector, x, labels, torch.arange(4), 2, **options)
    if not options:
        with pytest.raises(UserError, match="logits are not finite"):
            run(selector, torch.ones(4, 2), labels, torch.arange(4), 2, head={
                "head_W": torch.full((2, 2), torch.inf), "head_b": torch.zeros(2)})  # fmt: skip


def test_a_start_that_is_none_is_refused():
    with pytest.raises(UserError, match="'ridge' or 'projection', got 'code'"):
        run(gradmatch, torch.ones(4, 2), torch.tensor([0, 1, 0, 1]), torch.arange(4), 2, start="code")


@pytest.mark.parametrize("ridge", [0.0, -1.0, float("inf"), float("nan")])
def test_a_ridge_that_is_none_is_refused(ridge):
    with pytest.raises(UserError, match="ridge must be above 0"):
        run(gradmatch, torch.ones(4, 2), torch.tensor([0, 1, 0, 1]), torch.arange(4), 2, ridge=ridge)


# through the harness


@pytest.fixture(scope="module")
def harness(tmp_path_factory):
    registry = collect([])
    data = load(registry, "planted(train=60,test=20)", Path("."))
    store = Store(tmp_path_factory.mktemp("gradients"))
    return Harness(data, store, registry, reference="test_resnet", reference_epochs=2, device_name="cpu")


@pytest.mark.parametrize("text", ["grand(epoch=1, runs=2)", "grand(epoch=0, runs=1)"])
def test_grand_runs_at_any_epoch(harness, text):
    found = score(harness, harness.registry.method("scorer", text))
    assert len(found.values) == 60 and np.isfinite(found.values).all() and (found.values > 0).all()
    assert found.label_free is False
    assert found.cost.backward == (2 * 60 if "epoch=1" in text else 0)
    last = score(harness, harness.registry.method("scorer", text.replace(")", ", parameters=last)")))
    assert (last.values < found.values).all()


def test_grand_beyond_the_training_is_refused_before_anything_trains(harness):
    with pytest.raises(UserError, match=r"epoch 10.* 2 epochs"):
        score(harness, harness.registry.method("scorer", "grand"))


def test_grand_at_the_end_shares_the_trainings_of_everybody_else(harness):
    score(harness, harness.registry.method("scorer", "el2n(epoch=2, runs=2)"))
    trainings = len(list((harness.store.root / "models").rglob("*.safetensors")))
    score(harness, harness.registry.method("scorer", "grand(epoch=2, runs=2, parameters=last)"))
    assert len(list((harness.store.root / "models").rglob("*.safetensors"))) == trainings > 0


@pytest.mark.parametrize(
    "text",
    ["craig", "gradmatch", "craig(by=set)", "gradmatch(by=set, ridge=0.01)", "per_class(craig)",
     "mix_random(gradmatch)"],
)  # fmt: skip
def test_every_selector_runs(harness, text):
    scores = score(harness, harness.registry.method("scorer", "random"))
    found = select(harness, scores, harness.registry.method("selector", text), 0.3, 0, 0)
    assert len(set(found.indices.tolist())) == 18
    assert found.weights.sum() == pytest.approx(60) and (found.weights > 0).all()  # through combinators too
