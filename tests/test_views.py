"""Views: the numbers behind figures, from boards written by hand whose answers are known."""

import math

import numpy as np
import pytest
from trials_by_hand import AUM, BWS, HARDEST, balanced, full, put, put_scores, seeds, trial, two_ratios, uniform

from prunebench.leaderboard import board, leaderboard
from prunebench.leaderboard.atlas import Atlas
from prunebench.store import Store
from prunebench.views import (
    critical_differences,
    cross_evaluation,
    curves,
    labelled,
    palette,
    pareto,
    pictures,
    quotas,
    score_maps,
    transfer_map,
    window_starts,
    worst_class,
)
from prunebench.views.atlas import grouped
from prunebench.views.palette import look

T = 4.302653  # the 97.5 % quantile of Student's t with 2 degrees of freedom


# -- curves -----------------------------------------------------------------------------------------------------------


def test_a_curve_has_the_mean_and_interval_of_each_keep_ratio():
    (panel,) = curves(board(two_ratios()))
    ours, plain, uniformly = panel.curves
    assert [c.method.name for c in panel.curves] == ["aum + hardest", "balanced random", "uniform random"]
    assert [c.method.baseline for c in (ours, plain, uniformly)] == [None, "balanced", "random"]
    assert ours.keep == (0.1, 0.3) and ours.examples == (100, 300)
    assert [v.mean for v in ours.values] == pytest.approx([0.72, 0.90])
    half = T * 0.02 / math.sqrt(3)
    assert (ours.values[0].low, ours.values[0].high) == pytest.approx((0.72 - half, 0.72 + half), abs=1e-6)
    assert panel.full.mean == pytest.approx(0.95) and panel.full.seeds == 3


def test_one_seed_has_no_band():
    (panel,) = curves(board([trial(), balanced(accuracy=0.8), full(accuracy=0.95)]))
    told = [value for curve in panel.curves for value in curve.values] + [panel.full]
    assert len(told) == 3
    assert all(value.seeds == 1 and value.low is None and value.high is None for value in told)


def test_each_table_is_a_panel_and_none_mixes():
    found = curves(board([*two_ratios(), *seeds(trial, (0.5, 0.6), steps=240)]))
    assert [len(p.curves) for p in found] == [3, 1]
    assert "120 steps" in found[0].heading and "240 steps" in found[1].heading
    assert found[1].full is None


def test_the_worst_class_is_the_lowest_recall_of_each_trial():
    (panel,) = worst_class(board(two_ratios()))
    assert [v.mean for v in panel.curves[0].values] == pytest.approx([0.52, 0.70])  # 0.2 below the accuracy
    assert panel.full.mean == pytest.approx(0.75)
    assert worst_class(board([trial(class_accuracy=(0.9,)), full(class_accuracy=())])) == ()


# -- networks, cost, classes ------------------------------------------------------------------------------------------


def moved():
    """On the network that scored 2 points above balanced, on the other 4 below."""
    kept = [*seeds(trial, (0.82, 0.84)), *seeds(balanced, (0.80, 0.82))]
    other = {"model": "convnext", "recipe": "d" * 64}
    return [*kept, *seeds(trial, (0.56, 0.56), **other), *seeds(balanced, (0.60, 0.60), **other)]


def test_a_transfer_map_has_the_network_that_scored_first():
    (found,) = transfer_map(board(moved()))
    assert (found.models, found.reference, found.keep) == (("resnet18", "convnext"), "resnet18", 0.1)
    assert [m.name for m in found.methods] == ["aum + hardest"]
    assert found.values[0] == pytest.approx((0.02, -0.04))
    assert found.seeds == ((2, 2),)
    assert not {"resnet18", "convnext"} & set(found.heading.split(" · "))


def test_a_transfer_map_of_accuracies_has_the_baselines_below():
    (found,) = transfer_map(board(moved()), "accuracy")
    assert [m.name for m in found.methods] == ["aum + hardest", "balanced random"]
    assert found.values[1] == pytest.approx((0.81, 0.60))


