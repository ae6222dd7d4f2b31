"""The board: a pure function of records that never mixes what cannot be compared."""

import csv
import dataclasses
import hashlib
import io
import json
import random

import pytest
from rich.cells import cell_len

from prunebench import UserError
from prunebench.leaderboard import board, leaderboard
from prunebench.store import Store
from prunebench.types import Cost, TrialResult

N = 1437
BALANCED = "prunebench/balanced(quota='proportional')"
DRD = "prunebench-drd/drd(timestep='ib', draws='auto')"
BWS = "prunebench/bws(step=0.05, order='hardest')"


def trial(selector=BWS, scorer=DRD, *, keep=0.1, seed=0, accuracy=0.9, **changed):
    fields = {
        "dataset": "digits",
        "fingerprint": "f" * 64,
        "test_fingerprint": "e" * 64,
        "image_size": 8,
        "scorer": scorer,
        "selector": selector,
        "keep": keep,
        "examples": int(keep * N + 0.5),
        "label_free": False,
        "model": "resnet18",
        "pretrained": False,
        "recipe": "c" * 64,
        "train_budget": "steps",
        "steps": 120,
        "policy": "plain",
        "seed": seed,
        "score_seed": 0,
        "reference": "resnet18",
        "reference_epochs": 10,
        "threads": 2,
        "precision": "float32",
        "protocol": 1,
        "setting": "",
        "accuracy": accuracy,
        "class_accuracy": (accuracy,),
        "train_loss": 0.1,
        "score_cost": Cost(seconds=5.0, alone_seconds=50.0),
        "select_cost": Cost(seconds=1.0, alone_seconds=2.0),
        "train_cost": Cost(seconds=3.0, alone_seconds=3.0),
        "provenance": {"plugins": {"prunebench": "0.1.0", "prunebench-drd": "0.1.0"}},
    } | changed
    fields.setdefault("selection", f"{scorer}|{selector}|{keep}|{seed}|{fields['score_seed']}|{fields['reference']}")
    told = {k: v for k, v in fields.items() if k not in ("accuracy", "provenance")}
    fields.setdefault("id", hashlib.sha256(repr(told).encode()).hexdigest())
    return TrialResult(**fields)


def balanced(**changed):
    return trial(BALANCED, None, **changed)


def full(**changed):
    return trial("full", None, keep=1.0, selection="all", **changed)


def rows(found):
    return [row for table in found.tables for row in table.rows]


def three_seeds(make, accuracies=(0.90, 0.92, 0.94), **changed):
    return [make(seed=seed, accuracy=accuracy, **changed) for seed, accuracy in enumerate(accuracies)]


# -- rows and numbers -------------------------------------------------------------------------------------------------


def test_rows_of_a_small_board_by_hand():
    found = board([*three_seeds(trial), *three_seeds(balanced, (0.87, 0.90, 0.93)), full(accuracy=0.97)])
    (table,) = found.tables
    ours, partner, whole = table.rows
    assert [r.label for r in table.rows] == ["drd + bws", "balanced random", "full data"]
    assert (ours.examples, ours.accuracy.n) == (144, 3)
    assert ours.accuracy.mean == pytest.approx(0.92)
    assert ours.difference.mean == pytest.approx(0.02)  # 0.03, 0.02, 0.01: sd 0.01
    assert ours.difference.half == pytest.approx(4.302653 * 0.01 / 3**0.5)
    assert ours.difference.p_holm == ours.difference.p  # the only comparison of this table
    assert partner.difference is None and whole.difference is None
    assert (ours.score_seconds, ours.select_seconds, ours.train_seconds) == (50.0, 2.0, 3.0)
    assert partner.score_seconds is None and whole.select_seconds is None


def test_holm_counts_the_rows_of_the_table_shown():
    uniform = three_seeds(lambda **k: trial("prunebench/random()", None, **k), (0.88, 0.86, 0.93))
    results = [*three_seeds(trial), *three_seeds(balanced, (0.87, 0.90, 0.93)), *uniform]
    ours = next(r for r in rows(board(results)) if r.scorer)
    other = next(r for r in rows(board(results)) if r.baseline == "random")
    assert other.difference.p > ours.difference.p
    assert ours.difference.p_holm == pytest.approx(2 * ours.difference.p)


