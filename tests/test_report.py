"""`prunebench report`: every figure a store has data for, in a folder where files of others are safe."""

import json
import os
import re
import xml.etree.ElementTree as ET

import pytest
from trials_by_hand import BWS, HOSTILE, balanced, full, put, put_scores, trial, two_ratios

from prunebench import UserError
from prunebench.cli import main
from prunebench.figures.own_files import LIST, write_own
from prunebench.figures.report import KINDS
from prunebench.store import Store


def ran(capsys, *args):
    """(exit code, standard error) of a command."""
    code = 0
    try:
        main([str(arg) for arg in args])
    except SystemExit as left:
        code = left.code
    return code, capsys.readouterr().err


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def runs(tmp_path):
    store = Store(tmp_path / "runs")
    for result in two_ratios():
        put(store, result)
    put(store, trial(BWS), {"start": 0.3}, {"starts": [0.0, 0.3, 0.6], "judged_accuracy": [0.5, 0.7, 0.6]})
    put_scores(store, range(1000))
    put_scores(store, range(1000), "prunebench/el2n(epoch=5)", hard="high")
    return tmp_path / "runs"


def test_everything_there_is_data_for_and_why_not_the_rest(runs, tmp_path, capsys):
    code, told = ran(capsys, "report", runs, "--out", tmp_path / "out")
    assert code == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    figures = {"curves", "worst-class", "pareto-1", "pareto-2", "window-starts", "quotas-1", "quotas-2"}
    figures |= {"atlas-1", "atlas-2"}
    assert names == {f"{name}.{form}" for name in figures for form in ("png", "svg", "csv")} | {"index.md", LIST}
    assert f"{len(figures)} figures in" in told
    page = (tmp_path / "out" / "index.md").read_text()
    for name in ("transfer-map", "critical-difference", "pictures"):
        assert f"left out: {name}: " in told and f"- {name}: " in page
    for link in re.findall(r"\]\(([^)]+)\)", page):
        assert (tmp_path / "out" / link).is_file(), link
    for name in figures:
        assert ET.parse(tmp_path / "out" / f"{name}.svg").getroot().tag.endswith("svg")
        assert (tmp_path / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_store_changes_nothing(runs, tmp_path, capsys):
    asked = ("report", runs, "--out", tmp_path / "out", "--only", "curves,quotas")
    ran(capsys, *asked)
    before = content(tmp_path / "out")
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    code, told = ran(capsys, *asked)
    assert code == 0 and "0 files changed" in told
    assert content(tmp_path / "out") == before
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == times


def test_only_what_was_asked_for(runs, tmp_path, capsys):
    ran(capsys, "report", runs, "--out", tmp_path / "out", "--only", "curves,pareto")
    assert {path.name.partition(".")[0].partition("-")[0] for path in (tmp_path / "out").glob("*.csv")} == {
        *("curves", "pareto")
    }
    code, told = ran(capsys, "report", runs, "--out", tmp_path / "out", "--only", "curvs")
    assert code == 2 and "curves" in told and told.count("\n") == 1
    code, told = ran(capsys, "report", runs, "--out", tmp_path / "out", "--only", "transfer-map")
    assert code == 2 and "nothing to draw" in told and "--model" in told


def test_tables_may_be_split(runs, tmp_path, capsys):
    code, _ = ran(capsys, "report", runs, "--out", tmp_path / "out", "--only", "curves", "--group-by", "keep")
    assert code == 0
    assert {path.name for path in (tmp_path / "out").glob("*.csv")} == {"curves-1.csv", "curves-2.csv"}
    code, told = ran(capsys, "report", runs, "--out", tmp_path / "out", "--group-by", "modle")
    assert code == 2 and "'modle'" in told and "model" in told


@pytest.mark.parametrize("made", [False, True])
def test_no_store_and_an_empty_one_are_one_sentence(tmp_path, capsys, made):
    if made:
        (tmp_path / "runs").mkdir()
    code, told = ran(capsys, "report", tmp_path / "runs", "--out", tmp_path / "out")
    assert code == 2 and told.count("\n") == 1 and "prunebench run" in told
    assert not (tmp_path / "out").exists()


def test_a_store_of_failures_alone_has_nothing_to_draw(tmp_path, capsys):
    store = Store(tmp_path / "runs")
    store.note_failure("c" * 64, {"scorer": "a", "selector": "b", "keep": 0.1, "error": "nan"})
    code, told = ran(capsys, "report", store.root, "--out", tmp_path / "out")
    assert code == 2 and "nothing to draw" in told and told.count("\n") == 1


def test_one_record_is_drawn_and_says_that_it_has_no_interval(tmp_path, capsys):
    put(Store(tmp_path / "runs"), trial())
    code, _ = ran(capsys, "report", tmp_path / "runs", "--out", tmp_path / "out")
    assert code == 0
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {
        *("curves.png", "worst-class.png", "pareto.png", "quotas.png")
    }
    assert "one seed there is no interval" in (tmp_path / "out" / "index.md").read_text()


def test_the_full_data_alone_is_drawn(tmp_path, capsys):
    put(Store(tmp_path / "runs"), full())
    code, told = ran(capsys, "report", tmp_path / "runs", "--out", tmp_path / "out")
    assert code == 0, told
    assert (tmp_path / "out" / "curves.png").is_file() and not (tmp_path / "out" / "pareto.png").exists()


def test_hostile_names_are_markup_nowhere(tmp_path, capsys):
    store = Store(tmp_path / "runs")
    for keep in (0.1, 0.3):
        put(store, trial(HOSTILE, HOSTILE, keep=keep, dataset=HOSTILE, model=HOSTILE))
        put(store, balanced(keep=keep, dataset=HOSTILE, model=HOSTILE))
    for scorer in (HOSTILE, HOSTILE + "y"):
        put_scores(store, range(9), scorer, dataset=HOSTILE)
    code, _ = ran(capsys, "report", store.root, "--out", tmp_path / "out")
    assert code == 0
    page = (tmp_path / "out" / "index.md").read_text()
    assert "onerror" in page and not re.search(r"(?<!\\)<img|(?<!\\)\||\x1b|\u202e", page)
    for path in (tmp_path / "out").glob("*.svg"):
        assert not [e for e in ET.parse(path).iter() if e.tag.rpartition("}")[2] in ("img", "script")]


# -- pictures ---------------------------------------------------------------------------------------------------------


def test_pictures_are_read_from_the_data_set_that_was_scored(tmp_path, capsys):
    from prunebench.datasets.digits import digits

    data, store = digits(), Store(tmp_path / "runs")
    put(store, trial())
    put_scores(store, range(len(data.train)), hard="high", fingerprint=data.fingerprint)
    put_scores(store, range(len(data.train)), "prunebench/loss()")  # of other labels
    code, told = ran(capsys, "report", store.root, "--out", tmp_path / "out", "--only", "pictures")
    assert code == 0 and "not as it was scored" in told
    lines = (tmp_path / "out" / "pictures.csv").read_text().splitlines()
    assert len(lines) == 31
    position = len(data.train) - 1  # the highest score is the last row of the hardest
    label = data.train.labels[position]
    assert lines[-1].split(",")[-4:-1] == [data.train.keys[position], str(label), data.classes[label]]


def test_a_data_set_that_is_not_here_is_one_sentence(tmp_path, capsys):
    store = Store(tmp_path / "runs")
    put(store, trial())
    put_scores(store, range(10), dataset="cifar10")
    code, told = ran(
        *(capsys, "report", store.root, "--out", tmp_path / "out", "--only", "pictures"),
        *("--data-root", tmp_path / "nowhere"),
    )
    assert code == 2 and "cifar10" in told and told.count("\n") == 1


# -- files of others --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["curves.png", "index.md"])
def test_a_file_of_others_stops_everything(runs, tmp_path, capsys, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    code, told = ran(capsys, "report", runs, "--out", tmp_path / "out", "--only", "curves")
    assert code == 2 and name in told and "nothing was written" in told
    assert content(tmp_path / "out") == {name: b"mine"}


def test_files_beside_stay_and_what_is_no_longer_drawn_goes(runs, tmp_path, capsys):
    out = tmp_path / "out"
    ran(capsys, "report", runs, "--out", out, "--only", "curves,quotas")
    (out / "notes.txt").write_text("mine")
    (out / "quotas-1.csv").write_text("changed by hand")
    code, _ = ran(capsys, "report", runs, "--out", out, "--only", "curves")
    assert code == 0
    assert {path.name for path in out.iterdir()} == {
        *("curves.png", "curves.svg", "curves.csv", "index.md", LIST, "notes.txt", "quotas-1.csv")
    }
    assert (out / "quotas-1.csv").read_text() == "changed by hand"


def test_a_figure_that_was_changed_is_not_overwritten(tmp_path):
    write_own(tmp_path, {"a.csv": b"1"})
    (tmp_path / "a.csv").write_text("2")
    with pytest.raises(UserError, match="changed since"):
        write_own(tmp_path, {"a.csv": b"3"})
    assert (tmp_path / "a.csv").read_text() == "2"


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "theirs.csv").write_text("theirs")
    (tmp_path / "out" / "a.csv").symlink_to(tmp_path / "theirs.csv")
    with pytest.raises(UserError, match="in the way"):
        write_own(tmp_path / "out", {"a.csv": b"ours"})
    assert (tmp_path / "theirs.csv").read_text() == "theirs"


def test_whoever_is_interrupted_can_go_on(tmp_path, monkeypatch):
    from prunebench.figures import own_files

    write_own(tmp_path, {"a.csv": b"1", "b.csv": b"1"})
    replace, written = own_files.replace, []

    def dies(path, content):
        if path.name == "b.csv":
            raise KeyboardInterrupt
        written.append(path.name)
        replace(path, content)

    monkeypatch.setattr(own_files, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        write_own(tmp_path, {"a.csv": b"2", "b.csv": b"2"})
    monkeypatch.undo()
    assert "a.csv" in written
    assert write_own(tmp_path, {"a.csv": b"3", "b.csv": b"3"}) == ["a.csv", "b.csv"]
    assert json.loads((tmp_path / LIST).read_text())["files"].keys() == {"a.csv", "b.csv"}


@pytest.mark.parametrize("listed", ["{", "[]", "{}", '{"prunebench_report": 1, "files": {"../a.csv": []}}'])
def test_a_list_that_is_not_ours_is_one_sentence(tmp_path, listed):
    (tmp_path / LIST).write_text(listed)
    with pytest.raises(UserError, match="not a list of ours"):
        write_own(tmp_path, {"a.csv": b"1"})
    assert {path.name for path in tmp_path.iterdir()} == {LIST}


def test_a_list_of_others_removes_no_file(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / "a.csv").write_text("theirs")
    (folder / LIST).write_text(json.dumps({"prunebench_report": 1, "files": {"../a.csv": ["0"]}}))
    with pytest.raises(UserError, match="not a list of ours"):
        write_own(folder, {})
    assert (tmp_path / "a.csv").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="--out"):
        write_own(tmp_path / "out", {"a.csv": b"1"})


def test_a_file_where_the_folder_should_be_is_one_sentence(runs, tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    code, told = ran(capsys, "report", runs, "--out", tmp_path / "out", "--only", "curves")
    assert code == 2 and told.count("\n") == 1 and "--out" in told


def test_docs_name_every_kind():
    from pathlib import Path

    text = (Path(__file__).resolve().parents[1] / "docs" / "report.md").read_text()
    for name in KINDS:
        assert f"`{name}`" in text
