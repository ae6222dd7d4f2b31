"""What a board tells of costs, of class shares, of transfer between architectures and of scoring runs."""

import csv
import io
import json
import math
import random

import pytest

from prunebench import UserError
from prunebench.leaderboard import board
from prunebench.leaderboard.costs import reuses
from prunebench.leaderboard.formats import render
from prunebench.leaderboard.statistics import paired, summarise, t_quantile
from prunebench.types import Cost, TrialResult

BALANCED = "prunebench/balanced(quota='proportional')"


def trial(selector="prunebench/ccs(cutoff=0.1)", scorer="prunebench/aum()", *, train=60.0, **changed):
    fields = {
        **{"dataset": "d", "fingerprint": "f", "test_fingerprint": "e", "image_size": 8, "setting": ""},
        **{"scorer": scorer, "selector": selector, "keep": 0.1, "examples": 100, "label_free": False, "seed": 0},
        **{"model": "resnet18", "pretrained": False, "recipe": "c", "train_budget": "epochs", "steps": 12},
        **{"policy": "plain", "score_seed": 0, "reference": "resnet18", "reference_epochs": 9, "threads": 2},
        **{"precision": "float32", "protocol": 1, "accuracy": 0.9, "class_accuracy": (0.9,), "train_loss": 0.1},
        "score_cost": Cost(seconds=7.0, alone_seconds=250.0, forward=400, evaluations=1100) if scorer else Cost(),
        "select_cost": Cost(seconds=3.0, alone_seconds=20.0, evaluations=50, peak_bytes=2_000_000_000),
        "train_cost": Cost(seconds=train, alone_seconds=train, forward=700, backward=600),
    } | changed
    names = ("scorer", "selector", "keep", "seed", "model", "score_seed", "reference", "train_budget")
    fields.setdefault("selection", "|".join(str(fields[name]) for name in names))
    return TrialResult(**fields, id=fields["selection"])


def balanced(**changed):
    return trial(BALANCED, None, **changed)


def full(train, **changed):
    return trial("full", None, keep=1.0, examples=1000, train=train, **{"steps": 120, **changed})


def the_row(found, method="aum + ccs"):
    return next(row for table in found.tables for row in table.rows if row.label == method)


# -- costs ------------------------------------------------------------------------------------------------------------


def test_a_selection_pays_for_itself_by_hand():
    found = board([trial(train=60.0), trial(train=62.0, seed=1), balanced(), full(150.0), full(152.0, seed=1)])
    assert the_row(found).reuses == math.ceil((250 + 20) / (151 - 61)) == 3
    told = json.loads(render(found, "json"))["groups"][0]["rows"]
    assert [row["reuses"] for row in told if row["method"] in ("aum + ccs", "full data")] == [3, None]


@pytest.mark.parametrize(
    ("selecting", "full_seconds", "subset", "budget", "count"),
    [
        (270.0, 150.0, 60.0, "epochs", 3),  # exactly three
        (270.1, 150.0, 60.0, "epochs", 4),
        (0.3, 1.0, 0.9, "epochs", 3),  # exactly three but for rounding
        (0.0, 150.0, 60.0, "epochs", 0),
        (270.0, 60.0, 60.0, "epochs", math.inf),
        (270.0, 59.0, 60.0, "epochs", math.inf),
        (270.0, 150.0, 149.0, "steps", math.inf),  # a clock's difference between trainings of the same length
        (270.0, None, 60.0, "epochs", None),
    ],
)
def test_reuses(selecting, full_seconds, subset, budget, count):
    assert reuses(selecting, full_seconds, subset, budget) == count


def test_equal_steps_never_pay_and_files_say_so():
    same = {"train_budget": "steps", "steps": 120}
    found = board([trial(**same), balanced(**same), full(90.0, **same)])
    lines = {line["method"]: line for line in csv.DictReader(io.StringIO(render(found, "csv")))}
    assert lines["aum + ccs"]["reuses"] == "never" and lines["full data"]["reuses"] == ""
    assert json.loads(render(found, "json"))["groups"][0]["rows"][0]["reuses"] == "never"


def test_alone_and_shared_costs_of_every_step_are_in_csv_and_json():
    found = board([trial(), trial(seed=1, score_cost=Cost(seconds=8.0, alone_seconds=251.0, forward=401)), full(150.0)])
    (line,) = (row for row in csv.DictReader(io.StringIO(render(found, "csv"))) if row["method"] == "aum + ccs")
    assert (float(line["score_seconds"]), float(line["score_seconds_here"])) == (250.5, 7.5)
    assert (line["score_forward"], line["score_evaluations"], line["select_evaluations"]) == ("400.5", "550", "50")
    assert (line["train_forward"], line["train_backward"]) == ("700", "600")
    told = json.loads(render(found, "json"))["groups"][0]["rows"]
    costs = {row["method"]: row["costs"] for row in told}
    assert costs["aum + ccs"]["score"]["alone_seconds"] == 250.5 and costs["aum + ccs"]["score"]["seconds"] == 7.5
    assert costs["aum + ccs"]["select"]["peak_of"] == "process" and costs["full data"]["score"] is None