def test_a_missing_partner_is_no_number():
    found = board([trial(seed=0), balanced(seed=1)])
    assert all(row.difference is None for row in rows(found))
    line = next(line for line in str(found).splitlines() if line.startswith(" drd + bws"))
    assert line.split("(one seed)")[1].split()[0] == "-"


def test_partners_keep_as_many_examples():
    found = board([trial(keep=0.2, seed=0), balanced(keep=0.1, seed=0)])
    assert all(row.difference is None for row in rows(found))
    file = trial("subset", None, keep=144 / N, selection="5e1ec7" * 8)  # an index file with the k of keep 0.1
    row = next(r for r in rows(board([file, balanced(accuracy=0.8)])) if r.selector == "subset")
    assert row.label == "index file 5e1ec75e"
    assert row.difference.mean == pytest.approx(0.1)


def test_equal_quotas_are_not_the_baseline():
    equal = trial("prunebench/balanced(quota='equal')", None, accuracy=0.7)
    foreign = trial("other/balanced()", None, accuracy=0.6)
    found = rows(board([trial(), equal, foreign, balanced(accuracy=0.8)]))
    assert [r.baseline for r in found].count("balanced") == 1
    assert next(r for r in found if r.scorer).difference.mean == pytest.approx(0.1)


def test_one_seed_says_so():
    text = str(board([trial(), balanced(accuracy=0.8)]))
    assert "90.00 (one seed)" in text
    assert "+10.00 (one seed)" in text
    assert "±" not in text.splitlines()[4]


def test_order_keep_up_accuracy_down_full_last():
    a, b = "prunebench/a()", "prunebench/b()"
    found = board(
        [
            full(accuracy=0.5),
            trial(scorer=a, keep=0.2, accuracy=0.8),
            trial(scorer=b, keep=0.2, accuracy=0.9),
            trial(scorer=a, keep=0.1, accuracy=0.7),
            trial(scorer=a, keep=1.0, accuracy=0.4),
        ]
    )
    assert [(r.label, r.keep) for r in rows(found)] == [
        *[("a + bws", 0.1), ("b + bws", 0.2), ("a + bws", 0.2), ("a + bws", 1.0), ("full data", 1.0)]
    ]


def test_results_below_random_stay():
    found = board([*three_seeds(trial, (0.10, 0.11, 0.12)), *three_seeds(balanced, (0.90, 0.92, 0.91))])
    assert next(r for r in rows(found) if r.scorer).difference.mean < -0.7


def test_a_pure_function_whatever_the_order():
    results = [t for keep in (0.1, 0.2) for t in (*three_seeds(trial, keep=keep), *three_seeds(balanced, keep=keep))]
    results += [*three_seeds(full), *three_seeds(trial, model="vit_tiny"), *three_seeds(trial, steps=60)]
    shuffled = results * 2
    random.Random(0).shuffle(shuffled)
    for form in ("table", "md", "csv", "json"):
        assert board(results).render(form) == board(shuffled).render(form)


def test_a_record_without_a_usable_accuracy_is_never_ranked():
    found = board([trial(seed=0), trial(seed=1, accuracy=float("nan")), trial(seed=2, accuracy=93.1)])
    assert [r.accuracy.n for r in rows(found)] == [1]
    assert found.left_out == 2
    assert "2 records left out" in str(found)


# -- never mixed ------------------------------------------------------------------------------------------------------

OTHER = {
    "dataset": "planted",
    "fingerprint": "0" * 64,
    "test_fingerprint": "0" * 64,
    "image_size": 16,
    "model": "vit_tiny",
    "pretrained": True,
    "recipe": "0" * 64,
    "train_budget": "epochs",
    "budget_seconds": 6.8,
    "steps": 60,
    "policy": "dynamic",
    "threads": 1,
    "precision": "bfloat16",
    "protocol": 2,
    "setting": "sym:0.2",
    "reference": "vit_tiny",
    "reference_epochs": 5,
}


@pytest.mark.parametrize("name", OTHER)
def test_trials_under_other_conditions_stand_in_another_table(name):
    found = board([trial(accuracy=0.9), trial(accuracy=0.5, seed=1, **{name: OTHER[name]})])
    assert len(found.tables) == 2
    assert sorted(r.accuracy.mean for r in rows(found)) == [0.5, 0.9]
    first, second = json.loads(found.render("json"))["groups"]
    assert first["heading"].replace("seed 0", "") != second["heading"].replace("seed 1", "")


