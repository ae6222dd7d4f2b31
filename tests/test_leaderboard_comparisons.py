"""What rows are set against: the best other method, the margin of a tie, accuracy against cost."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_leaderboard import balanced, full, rows, three_seeds, trial

from prunebench import UserError
from prunebench.leaderboard import board
from prunebench.leaderboard.comparisons import pareto
from prunebench.leaderboard.statistics import Difference
from prunebench.leaderboard.verdicts import verdict
from prunebench.types import Cost


def method(name, accuracies, **changed):
    return three_seeds(trial, accuracies, scorer=f"x/{name}()", **changed)


def by_label(found):
    return {row.label.removesuffix(" + bws"): row for row in rows(found)}


# -- the best other method --------------------------------------------------------------------------------------------


def test_the_best_other_method_by_hand():
    found = board(
        [
            *method("first", (0.90, 0.92, 0.94)),
            *method("second", (0.89, 0.90, 0.91)),
            *method("third", (0.80, 0.81, 0.85)),
            *three_seeds(balanced, (0.95, 0.96, 0.97)),  # no baseline is a method, however good
            full(accuracy=0.99),
        ]
    )
    row = by_label(found)
    assert row["first"].best_other_label == "second + bws"
    assert row["first"].best_other.mean == pytest.approx(0.02)  # 0.01, 0.02, 0.03: sd 0.01
    assert row["first"].best_other.half == pytest.approx(4.302653 * 0.01 / 3**0.5)
    assert row["second"].best_other_label == row["third"].best_other_label == "first + bws"
    assert row["third"].best_other.mean == pytest.approx(-0.1)
    assert row["balanced random"].best_other is None and row["full data"].best_other_label is None
    p = [row[name].best_other.p for name in ("first", "second", "third")]
    assert p[0] == pytest.approx(p[1])  # the same pair, seen from both sides
    assert p[2] < p[0]
    assert row["third"].best_other.p_holm == pytest.approx(3 * p[2])  # Holm over the three rows that have a p
    assert row["first"].best_other.p_holm == pytest.approx(max(3 * p[2], 2 * p[0]))


def test_the_best_other_method_keeps_as_many_examples():
    found = board([*method("a", (0.9, 0.9, 0.9)), *method("b", (0.8, 0.8, 0.8), keep=0.2)])
    assert all(row.best_other is None and row.best_other_label is None for row in rows(found))


def test_a_best_other_method_without_a_common_seed_is_no_number():
    alone = [trial(scorer="x/a()", seed=0, accuracy=0.9), trial(scorer="x/b()", seed=1, accuracy=0.8)]
    assert all(row.best_other is None and row.best_other_label is None for row in rows(board(alone)))


def test_another_method_is_not_the_same_one_of_others_or_of_another_keep():
    ours, theirs = (
        method("a", (0.9, 0.91, 0.92)),
        [dataclasses.replace(t, source="reported", id=f"their {t.id}") for t in method("a", (0.9, 0.91, 0.93))],
    )
    found = rows(board([*ours, *theirs, *method("b", (0.8, 0.81, 0.82))]))
    assert [row.best_other_label for row in found] == ["b + bws", "b + bws", "a + bws (reported)"]
    assert all(row.best_other_label is None for row in rows(board([*ours, *theirs])))


def test_the_best_other_method_is_the_best_on_the_seeds_of_the_row():
    alone = trial(scorer="x/alone()", seed=5, accuracy=0.99)
    short = [trial(scorer="x/short()", seed=s, accuracy=0.95) for s in (0, 1)]
    found = by_label(board([*method("a", (0.9, 0.91, 0.92)), *method("b", (0.8, 0.81, 0.83)), *short, alone]))
    assert found["a"].best_other_label == "b + bws" and found["a"].best_other.n == 3  # not one without a common seed
    assert found["short"].best_other_label == "a + bws" and found["short"].best_other.n == 2
    some = by_label(board([*method("a", (0.9, 0.91, 0.92)), *short, trial(scorer="x/one()", seed=0, accuracy=0.99)]))
    assert some["a"].best_other_label == "short + bws"  # where none has all seeds, one that has several
    assert found["alone"].best_other is None


def test_oracles_are_no_method_to_be_beaten():
    bound = trial(scorer="x/bound()", accuracy=0.99, oracle=True)
    found = by_label(board([bound, trial(scorer="x/a()", accuracy=0.9), trial(scorer="x/b()", accuracy=0.8)]))
    assert found["a"].best_other_label == "b + bws"
    assert found["bound"].best_other is None and found["bound"].pareto is None and found["bound"].verdict is None


def test_the_board_is_the_same_whatever_the_order():
    results = [*method("a", (0.9, 0.91, 0.92)), *method("b", (0.9, 0.91, 0.92)), *three_seeds(balanced)]
    assert board(results).render("json") == board(results[::-1]).render("json")


# -- win, tie, loss ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        *((0.006, 0.02, "win"), (0.005, 0.02, "open"), (0.001, 0.02, "open"), (-0.005, 0.005, "tie")),
        *((0.001, 0.004, "tie"), (-0.02, -0.006, "loss"), (-0.02, 0.02, "open"), (-0.02, -0.001, "open")),
    ],
)
def test_an_interval_beyond_within_and_across_the_margin(low, high, said):
    found = Difference(3, (low + high) / 2, (high - low) / 2, None, interval="t", low=low, high=high)
    assert verdict(found, 0.5) == said


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 100))
def test_verdicts_are_antisymmetric_and_a_wider_margin_makes_no_winners(low, width, margin):
    def said(low, high, margin):
        return verdict(Difference(3, (low + high) / 2, width / 2, None, low=low, high=high), margin)

    mirrored = {"win": "loss", "loss": "win", "tie": "tie", "open": "open", None: None}
    assert said(-low - width, -low, margin) == mirrored[said(low, low + width, margin)]
    if said(low, low + width, margin) == "tie":
        assert said(low, low + width, margin + 1) == "tie"
    if said(low, low + width, margin + 1) == "win":
        assert said(low, low + width, margin) == "win"


def test_one_seed_has_no_verdict():
    assert verdict(Difference(1, 0.1, None, None)) is None and verdict(None) is None
    found = board([trial(), balanced(accuracy=0.5)])
    assert all(row.verdict is None for row in rows(found)) and found.tallies == ()
    assert "2 rows of one seed: no interval and no test" in str(found)
    assert "of one seed:" not in str(board([*three_seeds(trial), *three_seeds(balanced)]))


def test_seeds_that_do_not_differ_decide_nothing():
    found = board([*three_seeds(trial, (0.91, 0.92, 0.93)), *three_seeds(balanced, (0.90, 0.91, 0.92))])
    assert "+1.00 (all same)" in str(found)
    assert all(row.verdict is None for row in rows(found)) and found.tallies == ()


def test_an_index_file_beside_two_networks_that_scored_counts_once():
    file = three_seeds(trial, (0.80, 0.81, 0.83), scorer=None, selector="subset", selection="9" * 64)
    scored = [*three_seeds(trial, (0.7, 0.72, 0.74)), *three_seeds(trial, (0.7, 0.72, 0.74), reference="vit_tiny")]
    found = board([*file, *scored, *three_seeds(balanced, (0.7, 0.7, 0.7))])
    assert len(found.tables) == 2
    assert sum(t.wins + t.open for t in found.tallies if t.label.startswith("index file")) == 1


def test_verdicts_are_counted_over_tables_and_keep_ratios():
    results = []
    for model, keep, gain in [("resnet18", 0.1, 0.1), ("vit_tiny", 0.1, 0.1), ("resnet18", 0.2, -0.1)]:
        here = {"model": model, "keep": keep}
        results += three_seeds(balanced, (0.5, 0.6, 0.7), **here)
        results += method("a", (0.499 + gain, 0.600 + gain, 0.701 + gain), **here)
        results += method("same", (0.5, 0.6, 0.7001), **here)
    found = board(results)
    assert [(t.label, t.wins, t.ties, t.losses, t.open) for t in found.tallies] == [
        ("a + bws", 2, 0, 1, 0),
        ("same + bws", 0, 3, 0, 0),
    ]
    wide = board(results, margin=20)
    assert [(t.wins, t.ties, t.losses) for t in wide.tallies] == [(0, 3, 0), (0, 3, 0)]


@pytest.mark.parametrize("margin", [-1, 101, float("nan"), float("inf")])
def test_a_margin_that_is_no_share_of_points_is_explained(margin):
    with pytest.raises(UserError, match="--margin is in percentage points, from 0 to 100, not"):
        board([trial()], margin=margin)


# -- accuracy against cost --------------------------------------------------------------------------------------------


def priced(name, accuracy, seconds, **changed):
    costs = {"score_cost": Cost(alone_seconds=seconds - 1), "select_cost": Cost(alone_seconds=0.25)}
    return trial(scorer=f"x/{name}()", accuracy=accuracy, **costs, train_cost=Cost(seconds=0.75), **changed)


def front(found):
    return {row.label.removesuffix(" + bws") for row in rows(found) if row.pareto}


def test_the_front_by_hand():
    priced_rows = [("best", 0.9, 100), ("dear", 0.9, 101), ("fair", 0.85, 50), ("poor", 0.84, 50), ("cheap", 0.5, 10)]
    results = [priced(*told) for told in priced_rows]
    found = board(results)
    assert front(found) == {"best", "fair", "cheap"}
    assert by_label(found)["best"].total_seconds == pytest.approx(100)
    twins = [priced("a", 0.9, 100), priced("b", 0.9, 100), priced("c", 0.89, 100)]
    assert front(board(twins)) == {"a", "b"}


def test_fronts_are_apart_by_keep_ratio_and_hold_random_but_not_the_full_data():
    results = [priced("a", 0.9, 100), priced("b", 0.8, 120, keep=0.2), full(accuracy=0.99), balanced(accuracy=0.7)]
    found = board(results)
    assert front(found) == {"a", "b", "balanced random"}
    assert by_label(found)["full data"].pareto is None


def test_equal_means_of_other_accuracies_are_equal():
    uneven, even = (300 / 360, 310 / 360), (301 / 360, 309 / 360)
    results = [priced("a", a, 100, seed=s) for s, a in enumerate(uneven)]
    results += [priced("b", a, 100, seed=s) for s, a in enumerate(even)]
    assert front(board(results)) == {"a", "b"}


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), min_size=1, max_size=12))
def test_a_row_is_on_the_front_if_and_only_if_none_dominates_it(pairs):
    results = [priced(f"m{i}", a / 10, float(c)) for i, (a, c) in enumerate(pairs)]
    (table,) = board(results).tables
    points = [(row.accuracy.mean, row.total_seconds) for row in table.rows]
    on = {i for i, (a, c) in enumerate(points) if not any(x >= a and y <= c and (x, y) != (a, c) for x, y in points)}
    assert pareto(table.rows) == on == {i for i, row in enumerate(table.rows) if row.pareto}
