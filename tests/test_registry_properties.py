"""What every built-in method owes, whatever it is: the contract on planted pictures, and properties in drawn worlds.

The methods are those of the installed registry, so one that is added is held to all of this by being listed.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from prunebench import UserError
from prunebench.datasets.loading import load
from prunebench.evidence.scoring import score
from prunebench.evidence.selecting import select
from prunebench.harness.shared import Harness, temporary_store
from prunebench.registry import collect
from prunebench.testing import SIGNED, Subject, checks
from prunebench.testing.drawn import KINDS, drawable, kept_in, world
from prunebench.testing.drawn_checks import outcome, same_in_any_order

REGISTRY = collect()
OWN = ("prunebench", "prunebench-drd")
ENTRIES = sorted(  # those first that watch a statistic of their own, so that one training records them all
    (
        entry
        for kind in ("scorer", "selector")
        for entry in REGISTRY.entries[kind].values()
        if entry.plugin.distribution in OWN
    ),
    key=lambda entry: ":" not in str(getattr(entry.record, "watch", "")),
)
METHODS = [Subject(entry).method for entry in ENTRIES]
SMALL = 8  # below so many examples a method may say that there are too few


def named(found) -> str:
    entry = getattr(found, "entry", found)
    return f"{entry.kind}:{entry.record.name}"


def those(wanted):
    return pytest.mark.parametrize("method", [m for m in METHODS if wanted(m)], ids=named)


def drawable_kind(kind: str):
    return those(lambda method: method.entry.kind == kind and drawable(method))


@st.composite
def worlds(draw, kinds=("distinct",)):
    """A world of 1 to 60 examples, and a budget."""
    examples = draw(st.integers(1, 60))
    kind = draw(st.sampled_from(kinds))
    budget = draw(st.one_of(st.just(1), st.just(examples), st.integers(1, examples)))
    return world(draw(st.integers(0, 2**32 - 1)), examples, kind=kind), kind, budget


def result(world, method, budget, kind="distinct"):
    """The outcome, or no test where the method may refuse: too few examples, or scores that cannot be weights."""
    try:
        return outcome(world, method, budget)
    except UserError:
        assume(len(world) >= SMALL and kind not in SIGNED)
        raise


def test_the_registry_holds_the_built_ins():
    assert len(ENTRIES) >= 42 and not [p for p in REGISTRY.plugins if p.problem]


@pytest.mark.parametrize(
    ("entry", "title", "check"),
    [pytest.param(e, *pair, id=f"{named(e)}: {pair[0]}") for e in ENTRIES for pair in checks(e)],
)
def test_contract(entry, title, check):
    check()


@drawable_kind("scorer")
@settings(max_examples=12, deadline=None)
@given(drawn_world=worlds())
def test_a_scorer_gives_finite_numbers_and_the_same_again(method, drawn_world):
    here, _, budget = drawn_world
    assert np.array_equal(result(here, method, budget), outcome(here, method, budget))


@drawable_kind("selector")
@settings(max_examples=40, deadline=None)
@given(drawn_world=worlds(KINDS))
def test_a_selector_keeps_exactly_k_and_the_same_again(method, drawn_world):
    here, kind, budget = drawn_world
    assert np.array_equal(result(here, method, budget, kind), kept_in(here, method, budget))


@those(lambda method: drawable(method) and "generator" not in method.needs)
@settings(max_examples=15, deadline=None)
@given(drawn_world=worlds(), seed=st.integers(0, 2**32 - 1))
def test_an_examples_result_goes_with_it_to_the_last_bit(method, drawn_world, seed):
    here, _, budget = drawn_world
    order = np.random.default_rng(seed).permutation(len(here))
    result(here, method, budget)
    same_in_any_order(method, here, order, budget, rounding=0)


@those(lambda method: drawable(method) and "generator" in method.inputs)
def test_what_draws_follows_its_seed(method):
    here = world(0, 60)
    found = [outcome(here, method, 20, seed) for seed in (0, 0, 1, 2, 3)]
    assert np.array_equal(found[0], found[1])
    assert len({each.tobytes() for each in found}) > 1


# direction

MISLABELLED_ARE_HARD = (
    *("forgetting", "el2n", "aum", "accumulated_margin", "loss", "correctness", "confidence", "first_learned"),
    "presentations_to_learn",
)


def hardness(method, values):
    return values if method.entry.record.hard == "high" else -values


def above(a: np.ndarray, b: np.ndarray) -> float:
    """How likely one of ``a`` lies above one of ``b``, ties counting half."""
    return float(((a[:, None] > b).mean() + (a[:, None] >= b).mean()) / 2)


@those(lambda method: method.entry.record.name in MISLABELLED_ARE_HARD)
def test_wrong_labels_are_hard(method):
    """Every tenth label is another one than that which the network knows from the start."""
    here, wrong = world(0, 200), np.arange(200) % 10 == 0
    known = here.logits + 5 * np.eye(4, dtype=np.float32)[here.labels][:, None]
    here = replace(here, labels=np.where(wrong, (here.labels + 1) % 4, here.labels), logits=known)
    found = hardness(method, outcome(here, method, 0))
    assert above(found[wrong], found[~wrong]) > 0.95


@pytest.mark.parametrize("name", ["kcenter", "facility_location", "d2"])
def test_of_a_picture_and_its_copy_one_is_kept(name):
    """Every example stands there twice, with another seed: a random draw of 20 of these 80 keeps two or three pairs."""
    once = world(3, 40)
    twice = replace(once.moved(np.tile(np.arange(40), 2)), seeds=world(4, 80).seeds)
    kept = kept_in(twice, REGISTRY.method("selector", name), 20)
    assert len(set(kept % 40)) >= (19 if name == "d2" else 20)  # messages let one pass


def test_zcore_prefers_what_has_no_copy():
    single, copied = np.arange(40), np.arange(40, 60)
    here = world(5, 60).moved(np.concatenate([single, copied, copied]))
    found = outcome(here, REGISTRY.method("scorer", "zcore(random_start=False)"), 0)
    assert above(found[:40], found[40:]) > 0.6


@pytest.fixture(scope="module")
def planted():
    """500 pictures of which a tenth each is mislabelled, a copy and of a rare mode, and their reference training."""
    data = load(REGISTRY, "planted(train=500,test=24,mislabelled=0.1,duplicates=0.1,rare=0.1)", Path("."))
    return Harness(data, temporary_store(), REGISTRY, reference_epochs=30, threads=1, device_name="cpu")


@pytest.mark.slow
@those(lambda method: method.entry.kind == "scorer" and method.entry.record.watch)
def test_planted_wrong_labels_are_hard(planted, method):
    """The network has learned most of them by heart in the end, so it is not as plain as above."""
    truth = planted.dataset.details
    plain = ~(truth["mislabelled"] | truth["rare_mode"] | (truth["duplicate_of"] >= 0))
    found = score(planted, method).hardness
    assert above(found[truth["mislabelled"]], found[plain]) > (0.55 if method.label == "tdds" else 0.65)


@pytest.mark.slow
def test_planted_rare_modes_and_copies(planted):
    truth = planted.dataset.details
    rare, copies = truth["rare_mode"], truth["duplicate_of"] >= 0
    plain = ~(truth["mislabelled"] | rare | copies)
    found = {name: score(planted, REGISTRY.method("scorer", name)).hardness for name in ("dual", "zcore", "kcenter")}
    assert above(found["dual"][rare], found["dual"][plain]) > 0.65
    assert above(found["zcore"][rare], found["zcore"][plain]) > 0.65
    for name in ("zcore", "kcenter"):
        assert above(found[name][copies], found[name][plain]) < 0.45


@pytest.mark.slow
def test_planted_wrong_labels_are_kept_by_hardest_and_cut_by_ccs(planted):
    scores, wrong = score(planted, REGISTRY.method("scorer", "aum")), planted.dataset.details["mislabelled"]

    def share(text):
        return wrong[select(planted, scores, REGISTRY.method("selector", text), 0.3, 0, 0).indices].mean()

    assert share("hardest") > 0.2 > share("random") > 0.03 > share("easiest")
    assert share("ccs(cutoff=0.2)") < 0.6 * share("ccs")


# what the checks themselves owe


def test_global_threads_are_left_as_they_were():
    before = torch.get_num_threads()
    dict(checks(REGISTRY.find("scorer", "aum")))["the same on one thread and on two"]()
    assert torch.get_num_threads() == before