def test_conditions_are_exactly_what_a_trial_says_of_how_it_was_made():
    """A new field of `TrialResult` must be put either among the conditions or here."""
    told = {"scorer", "selector", "keep", "examples", "selection", "label_free", "oracle", "seed", "score_seed", "id"}
    told |= {"accuracy", "class_accuracy", "train_loss", "score_cost", "select_cost", "train_cost", "provenance"}
    told |= {"ece", "class_counts", "truth", "best_accuracy", "best_step", "source", "reproduced"}
    assert {f.name for f in dataclasses.fields(TrialResult)} == set(OTHER) | told


def test_baselines_stand_beside_every_scoring():
    """What no scoring run had a part in is compared with all methods, whichever reference was named when it ran."""
    results = [trial(accuracy=0.9), trial(accuracy=0.8, reference="vit_tiny"), balanced(accuracy=0.7), full()]
    found = board(results)
    assert [[r.baseline for r in table.rows] for table in found.tables] == [[None, "balanced", "full"]] * 2
    assert [table.rows[0].difference.mean for table in found.tables] == pytest.approx([0.2, 0.1])
    assert "scored with vit_tiny" in str(found)


def test_a_baseline_run_beside_two_scorings_counts_once_in_each():
    results = [trial(), trial(reference="vit_tiny")]
    results += [balanced(accuracy=0.7), balanced(accuracy=0.6, reference="vit_tiny")]
    found = board(results)
    assert [[r.accuracy.mean for r in table.rows] for table in found.tables] == [[0.9, 0.7], [0.9, 0.6]]
    assert found.left_out == 0


def test_a_baseline_run_beside_another_scoring_only_is_not_called_left_out():
    found = board([trial(), balanced(accuracy=0.7), balanced(accuracy=0.7, reference_epochs=5)])
    assert [r.accuracy.n for r in rows(found)] == [1, 1]
    assert found.left_out == 0


def test_one_scoring_run_and_several_are_not_mixed():
    one = [trial(seed=s, accuracy=0.8) for s in range(3)]
    three = [trial(seed=s, score_seed=s, accuracy=0.9) for s in (1, 2)]  # seed 0 is the same trial in both
    found = board([*one, *three, *three_seeds(balanced)])
    told = {t.conditions["scorings"]: [r.accuracy.mean for r in t.rows if r.scorer] for t in found.tables}
    assert told == {1: [pytest.approx(0.8)], 3: [pytest.approx((0.8 + 0.9 + 0.9) / 3)]}
    assert "given one scoring run" in str(found) and "3 scoring runs" in str(found)
    assert found.left_out == 0


def test_an_unfinished_row_stands_beside_its_finished_neighbours():
    three = [trial(seed=s, score_seed=s % 3) for s in range(5)]
    begun = trial(scorer="prunebench/aum()", seed=0)
    (table,) = board([*three, begun]).tables
    assert table.conditions["scorings"] == 3
    assert len(table.rows) == 2 and table.missing == 4