def test_a_network_that_lacks_a_method_has_no_number():
    extra = [*seeds(lambda **k: trial(BWS, **k), (0.9, 0.9))]
    (found,) = transfer_map(board([*moved(), *extra]))
    assert [m.name for m in found.methods] == ["aum + bws", "aum + hardest"]
    assert found.values[0][1] is None and found.halves[0][1] is None and found.seeds[0] == (2, 0)


def test_one_network_is_no_map():
    assert transfer_map(board(two_ratios())) == ()


def test_the_front_is_that_of_the_board():
    slow = trial(BWS, accuracy=0.85)
    cheap = balanced(accuracy=0.80)
    worse = uniform(accuracy=0.70)
    bad = trial(HARDEST, accuracy=0.60)
    (panel,) = pareto(board([slow, cheap, worse, bad, full(accuracy=0.95)]))
    front = {p.method.name: p.front for p in panel.prices}
    assert front == {
        **{"aum + bws": True, "balanced random": True, "uniform random": False},
        **{"aum + hardest": False, "full data": False},
    }
    assert [p.seconds for p in panel.prices] == sorted(p.seconds for p in panel.prices)
    ours = next(p for p in panel.prices if p.method.name == "aum + bws")
    assert (ours.score_seconds, ours.select_seconds, ours.train_seconds, ours.seconds) == (50.0, 2.0, 3.0, 55.0)


def test_oracles_have_no_price():
    oracle = trial(BWS, accuracy=0.99, oracle=True)
    (panel,) = pareto(board([oracle, trial(accuracy=0.6), balanced(accuracy=0.8)]))
    assert {p.method.name for p in panel.prices} == {"aum + hardest", "balanced random"}


def test_quotas_are_shares_beside_those_of_all_data():
    (panel,) = quotas(board([trial(), balanced(), full()]))
    assert [m.name for m in panel.methods] == ["aum + hardest", "balanced random"]
    assert panel.shares == (pytest.approx((0.5, 0.3, 0.2)), pytest.approx((0.4, 0.4, 0.2)))
    assert panel.whole == pytest.approx((0.4, 0.4, 0.2))


def test_records_without_class_counts_have_no_quotas():
    assert quotas(board([trial(class_counts=()), balanced(class_counts=())])) == ()
    (panel,) = quotas(board([trial(), balanced(class_counts=())]))
    assert [m.name for m in panel.methods] == ["aum + hardest"] and panel.whole is None


def test_a_method_looks_the_same_everywhere_and_unlike_the_others():
    found = palette(board(two_ratios()))
    assert found["balanced random"].colour != found["uniform random"].colour
    assert not found["balanced random"].marker and found["aum + hardest"].marker
    assert len({(look(i).colour, look(i).marker) for i in range(72)}) == 72


# -- windows ----------------------------------------------------------------------------------------------------------


def window(start, order="hardest"):
    return f"prunebench/window(start={start}, order='{order}')"


def test_trained_windows_are_told_by_how_many_examples_are_harder():
    hard = [t for s in (0.0, 0.2, 0.9) for t in seeds(lambda s=s, **k: trial(window(s), **k), (s / 2, s / 2 + 0.1))]
    (panel,) = window_starts(board(hard))
    (curve,) = panel.curves
    assert (panel.source, panel.scorer, panel.selector) == ("trained", "aum", "prunebench/window(order='hardest')")
    assert curve.starts == (0.0, 0.2, 0.9)
    assert [v.mean for v in curve.values] == pytest.approx([0.05, 0.15, 0.5])
    easy = [trial(window(s, "easiest"), accuracy=s) for s in (0.0, 0.2)]
    (panel,) = window_starts(board(easy))
    assert panel.curves[0].starts == (0.7, 0.9)  # 1 - 0.1 - start
    assert [v.mean for v in panel.curves[0].values] == pytest.approx([0.2, 0.0])


def test_windows_inside_each_class_are_another_curve():
    rows = [trial(f"prunebench/per_class(prunebench/{window(s)[11:]})", accuracy=0.5) for s in (0.0, 0.5)]
    (panel,) = window_starts(board(rows))
    assert panel.selector == "prunebench/per_class(prunebench/window(order='hardest'))"
    assert panel.curves[0].starts == (0.0, 0.5)


