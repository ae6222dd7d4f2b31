"""A board of several stores and bundles: the same whatever their order; failed cells that are not failed any more."""

from dataclasses import replace

import pytest
from trials_by_hand import AUM, BALANCED, HARDEST, RANDOM, balanced, full, put, seeds, trial, uniform

from prunebench.leaderboard import board, leaderboard
from prunebench.store import Store


def labelled(found):
    return [(row.label, row.accuracy.mean) for table in found.tables for row in table.rows]


# -- the order of stores ----------------------------------------------------------------------------------------------


@pytest.fixture
def at_odds(tmp_path):
    """Two stores, which tell other accuracies of one trial."""
    stores = [Store(tmp_path / name) for name in "ab"]
    for store, accuracy in zip(stores, (0.90, 0.80), strict=True):
        put(store, trial(accuracy=accuracy))
        put(store, balanced(accuracy=0.85))
    return stores


def test_stores_that_disagree_make_one_board_whatever_their_order_and_are_told(at_odds):
    one, other = leaderboard(at_odds), leaderboard(at_odds[::-1])
    assert labelled(one) == labelled(other) == [("balanced random", 0.85), ("aum + hardest", 0.80)]
    assert str(one) == str(other) and "1 trial of which the stores and bundles tell different accuracies" in str(one)
    assert "different accuracies" not in str(leaderboard(at_odds[0]))


def test_of_two_notes_of_one_failed_cell_the_same_one_is_told_whatever_the_order(tmp_path):
    stores = [Store(tmp_path / name) for name in "ab"]
    for store, error in zip(stores, ("out of memory", "diverged"), strict=True):
        store.note_failure("a" * 64, NOTE | {"error": error})
    assert leaderboard(stores).failures == leaderboard(stores[::-1]).failures


def test_a_reported_trial_with_a_look_at_its_best_epoch_takes_no_place_of_ones_own():
    own = trial(accuracy=0.90)
    theirs = replace(own, id="other", source="reported", accuracy=0.93, best_accuracy=0.95, best_step=60)
    assert labelled(board([own, theirs])) == [("aum + hardest (reported)", 0.93), ("aum + hardest", 0.90)]


# -- failed cells -----------------------------------------------------------------------------------------------------

NOTE = {
    **{"error": "out of memory", "kind": "raised", "dataset": "digits", "fingerprint": "f" * 64, "seed": 0},
    **{"train_budget": "steps", "scorer": "aum", "selector": "hardest", "keep": 0.1, "model": "resnet18"},
}


def test_a_cell_that_failed_in_one_store_and_stands_in_another_is_not_failed(tmp_path):
    failed, done = Store(tmp_path / "failed"), Store(tmp_path / "done")
    failed.note_failure("a" * 64, NOTE)
    put(failed, balanced(accuracy=0.8))
    assert leaderboard(failed).failed_methods == (("aum + hardest", 1),)
    put(done, trial())
    assert leaderboard([failed, done]).failures == ()


@pytest.mark.parametrize(
    "other",
    [
        *[{"seed": 1}, {"keep": 0.3}, {"model": "vit_tiny"}, {"fingerprint": "a" * 64}, {"train_budget": "epochs"}],
        *[{"scorer": "el2n"}, {"selector": "easiest"}, {"image_size": 64}, {"steps": 60}],
    ],
)
def test_another_cell_stays_failed(other):
    assert len(board([trial()], [NOTE | other]).failures) == 1


def test_a_finished_cell_by_whatever_text_it_was_asked_for():
    for asked in ({"scorer": AUM, "selector": HARDEST}, {"steps": 120, "image_size": 8}, {"steps": None}):
        assert board([trial()], [NOTE | asked]).failures == ()
    assert board([trial(f"prunebench/per_class({HARDEST})")], [NOTE]).failures == ()
    assert board([full()], [NOTE | {"scorer": None, "selector": "full", "keep": 1.0}]).failures == ()


def test_what_others_report_finishes_no_cell_of_ones_own():
    assert len(board([trial(source="reported")], [NOTE]).failures) == 1


def test_the_label_free_board_counts_only_what_could_stand_on_it():
    random = seeds(uniform, (0.7, 0.7), label_free=True)
    asked = [(AUM, RANDOM), (None, HARDEST), (None, BALANCED), (None, "rs2"), (None, "random"), (None, "full")]
    asked += [("their/own()", "their/choice()")]
    notes = [NOTE | {"id": str(i), "seed": 9, "scorer": a, "selector": b} for i, (a, b) in enumerate(asked)]
    assert [note["id"] for note in board(random, notes, track="label-free").failures] == ["1", "4", "5", "6"]
    assert len(board(random, notes).failures) == len(notes)
