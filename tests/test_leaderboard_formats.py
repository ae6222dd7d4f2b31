"""A board as text: complete, the same every time, and inert whatever plugins call themselves."""

import csv
import hashlib
import io
import json

import pytest
from rich.cells import cell_len

from prunebench import UserError
from prunebench.leaderboard import board
from prunebench.leaderboard.escaping import clean, csv_text, markdown
from prunebench.leaderboard.formats import CSV_COLUMNS, render
from prunebench.types import Cost, TrialResult

HOSTILE = [
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "a|b\n| c | d |\n\n# heading",
    "`code` <img src=x onerror=alert(1)> [link](javascript:alert(1)) *bold*",
    "[bold red]markup[/bold red] [link=http://x]y[/link] :smile:",
    "=HYPERLINK(1)",
    "\u202ertl\u2066 \x9b31m \u200b",
    "w" * 300,
    "数据" * 60,
]


def trial(selector="prunebench/bws(step=0.05)", scorer="prunebench-drd/drd(draws='auto')", **changed):
    fields = {
        **{"dataset": "digits", "fingerprint": "f" * 64, "test_fingerprint": "e" * 64, "image_size": 8, "setting": ""},
        **{"scorer": scorer, "selector": selector, "keep": 0.1, "examples": 144, "label_free": False, "seed": 0},
        **{"model": "resnet18", "pretrained": False, "recipe": "c" * 64, "train_budget": "steps", "steps": 120},
        **{"policy": "plain", "score_seed": 0, "reference": "resnet18", "reference_epochs": 10, "threads": 2},
        **{"precision": "float32", "protocol": 1, "accuracy": 0.9, "class_accuracy": (0.9,), "train_loss": 0.1},
        "score_cost": Cost(seconds=5.0, alone_seconds=50.0),
        "select_cost": Cost(seconds=1.0, alone_seconds=2.0),
        "train_cost": Cost(seconds=3.0, alone_seconds=3.0),
        "provenance": {"plugins": {"prunebench": "0.1.0", "prunebench-drd": "0.1.0"}},
    } | changed
    fields.setdefault("selection", f"{scorer}|{selector}|{fields['keep']}|{fields['seed']}")
    identity = f"{fields['selection']}|{fields['dataset']}|{fields['model']}|{fields['seed']}"
    return TrialResult(**fields, id=hashlib.sha256(identity.encode(errors="replace")).hexdigest())


def balanced(**changed):
    return trial("prunebench/balanced(quota='proportional')", None, **changed)


def full(**changed):
    return trial("full", None, keep=1.0, examples=1437, **changed)


def three_seeds(make, accuracies=(0.90, 0.92, 0.94), **changed):
    return [make(seed=seed, accuracy=accuracy, **changed) for seed, accuracy in enumerate(accuracies)]


def small():
    return board([*three_seeds(trial), *three_seeds(balanced, (0.87, 0.90, 0.93)), full(accuracy=0.97)])


def test_terminal_table_line_by_line():
    lines = str(small()).splitlines()
    assert lines[0] == "digits · resnet18 · 120 steps · seeds 0-2 · given one scoring run"
    told = [" ".join(line.split()) for line in lines if line.startswith((" drd", " balanced", " full"))]
    assert told[0] == "drd + bws 0.1 144 3 92.00 ± 4.97 +2.00 ± 2.48 50.0 2.0 3.0"
    assert told[1] == "balanced random 0.1 144 3 90.00 ± 7.45 - - 2.0 3.0"
    assert told[2] == "full data 1 1437 1 97.00 (one seed) - - - 3.0"
    assert "2 missing cells" in str(small())


def test_a_difference_that_survives_holm_is_marked():
    sure = board([*three_seeds(trial), *three_seeds(balanced, (0.801, 0.820, 0.839))])
    assert "+10.00 ± 0.25 *" in str(sure)
    assert "+2.00 ± 2.48 *" not in str(small())
    results = three_seeds(balanced, (0.801, 0.820, 0.839))
    for i in range(3):  # differences 0.05, 0.06, 0.09: p = 0.032 each, 0.097 after Holm
        results += three_seeds(trial, (0.851, 0.880, 0.929), scorer=f"x/s{i}")
    row = board(results).tables[0].rows[0]
    assert row.difference.p < 0.05 < row.difference.p_holm
    assert "*" not in "".join(line for line in str(board(results)).splitlines() if line.startswith(" s"))


