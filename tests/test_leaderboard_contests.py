"""The columns "tests" and what CSV and JSON tell of them: complete, within 100 columns, inert."""

import csv
import io
import json
import re

import pytest
from rich.cells import cell_len
from test_leaderboard import balanced, full, three_seeds, trial
from test_leaderboard_formats import HOSTILE

from prunebench import UserError
from prunebench.cli import main
from prunebench.leaderboard import board
from prunebench.leaderboard.contests import p_value
from prunebench.leaderboard.formats import CSV_COLUMNS, render


def seeds(make, n, gain=0.0, **changed):
    return [make(seed=s, accuracy=0.8 + gain + 0.01 * ((s * s) % 5), **changed) for s in range(n)]


def of_eight_seeds():
    near = [trial(scorer="x/b()", seed=s, accuracy=0.8 + 0.001 * (s % 3) + 0.01 * ((s * s) % 5)) for s in range(8)]
    return board([*seeds(trial, 8, 0.1, scorer="x/a()"), *near, *seeds(balanced, 8), *seeds(full, 8, 0.15)])


def lines(found, shown="tests"):
    return [" ".join(line.split()) for line in render(found, "table", shown).splitlines()]


def test_the_columns_of_tests_by_hand():
    found = board(
        [
            *three_seeds(trial, (0.93, 0.94, 0.95), scorer="x/a()"),
            *three_seeds(trial, (0.91, 0.92, 0.93), scorer="x/b()"),
            *three_seeds(balanced, (0.90, 0.92, 0.91)),
        ]
    )
    shown = lines(found)
    assert "method keep vs balanced p perm says vs best p perm front" in shown
    # a - balanced: 3, 2, 4 points: 3 +- 4.3027 / sqrt(3), t = 3 sqrt(3); b - balanced: 1, 0, 2, t = sqrt(3)
    assert "a + bws 0.1 +3.00 ± 2.48 0.070 n<6 win +2.00 (all same) - n<6 *" in shown
    assert "b + bws 0.1 +1.00 ± 2.48 0.225 n<6 open -2.00 (all same) - n<6 -" in shown
    assert "balanced random 0.1 - - - - - - - *" in shown
    assert any(line.startswith("n<6: fewer than six seeds") for line in shown)
    assert any(line.startswith("(all same): no seed differs") for line in shown)
    assert "a + bws 1 0 0 0" in shown and "b + bws 0 0 0 1" in shown
    assert any("against class-balanced random · margin 0.5 points" in line for line in shown)


def test_six_seeds_are_enough_for_a_permutation_test():
    ours = [trial(seed=s, accuracy=0.9 + 0.001 * s) for s in range(6)]
    told = [line for line in lines(board([*ours, *seeds(balanced, 6)])) if line.startswith("drd + bws")]
    assert told[0].split()[8:10] == ["<.001", "0.031"]  # 2 / 2^6
    assert "n<6" not in told[0]


def test_intervals_of_eight_seeds_are_named_and_have_two_ends():
    found = of_eight_seeds()
    text = str(found)
    assert "mean and 95 % interval over seeds" in text and "t-interval" not in text
    assert "BCa bootstrap from 8 on" in text
    assert "mean and 95 % t-interval over seeds" in str(board([*three_seeds(trial)])) and "BCa" not in str(
        board([trial()])
    )
    told = json.loads(found.render("json"))["groups"][0]["rows"][0]
    assert told["accuracy"]["interval"] == told["vs_balanced"]["interval"] == "BCa"
    assert told["accuracy"]["low"] < told["accuracy"]["mean"] < told["accuracy"]["high"]
    assert told["accuracy"]["half"] == pytest.approx((told["accuracy"]["high"] - told["accuracy"]["low"]) / 2)


def test_csv_tells_what_json_tells():
    found = of_eight_seeds()
    read = list(csv.DictReader(io.StringIO(found.render("csv"))))
    told = json.loads(found.render("json"))
    assert tuple(read[0]) == CSV_COLUMNS
    for line, row in zip(read, told["groups"][0]["rows"], strict=True):
        for name in ("interval", "low", "high"):
            assert line[f"accuracy_{name}"] == str(row["accuracy"][name])
        for column, where in (("vs_balanced", "vs_balanced"), ("vs_best_other", "vs_best_other")):
            for name in ("mean", "half", "p", "p_holm", "interval", "low", "permutation", "permutation_holm", "flips"):
                wanted = row[where][name] if row[where] else None
                assert line[f"{column}_{name}"] == ("" if wanted is None else str(wanted))
        assert line["verdict"] == (row["verdict"] or "") and line["best_other"] == (row["best_other"] or "")
        assert line["pareto"] == ("" if row["pareto"] is None else str(row["pareto"]))
        assert float(line["total_seconds"]) == row["total_seconds"]
    best, near = read[0], read[1]
    assert (best["method"], best["best_other"], near["best_other"]) == ("a + bws", "b + bws", "a + bws")
    assert near["verdict"] == "tie" and told["margin"] == 0.5
    assert told["tallies"] == [{"label": "b + bws", "wins": 0, "ties": 1, "losses": 0, "open": 0}]
    assert told["groups"][0]["rows"][0]["vs_balanced"]["permutation_least"] == 2 / 2**8


