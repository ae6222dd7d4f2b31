"""Published beside measured, and the numbers that recipes compute themselves: closed forms."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from test_leaderboard import BWS, DRD, trial

from prunebench import registry as plugins
from prunebench.experiments.endings import dots, quintiles
from prunebench.experiments.endings.atlas import correlation, overlap
from prunebench.experiments.endings.drawing import draw_dots, draw_lines
from prunebench.experiments.endings.rows import option, rows_of
from prunebench.experiments.endings.tsne import evenly, strata
from prunebench.experiments.measuring import accuracies, comparisons, margin
from prunebench.experiments.published import Measured, Published, compare
from prunebench.experiments.telling import compared
from prunebench.experiments.writing import table
from prunebench.leaderboard import board

THEIRS = Published(
    paper="arXiv:0000.00000", table="Table 9", source="the paper", dataset="imagewoof", setting="", network="resnet18",
    budget=None, steps=None, reporting=None, quantity="accuracy", mean=80.0, sd=1.0, n=4, status="transcribed",
    which=("a", "b", 0.1),
)  # fmt: skip
OURS = Measured(
    "accuracy", ("a", "b", 0.1), "imagewoof", "", "resnet18", 224, "steps", (120, 120, 120), (80.0, 82.0, 84.0)
)


def test_difference_in_standard_errors():
    found = compare(THEIRS, [OURS])
    assert found.difference == 2.0 and found.why == ""  # sd of 80, 82, 84 is 2
    assert found.standard_errors == pytest.approx(2 / math.sqrt(4 / 3 + 1 / 4))
    assert found.at_least is False


def test_a_deviation_without_its_number_of_seeds_counts_as_one():
    found = compare(replace(THEIRS, n=None), [OURS])
    assert found.standard_errors == pytest.approx(2 / math.sqrt(4 / 3 + 1))
    assert found.at_least
    assert any(line.startswith("≥") for line in compared([found]))


def test_without_a_published_deviation_the_error_is_ours_alone():
    found = compare(replace(THEIRS, sd=None, n=None), [OURS])
    assert found.standard_errors == pytest.approx(2 / math.sqrt(4 / 3)) and not found.at_least


def test_seeds_that_share_a_scoring_run_are_no_independent_evidence():
    """Deviations of (88, 80, 88, 80), the runs alternating: sums of +8 and -8, so se^2 = 2 * 128 / 16 = 16."""
    ours = replace(OURS, values=(88.0, 80.0, 88.0, 80.0), steps=(120,), runs=(0, 1, 0, 1))
    assert compare(replace(THEIRS, sd=None, n=None), [ours]).standard_errors == pytest.approx(1)
    assert compare(THEIRS, [ours]).standard_errors == pytest.approx(4 / math.sqrt(16 + 1 / 4))
    alone = replace(ours, runs=None)
    assert compare(THEIRS, [alone]).standard_errors == pytest.approx(4 / math.sqrt(64 / 12 + 1 / 4))


def test_one_seed_has_a_difference_and_no_standard_error():
    found = compare(THEIRS, [replace(OURS, values=(83.0,), steps=(120,))])
    assert (found.difference, found.standard_errors) == (3.0, None)
    assert any("no SE: one seed" in line for line in compared([found]))


@pytest.mark.parametrize(
    ("theirs", "ours", "told"),
    [
        ({}, {"dataset": "digits"}, "theirs is imagewoof, ours digits"),
        ({}, {"setting": "sym:0.2"}, "ours sym:0.2"),
        ({}, {"network": "resnet50"}, "theirs trained resnet18, ours resnet50"),
        ({"budget": "epochs"}, {}, "theirs trained equal epochs, ours equal steps"),
        ({"budget": "steps", "steps": 40_000}, {}, "theirs trained 40,000 steps, ours 120"),
        ({"reporting": "best"}, {}, "theirs is the best of the test epochs"),
    ],
)
def test_what_differs_is_told_in_place_of_a_difference(theirs, ours, told):
    found = compare(replace(THEIRS, **theirs), [replace(OURS, **ours)])
    assert found.difference is None and found.standard_errors is None and told in found.why
    assert found.measured.mean == 82.0  # shown beside
    lines = compared([found])
    assert any("not compared (1 of 1)" in line and told in line for line in lines) and not any("SE" in x for x in lines)


def test_the_most_alike_of_several_measured_ones_is_compared():
    others = [replace(OURS, dataset="digits", values=(99.0, 98.0)), OURS, replace(OURS, network="vit")]
    assert compare(THEIRS, others).difference == 2.0
    assert compare(THEIRS, [replace(OURS, which=("a", "b", 0.3))]).why == "not measured"


def test_of_tables_that_fit_equally_well_none_is_chosen():
    small = replace(OURS, image_size=64, values=(50.0, 52.0))
    for order in ([OURS, small], [small, OURS]):
        found = compare(THEIRS, order)
        assert found.difference is None and "2 tables fit it equally well" in found.why
        assert "224 px, resnet18 (82.00)" in found.why and "64 px, resnet18 (51.00)" in found.why
    assert compare(THEIRS, [OURS, OURS]).difference == 2.0  # one row that stands in two tables


def test_their_best_epoch_is_compared_with_ours():
    found = compare(replace(THEIRS, reporting="best"), [replace(OURS, best=(85.0, 85.0, 88.0))])
    assert found.difference == 6.0
    assert compare(THEIRS, [replace(OURS, best=(85.0, 85.0, 88.0))]).difference == 2.0


def forgetting(**given):
    return trial(BWS, plugins.installed().method("scorer", "forgetting").text, **given)


def test_margin_is_the_mean_over_keep_ratios_seed_by_seed():
    accuracy = {0.1: (0.80, 0.70), 0.3: (0.90, 0.90), 0.75: (0.95, 0.85)}  # DRD at seeds 0, 1; Forgetting 0.75
    results = [trial(keep=k, seed=s, accuracy=a) for k, both in accuracy.items() for s, a in enumerate(both)]
    results += [forgetting(keep=k, seed=s, accuracy=0.75) for k in accuracy for s in (0, 1)]
    (found,) = board(results).tables
    which = (DRD, forgetting().scorer, BWS, 0.4)
    assert margin(found, which).values == pytest.approx((10.0, 5.0))  # (5 + 15) / 2 and (-5 + 15) / 2
    assert margin(found, (*which[:3], 0.05)) is None
    assert margin(found, (DRD, "nobody", BWS, 0.4)) is None


def test_a_margin_knows_which_seeds_share_a_scoring_run():
    results = [
        make(seed=s, score_seed=s % 2, accuracy=a)
        for s, a in enumerate((0.9, 0.8, 0.9))
        for make in (trial, forgetting)
    ]
    (found,) = board(results).tables
    assert margin(found, (DRD, forgetting().scorer, BWS, 0.4)).runs == (0, 1, 0)


def test_rows_and_figures_have_the_ends_of_an_interval_that_is_not_symmetric():
    found = board([trial(seed=s, accuracy=a) for s, a in enumerate((0.90, 0.905, 0.91, 0.90, 0.91, 0.905, 0.90, 0.60))])
    accuracy, (row,) = found.tables[0].rows[0].accuracy, rows_of(found)
    assert accuracy.interval == "BCa" and row["accuracy"] - row["low"] > row["high"] - row["accuracy"]
    assert (row["low"], row["high"]) == pytest.approx((100 * accuracy.low, 100 * accuracy.high), abs=1e-4)
    (bar, *_) = draw_dots([row], "title").axes[0].lines
    assert list(bar.get_xdata()) == [row["low"], row["high"]]
    (band,) = draw_lines([row | {"x": 1, "line": "a"}], [], "title", "x").axes[0].collections
    drawn = band.get_paths()[0].vertices[:, 1]
    assert (drawn.min(), drawn.max()) == (row["low"], row["high"])


def test_accuracies_and_rows_are_those_of_the_board():
    results = [trial(keep=0.1, seed=s, accuracy=a) for s, a in enumerate((0.80, 0.84))]
    found = board([*results, trial("prunebench/balanced(quota='proportional')", None, keep=0.1, seed=0, accuracy=0.7)])
    mine = next(m for m in accuracies(found) if m.which == (DRD, BWS, 0.1))
    assert mine.values == pytest.approx((80.0, 84.0)) and (mine.network, mine.steps) == ("resnet18", (120, 120))
    row = next(row for row in rows_of(found) if row["scorer"] == DRD)
    assert (row["accuracy"], row["seeds"], row["sd"]) == (82.0, 2, pytest.approx(math.sqrt(8), abs=1e-4))
    assert row["score_seconds"] == 50.0 and row["train_seconds"] == 3.0


def test_published_numbers_of_another_data_set_are_shown_and_not_compared():
    told = comparisons(plugins.installed(), ["drd-table1"], list(accuracies(board([trial(keep=0.1)]))))
    assert len(told) == 18 and all(c.difference is None for c in told)


# -- atlas ------------------------------------------------------------------------------------------------------------

LABELS = np.repeat([0, 1], [4, 8])


def test_correlation_inside_classes_is_weighted_by_their_sizes():
    a = np.concatenate([np.arange(4.0), 100 + np.arange(8.0)])
    b = np.concatenate([-np.arange(4.0), np.arange(8.0)])  # reversed in the first class
    assert correlation(a, a, LABELS) == pytest.approx(1)
    assert correlation(a, b, LABELS) == pytest.approx((8 - 4) / 12)
    assert correlation(a, np.zeros(12), LABELS) == 0


def test_overlap_is_one_for_the_same_and_as_told_for_others():
    a = np.concatenate([np.arange(4.0), np.arange(8.0)])
    b = -a  # of halves nothing is common: (0 - q0) / (1 - q0), q0 = 1/2
    assert overlap(a, a, LABELS, 0.5) == pytest.approx(1)
    assert overlap(a, b, LABELS, 0.5) == pytest.approx(-1)
    assert overlap(a, b, LABELS, 1.0) == 1


def test_overlap_of_chance_is_nothing_on_average():
    rng, labels = np.random.default_rng(0), np.repeat([0, 1, 2], [10, 21, 33])
    found = [overlap(rng.random(64), rng.random(64), labels, 0.3) for _ in range(2000)]
    assert abs(np.mean(found)) < 4 * np.std(found) / math.sqrt(2000)


# -- fifths -----------------------------------------------------------------------------------------------------------


def test_rows_of_the_matrix_are_what_was_trained_on(monkeypatch):
    parts = [np.arange(i, 20, 5) for i in range(5)]  # fifth i: i, i + 5, ...
    trials = [trial(f"w{i}", keep=0.2) for i in range(5)]
    records = {t.selector: SimpleNamespace(arrays={"indices": part}) for t, part in zip(trials, parts, strict=True)}
    harness = SimpleNamespace(dataset=SimpleNamespace(fingerprint="f" * 64))
    found = SimpleNamespace(selection=lambda t: records[t.selector], plans=[None], harnesses=[harness])

    def right(plan, harness, trained, kept):  # right on its own fifth, and on one example of the next
        return np.isin(np.arange(20), [*kept, (kept[0] + 1) % 5])

    monkeypatch.setattr(quintiles, "_right", right)
    matrix = quintiles.matrix(found, trials)
    assert matrix[0].tolist() == [100, 25, 0, 0, 0] and matrix[4].tolist() == [25, 0, 0, 0, 100]
    assert quintiles._off_diagonal(matrix[None, 1], 1).tolist() == [6.25]


# -- strata -----------------------------------------------------------------------------------------------------------


def test_strata_are_fifths_of_every_class():
    rng = np.random.default_rng(1)
    labels, hardness = rng.permutation(np.repeat([0, 1], [10, 23])), rng.random(33)
    part = strata(hardness, labels)
    for c, n in ((0, 10), (1, 23)):
        sizes = np.bincount(part[labels == c], minlength=5)
        assert sizes.sum() == n and np.ptp(sizes) <= 1
        means = [hardness[(labels == c) & (part == p)].max() for p in range(5)]
        assert means == sorted(means)


def test_points_are_as_many_of_every_stratum():
    hardness = np.random.default_rng(2).random(200)
    part = strata(hardness, np.zeros(200, dtype=int))
    chosen = evenly(hardness, part, most=50)
    assert np.bincount(part[chosen]).tolist() == [10] * 5 and len(set(chosen)) == 50
    assert part[np.argmin(hardness)] == 0 and np.argmin(hardness) in chosen and np.argmax(hardness) in chosen


# -- files ------------------------------------------------------------------------------------------------------------


def test_options_are_found_inside_a_combinator():
    assert option("prunebench/per_class(prunebench/window(start=0.2, order='easiest'))", "start") == 0.2
    assert option("prunebench-drd/drd(timestep='ib')", "timestep") == "ib"
    assert option("prunebench/hardest()", "start") is None and option(None, "start") is None


def test_a_table_is_inert_and_has_every_column():
    assert table([{"a": 1, "b": "=1+1"}, {"c": None}]).splitlines()[0] == "a,b,c"
    assert "\n1,=1+1" not in table([{"a": 1, "b": "=1+1"}])


def test_gains_on_other_networks_stand_in_a_table_of_their_own():
    balanced = "prunebench/balanced(quota='proportional')"
    results = [
        trial(selector, scorer, model=model, seed=s, accuracy=accuracy[s])
        for model, own, base in (("resnet18", (0.9, 0.92), (0.8, 0.8)), ("vit", (0.7, 0.71), (0.66, 0.7)))
        for selector, scorer, accuracy in ((BWS, DRD, own), (balanced, None, base))
        for s in (0, 1)
    ]
    (row,) = dots._transfers(board(results))
    assert (row["scored_by"], row["others"], row["seeds"]) == ("resnet18", "vit", 2)
    assert (row["on_reference"], row["on_others"], row["gap"]) == (11.0, 2.5, 8.5)
