"""What a method may be given, what it is charged, and what it cannot do."""

import random
import time
import types
from pathlib import Path

import numpy as np
import pytest
import torch

import prunebench as pb
from prunebench import Chosen, MethodError, Scored, Scorer, Selector, UserError, hookimpl
from prunebench.datasets.loading import load
from prunebench.evidence.scoring import score
from prunebench.evidence.selecting import fitting, select
from prunebench.harness.shared import Harness
from prunebench.methods import Plugin
from prunebench.registry import collect
from prunebench.store import Store


def registry_with(*records):
    made = types.ModuleType("made_by_a_test")
    made.prunebench_scorers = hookimpl(lambda: [r for r in records if isinstance(r, Scorer)])
    made.prunebench_selectors = hookimpl(lambda: [r for r in records if isinstance(r, Selector)])
    made.prunebench_scorers.__name__, made.prunebench_selectors.__name__ = "prunebench_scorers", "prunebench_selectors"
    return collect([(Plugin("stranger", "stranger", "1", "made_by_a_test"), made)])


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("evidence"))


NUMBERS = {}  # each function its own definition: a store that several tests share must not take one for another


def definition(fn):
    return NUMBERS.setdefault(fn, len(NUMBERS) + 1)


def harness(store, *records, **settings):
    registry = registry_with(*records)
    data = load(registry, "planted(train=60,test=20)", Path("."))
    return Harness(data, store, registry, reference="test_resnet", reference_epochs=2, device_name="cpu", **settings)


def scored(store, fn, text="mine", seed=0, **fields):
    settings = {k: fields.pop(k) for k in ("track", "reference", "shard") if k in fields}
    name = fields.pop("name", "mine")
    h = harness(
        store, Scorer(name, fn, hard=fields.pop("hard", "high"), definition=definition(fn), **fields), **settings
    )
    return score(h, h.registry.method("scorer", name if text == "mine" else text), seed)


# -- values and functions ---------------------------------------------------------------------------------------------


