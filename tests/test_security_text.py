"""Names of strangers: class folders, files, data sets, methods and errors reach every output as inert text."""

import csv
import io
import json
import logging
import re
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prunebench import UserError
from prunebench.cli import main
from prunebench.console import reporting
from prunebench.display import Bars, Lines, _said
from prunebench.leaderboard import board
from prunebench.leaderboard.escaping import csv_text, markdown
from prunebench.leaderboard.formats import CSV_COLUMNS, render
from prunebench.terminal import InertStream, OneLine, clean, inert, inert_streams
from prunebench.types import Cost, TrialResult

ESC = "\x1b[2J\x1b]0;owned\x07"
# whatever moves a cursor, rings, hides or turns text round, and what ends a cell or begins markup or a formula
PIECES = ["\x1b[2J", "\x1b]0;t\x07", "\x1b]8;;http://x\x1b\\", "\x9b31m", "\x1bP1$r\x1b\\", "\r", "\n", "\x08", "\x00"]
PIECES += [
    "\u202e",
    "\u2066",
    "\u200b",
    "\u2028",
    "\x85",
    "\udc80",
    "|",
    "`",
    "<b>",
    "](",
    "=1+1",
    "@x",
    "＝1",
    "\\",
    "e",
]
hostile = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=8).map("".join)
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
fuzz = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def trial(text, seed=0):
    return TrialResult(
        **{"dataset": f"d{text}", "fingerprint": "f" * 64, "test_fingerprint": "e" * 64, "image_size": 8},
        **{
            "setting": text,
            "scorer": f"x/s{text}",
            "selector": f"x/t{text}",
            "keep": 0.1,
            "examples": 144,
            "seed": seed,
        },
        **{"label_free": False, "model": f"m{text}", "pretrained": False, "recipe": "c" * 64, "train_budget": "steps"},
        **{"steps": 120, "policy": "plain", "score_seed": 0, "reference": f"r{text}", "reference_epochs": 10},
        **{"threads": 2, "precision": "float32", "protocol": 1, "accuracy": 0.9, "class_accuracy": (0.9,)},
        **{"train_loss": 0.1, "score_cost": Cost(), "select_cost": Cost(), "train_cost": Cost(), "selection": "s"},
        id=f"{seed:064}",
    )


def failure(text):
    names = dict.fromkeys(("error", "scorer", "selector", "model", "dataset"), text)
    return {"id": "0" * 64, "keep": 0.1, "seed": 0, **names}


@settings(fuzz, max_examples=40)
@given(text=hostile)
def test_every_writer_is_inert_and_reads_back(text):
    found = board([trial(text), trial(text, 1)], [failure(text)])
    for form in ("table", "md", "csv", "json"):
        assert not FORBIDDEN.search(render(found, form)), form
    lines = list(csv.DictReader(io.StringIO(render(found, "csv"))))
    assert len(lines) == 1 and tuple(lines[0]) == CSV_COLUMNS and None not in lines[0].values()
    assert lines[0]["dataset"] == csv_text(f"d{text}") and not re.match("[=+@＝＋－＠]", lines[0]["setting"])
    rows = [line for line in render(found, "md").splitlines() if line.startswith("|")]
    assert len(rows) == 3 and {len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows} == {10}
    (group,) = json.loads(render(found, "json"))["groups"]
    assert group["rows"][0]["scorer"] == f"x/s{text}" and not FORBIDDEN.search(group["heading"])


@fuzz
@given(text=hostile)
def test_escaping_twice_is_escaping_once(text):
    assert clean(clean(text)) == clean(text) and inert(inert(text)) == inert(text)
    assert not FORBIDDEN.search(clean(text)) and "\n" not in clean(text)
    assert not FORBIDDEN.search(inert(text).removeprefix("\r"))
    assert not re.search(r"(?<!\\)(?:\\\\)*[|<`*\[]", markdown(text))
    assert not csv_text(text).startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"))


@fuzz
@given(text=hostile)
def test_logs_errors_progress_and_tracebacks_are_inert(text):
    stream = io.StringIO()
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed: %s", (text,), None)
    told = OneLine("%(message)s").format(record)
    assert told == clean(f"failed: {text}") and not FORBIDDEN.search(told)
    Lines(stream).stream.write(_said(lambda: text))
    print(f"a {text}\tb", file=InertStream(stream))
    assert not FORBIDDEN.search(stream.getvalue())


def test_plain_text_passes_as_it_is():
    for text in ("a\tb\n  c", "±1.00 · é 数据 ─ † …", "", "\n", "\r  50 %"):
        assert inert(text) == text
    assert inert("safe\rEVIL") == "safeEVIL"


def test_a_bar_shows_brackets_as_they_are():
    bars = Bars(io.StringIO())
    progress = bars._begin()
    progress.add_task(_said(f"[bold]x[/bold] {ESC}"))
    assert progress.columns[0].render(progress.tasks[0]).plain.strip() == "[bold]x[/bold]"
    bars._end()


@pytest.mark.parametrize("kind", [UserError, ZeroDivisionError, UnicodeError])
def test_whatever_ends_a_command_is_told_inertly(kind, monkeypatch, capsys):
    def fail(*args):
        raise kind(f"there is no {ESC}class\nerror: forged\udc80")

    monkeypatch.setattr(reporting, "check", fail)
    with pytest.raises(SystemExit) as left:
        main(["check", "aum"])
    told = capsys.readouterr().err
    assert left.value.code == (2 if kind is UserError else 1)
    assert "there is no class" in told and not FORBIDDEN.search(told)
    if kind is UserError:
        assert len(told.splitlines()) == 1


def test_streams_are_given_back():
    before = sys.stdout, sys.stderr
    with inert_streams():
        assert isinstance(sys.stdout, InertStream) and not hasattr(sys.stdout, "buffer")
    assert (sys.stdout, sys.stderr) == before


# names that would run where a shell or a format string met them, and names that move a cursor
NAMES = [
    "$(touch owned)",
    "a;touch owned",
    "`touch owned`",
    "a & touch owned",
    "{0.__class__}%s",
    "-rf",
    f"c{ESC}\u202e",
]


def test_classes_with_names_that_a_shell_or_a_terminal_would_obey(tmp_path, monkeypatch, capsys):
    """A whole command on such a folder: nothing runs, nothing reaches the terminal raw, nor where a picture is torn."""
    from PIL import Image

    data = tmp_path / "d;touch owned $(touch owned)\x1b[2J"
    for split, many in (("train", 3), ("val", 1)):
        for shade, name in enumerate(NAMES):
            (data / split / name).mkdir(parents=True)
            for i in range(many):
                Image.new("RGB", (8, 8), (30 * shade, 90, 200)).save(data / split / name / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    args = ["run", "--selector", "random", "--dataset", f"folder:{data}", "--keep", "0.5", "--steps", "1", "--seeds"]
    args += ["1", "--threads", "1", "--jobs", "1"]
    main(args)
    told = capsys.readouterr()
    assert "touch owned" in told.out and not FORBIDDEN.search(told.out + told.err)
    (data / "train" / NAMES[-1] / "0.png").write_bytes(b"torn")
    with pytest.raises(SystemExit) as left:
        main(args)
    told = capsys.readouterr()
    assert left.value.code == 2 and "cannot be read as a picture" in told.err
    assert len(told.err.splitlines()) == 1 and not FORBIDDEN.search(told.out + told.err)
    assert not list(tmp_path.rglob("owned"))
