"""One's own rows beside what others report and beside index files: nothing of one machine enters another's numbers."""

import dataclasses
import json

import pytest
from trials_by_hand import balanced, full, seeds, trial

from prunebench.leaderboard import board
from prunebench.leaderboard.friedman import ranks_of
from prunebench.types import Cost
from prunebench.views import critical_differences, curves

EL2N = "prunebench/el2n(epoch=20)"
ELSEWHERE = {"model": "vit_tiny", "recipe": "d" * 64}


def reported(trials, **changed):
    return [dataclasses.replace(t, source="reported", id=f"their {t.id}", **changed) for t in trials]


def index_file(accuracies=(0.91, 0.92, 0.94), **changed):
    return seeds(trial, accuracies, scorer=None, selector="subset", selection="9" * 64, **changed)


def of_five_data_sets(*made):
    return [t for name in "abcde" for t in made_on({"dataset": name, "fingerprint": name * 64}, made)]


def made_on(here, made):
    return [dataclasses.replace(t, **here, id=f"{here} {t.id}") for trials in made for t in trials]


def test_what_others_report_is_ranked_by_itself():
    ours = [seeds(trial, (0.90, 0.91)), seeds(trial, (0.80, 0.81), scorer=EL2N), seeds(balanced, (0.70, 0.71))]
    worse = reported(seeds(trial, (0.60, 0.61)))
    (alone,) = board(of_five_data_sets(*ours)).ranks
    (beside,) = board(of_five_data_sets(*ours, worse)).ranks
    assert (beside.methods, beside.average) == (alone.methods, alone.average)
    both = board(of_five_data_sets(*ours, worse, *(reported(made) for made in ours[1:])))
    assert [found.conditions["source"] for found in both.ranks] == ["here", "reported"]
    assert both.ranks[1].methods[-1] == "aum + hardest (reported)"
    assert "equal steps · reported · keep 0.1" in str(both)
    assert critical_differences(both)[1].heading.endswith("· reported")


def test_equal_means_of_other_accuracies_share_a_rank():
    means = [[(300 / 360 + 310 / 360) / 2, (301 / 360 + 309 / 360) / 2, 0.5]]
    assert ranks_of(means).tolist() == [[1.5, 1.5, 3.0]]


def test_a_transfer_gap_is_of_one_source():
    ours = [*seeds(trial, (0.90, 0.91, 0.92)), *seeds(balanced, (0.80, 0.81, 0.82))]
    ours += seeds(balanced, (0.80, 0.81, 0.82), **ELSEWHERE)
    beside = seeds(trial, (0.85, 0.87, 0.86), **ELSEWHERE)
    theirs = reported(seeds(trial, (0.95, 0.95, 0.95), **ELSEWHERE))
    (gap,) = board([*ours, *beside, *theirs]).transfers
    assert gap.gap.mean == pytest.approx(0.05)
    assert board([*ours, *theirs]).transfers == ()


def test_what_no_network_scored_has_no_gap():
    gains = [(0.8, 0.82, 0.81), (0.7, 0.71, 0.72)]
    results = [t for on in ({}, ELSEWHERE) for t in (*seeds(trial, gains[0], **on), *seeds(balanced, gains[1], **on))]
    found = board([*results, *index_file(), *index_file(**ELSEWHERE)])
    assert [moved.row.label for moved in found.transfers] == ["aum + hardest"]
    assert json.loads(found.render("json"))["transfer"][0]["group"] == 0


def test_seconds_of_other_machines_stay_with_their_rows():
    epochs, cost = {"train_budget": "epochs"}, {"train_cost": Cost(seconds=30.0, alone_seconds=30.0)}
    own = [*seeds(trial, (0.70, 0.72), steps=12, **epochs), *seeds(full, (0.95, 0.96), steps=120, **epochs, **cost)]
    slow, fast = (Cost(seconds=s, alone_seconds=s) for s in (300.0, 0.1))
    theirs = [*reported(own[2:], train_cost=slow), *reported(own[:2], train_cost=fast, score_cost=Cost())]

    def the_row(found):
        return next(row for row in found.tables[0].rows if row.label == "aum + hardest")

    assert the_row(board([*own, *theirs])).reuses == the_row(board(own)).reuses == 2.0  # 52 s over 30 - 3
    assert the_row(board([*own, *theirs])).pareto
    assert "a front of its own" in board([*own, *theirs]).render("table", "tests")
    assert the_row(board([*own[:2], *theirs[:2]])).reuses == 1.0  # where there is no other


def test_the_line_of_the_full_data_is_ones_own():
    (panel,) = curves(board([*seeds(trial, (0.9, 0.91)), *seeds(full, (0.95, 0.95)), *reported(seeds(full, (0.99,)))]))
    assert panel.full.mean == pytest.approx(0.95)


def test_cells_are_missing_within_a_source():
    ours = [*seeds(trial, (0.90, 0.91, 0.92)), *seeds(balanced, (0.80, 0.81))]
    assert board([*ours, *reported(seeds(trial, [0.9] * 10, scorer=EL2N))]).missing == 1


def test_an_index_file_keeps_what_a_method_of_as_many_keeps():
    alike = {"examples": 144}
    others = [*seeds(trial, (0.70, 0.72, 0.74), **alike), *seeds(balanced, (0.80, 0.81, 0.83), **alike)]
    found = board([*others, *index_file(**alike, keep=144 / 1437)], group_by=("dataset", "keep"))
    (table,) = found.tables
    assert {row.keep for row in table.rows} == {0.1}
    file = next(row for row in table.rows if row.selector == "subset")
    assert file.difference.n == file.best_other.n == 3
    assert board(index_file(**alike, keep=144 / 1437)).tables[0].rows[0].keep == 144 / 1437