def test_the_columns_of_cost():
    found = board([trial(), balanced(), full(150.0)])
    shown = [" ".join(line.split()) for line in render(found, "table", "cost").splitlines()]
    assert "method keep score s here select s train s passes peak GB reuses" in shown
    assert "aum + ccs 0.1 250 7.0 20.0 60.0 1.55k 2.00 3" in shown
    assert "full data 1 - - - 150 - - -" in shown
    assert max(map(len, render(found, "table", "cost").splitlines())) <= 100
    assert "| aum + ccs | 0.1 | 250 |" in render(found, "md", "cost")
    for form in ("csv", "json"):  # hold everything anyway
        assert render(found, form, "cost") == render(found, form)
    with pytest.raises(UserError, match=r"no columns 'costs'.*results, cost"):
        render(found, "table", "costs")


def test_shares_of_classes_and_their_mean_counts():
    found = board([trial(class_counts=(10, 30, 60)), trial(seed=1, class_counts=(20, 40, 40)), balanced()])
    row = the_row(found)
    assert row.class_counts == [15.0, 35.0, 50.0]
    assert row.measures["smallest_class_share"] == pytest.approx((0.1 + 0.2) / 2)
    assert row.measures["largest_class_share"] == pytest.approx((0.6 + 0.4) / 2)
    told = {row["method"]: row["class_counts"] for row in json.loads(render(found, "json"))["groups"][0]["rows"]}
    assert told == {"aum + ccs": [15.0, 35.0, 50.0], "balanced random": []}
    (line,) = (row for row in csv.DictReader(io.StringIO(render(found, "csv"))) if row["method"] == "aum + ccs")
    assert float(line["smallest_class_share"]) == pytest.approx(0.15)


# -- transfer ---------------------------------------------------------------------------------------------------------


def grid(accuracies, rivals):
    """Model -> accuracies by seed, of the method and of class-balanced random."""
    made = []
    for model, values in accuracies.items():
        other = {"model": model, "recipe": f"r{model}", "train_budget": "steps", "steps": 10 * len(model)}
        made += [trial(seed=s, accuracy=a, **other) for s, a in enumerate(values)]
        made += [balanced(seed=s, accuracy=a, **other) for s, a in enumerate(rivals[model])]
    return made


def test_the_transfer_gap_by_hand():
    results = grid(
        {"resnet18": (0.90, 0.92), "vit": (0.70, 0.74), "net": (0.81, 0.80)},
        {"resnet18": (0.80, 0.80), "vit": (0.68, 0.70), "net": (0.80, 0.80)},
    )
    (found,) = board(results).transfers
    assert (found.reference, found.others, found.gap.n) == ("resnet18", ("net", "vit"), 2)
    # gains: resnet18 .10 .12, net .01 .00, vit .02 .04; elsewhere .015 .02; gap .085 .10
    assert found.on_reference.mean == pytest.approx(0.11) and found.on_others.mean == pytest.approx(0.0175)
    assert found.gap.mean == pytest.approx(0.0925)
    assert found.gap.half == pytest.approx(t_quantile(1) * 0.015 / 2)  # sd .015 / sqrt 2, over sqrt 2
    text = render(board(results))
    assert "Transfer from resnet18 to net, vit · d · resnet18" in text and "Gap: gain, in points above balanced" in text
    (told,) = json.loads(render(board(results), "json"))["transfer"]
    assert told["gap"]["mean"] == pytest.approx(0.0925) and told["others"] == ["net", "vit"]
    lines = list(csv.DictReader(io.StringIO(render(board(results), "csv"))))
    given = [line["transfer_gap"] for line in lines if line["model"] == "resnet18" and line["method"] == "aum + ccs"]
    assert [float(gap) for gap in given] == [pytest.approx(0.0925)]
    assert {line["transfer_gap"] for line in lines if line["model"] != "resnet18"} == {""}


def test_transfer_is_over_the_seeds_that_all_have_and_needs_another_network():
    accuracies = {"resnet18": (0.90, 0.92, 0.99), "vit": (0.70, 0.74)}
    rivals = {"resnet18": (0.80, 0.80, 0.80), "vit": (0.68, 0.70, 0.70)}
    (found,) = board(grid(accuracies, rivals)).transfers
    assert found.gap.n == 2 and found.gap.mean == pytest.approx((0.08 + 0.08) / 2)
    assert not board(grid({"resnet18": (0.9,)}, rivals)).transfers
    assert not board(grid({"vit": (0.9,), "net": (0.9,)}, rivals | {"net": (0.8,)})).transfers  # neither one scored
    assert not board([t for t in grid(accuracies, rivals) if t.scorer]).transfers  # nothing to gain over
    assert "Transfer" not in render(board(grid({"resnet18": (0.9,)}, rivals)))