def epochs_trial(whole, keep, **changed):
    k = int(keep * N + 0.5)
    return trial(keep=keep, train_budget="epochs", steps=-(-whole * k // N), **changed)


def test_equal_epochs_of_all_keep_ratios_stand_in_one_table():
    found = board([epochs_trial(120, keep) for keep in (0.01, 0.05, 0.1, 0.33, 0.5, 0.9)])
    (table,) = found.tables
    assert "equal epochs (2-108 steps)" in str(found)
    assert len(table.rows) == 6


def test_different_epochs_stand_in_different_tables():
    results = [epochs_trial(whole, keep) for whole in (60, 120, 240) for keep in (0.05, 0.1, 0.5, 0.9)]
    found = board(results)
    assert sorted(max(t.conditions["steps"]) for t in found.tables) == [54, 108, 216]
    assert all(len(t.rows) == 4 for t in found.tables)


def test_step_counts_that_no_one_rate_gives_stand_in_different_tables():
    """10 steps for 100 examples is 100 for 1000; 11 is 101 to 110. A slack in the bounds made one table of these."""
    common = {"train_budget": "epochs", "setting": ""}
    few, more = (trial(keep=0.1, examples=100, steps=s, accuracy=0.8 + s / 1000, **common) for s in (10, 11))
    whole = [full(examples=1000, steps=s, **common) for s in (100, 101)]
    for trials in ([few, more, *whole], [few, dataclasses.replace(more, scorer="prunebench/aum()"), *whole]):
        found = board(trials)
        assert [table.conditions["steps"] for table in found.tables] == [[10, 100], [11, 101]]
        assert found.left_out == 0 and all(len(table.rows) == 2 for table in found.tables)


def test_long_trainings_of_equal_epochs_stand_in_one_table():
    """ImageNet: 1,281,167 examples, 500,000 steps. The bounds of a rate are held exactly."""
    n, whole = 1_281_167, 500_000
    ks = (1, 2, 3, 7, 12_811, 12_812, 128_117, 640_584, n - 1)
    trials = [
        trial(keep=k / n, examples=k, steps=-(-whole * k // n), train_budget="epochs", selector=f"x/own(k={k})")
        for k in ks
    ]
    (table,) = board([*trials, full(examples=n, steps=whole, train_budget="epochs")]).tables
    assert len(table.rows) == len(ks) + 1


def test_records_of_two_versions_of_a_method_are_two_rows():
    new = {"plugins": {"prunebench": "0.1.0", "prunebench-drd": "0.2.0"}}
    results = [trial(seed=s, accuracy=0.8) for s in range(2)]
    results += [trial(seed=s, accuracy=0.9, selection=f"new{s}", provenance=new) for s in range(2)]
    found = rows(board(results))
    assert [(r.label, r.accuracy.n, r.accuracy.mean) for r in found] == [
        ("drd + bws [prunebench 0.1.0, prunebench-drd 0.2.0]", 2, 0.9),
        ("drd + bws [prunebench 0.1.0, prunebench-drd 0.1.0]", 2, 0.8),
    ]


def test_several_records_of_one_seed_that_nothing_tells_apart_are_not_averaged():
    results = [trial(seed=0, accuracy=0.8), trial(seed=0, accuracy=0.9, selection="other"), trial(seed=1, accuracy=0.7)]
    found = board(results)
    assert [(r.accuracy.n, r.accuracy.mean) for r in rows(found)] == [(1, 0.7)]
    assert found.left_out == 2


# -- grouping ---------------------------------------------------------------------------------------------------------


def test_group_by_orders_tables():
    results = [trial(dataset=d, model=m) for d in ("b", "a") for m in ("y", "x")]
    by_data = [(t.conditions["dataset"], t.conditions["model"]) for t in board(results).tables]
    by_model = [(t.conditions["dataset"], t.conditions["model"]) for t in board(results, group_by=["model"]).tables]
    assert by_data == [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
    assert by_model == [("a", "x"), ("b", "x"), ("a", "y"), ("b", "y")]


def test_group_by_keep_repeats_the_full_row_and_keeps_its_own_random():
    results = [make(keep=keep) for keep in (0.2, 0.1) for make in (trial, balanced)] + [full()]
    found = board(results, group_by=("keep",))
    assert [t.split for t in found.tables] == [{"keep": 0.1}, {"keep": 0.2}]
    assert [[r.keep for r in t.rows] for t in found.tables] == [[0.1, 0.1, 1.0], [0.2, 0.2, 1.0]]


@pytest.mark.parametrize("by", ["scorer", "selector", "track"])
def test_group_by_method_repeats_the_baselines(by):
    other = trial("prunebench/ccs(cutoff=0.0)", "prunebench/aum()", label_free=True)
    found = board([trial(), other, balanced(accuracy=0.8), full()], group_by=("dataset", by))
    assert [[r.baseline for r in t.rows].count(None) for t in found.tables] == [1, 1]
    assert all({"balanced", "full"} <= {r.baseline for r in t.rows} for t in found.tables)
    assert all(r.difference.mean == pytest.approx(0.1) for r in rows(found) if r.baseline is None)


def test_an_unknown_group_is_explained():
    with pytest.raises(UserError, match=r"does not know 'modle', did you mean 'model'"):
        board([trial()], group_by=("modle",))


# -- the label-free track ---------------------------------------------------------------------------------------------

ELFS = "prunebench/elfs(encoder='pca')"
DOUBLE_END = "prunebench/double_end(cutoff=0.3)"
UNIFORM = "prunebench/random()"


def label_free(accuracies=(0.90, 0.92, 0.94), selector=DOUBLE_END, scorer=ELFS, **changed):
    return three_seeds(lambda **k: trial(selector, scorer, label_free=True, **k), accuracies, **changed)


def test_the_label_free_track_has_revealed_labels_as_axis_and_no_row_that_saw_more():
    results = [*three_seeds(trial), *three_seeds(balanced), full(accuracy=0.97)]
    results += [*label_free(keep=0.2), *label_free(keep=0.1), *label_free((0.88, 0.89, 0.93), UNIFORM, None)]
    results += [trial(DOUBLE_END, "prunebench/aum()"), trial("prunebench/ccs(cutoff=0.3)", ELFS)]  # one saw labels
    found = board(results, track="label-free")
    assert [(r.label, r.examples) for r in rows(found)] == [
        *[("elfs + double_end", 144), ("uniform random", 144), ("elfs + double_end", 287), ("full data", 1437)]
    ]
    ours, random_row, more, whole = rows(found)
    assert ours.difference.mean == pytest.approx(0.02)  # to uniform random: 0.02, 0.03, 0.01
    assert ours.difference.half == pytest.approx(4.302653 * 0.01 / 3**0.5)
    assert random_row.difference is more.difference is whole.difference is None
    assert found.left_out == 0 and "balanced" not in str(found)
    lines = str(found).splitlines()
    assert lines[0].endswith("label-free track")
    names = "method keep labels seeds accuracy % vs random score s select s train s"
    assert " ".join(lines[2].split()) == names
    assert any(line.startswith("Labels: how many were revealed") for line in lines)


def test_the_label_free_track_in_every_format():
    found = board([*label_free(), *label_free((0.88, 0.89, 0.93), UNIFORM, None), *three_seeds(balanced)],
                  track="label-free")  # fmt: skip
    told = json.loads(found.render("json"))
    row = told["groups"][0]["rows"][0]
    assert told["track"] == "label-free" and told["compared_with"] == "random"
    assert (
        row["labels_revealed"] == 144 and row["vs_random"]["mean"] == pytest.approx(0.02) and "vs_balanced" not in row
    )
    (first, _) = csv.DictReader(io.StringIO(found.render("csv")))
    assert float(first["vs_random_mean"]) == pytest.approx(0.02) and "vs_balanced_mean" not in first
    assert "| labels |" in found.render("md") and "vs random" in found.render("md")
    usual = json.loads(board(three_seeds(balanced)).render("json"))
    assert usual["track"] == "open" and usual["compared_with"] == "balanced"


def test_the_command_prints_the_label_free_track(tmp_path, capsys):
    from prunebench.cli import main

    store = Store(tmp_path / "runs")
    for result in (*label_free(), *three_seeds(trial)):
        put(store, result)
    main(["leaderboard", str(store.root), "--track", "label-free", "--format", "csv"])
    (line,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert line["method"] == "elfs + double_end" and line["label_free"] == "True" and line["vs_random_n"] == ""


def test_an_unknown_track_is_explained():
    with pytest.raises(UserError, match=r"no track 'labelfree', did you mean 'label-free'"):
        board([trial()], track="labelfree")


# -- oracles ----------------------------------------------------------------------------------------------------------


def oracle(**changed):
    return trial("prunebench/double_end_oracle(step=0.1)", ELFS, oracle=True, **changed)


def test_an_oracle_stands_below_all_marked_and_compared_with_nothing():
    ours = label_free((0.90, 0.92, 0.94))
    rest = [*three_seeds(balanced, (0.87, 0.90, 0.93)), full(accuracy=0.97)]
    found = board([*three_seeds(oracle, (0.98, 0.99, 0.985)), *ours, *rest])
    assert [r.label for r in rows(found)] == [
        *["elfs + double_end", "balanced random", "full data", "elfs + double_end_oracle"]
    ]
    assert rows(found)[-1].oracle and rows(found)[-1].difference is None
    alone = rows(board([*ours, *rest]))[0]
    assert rows(found)[0].difference == alone.difference  # Holm does not count it
    lines = str(found).splitlines()
    (last,) = [i for i, line in enumerate(lines) if "double_end_oracle †" in line]
    assert "full data" in lines[last - 3]  # a rule between them, and the label takes two lines
    assert sum(line.startswith("† an oracle") for line in lines) == 1
    assert "†" in found.render("md")
    assert [r["oracle"] for r in json.loads(found.render("json"))["groups"][0]["rows"]] == [False] * 3 + [True]
    assert "†" not in str(board(ours))


def test_an_oracle_has_no_place_on_the_label_free_track():
    found = board([*three_seeds(oracle), *label_free()], track="label-free")
    assert [r.label for r in rows(found)] == ["elfs + double_end"]


def test_a_record_made_before_there_were_oracles_is_read(tmp_path):
    store = Store(tmp_path / "runs")
    plain = {k: v for k, v in dataclasses.asdict(trial()).items() if k not in ("id", "provenance", "oracle")}
    store.put("trials", {"seed": 0}, plain, provenance={})
    put(store, oracle(seed=0))
    assert [r.oracle for r in rows(leaderboard(store))] == [False, True]


# -- policies ----------------------------------------------------------------------------------------------------------

RS2 = "rs2(replacement=False)"


def rs2(**changed):
    return trial("rs2", None, policy=RS2, **changed)


def labels(found):
    return [[(r.label, r.trials[0].policy) for r in table.rows] for table in found.tables]


def test_a_policy_stands_beside_the_baselines_and_no_method():
    results = [*three_seeds(trial), *three_seeds(balanced, (0.80, 0.82, 0.81)), full(accuracy=0.97)]
    found = board([*results, *three_seeds(rs2)])
    plainly, drawn = labels(found)
    assert plainly == [("drd + bws", "plain"), ("balanced random", "plain"), ("full data", "plain")]
    assert drawn == [("rs2", RS2), ("balanced random", "plain"), ("full data", "plain")]
    row = found.tables[1].rows[0]
    assert row.difference.mean == pytest.approx(0.11) and row.select_seconds is None and row.score_seconds is None
    assert found.left_out == 0 and f"policy {RS2}" in str(found) and "Policies draw from all examples" in str(found)
    assert found.tables[1].conditions["reference"] is None  # no scoring run had a part in it


def test_policies_and_lengths_never_share_a_table():
    results = [rs2(), rs2(steps=60), trial("infobatch", None, policy="infobatch(ratio=0.5, delta=0.875)")]
    results += [balanced(accuracy=0.8), balanced(accuracy=0.7, steps=60)]
    found = board(results)
    drawn = {
        (t.conditions["policy"][:3], *t.conditions["steps"]): [r.accuracy.mean for r in t.rows] for t in found.tables
    }
    assert drawn == {("rs2", 60): [0.9, 0.7], ("rs2", 120): [0.9, 0.8], ("inf", 120): [0.9, 0.8]}


def test_baselines_that_all_stand_beside_a_policy_are_not_repeated():
    assert labels(board([rs2(), balanced(accuracy=0.8)])) == [[("rs2", RS2), ("balanced random", "plain")]]
    of_another_length = board([rs2(), balanced(accuracy=0.8), balanced(accuracy=0.7, steps=60)])
    assert len(of_another_length.tables) == 2


def test_a_policy_has_no_place_on_the_label_free_track():
    found = board([rs2(), full(), trial("prunebench/random()", None, label_free=True)], track="label-free")
    assert labels(found) == [[("uniform random", "plain"), ("full data", "plain")]]


# -- budget "cost" -----------------------------------------------------------------------------------------------------


def costing(make, steps, **changed):
    return make(train_budget="cost", steps=steps, **{"budget_seconds": 6.8} | changed)


def test_equal_cost_is_one_table_whatever_the_steps():
    results = [
        costing(trial, 40),
        costing(trial, 77, keep=0.2),
        costing(balanced, 119, accuracy=0.8),
        costing(full, 120),
    ]
    found = board([*results, trial(accuracy=0.7), costing(trial, 90, accuracy=0.6, budget_seconds=3.4)])
    assert len(found.tables) == 3
    (table,) = (t for t in found.tables if t.conditions["budget_seconds"] == 6.8)
    assert table.conditions["steps"] == [40, 120] and len(table.rows) == 4
    assert table.rows[0].difference.mean == pytest.approx(0.1)
    assert "equal cost (40-120 steps) · seed 0 · full training 6.8 s" in str(found)


# -- the best epoch ----------------------------------------------------------------------------------------------------


def test_the_best_epoch_has_its_own_column_and_ranks_nothing():
    best = {"best_accuracy": 0.99, "best_step": 40}
    results = [trial(accuracy=0.7, **best), trial(keep=0.1, scorer="prunebench/aum()", accuracy=0.9)]
    results += [balanced(accuracy=0.8, best_accuracy=0.8, best_step=120)]
    found = board(results)
    assert [r.accuracy.mean for r in rows(found)] == [0.9, 0.8, 0.7]  # not by the best
    assert rows(found)[-1].difference.mean == pytest.approx(-0.1)
    names = next(line for line in str(found).splitlines() if line.startswith(" method"))
    assert " ".join(names.split()) == "method keep k seeds accuracy % best ep % vs balanced score s select s"
    assert "99.00" in next(line for line in str(found).splitlines() if line.startswith(" drd"))
    assert "never ranked" in str(found) and "touched once per trial" not in str(found)
    lines = list(csv.DictReader(io.StringIO(found.render("csv"))))
    assert [line["best_accuracy"] for line in lines] == ["", "0.8", "0.99"] and lines[2]["best_step"] == "40.0"
    (group,) = json.loads(found.render("json"))["groups"]
    assert group["rows"][2]["measures"]["best_accuracy"] == 0.99


def test_no_column_where_nobody_looked():
    found = board([trial(), balanced(accuracy=0.8)])
    assert "best ep" not in str(found) and "touched once per trial" in str(found)


def test_a_training_with_and_without_a_look_counts_once():
    looked = three_seeds(lambda **k: trial(**k, best_accuracy=0.95, best_step=80))
    found = board([*three_seeds(trial), *looked])
    (row,) = rows(found)
    assert row.accuracy.n == 3 and row.measures["best_accuracy"] == pytest.approx(0.95) and found.left_out == 0


def test_the_widest_table_still_fits_the_terminal():
    noisy = {"setting": "sym:0.2", "truth": {"mislabelled_share": 0.1, "corrupted_share": 0.2}}
    best = {"best_accuracy": 0.99, "best_step": 40}
    found = board([trial(**noisy, **best, keep=0.123456, examples=640583), balanced(**noisy, **best)])
    shown = str(found)
    assert "best ep %" in shown and "noise %" in shown and "select s" not in shown
    assert max(cell_len(line) for line in shown.splitlines()) <= 100


# -- labels -----------------------------------------------------------------------------------------------------------


def test_labels_name_only_what_tells_rows_apart():
    results = [trial(scorer=f"x/drd(model='auto', timestep={t})", selector=BWS) for t in (10, 20)]
    results += [trial(scorer="x/aum()", selector="x/per_class(x/ccs(cutoff=0.0, strata=50))")]
    results += [trial(scorer="x/aum()", selector="x/per_class(x/ccs(cutoff=0.1, strata=50))")]
    assert {r.label for r in rows(board(results))} == {
        *("drd(timestep=10) + bws", "drd(timestep=20) + bws"),
        *("aum + per_class(ccs(cutoff=0.0))", "aum + per_class(ccs(cutoff=0.1))"),
    }


def test_labels_name_the_package_where_two_offer_the_name():
    found = rows(board([trial(scorer="a/aum()"), trial(scorer="b/aum()", accuracy=0.8)]))
    assert [r.label for r in found] == ["a/aum + bws", "b/aum + bws"]


def test_given_labels_are_used_unless_they_hide_a_difference():
    results = [trial(scorer=f"x/drd(timestep={t})") for t in (10, 20)]
    texts = {r.label for r in rows(board(results, labels=lambda kind, text: f"{kind}!"))}
    assert texts == {"drd(timestep=10) + selector!", "drd(timestep=20) + selector!"}


def test_texts_outside_the_grammar_and_long_ones_stay_distinct():
    long = [f"x/drd(weights='{'w' * 300}{i}')" for i in range(2)]
    found = {r.label for r in rows(board([trial(scorer=text) for text in ("((((", *long)]))}
    assert len(found) == 3
    assert all(len(label) < 100 for label in found)


# -- failed cells -----------------------------------------------------------------------------------------------------


def failure(number, selector="ccs"):
    told = {"error": "diverged", "scorer": "drd", "selector": selector, "keep": 0.1, "model": "m", "seed": number}
    return {"id": str(number), **told, "dataset": "digits"}


def test_failed_cells_are_counted_and_never_numbers():
    found = board([trial()], [failure(0), failure(1), failure(2, "full") | {"scorer": None}])
    assert "3 failed cells: drd + ccs (2), full data (1)" in str(found)
    assert len(rows(found)) == 1
    assert [f["error"] for f in json.loads(found.render("json"))["failed"]] == ["diverged"] * 3


def test_nothing_but_failures():
    found = board([], [failure(0)])
    assert str(found).splitlines() == ["No finished trials.", "1 failed cell: drd + ccs (1)"]
    assert found.render("csv").count("\n") == 0


# -- stores -----------------------------------------------------------------------------------------------------------


def put(store, result, definition=1, **changed):
    about = {"data": result.fingerprint, "method": {"text": result.selector, "definition": definition}}
    selection = store.put("selections", about | {"seed": result.seed}, {}).id
    plain = dataclasses.asdict(result) | {"selection": selection} | changed
    plain = {k: v for k, v in plain.items() if k not in ("id", "provenance")}
    store.put("trials", {"selection": selection, "seed": result.seed}, plain, provenance=dict(result.provenance))


def test_a_record_in_several_stores_counts_once(tmp_path):
    stores = [Store(tmp_path / name) for name in "ab"]
    for store in stores:
        put(store, trial(seed=0))
    put(stores[1], trial(seed=1))
    stores[0].note_failure("c" * 64, failure(3))
    found = leaderboard([stores[0], tmp_path / "b"])
    assert [r.accuracy.n for r in rows(found)] == [2]
    assert len(found.failures) == 1
    assert [r.accuracy.n for r in rows(leaderboard(tmp_path / "a"))] == [1]


def test_a_method_whose_definition_changed_is_two_rows(tmp_path):
    store = Store(tmp_path / "runs")
    for seed in range(2):
        put(store, trial(seed=seed, accuracy=0.8), definition=1)
        put(store, trial(seed=seed, accuracy=0.9), definition=2)
    found = rows(leaderboard(store))
    assert [(r.accuracy.n, r.accuracy.mean) for r in found] == [(2, 0.9), (2, 0.8)]
    assert len({r.label for r in found}) == 2


def test_seeds_of_two_definitions_are_never_averaged(tmp_path):
    store = Store(tmp_path / "runs")
    for seed, (definition, accuracy) in enumerate([(1, 0.9), (1, 0.9), (2, 0.3)]):
        put(store, trial(seed=seed, accuracy=accuracy), definition)
    put(store, trial(seed=3, accuracy=0.5), selection="a" * 64)  # nothing tells its definition
    found = leaderboard(store)
    assert [(r.accuracy.n, r.accuracy.mean) for r in rows(found)] == [(2, 0.9), (1, 0.5), (1, 0.3)]
    assert len({r.label for r in rows(found)}) == 3 and found.left_out == 0


def test_an_unknown_definition_tells_nothing_apart(tmp_path):
    store = Store(tmp_path / "runs")
    put(store, trial(seed=0))
    put(store, trial(seed=1), selection="a" * 64)
    assert [r.accuracy.n for r in rows(leaderboard(store))] == [2]


@pytest.mark.parametrize(
    "changed", [{"accuracy": "0.9"}, {"seed": True}, {"examples": 0}, {"scorer": 3}, {"more": 1}, {"train_cost": {}}]
)
def test_a_record_of_another_shape_is_left_out(tmp_path, changed, caplog):
    store = Store(tmp_path / "runs")
    put(store, trial(seed=0))
    if changed == {"train_cost": {}}:
        changed = {"train_cost": {"seconds": "long"}}
    put(store, trial(seed=1), **changed)
    assert [r.accuracy.n for r in rows(leaderboard(store))] == [1]
    assert "left out" in caplog.text


def test_an_altered_record_is_never_ranked(tmp_path):
    store = Store(tmp_path / "runs")
    put(store, trial(seed=0))
    put(store, trial(seed=1))
    card = min((tmp_path / "runs" / "trials").glob("*.json"))
    card.write_text(card.read_text().replace('"accuracy":0.9', '"accuracy":0.99'))
    assert [r.accuracy.mean for r in rows(leaderboard(Store(tmp_path / "runs")))] == [0.9]


def test_an_empty_store_and_a_missing_one_are_explained(tmp_path):
    with pytest.raises(UserError, match="no finished trial in"):
        leaderboard(Store(tmp_path / "runs"))
    with pytest.raises(UserError, match=r"no store at .*nowhere"):
        leaderboard(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_the_public_name_can_be_called_before_and_after_the_package_is_imported(tmp_path):
    import prunebench

    put(Store(tmp_path / "runs"), trial())
    assert len(prunebench.leaderboard(tmp_path / "runs").tables) == 1