def test_terminal_table_fits_one_hundred_columns():
    results = three_seeds(balanced, keep=0.5, examples=640_583)
    for i, text in enumerate(HOSTILE):
        results += three_seeds(
            trial, (0.1, 0.9, 0.2), keep=0.5, examples=640_583, scorer=f"{text}{i}", dataset="digits"
        )
    results += [trial(dataset="d" * 300), trial(scorer=None, selector="subset", keep=0.123456789, selection="s")]
    assert max(cell_len(line) for line in str(board(results)).splitlines()) <= 100


@pytest.mark.parametrize("width", [90, 96, 100, 140, 400])
def test_a_table_is_what_rich_prints(monkeypatch, width):
    from prunebench.leaderboard import formats

    monkeypatch.setattr(formats, "WIDTH", width)
    found, left_to_rich = small(), []
    results = [t for row in found.tables[0].rows for t in row.trials]
    for i, text in enumerate([*HOSTILE, "several words that are folded where one of them ends", "数据 " * 30]):
        results += three_seeds(trial, scorer=f"x/{text}", keep=0.1 * (i % 3 + 1), model=f"net{i % 2}")
    for shown in (found, board(results), board(results[:7], group_by=("keep",)), board([full()])):
        ours = render(shown)
        left_to_rich += [not formats._plain(grid) for _, grid in formats._grids(shown, "results")]
        with monkeypatch.context() as slow:
            slow.setattr(formats, "_plain", lambda grid: "")
            assert render(shown) == ours
    assert width == 90 or not any(left_to_rich)


def test_markdown_is_a_heading_and_a_whole_table_per_group():
    lines = small().render("md").splitlines()
    assert lines[0] == "### digits · resnet18 · 120 steps · seeds 0-2 · given one scoring run"
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 3
    assert {line.count("|") for line in table} == {10}
    assert any("Holm" in line for line in lines) and any("last epoch" in line for line in lines)


def test_csv_reads_back():
    lines = list(csv.DictReader(io.StringIO(small().render("csv"))))
    assert tuple(lines[0]) == CSV_COLUMNS
    assert [line["method"] for line in lines] == ["drd + bws", "balanced random", "full data"]
    assert float(lines[0]["accuracy_mean"]) == pytest.approx(0.92)
    assert float(lines[0]["vs_balanced_mean"]) == pytest.approx(0.02)
    assert lines[1]["vs_balanced_mean"] == "" and lines[2]["accuracy_half"] == ""
    assert all(None not in line and None not in line.values() for line in lines)


def test_json_holds_everything_a_program_needs():
    told = json.loads(small().render("json"))
    (group,) = told["groups"]
    row = group["rows"][0]
    assert group["conditions"]["fingerprint"] == "f" * 64
    assert group["seeds"] == [0, 1, 2]
    assert [t["accuracy"] for t in row["trials"]] == [0.90, 0.92, 0.94]
    assert all(len(t["id"]) == 64 for t in row["trials"])
    assert row["versions"] == {"prunebench": ["0.1.0"], "prunebench-drd": ["0.1.0"]}
    assert row["scorer"] == trial().scorer


@pytest.mark.parametrize("form", ["table", "md", "csv", "json"])
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_inert(form, text):
    found = board([trial(scorer=text, selector=text, dataset=text, model=text, setting=text)], [failed(text)])
    shown = render(found, form)
    assert not set(shown) & set("\x1b\x07\x9b\u202e\u2066\u200b")
    if form == "csv":
        (line,) = csv.DictReader(io.StringIO(shown))
        assert not any(value.startswith(("=", "+", "-", "@")) for value in line.values())
    if form == "md":
        table = [line for line in shown.splitlines() if line.startswith("|")]
        assert len(table) == 3
        assert {line.replace("\\|", "").count("|") for line in table} == {10}
        assert "<img" not in shown.replace("\\<", "") and "](" not in shown.replace("\\]", "")


def test_cells_are_not_read_as_terminal_markup():
    assert "\n [b]x[/b] :smile:" in str(board([trial(scorer="[b]x[/b] :smile:")]))


def failed(text):
    return {"id": "0", "error": text, "scorer": text, "selector": text, "keep": 0.1, "model": text, "seed": 0}


def test_escapes_by_hand():
    assert clean("a\x1b[1;31mb\x1b]8;;http://x\x1b\\c\r\nd\u202e") == "abc d"
    assert markdown("a|b_c\\") == "a\\|b\\_c\\\\"
    assert csv_text("\t=1+1") == "'=1+1"
    assert csv_text("a=1") == "a=1"


def test_an_unknown_format_is_explained():
    with pytest.raises(UserError, match=r"no format 'markdown'.*known: table, md, csv, json"):
        render(small(), "markdown")
