"""The checks that plugin authors run: each finds its culprit, and a method that keeps the contract passes them all."""

import numpy as np
import pytest
import torch

from prunebench import MethodError, Scorer, Selector, UserError, testing
from prunebench.drawn import drawn, kept_in, peak_bytes, values_in, world
from prunebench.registry import installed
from prunebench.testing import Subject, checks, entry_of

ORDER = "an example's result goes with it, wherever it stands"
MEMORY = "memory within bytes_per_example"


def spread(history):
    """max - min over epochs"""
    return (history.amax(1) - history.amin(1)).mean(0)


def by_place(history):
    """grows with the position"""
    return history.mean((0, 1)) + torch.arange(history.shape[2])


def wasteful(seeds):
    """needs 80 numbers for each example"""
    return (seeds[:, None].double() * torch.ones(80)).mean(1)


def undrawn(images, generator):
    """names a generator in vain"""
    return torch.arange(len(images)).double()


_calls = []


def restless(images):
    """another number at every call"""
    _calls.append(1)
    return torch.full((len(images),), float(len(_calls)))


_seen = {}


def peeking(images):
    """finds out about labels behind the harness's back"""
    return torch.from_numpy(_seen["labels"]).double()


def first_ones(hardness, budget):
    """the lowest positions"""
    return torch.arange(budget)


def too_few(hardness, budget):
    """one less than asked for"""
    return torch.arange(max(1, budget - 1))


def positive_only(hardness, budget):
    """refuses what it cannot weigh by"""
    if bool((hardness < 0).any()):
        raise UserError("the score must not be negative")
    return torch.argsort(hardness, stable=True)[:budget]


def refuses_all(hardness, budget):
    """refuses whatever it is given"""
    raise UserError("no")


def failures(record) -> dict[str, str]:
    """Title -> what was said, of the checks that fail."""
    found = {}
    for title, check in checks(record):
        try:
            check()
        except (AssertionError, MethodError, UserError) as wrong:
            found[title] = str(wrong)
    return found


def test_a_method_that_keeps_the_contract_passes():
    assert failures(Scorer("spread", spread, hard="high", watch="true_probability", bytes_per_example=64)) == {}
    assert failures(Selector("positive_only", positive_only)) == {}


@pytest.mark.parametrize(
    ("record", "title", "said"),
    [
        (Scorer("by_place", by_place, hard="high", watch="entropy"), ORDER, "where an example stands"),
        (Selector("first_ones", first_ones), ORDER, "where an example stands"),
        (Scorer("undrawn", undrawn, hard="high"), "another outcome under another seed", "only to draw from it"),
        (Scorer("restless", restless, hard="high"), "the same scores under the same seed", "two calls"),
        (Selector("too_few", too_few), "exactly k distinct examples, distinct scores", "the budget is"),
        (Selector("refuses_all", refuses_all), "exactly k distinct examples, tied scores", "no"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_culprit_is_found(record, title, said):
    assert said in failures(record)[title]


def test_too_little_declared_memory_is_found():
    found = failures(Scorer("wasteful", wasteful, hard="high", bytes_per_example=64))
    assert list(found) == [MEMORY] and "its record says 64" in found[MEMORY]
    needed = int(found[MEMORY].split()[2])
    assert 8 * 80 <= needed < 4 * 8 * 80
    assert not failures(Scorer("wasteful", wasteful, hard="high", bytes_per_example=4 * 8 * 80))


def test_labels_reached_unseen_are_found(monkeypatch):
    record = Scorer("peeking", peeking, hard="high")
    harness = testing.planted_harness

    def watched(epochs=testing.EPOCHS, garbled=False):
        found = harness(epochs, garbled)
        _seen["labels"] = found.train.labels
        return found

    monkeypatch.setattr(testing, "planted_harness", watched)
    assert "labels are reached unseen" in failures(record)["label-free means label-free"]


def test_a_peak_counts_tensors_and_arrays_and_not_what_was_there():
    tensor, array = torch.ones(100_000), np.ones(100_000)

    def run():
        twice = tensor * 2  # 400 000 bytes
        del twice
        return (tensor * 3).sum(), (array * 2).sum()  # 400 000 and 800 000

    assert 1_200_000 <= peak_bytes(run) < 1_210_000


def test_worlds_are_drawn_again_and_moved_as_a_whole():
    here, again = world(3, 30), world(3, 30)
    assert all(np.array_equal(getattr(here, name), getattr(again, name)) for name in ("labels", "logits", "hardness"))
    order = np.random.default_rng(0).permutation(30)
    moved = here.moved(order)
    assert np.array_equal(moved.logits, here.logits[order]) and np.array_equal(moved.seeds, here.seeds[order])
    assert moved.classes == here.classes and len(moved) == 30
    for kind, low, high in (("constant", 0, 0), ("negative", -2, -1), ("tied", 0, 2), ("distinct", 0, 29)):
        drawn_hardness = world(3, 30, kind=kind).hardness
        assert low <= drawn_hardness.min() and drawn_hardness.max() <= high


def test_what_is_given_in_a_world_is_accounted_for():
    method = Subject(installed().find("selector", "per_class")).method
    evidence = drawn(method, world(0, 20), budget=5)
    for name in ("labels", "features", "seeds"):
        evidence.give(name)
    assert evidence.account.reached == ["labels", "features"]
    assert len(kept_in(world(0, 20), method, 5)) == 5
    with pytest.raises(UserError, match="network"):
        evidence.give("network")()


def test_a_world_refuses_what_breaks_the_contract():
    bad = Subject(entry_of(Scorer("endless", lambda seeds: seeds.double() / 0, hard="high"))).method
    with pytest.raises(MethodError, match="must be finite"):
        values_in(world(0, 10), bad)