def test_one_window_is_no_curve():
    assert window_starts(board([trial(window(0.1))])) == ()


def judged(store, seed, accuracy, start, **changed):
    told = {"starts": [0.0, 0.3, 0.6], "judged_accuracy": accuracy}
    put(store, trial(BWS, seed=seed, **changed), {"start": start}, told)


def test_judged_windows_come_from_the_records_of_selections(tmp_path):
    store = Store(tmp_path)
    judged(store, 0, [0.5, 0.7, 0.6], 0.3)
    judged(store, 1, [0.5, 0.7, 0.8], 0.6)
    (panel,) = window_starts(leaderboard(store), [store])
    (curve,) = panel.curves
    assert (panel.source, curve.starts, sorted(curve.chosen)) == ("judged", (0.0, 0.3, 0.6), [0.3, 0.6])
    assert [v.mean for v in curve.values] == pytest.approx([0.5, 0.7, 0.7])
    assert curve.values[0].seeds == 2
    assert window_starts(leaderboard(store)) == ()  # without the records nothing is told


def test_a_judge_that_counts_from_the_easy_end_is_turned_around(tmp_path):
    store = Store(tmp_path)
    text = "prunebench/bws(step=0.05, order='easiest')"
    told = {"starts": [0.0, 0.3, 0.6], "judged_accuracy": [0.1, 0.2, 0.3]}
    put(store, trial(text), {"start": 0.6}, told)
    ((curve,),) = [panel.curves for panel in window_starts(leaderboard(store), [store])]
    assert curve.starts == (0.3, 0.6, 0.9) and curve.chosen == (0.3,)
    assert [v.mean for v in curve.values] == pytest.approx([0.3, 0.2, 0.1])


def test_a_judge_is_told_once_for_all_networks(tmp_path):
    store = Store(tmp_path)
    judged(store, 0, [0.5, 0.7, 0.6], 0.3)
    judged(store, 0, [0.5, 0.7, 0.6], 0.3, model="vit_tiny")
    assert len(curves(leaderboard(store))) == 2
    assert len(window_starts(leaderboard(store), [store])) == 1


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"starts": [0.0], "judged_accuracy": [0.5]},
        {"starts": [0.0, 0.5], "judged_accuracy": [np.nan, np.nan]},
        {"starts": [0.0, 0.5], "judged_accuracy": [0.5]},
        {"starts": [[0.0, 0.5]], "judged_accuracy": [[0.5, 0.5]]},
    ],
)
def test_a_record_that_tells_no_windows_is_passed_over(tmp_path, arrays):
    store = Store(tmp_path)
    put(store, trial(BWS), {"start": 0.0}, arrays)
    assert window_starts(leaderboard(store), [store]) == ()


# -- scores -----------------------------------------------------------------------------------------------------------


def test_pictures_are_the_ends_and_the_middle_of_the_ranking(tmp_path):
    store = Store(tmp_path)
    put_scores(store, [5, 1, 4, 2, 3, 0], hard="low")
    (sheet,) = pictures([store], 2)
    assert [(row.end, row.positions) for row in sheet.rows] == [
        *[("easiest", (0, 2)), ("middle", (4, 3)), ("hardest", (1, 5))]
    ]
    assert sheet.rows[0].scores == (5.0, 4.0) and sheet.rows[0].labels == ()
    told = labelled(sheet, np.array([9, 8, 7, 6, 5, 4]))
    assert told.rows[2].labels == (8, 4)
    put_scores(store, [5, 1, 4, 2, 3, 0], "prunebench/el2n(epoch=5)", hard="high")
    assert pictures([store], 2)[1].rows[2].positions == (2, 0)


def test_no_picture_is_shown_more_often_than_it_is_there(tmp_path):
    store = Store(tmp_path)
    put_scores(store, [3.0, 2.0, 1.0])
    (sheet,) = pictures([store], 5)
    assert [row.positions for row in sheet.rows] == [(0, 1, 2)] * 3


