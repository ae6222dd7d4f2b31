"""The checks that plugin authors run: each finds its culprit, and a method that keeps the contract passes them all."""

import numpy as np
import pytest
import torch

from prunebench import Chosen, MethodError, Scored, Scorer, Selector, UserError
from prunebench.evidence.scoring import score
from prunebench.methods import Plugin
from prunebench.registry import installed
from prunebench.testing import Subject, checks, contract, entry_of, record_checks, skipped
from prunebench.testing.drawn import drawn, kept_in, peak_bytes, values_in, world
from prunebench.testing.edges import edge_harness

ORDER = "an example's result goes with it, wherever it stands"
MEMORY = "memory within bytes_per_example"


def spread(history):
    """max - min over epochs"""
    return (history.amax(1) - history.amin(1)).mean(0)


def by_place(history):
    """grows with the position"""
    return history.mean((0, 1)) + torch.arange(history.shape[2])


def balanced_draw(labels, budget, generator):
    """ranks nothing"""
    return torch.randperm(len(labels), generator=generator)[:budget]


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


def long_search(labels, *, tries: int = 1000, widths: int = 3):
    """grows with its options

    Args:
        tries: of the search.
        widths: of it.
    """
    return labels.double() * tries + widths


def test_a_record_says_which_options_its_checks_are_cheap_with():
    record = Scorer("long_search", long_search, hard="high", checked_with={"tries": 2})
    assert failures(record) == {} and hash(record) == hash(Scorer("long_search", long_search, hard="high"))
    assert Subject(entry_of(record)).method.options == {"tries": 2, "widths": 3}
    asked = Subject(entry_of(record), {"tries": 5, "widths": 1}, short=True).method.options
    assert asked == {"tries": 5, "widths": 1}
    with pytest.raises(UserError, match="long_search has no option 'tires', did you mean 'tries'"):
        list(checks(record, tires=2))


def test_weights_and_details_are_held_to_the_contract_too():
    def weighs(hardness, budget):
        """weights of another length"""
        return Chosen(torch.argsort(-hardness, stable=True)[:budget], weights=np.ones(budget + 3))

    def tells(labels):
        """tells what no record holds"""
        return Scored(labels.double(), details={"why": object()})

    told = failures(Selector("weighs", weighs))
    assert "weights that are not" in told["exactly k distinct examples, distinct scores"]
    assert any("told" in each for each in failures(Scorer("tells", tells, hard="high")).values())


@pytest.mark.parametrize(
    "record", [Selector("first", too_few, ranks="none"), Selector("drawn", balanced_draw, ranks="set")]
)
def test_ranks_says_whether_hardness_is_named(record):
    assert "ranks='" in failures(record)["ranks says whether scores are ranked"]


def test_ranks_class_is_held_to_it():
    def hardest(hardness, budget):
        """the hardest of all"""
        return torch.argsort(-hardness, stable=True)[:budget]

    told = failures(Selector("hardest", hardest, ranks="class"))
    assert "scores of other classes are compared" in told["scores are compared inside a class only"]


def test_an_epoch_beyond_those_of_the_checks_is_told_before_anything_runs():
    with pytest.raises(UserError, match=r'the scorer el2n asks for epoch=40.*checked_with=\{"epoch": 10\}'):
        list(checks(installed().find("scorer", "el2n"), epoch=40))
    assert Subject(installed().find("scorer", "el2n"), {"epoch": 20}).epochs == 30


def test_checked_with_names_options():
    told = failures(Scorer("long_search", long_search, hard="high", checked_with={"trials": 2}))
    assert "checked_with: the scorer long_search has no option 'trials'" in told["options can be written to JSON"]
    told = failures(Scorer("long_search", long_search, hard="high", checked_with=None))
    assert told == {"options can be written to JSON": "its record's checked_with is no dictionary of options: None"}


def test_runs_are_as_many_as_are_asked_for():
    entry = installed().find("scorer", "el2n")
    assert Subject(entry).method.options["runs"] <= 2 and Subject(entry, {"runs": 3}).method.options["runs"] == 3
    assert Subject(entry, {"runs": 3}, short=True).method.options["runs"] == 1


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


def lonely(features, neighbours):
    """the distance to the nearest other example"""
    return neighbours(features(), 1)[0][:, 0]


def test_what_a_library_draws_when_it_is_imported_is_not_the_methods_doing(monkeypatch):
    import random

    from prunebench.testing import drawn as module

    def drawing(x, k, store):
        random.random()
        return module_nearest(x, k, store)

    module_nearest = module.nearest
    monkeypatch.setattr(module, "nearest", drawing)
    dict(checks(Scorer("lonely", lonely, hard="high")))[ORDER]()


def endless(features, classes):
    """divides by the spread of the features and by the number of other classes"""
    x = features()
    return (x - x.mean(0)).norm(dim=1) / x.std() / (len(classes) - 1)