def test_the_label_free_track_is_set_against_uniform_random():
    free = [trial(label_free=True, seed=s, accuracy=0.9 + 0.01 * s) for s in range(3)]
    uniform = [trial("prunebench/random()", None, label_free=True, seed=s, accuracy=0.8) for s in range(3)]
    found = board([*free, *uniform], track="label-free")
    text = render(found, "table", "tests")
    assert "vs random" in text and "points above uniform random" in text and "vs balanced" not in text
    assert "against uniform random" in text
    (line, *_) = csv.DictReader(io.StringIO(found.render("csv")))
    assert line["vs_random_low"] and "vs_balanced_low" not in line


def many():
    results = []
    for number in range(5):
        here = {"dataset": f"set{number}", "keep": 0.123456789, "examples": 640_583, "fingerprint": f"{number}" * 64}
        for i, text in enumerate(HOSTILE):
            results += three_seeds(trial, (0.1, 0.9, 0.2), scorer=f"{text}{i}", selector=f"x/{text}", **here)
        results += three_seeds(balanced, (0.5, 0.1, 0.9), **here)
    return board(results)


def test_hostile_names_leave_the_terminal_table_within_a_hundred_columns():
    found = many()
    assert found.ranks and found.tallies
    for shown in ("results", "tests"):
        text = render(found, "table", shown)
        assert max(cell_len(line) for line in text.splitlines()) <= 100
        assert not set(text) & set("\x1b\x07\x9b\u202e\u2066\u200b")


@pytest.mark.parametrize("shown", ["results", "tests"])
def test_hostile_names_are_inert_in_markdown(shown):
    text = render(many(), "md", shown)
    assert not set(text) & set("\x1b\x07\x9b\u202e\u2066\u200b")
    assert "<img" not in text.replace("\\<", "") and "](" not in text.replace("\\]", "")
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1


@pytest.mark.parametrize("form", ["csv", "json"])
def test_hostile_names_are_inert_for_programs(form):
    text = render(many(), form)
    assert not set(text) & set("\x1b\x07\x9b\u202e\u2066\u200b")
    if form == "csv":
        for line in csv.DictReader(io.StringIO(text)):
            assert not line["best_other"].startswith(("=", "+", "-", "@"))
    else:
        told = json.loads(text)
        assert told["ranks"][0]["f"] is not None
        names = [*told["ranks"][0]["methods"], *(t["label"] for t in told["tallies"])]
        assert names and not any("\x1b" in name or "\u202e" in name for name in names)


def test_json_has_no_number_that_json_does_not_know():
    results = []
    for number in range(5):
        here = {"dataset": f"set{number}", "fingerprint": f"{number}" * 64}
        results += [trial(scorer=f"x/m{i}()", accuracy=0.9 - 0.1 * i, **here) for i in range(3)]
    text = board(results).render("json")
    told = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert told["ranks"][0]["f"] == "infinity" and told["ranks"][0]["f_p"] == 0.0


def test_p_values_in_three_digits():
    assert [p_value(p) for p in (None, 0.0004, 0.0005, 0.0499, 1.0)] == ["-", "<.001", "0.001", "0.050", "1.000"]


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    from dataclasses import asdict

    from prunebench.store import Store

    made = Store(tmp_path / "runs")
    for t in [*three_seeds(trial), *three_seeds(balanced, (0.87, 0.90, 0.93))]:
        result = {k: v for k, v in asdict(t).items() if k not in ("id", "provenance")}
        made.put("trials", {"name": t.id}, result, provenance=dict(t.provenance))
    return tmp_path / "runs"


def test_the_command_prints_the_columns_of_tests(store, capsys):
    main(["leaderboard", str(store), "--columns", "tests", "--margin", "5"])
    told = capsys.readouterr().out
    assert "margin 5 points" in told and " tie " in told
    main(["leaderboard", str(store), "--columns", "tests"])
    assert " open " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--margin", "-1"], "--margin is in percentage points, from 0 to 100, not -1"),
        (["--margin", "nan"], "from 0 to 100, not nan"),
        (["--margin", "much"], "'much' is not a valid float"),
        (["--columns", "test"], "'test' is not one of"),
    ],
)
def test_the_command_explains_wrong_options(store, capsys, given, said):
    with pytest.raises(SystemExit) as left:
        main(["leaderboard", str(store), *given])
    assert left.value.code == 2
    assert said in capsys.readouterr().err


def test_an_unknown_column_is_explained():
    with pytest.raises(UserError, match=r"no columns 'test', did you mean 'tests'.*known: results, cost, tests"):
        render(of_eight_seeds(), "table", "test")