def test_scores_that_are_no_numbers_have_no_sheet(tmp_path):
    store = Store(tmp_path)
    put_scores(store, [1.0, np.nan])
    put_scores(store, [1.0, 2.0], "prunebench/loss()", hard="sideways")
    put_scores(store, [[1.0, 2.0]], "prunebench/margin()")
    assert pictures([store]) == ()


def test_like_scorers_stand_beside_each_other():
    near, far = 0.9, 0.1
    matrix = np.array([[1, far, near, far], [far, 1, far, near], [near, far, 1, far], [far, near, far, 1]])
    order = grouped(matrix)
    assert abs(order.index(0) - order.index(2)) == 1 and abs(order.index(1) - order.index(3)) == 1
    assert grouped(np.full((3, 3), np.nan)) in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1], [2, 0, 1], [1, 2, 0]]


def test_an_atlas_is_two_maps_in_one_order():
    spearman = np.array([[1.0, np.nan], [np.nan, 1.0]])
    overlap = {0.05: np.eye(2), 0.1: np.array([[1.0, 0.4], [0.4, 1.0]]), 0.5: np.eye(2)}
    atlas = Atlas("digits", "f", 1437, ("resnet18",), ("aum", "el2n"), (1, 1), spearman, overlap, (), ())
    first, second = score_maps([atlas], keep=0.12)
    assert first.values == ((1.0, None), (None, 1.0)) and first.keep is None
    assert (second.keep, second.values) == (0.1, ((1.0, 0.4), (0.4, 1.0)))
    assert first.scorers == second.scorers == ("aum", "el2n")
    alone = Atlas("digits", "f", 9, ("r",), ("aum",), (1,), np.eye(1), {0.1: np.eye(1)}, (), ())
    assert score_maps([alone]) == ()


# -- over data sets, over parts ---------------------------------------------------------------------------------------


def five_data_sets():
    """AUM's hardest below uniform below balanced random on each of five."""
    found = []
    for i in range(5):
        where = {"dataset": f"set{i}", "fingerprint": str(i) * 64, "test_fingerprint": str(i) * 64}
        found += [trial(accuracy=0.7, **where), uniform(accuracy=0.8, **where), balanced(accuracy=0.9, **where)]
    return found


def test_ranks_over_data_sets_are_those_of_the_board():
    (found,) = critical_differences(board(five_data_sets()))
    assert found.methods == ("balanced random", "uniform random", "aum + hardest")
    assert found.average == (1.0, 2.0, 3.0) and len(found.data_sets) == 5
    assert found.critical == pytest.approx(2.343 * math.sqrt(3 * 4 / 30), abs=1e-3)  # Demsar 2006, table 5
    assert found.cliques == ((0, 1), (1, 2))
    assert critical_differences(board(two_ratios())) == ()


def test_published_means_with_and_without_the_diagonal():
    """DRD, figure 3: 80.1 over five test quintiles, of which the one trained on is 100, is 75.125 over the others."""
    means = [80.1, 82.6, 84.6, 81.3, 72.0]
    rows = [[1.0 if i == j else (5 * m - 100) / 400 for j in range(5)] for i, m in enumerate(means)]
    found = cross_evaluation(rows, "ImageWoof")
    assert [100 * m for m in found.means] == pytest.approx(means)
    assert [100 * m for m in found.others] == pytest.approx([75.125, 78.25, 80.75, 76.625, 65.0])
    assert found.parts == ("1", "2", "3", "4", "5")


@pytest.mark.parametrize("values", [[], [[1.0]], [[1.0, 0.5]], [[1.0, 0.5], [0.5]]])
def test_what_is_not_square_is_no_cross_evaluation(values):
    with pytest.raises(ValueError, match=r"\(Q, Q\)"):
        cross_evaluation(values, "d")


def test_scorers_of_the_views_bear_their_labels():
    rows = [trial(window(s), scorer=AUM) for s in (0.0, 0.5)]
    (panel,) = window_starts(board(rows), labels=lambda kind, text: f"{kind} {text[11:14]}")
    assert panel.scorer == "scorer aum"