def test_every_value_and_function_has_its_shape(tmp_path):
    def fn(images, labels, classes, seeds, history, held_out, device, generator, progress, features, network,
           embeddings, neighbours, score, observe, judge, stored, blocks):  # fmt: skip
        """Look at everything."""
        n = len(labels)
        assert len(images) == n == 60 and images.pixels([0, 1]).shape == (2, 3, 16, 16)
        assert labels.dtype == torch.int64 and len(classes) == 4 and seeds.shape == held_out.shape == (n,)
        assert history.shape == (1, 2, n) and history.dtype == torch.float32
        assert features().shape[0] == n and features().dtype == torch.float32
        net = network()
        assert torch.equal(net(images.pixels(range(4))), net(images.pixels(range(4)).float() / 255))
        assert not any(p.requires_grad for p in net.parameters())
        assert embeddings("pca").shape == (n, 60 if n < 64 else 64)
        distances, indices = neighbours(embeddings("pixels"), 3)
        assert distances.shape == indices.shape == (n, 3) and not (indices == torch.arange(n)[:, None]).any()
        assert score("aum").shape == (n,)
        run = observe(labels=labels, indices=torch.arange(0, n, 2), epochs=1, watch="correct")
        assert run.history["correct"].shape == (1, n // 2) and run.features().shape == features().shape
        assert 0 <= judge(torch.arange(n)) <= 1
        folder = stored("thing", {"size": 1}, lambda f: (f / "x.txt").write_text("made"))
        assert (folder / "x.txt").read_text() == "made"
        assert list(progress([1, 2], 2, "x")) == [1, 2] and device.type == "cpu"
        values = blocks(lambda indices: indices.double() * 2, rows=7)
        assert torch.equal(values, torch.arange(n).double() * 2)
        return Scored(values, {"note": "seen", "number": 1.5, "array": np.arange(3), "evaluations": 12_000})

    found = scored(Store(tmp_path), fn, watch="logit_margin")
    assert found.details["note"] == "seen" and list(found.details["array"]) == [0, 1, 2]
    assert found.cost.evaluations == 2 * 4  # two calls of `net` with four pictures, whatever the method says of itself
    assert found.cost.backward > 0 and found.label_free is False


def test_scores_come_back_in_the_order_of_the_data_set(shared_store):
    def fn(labels):
        """y"""
        return labels.double()

    found = scored(shared_store, fn)
    data = load(registry_with(), "planted(train=60,test=20)", Path("."))
    assert np.array_equal(found.values, data.train.labels) and found.fingerprint == data.fingerprint


def test_what_is_stored_is_charged_to_everyone_and_what_is_shared_belongs_to_all_methods(tmp_path):
    drawn = []

    def make(folder, generator):
        time.sleep(0.3)
        drawn.append(float(torch.rand(1, generator=generator)))
        (folder / "x.txt").write_text(str(drawn[-1]))

    def first(seeds, stored):
        """0"""
        number = float((stored("thing", {"size": 1}, make, shared=True) / "x.txt").read_text())
        return torch.full((len(seeds),), number, dtype=torch.float64)

    def second(seeds, stored):
        """0"""
        return first(seeds, stored)

    store = Store(tmp_path)
    one, other = scored(store, first), scored(store, second, name="second")
    assert len(drawn) == 1 and np.array_equal(one.values, other.values)
    assert one.cost.alone_seconds >= 0.3 and other.cost.alone_seconds >= 0.3 and other.cost.seconds < 0.3
    turned = scored(Store(tmp_path / "turned"), second, name="second")  # whoever asks first, the draws are the same
    assert np.array_equal(turned.values, one.values)


def test_one_training_serves_all_scorers_and_each_is_charged_what_it_would_have_cost_alone(tmp_path):
    h = harness(Store(tmp_path))
    first = score(h, h.registry.method("scorer", "aum"))
    trainings = [r for r in h.store.records("evidence") if r.identity.get("what") == "training"]
    second = score(h, h.registry.method("scorer", "forgetting"))
    assert [r.id for r in h.store.records("evidence") if r.identity.get("what") == "training"] == [trainings[0].id]
    assert second.cost.seconds < second.cost.alone_seconds
    assert second.cost.backward == first.cost.backward == 2 * 60


def test_what_the_harness_makes_beside_a_training_is_charged_to_all_who_use_it(tmp_path):
    def fn(features, embeddings, neighbours, observe):
        """0"""
        features()
        run = observe(epochs=1, watch=("el2n", "loss"))
        run.features()
        assert run.history["el2n"].shape == (1, 60)
        return neighbours(embeddings("pca"), 3)[0].sum(1)

    store = Store(tmp_path)
    first, second = scored(store, fn).cost, scored(store, fn, name="again").cost
    passes = 2 * 60 + 60 + 60 + 60 + 60  # training of two epochs, features; training of one, its end, features
    assert first.forward == second.forward == passes and first.backward == second.backward == 3 * 60
    told = [r.result for r in store.records("evidence") if r.identity.get("what") in ("embeddings", "neighbours")]
    assert len(told) == 2 and all(result["seconds"] > 0 for result in told)
    trained = [r.result["seconds"] for r in store.records("evidence") if r.identity.get("what") == "training"]
    assert second.alone_seconds > sum(trained) + sum(result["seconds"] for result in told)


def test_a_scorer_at_epoch_ends_is_charged_the_passes_and_others_are_not(tmp_path):
    h = harness(Store(tmp_path))
    forward = {text: score(h, h.registry.method("scorer", text)).cost.forward for text in ("aum", "el2n(epoch=2)")}
    assert forward == {"aum": 2 * 60, "el2n(epoch=2)": 2 * 60 + 2 * 60}


def test_a_new_statistic_trains_again_and_adds_only_its_file(tmp_path):
    store = Store(tmp_path)
    h = harness(store)
    before = score(h, h.registry.method("scorer", "aum"))
    files = {p.name for p in (tmp_path / "evidence").glob("*.npy")}

    def squared(history):
        """mean over epochs of the squared largest logit"""
        return history.mean((0, 1))

    def largest(logits, labels):
        return logits.amax(1) ** 2

    scored(store, squared, watch=largest)
    assert files < {p.name for p in (tmp_path / "evidence").glob("*.npy")}
    assert len({p.name for p in (tmp_path / "evidence").glob("*.npy")} - files) == 1
    assert np.array_equal(score(harness(store), h.registry.method("scorer", "aum")).values, before.values)


def test_the_same_command_gives_the_same_numbers_in_a_fresh_store(tmp_path):
    found = []
    for name in ("a", "b"):
        h = harness(Store(tmp_path / name))
        found.append(score(h, h.registry.method("scorer", "moderate")))
    assert np.array_equal(found[0].values, found[1].values) and found[0].id == found[1].id
    h = harness(Store(tmp_path / "a"))
    other = score(h, h.registry.method("scorer", "moderate"), 1)
    assert not np.array_equal(other.values, found[0].values)


def test_runs_are_independent_and_averaged(tmp_path):
    h = harness(Store(tmp_path))
    one, two = (score(h, h.registry.method("scorer", f"el2n(epoch=1, runs={r})")) for r in (1, 2))
    assert not np.array_equal(one.values, two.values) and two.cost.backward == 2 * one.cost.backward


def test_an_epoch_beyond_the_training_is_refused_before_anything_trains(tmp_path):
    h = harness(Store(tmp_path))
    with pytest.raises(UserError, match=r"epoch 10.* 2 epochs"):
        score(h, h.registry.method("scorer", "el2n"))
    assert not list((tmp_path / "evidence").iterdir())


# -- labels -----------------------------------------------------------------------------------------------------------


def test_naming_or_reaching_labels_is_on_the_account(shared_store):
    def free(seeds, embeddings):
        """x"""
        return embeddings("pixels")[:, 0]

    def asks(score):
        """s"""
        return score("aum")

    def asks_free(score):
        """s"""
        return score("random")

    def observes(observe):
        """o"""
        return observe(epochs=1, watch="loss").history["loss"][0]

    def pseudo(observe, seeds):
        """o"""
        return observe(labels=seeds % 2, epochs=1, watch="loss").history["loss"][0]

    told = {fn.__name__: scored(shared_store, fn, name).label_free for fn, name in [(free, "mine")]}
    for fn in (asks, asks_free, observes, pseudo):
        h = harness(shared_store, Scorer(fn.__name__, fn, hard="high", definition=1))
        told[fn.__name__] = score(h, h.registry.method("scorer", fn.__name__)).label_free
    assert told == {"free": True, "asks": False, "asks_free": True, "observes": False, "pseudo": True}


def test_the_label_free_track_refuses_every_road(tmp_path):
    def by_name(labels):
        """y"""
        return labels

    def by_score(score):
        """s"""
        return score("aum")

    def by_training(observe):
        """o"""
        return observe(epochs=1, watch="loss").history["loss"][0]

    for fn in (by_name, by_score, by_training):
        with pytest.raises(MethodError, match="label-free"):
            scored(Store(tmp_path / fn.__name__), fn, track="label-free")


def test_pictures_lead_to_nothing_but_pictures(shared_store, tmp_path):
    from PIL import Image

    for part in ("train", "val"):
        for c in ("n00000001", "n00000002"):
            (tmp_path / part / c).mkdir(parents=True)
            for i in range(4):
                Image.new("RGB", (8, 8), (i * 9, 0, 0)).save(tmp_path / part / c / f"{i}.png")

    def fn(images, seeds):
        """Nothing that names a class can be seen."""
        seen = repr(vars(images)) + repr([getattr(images, a) for a in dir(images) if not a.startswith("__")])
        assert "n0000000" not in seen and str(tmp_path) not in seen
        return seeds.double() % 7

    registry = registry_with(Scorer("mine", fn, hard="high", definition=1))
    data = load(registry, f"folder:{tmp_path}", Path("."))
    h = Harness(data, shared_store, registry, reference="test_resnet", device_name="cpu")
    assert score(h, registry.method("scorer", "mine")).label_free
    assert str(tmp_path) not in data.name


def test_positions_tell_nothing_about_labels(tmp_path):
    """Image folders are sorted by class; what a method sees is not."""

    def fn(labels):
        """positions"""
        changes = int((labels[1:] != labels[:-1]).sum())
        return Scored(labels.double(), {"changes": changes})

    sorted_labels = np.repeat([0, 1, 2], 20)
    pixels = torch.zeros(60, 3, 8, 8, dtype=torch.uint8)
    data = pb.Dataset(
        "sorted",
        ("a", "b", "c"),
        pb.Split(pb.MemoryImages(pixels), sorted_labels, tuple(f"{c}/{i}" for i, c in enumerate(sorted_labels))),
        pb.Split(pb.MemoryImages(pixels), sorted_labels, tuple(f"test{i}" for i in range(60))),
    )
    registry = registry_with(Scorer("mine", fn, hard="high", definition=1))
    h = Harness(data, Store(tmp_path), registry, reference="test_resnet", device_name="cpu")
    assert score(h, registry.method("scorer", "mine")).details["changes"] > 20


def test_scores_without_labels_do_not_depend_on_them(tmp_path):
    registry = registry_with()
    data = load(registry, "planted(train=60,test=20)", Path("."))
    other = pb.Dataset(
        data.name, data.classes, pb.Split(data.train.images, data.train.labels[::-1].copy(), data.train.keys), data.test
    )
    ids = {}
    for text in ("random", "moderate"):
        ids[text] = {
            score(
                Harness(d, Store(tmp_path), registry, reference="test_resnet", reference_epochs=1, device_name="cpu"),
                registry.method("scorer", text),
            ).id
            for d in (data, other)
        }
    assert len(ids["random"]) == 1 and len(ids["moderate"]) == 2


# -- what goes wrong --------------------------------------------------------------------------------------------------


def changes_labels(labels):
    """y"""
    labels[0] += 1
    return labels


def changes_history(history):
    """h"""
    history[0, 0, 0] = 7
    return history.mean((0, 1))


def draws_torch(labels):
    """y"""
    return torch.rand(len(labels))


def draws_numpy(labels):
    """y"""
    return np.random.rand(len(labels))


def draws_python(labels):
    """y"""
    return [random.random() for _ in labels]


def seeds_globally(labels):
    """y"""
    torch.manual_seed(0)
    return labels


def raises(labels):
    """y"""
    raise RuntimeError("out of luck")


def exits(labels):
    """y"""
    raise SystemExit(0)


def nan(labels):
    """y"""
    return torch.where(labels == 1, torch.nan, 1.0)


def short(labels):
    """y"""
    return labels[:-1]


def words(labels):
    """y"""
    return np.array(["a"] * len(labels))


def nothing(labels):
    """y"""


def odd_detail(labels):
    """y"""
    return Scored(labels, {"x": object()})


@pytest.mark.parametrize(
    "fn, told",
    [(changes_labels, "changed its input labels"), (changes_history, "changed its input history"),
     (draws_torch, "global random"), (draws_numpy, "global random"), (draws_python, "global random"),
     (seeds_globally, "global random"), (raises, "RuntimeError: out of luck"), (exits, "exited"),
     (nan, "must be finite"), (short, "expected"), (words, "expected"), (nothing, "expected")],
)  # fmt: skip
def test_a_broken_method_is_caught_and_harms_nobody(shared_store, fn, told):
    h = harness(shared_store)
    before = score(h, h.registry.method("scorer", "aum")).values
    state = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    with pytest.raises(MethodError, match=told) as failure:
        scored(shared_store, fn, watch="logit_margin")
    assert "stranger 1" in str(failure.value) and "\n" not in str(failure.value)
    assert torch.equal(torch.get_rng_state(), state[0]) and np.array_equal(np.random.get_state()[1], state[1])
    assert random.getstate() == state[2]
    fresh = harness(Store(shared_store.root))
    assert np.array_equal(score(fresh, fresh.registry.method("scorer", "aum")).values, before)
    assert np.array_equal(fresh.train.labels, harness(shared_store).train.labels)


def test_a_detail_that_cannot_be_saved_is_refused(shared_store):
    with pytest.raises((MethodError, TypeError), match="numbers, text and arrays"):
        scored(shared_store, odd_detail)


def test_scores_that_ask_for_each_other_are_refused(tmp_path):
    def one(score):
        """s"""
        return score("two")

    def two(score):
        """s"""
        return score("one")

    h = harness(Store(tmp_path), *(Scorer(f.__name__, f, hard="high", definition=1) for f in (one, two)))
    with pytest.raises(UserError, match="circle"):
        score(h, h.registry.method("scorer", "one"))


# -- blocks -----------------------------------------------------------------------------------------------------------


def test_blocks_resume_and_shards_merge_bit_for_bit(tmp_path):
    from prunebench.evidence.blocks import ShardDone

    seen = []

    def fn(blocks, seeds):
        """noise of each example"""

        def compute(indices):
            seen.append(len(indices))
            if fn.stop_after is not None and len(seen) > fn.stop_after:
                raise KeyboardInterrupt
            return pb.noise(seeds[indices], 0, (5,)).pow(2).sum(1)

        return blocks(compute, rows=8)

    fn.stop_after = 3
    with pytest.raises(KeyboardInterrupt):
        scored(Store(tmp_path / "a"), fn)
    fn.stop_after, done = None, len(seen) - 1
    whole = scored(Store(tmp_path / "a"), fn)
    assert set(seen) == {8} and len(seen) == done + 1 + (8 - done)
    for i in range(2):
        with pytest.raises(ShardDone):
            scored(Store(tmp_path / "b"), fn, shard=(i, 3))
    assert np.array_equal(scored(Store(tmp_path / "b"), fn, shard=(2, 3)).values, whole.values)


def test_blocks_of_another_sitting_or_shard_are_charged_like_those_of_this_one(tmp_path):
    from prunebench.evidence.blocks import ShardDone

    linear = torch.nn.Linear(2, 1)

    def fn(blocks, score):
        """0"""

        def compute(indices):
            time.sleep(0.03)
            score("aum")  # a training that no later sitting asks for
            return linear(torch.ones(len(indices), 2)).detach()[:, 0]

        values = blocks(compute, rows=8)
        if fn.interrupted:
            raise KeyboardInterrupt
        return values

    fn.interrupted = False
    whole = scored(Store(tmp_path / "whole"), fn)
    assert whole.cost.evaluations == 8 * 8 and whole.cost.backward == 2 * 60
    fn.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        scored(Store(tmp_path / "resumed"), fn)
    fn.interrupted = False
    resumed = scored(Store(tmp_path / "resumed"), fn)
    for i in range(3):
        with pytest.raises(ShardDone):
            scored(Store(tmp_path / "shards"), fn, shard=(i, 4))
    merged = scored(Store(tmp_path / "shards"), fn, shard=(3, 4))
    for found in (resumed, merged):
        assert found.cost.evaluations == whole.cost.evaluations and found.cost.backward == whole.cost.backward
        assert found.cost.alone_seconds > 8 * 0.03 and found.label_free is whole.label_free is False
    assert resumed.cost.seconds < 8 * 0.03


def test_evaluations_of_what_a_method_makes_and_stores_are_charged_to_all_who_use_it(tmp_path):
    linear = torch.nn.Linear(2, 1)

    def make(folder, generator):
        linear(torch.ones(30, 2))
        (folder / "x.txt").write_text("made")

    def first(seeds, stored):
        """0"""
        stored("thing", {}, make, shared=True)
        linear(torch.ones(7, 2))
        return torch.zeros(len(seeds))

    def second(seeds, stored):
        """0"""
        return first(seeds, stored)

    store = Store(tmp_path)
    costs = [scored(store, first).cost, scored(store, second, name="second").cost]
    assert [cost.evaluations for cost in costs] == [37, 37]


# -- selectors --------------------------------------------------------------------------------------------------------


def chosen(store, fn, keep=0.25, scorer="random", ranks="set"):
    h = harness(store, Selector("mine", fn, ranks=ranks, definition=definition(fn)))
    scores = score(h, h.registry.method("scorer", scorer)) if ranks != "none" else None
    return h, select(h, scores, h.registry.method("selector", "mine"), keep, 0, 0)


def test_a_selection_is_sorted_has_keys_and_fits_a_torch_data_set(shared_store):
    def fn(hardness, budget):
        """hardest first, with weights"""
        top = hardness.argsort(descending=True)[:budget]
        return Chosen(top, weights=hardness[top] - hardness.min() + 1, details={"edge": float(hardness[top[-1]])})

    h, found = chosen(shared_store, fn)
    assert len(found) == 15 and (np.diff(found.indices) > 0).all()
    assert found.keys == tuple(h.dataset.train.keys[i] for i in found.indices)
    scores = score(h, h.registry.method("scorer", "random"))
    assert set(found.indices) == set(np.argsort(-scores.hardness)[:15])
    assert np.allclose(found.weights, scores.hardness[found.indices] - scores.hardness.min() + 1)
    subset = found.subset(list(range(60)))
    assert [subset[i] for i in range(3)] == list(found.indices[:3])
    with pytest.raises(ValueError, match="60"):
        found.subset(list(range(59)))


def test_weights_of_the_selector_inside_come_through_combinators(shared_store):
    def fn(hardness, seeds, budget):
        """of each part the hardest, as heavy as they are hard"""
        top = hardness.argsort(descending=True)[:budget]
        return Chosen(top, weights=hardness[top] - hardness.min() + len(hardness))

    h = harness(shared_store, Selector("mine", fn, definition=definition(fn)))
    scores, labels = score(h, h.registry.method("scorer", "random")), h.dataset.train.labels
    for text in ("per_class(mine)", "per_class(mix_random(mine, share=0.0))", "mix_random(per_class(mine), share=0.0)"):
        found = select(h, scores, h.registry.method("selector", text), 0.25, 0, 0)
        least = np.array([scores.hardness[labels == c].min() for c in range(labels.max() + 1)])
        counts = np.bincount(labels)
        expected = (scores.hardness[found.indices] - least[labels[found.indices]]) + counts[labels[found.indices]]
        assert np.allclose(found.weights, expected), text


@pytest.mark.parametrize(
    "fn, told",
    [(lambda hardness, budget: torch.zeros(budget, dtype=torch.int64), "twice"),
     (lambda hardness, budget: torch.arange(budget + 1), "budget is 15"),
     (lambda hardness, budget: torch.arange(budget) + 50, "from 0 to 59"),
     (lambda hardness, budget: torch.arange(budget).float(), "integers"),
     (lambda hardness, budget: Chosen(torch.arange(budget), weights=torch.full((budget,), -1.0)), "weights")],
)  # fmt: skip
def test_a_broken_selection_is_refused(shared_store, fn, told):
    with pytest.raises(MethodError, match=told):
        chosen(shared_store, fn)


def test_a_combinator_shows_its_inner_selector_only_its_own_examples(shared_store):
    def inside(hardness, budget, labels, features, seeds, observe, judge, score, embeddings):
        """all per-example things are of one class"""
        n = len(hardness)
        assert labels.unique().numel() == 1 and n < 60
        assert len(features()) == len(seeds) == len(score("aum")) == len(embeddings("pixels")) == n
        run = observe(labels=labels, indices=torch.arange(1, n), epochs=1, watch="loss")
        assert run.history["loss"].shape == (1, n - 1) and len(run.features()) == n
        assert 0 <= judge(torch.arange(n)) <= 1
        return torch.arange(budget)

    h = harness(shared_store, Selector("inside", inside, definition=definition(inside)))
    scores = score(h, h.registry.method("scorer", "random"))
    found = select(h, scores, h.registry.method("selector", "per_class(inside)"), 0.25, 0, 0)
    counts = np.bincount(h.dataset.train.labels[found.indices])
    assert len(found) == 15 and np.array_equal(counts, pb.class_budgets(np.bincount(h.dataset.train.labels), 15))


def test_scores_that_compare_inside_a_class_meet_set_selectors_per_class(shared_store):
    def fn(seeds, labels):
        """s"""
        return (seeds % 1000).double() + 1e6 * labels

    h = harness(shared_store, Scorer("mine", fn, hard="high", comparable="class", definition=definition(fn)))
    scores = score(h, h.registry.method("scorer", "mine"))
    for name in ("hardest", "ccs", "moderate"):
        method = fitting(h.registry, h.registry.method("selector", name), scores.comparable)
        found = select(h, scores, method, 0.25, 0, 0)
        assert "per_class(" in found.selector
        counts = np.bincount(h.dataset.train.labels[found.indices], minlength=4)
        assert np.array_equal(counts, pb.class_budgets(np.bincount(h.dataset.train.labels), 15))
    bws = h.registry.method("selector", "bws")
    assert fitting(h.registry, bws, "class") is bws


def test_scores_of_another_data_set_or_not_finite_are_refused(shared_store):
    h = harness(shared_store)
    scores = score(h, h.registry.method("scorer", "aum"))
    hardest = h.registry.method("selector", "hardest")
    from dataclasses import replace

    for wrong, told in [
        (replace(scores, fingerprint="0" * 64), "another data set"),
        (replace(scores, values=scores.values[:-1]), "do not fit"),
        (replace(scores, values=np.where(np.arange(60) == 7, np.inf, scores.values)), "example 7"),
    ]:
        with pytest.raises(UserError, match=told):
            select(h, wrong, hardest, 0.25, 0, 0)
    for keep in (0.0, -0.1, 1.5, float("nan")):
        with pytest.raises(UserError, match="keep must lie"):
            select(h, scores, hardest, keep, 0, 0)


def test_details_per_example_travel_with_the_examples(tmp_path):
    """A selector sees the scorer's details in the same order as hardness, also inside a combinator."""
    seen = []

    def scorer(labels, seeds):
        """y"""
        return Scored(seeds.double() % 997, {"twice": 2.0 * (seeds.double() % 997).numpy(), "number": 3})

    def selector(hardness, details, budget):
        """k"""
        seen.append(np.array_equal(2 * hardness.numpy(), details["twice"]) and details["number"] == 3)
        return Chosen(torch.arange(budget))

    records = (Scorer("mine", scorer, hard="high", definition=1), Selector("twin", selector, definition=1))
    h = harness(Store(tmp_path), *records)
    scores = score(h, h.registry.method("scorer", "mine"), 0)
    for text in ("twin", "per_class(twin)"):
        select(h, scores, h.registry.method("selector", text), 0.2, 0, 0)
    assert len(seen) == 1 + 4 and all(seen)  # once over all, once per class


# -- networks on the way ----------------------------------------------------------------------------------------------


def test_a_network_on_the_way_is_the_reference_run_after_so_many_epochs(tmp_path):
    seen = {}

    def fn(images, labels, history, network):
        """the error norm of the network after one of two epochs"""
        for epoch in (0, 1, 2, None):
            seen[epoch] = network(0, epoch=epoch)(images.pixels(range(len(labels))))
        error = seen[1].softmax(1) - torch.nn.functional.one_hot(labels, 4)
        torch.testing.assert_close(error.norm(dim=1), history[0, 0], atol=1e-5, rtol=1e-5)
        assert torch.equal(seen[2], seen[None]) and not torch.equal(seen[1], seen[2])
        return error.norm(dim=1)

    found = scored(Store(tmp_path), fn, watch="el2n")
    assert found.cost.backward == 3 * 60  # two epochs of the whole run and the first one again
    again = {epoch: logits.clone() for epoch, logits in seen.items()}
    scored(Store(tmp_path), fn, watch="el2n", seed=1)
    assert not torch.equal(again[0], seen[0])


def test_a_network_at_initialisation_trains_nothing(tmp_path):
    from prunebench.training.loop import initialised

    def fn(images, network):
        """the logits of class 0 at initialisation"""
        return network(run=1, epoch=0)(images.pixels(range(len(images))))[:, 0]

    found = scored(Store(tmp_path), fn)
    assert found.cost.forward == found.cost.backward == 0
    assert found.values.std() > 0
    h = harness(Store(tmp_path))
    seed = pb.seed_for("reference", 0, 1)
    network = initialised("test_resnet", 4, h.dataset.image_size, seed).eval()
    with torch.inference_mode():
        wanted = network(h.dataset.train.images.pixels(range(60)))[:, 0]
    np.testing.assert_allclose(found.values, wanted.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("epoch", [-1, 3])
def test_a_network_of_no_epoch_of_the_run_is_refused(shared_store, epoch):
    def fn(network):
        """n"""
        return network(0, epoch=epoch)

    with pytest.raises(UserError, match=rf"epoch {epoch}.* 2 epochs"):
        scored(shared_store, fn)


def test_an_observed_training_of_no_epochs_is_the_network_as_initialised(tmp_path):
    def fn(images, observe, labels):
        """logits at initialisation"""
        with pytest.raises(UserError, match="nothing can be watched"):
            observe(epochs=0, watch="loss")
        one, other = (observe(epochs=0, seed=s).network()(images.pixels(range(60))) for s in (0, 1))
        assert not torch.equal(one, other)
        clusters = observe(torch.arange(60) % 7, epochs=0).network()(images.pixels(range(60)))
        assert clusters.shape == (60, 7)  # of 4 classes
        return one[:, 0]

    assert scored(Store(tmp_path), fn).cost.backward == 0


def test_an_option_epoch_may_be_0_for_networks_only(tmp_path):
    def fn(images, network, *, epoch=0):
        """n"""
        return torch.arange(len(images)).double() + epoch

    assert scored(Store(tmp_path), fn).values.max() == 59
    with pytest.raises(UserError, match=r"epoch 3.* 2 epochs"):
        scored(Store(tmp_path), fn, text="mine(epoch=3)")

    def reads_history(history, network, *, epoch=0):
        """n"""
        return history[0, epoch]

    with pytest.raises(UserError, match=r"epoch 0.* 2 epochs"):
        scored(Store(tmp_path), reads_history, watch="loss")