def careful(features, classes):
    """refuses what it cannot divide by"""
    if len(classes) < 2 or float(features().std()) == 0:
        raise UserError("there is nothing to divide by")
    return endless(features, classes)


def test_what_breaks_at_the_edge_is_found_and_a_refusal_is_none():
    record = Scorer("endless", endless, hard="high")
    edge = {title: said for title, said in failures(record).items() if "refusal" in title}
    assert [title.rpartition(": ")[2] for title in edge] == ["one class", "constant pictures"]
    assert all("every score must be finite" in said and "raise prunebench.UserError" in said for said in edge.values())
    assert failures(Scorer("careful", careful, hard="high")) == {}


def test_a_reference_training_on_one_class_is_refused_in_a_sentence():
    with pytest.raises(UserError, match="has one class only: a reference training needs at least two"):
        score(edge_harness("one class", 2), installed().method("scorer", "aum"))


@pytest.mark.parametrize("hard, wrong", [("high", False), ("low", True)])
def test_the_wrong_end_is_found(hard, wrong):
    found = dict(checks(Scorer("spread", late, hard=hard, watch="loss")))["wrong labels are hard"]
    if wrong:
        with pytest.raises(AssertionError, match="is hard='low' the wrong end"):
            found()
    else:
        found()


def late(history):
    """the loss in the last epoch"""
    return history[:, -1].mean(0)


def unsaid(seeds, *, share=0.5):
    """an option that is not told of

    Args:
        seeds: (N,) int64.
    """
    return seeds.double() * share


def test_an_option_that_the_card_does_not_tell_is_found():
    said = failures(Scorer("unsaid", unsaid, hard="high"))
    assert "what share means" in said["the card is complete"]


def keeps_none(hardness, budget):
    """no example at all"""
    return torch.arange(0)


def overwrites(hardness, budget):
    """changes what it is given"""
    return hardness.zero_()[:budget].long()


@pytest.mark.parametrize(
    ("fn", "told"),
    [
        (
            keeps_none,
            "the budget is 1: return exactly the budget of distinct positions, or raise prunebench.UserError",
        ),
        (overwrites, r"changed its input hardness: copy it first \(its number was thrown away\)$"),
    ],
)
def test_the_way_out_at_the_edge_fits_what_is_wrong(fn, told):
    (check, *_) = [c for title, c in checks(Selector(fn.__name__, fn)) if "refusal in a sentence" in title]
    with pytest.raises(AssertionError, match=told):
        check()


def test_what_does_not_apply_is_told_with_its_reason():
    blind, drawing = Scorer("lonely", lonely, hard="high"), Selector("positive_only", positive_only)
    reasons = dict(skipped(blind))
    assert reasons["wrong labels are hard"] == "it names neither history nor labels"
    assert reasons["the entry module is light"] == "no installed plugin offers it"
    assert reasons[MEMORY] == "its record declares none"
    for record in (blind, drawing):
        assert not set(dict(skipped(record))) & set(dict(checks(record))), "a check applies, or it does not"


def test_a_record_that_an_installed_plugin_offers_is_checked_as_its_own():
    entry = installed().find("scorer", "aum")
    assert entry_of(entry.record).plugin == entry.plugin
    assert "the entry module is light" in dict(checks(entry.record))


def test_an_entry_module_that_imports_torch_or_sleeps_is_found(tmp_path, monkeypatch):
    (tmp_path / "heavy_entry.py").write_text("import torch\n")
    (tmp_path / "slow_entry.py").write_text("import time\nwhile time.process_time() < 0.8: pass\n")
    (tmp_path / "gone_entry.py").write_text("import there_is_none\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name, told in (("heavy", "imports torch"), ("slow", "s of a core"), ("gone", "cannot be imported")):
        with pytest.raises(AssertionError, match=told):
            record_checks._light(Plugin(name, name, "1", f"{name}_entry"))
    record_checks._light(Plugin("baselines", "prunebench", "0", "prunebench_baselines"))


def test_too_little_declared_memory_is_found():
    found = failures(Scorer("wasteful", wasteful, hard="high", bytes_per_example=64))
    assert list(found) == [MEMORY] and "its record says 64" in found[MEMORY]
    needed = int(found[MEMORY].split()[2])
    assert 8 * 80 <= needed < 4 * 8 * 80
    assert not failures(Scorer("wasteful", wasteful, hard="high", bytes_per_example=4 * 8 * 80))


def test_labels_reached_unseen_are_found(monkeypatch):
    record = Scorer("peeking", peeking, hard="high")
    harness = contract.planted_harness

    def watched(epochs=contract.EPOCHS, garbled=False):
        found = harness(epochs, garbled)
        _seen["labels"] = found.train.labels
        return found

    monkeypatch.setattr(contract, "planted_harness", watched)
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