def test_transfer_does_not_mix_lengths_of_training():
    rivals = {"resnet18": (0.80,), "vit": (0.68,)}
    results = grid({"resnet18": (0.90,), "vit": (0.70,)}, rivals)
    longer = [
        made(seed=0, model="vit", recipe="rvit", train_budget="steps", steps=80, accuracy=a, selection=f"longer {a}")
        for made, a in ((trial, 0.99), (balanced, 0.69))
    ]
    (found,) = board(results + longer).transfers  # vit of 80 steps and of 30; resnet18 has 80
    assert found.on_others.mean == pytest.approx(0.30)


# -- scoring runs -----------------------------------------------------------------------------------------------------


def test_an_interval_over_two_scoring_runs_by_hand():
    # m = .85; of run 0: .05 + .07 = .12, of run 1: -.12; se^2 = 2 / 1 * (2 * .0144) / 16 = .0036
    found = summarise([0.90, 0.80, 0.92, 0.78], [0, 1, 0, 1])
    assert found.mean == pytest.approx(0.85) and found.half == pytest.approx(t_quantile(1) * 0.06)
    told = paired({0: 0.90, 1: 0.80, 2: 0.92, 3: 0.78}, dict.fromkeys(range(4), 0.5), {0: 0, 1: 1, 2: 0, 3: 1})
    assert told.half == pytest.approx(t_quantile(1) * 0.06)
    assert told.p == pytest.approx(1 - 2 * math.atan(0.35 / 0.06) / math.pi)  # Student's t of one degree is Cauchy's


def test_one_run_for_each_is_the_interval_over_seeds():
    assert summarise([0.90, 0.92, 0.97], [0, 1, 2]) == summarise([0.90, 0.92, 0.97])


@pytest.mark.parametrize("values, runs", [((0.90, 0.92, 0.97), (0, 0, 0)), ((0.90, 0.80, 0.80, 0.90), (0, 1, 0, 1))])
def test_one_of_several_runs_and_runs_that_cancel_out_have_no_interval(values, runs):
    found = summarise(values, runs)
    assert found.sd > 0 and (found.half, found.interval, found.low, found.high) == (None,) * 4
    numbered = range(len(values))
    told = paired(dict(enumerate(values)), dict.fromkeys(numbered, 0.5), dict(zip(numbered, runs, strict=True)))
    assert told.mean == pytest.approx(found.mean - 0.5) and (told.half, told.p, told.low) == (None, None, None)


def test_the_variance_of_scoring_is_in_the_intervals_of_planted_numbers():
    """Scorings of sd 0.05, trainings of sd 0.01, nine seeds over three scorings: do intervals hold the true mean?"""
    draw, held, naive = random.Random(0), 0, 0
    for _ in range(1000):
        scorings = [draw.gauss(0.7, 0.05) for _ in range(3)]
        values = [draw.gauss(scorings[seed % 3], 0.01) for seed in range(9)]
        ours, plain = summarise(values, [seed % 3 for seed in range(9)]), summarise(values)
        held += abs(ours.mean - 0.7) <= ours.half
        naive += abs(plain.mean - 0.7) <= plain.half
    assert 930 <= held <= 970 and naive < 800


def test_a_board_says_how_many_scorings_and_takes_its_intervals_over_them():
    accuracies = (0.90, 0.80, 0.92, 0.78)
    results = [trial(seed=s, score_seed=s % 2, accuracy=a) for s, a in enumerate(accuracies)]
    results += [balanced(seed=s, score_seed=s % 2, accuracy=0.7 + 0.001 * s) for s in range(4)]
    found = board(results)
    text = render(found)
    assert "2 scoring runs" in text.splitlines()[0] and "Intervals are over scoring runs" in text
    row, rival = the_row(found), the_row(found, "balanced random")
    assert row.accuracy == summarise(accuracies, [0, 1, 0, 1]) and row.accuracy.half > 3 * summarise(accuracies).half
    assert row.difference.half > 3 * paired(row.by_seed, rival.by_seed).half
    assert rival.accuracy == summarise([0.7 + 0.001 * s for s in range(4)])  # no scoring has a part in random draws
    left = board(
        [t for t in results if not t.scorer or t.seed % 2 == 0] + [trial(scorer="x/b()", seed=1, score_seed=1)]
    )
    lost = next(row for row in left.tables[0].rows if row.accuracy.n == 2)  # the seeds of one of the two runs
    assert lost.accuracy.half is None and lost.difference.p is None and lost.verdict is None
    assert "91.00 (no ±)" in render(left) and "(no ±): seeds of one of several scoring runs" in render(left)
    one = board([trial(seed=s, accuracy=a) for s, a in enumerate(accuracies)])
    assert "given one scoring run" in render(one) and "over scoring runs" not in render(one)
    assert the_row(one).accuracy == summarise(accuracies)
