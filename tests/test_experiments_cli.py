"""`prunebench recipe`, as a user calls it: small recipes of one's own on planted pictures."""

import csv
import json
import shlex
from importlib.resources import files
from xml.etree import ElementTree

import pytest
from test_cli import call

WINDOWS = [f"per_class(window(start={start}, order='easiest'))" for start in (0.0, 0.2, 0.4, 0.6, 0.8)]
HEAD = """title = "{title}"
ending = "{ending}"
references = {references}
{options}
[[plans]]
scorers = ["random"]
selectors = {selectors}
keep = [0.2]
seeds = 1
steps = 2
threads = 1
[[profiles.cpu]]
dataset = "planted(train=60, test=30)"
"""


def recipe(folder, name, ending, selectors=("hardest",), references=(), options="", title="Small"):
    text = HEAD.format(
        title=title, ending=ending, references=list(references), selectors=json.dumps(list(selectors)), options=options
    )
    path = folder / f"{name}.toml"
    path.write_text(text)
    return str(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a store, and the figures of three recipes that share it."""
    folder = tmp_path_factory.mktemp("recipes")
    names = [
        recipe(folder, "small", "dots", references=["drd-table1"], title="<b>$x^2$ =1+1"),
        recipe(folder, "fifths", "quintiles", WINDOWS, ["drd-fig3"]),
        recipe(folder, "strata", "tsne", options='[options]\nscorer = "random"'),
    ]
    assert (
        call("recipe", "run", *names, "--store", str(folder / "st"), "--out", str(folder / "fig"), "--jobs", "1") == 0
    )
    return folder


def rows(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_figures_rows_and_record_are_there(place):
    record = json.loads((place / "fig/small.json").read_text())
    assert record["files"] == ["small.csv", "small.png", "small.svg"]
    typed = [str(place / "small.toml"), "--profile", "cpu", "--out", str(place / "fig"), "--jobs", "1"]
    assert shlex.split(record["command"]) == ["prunebench", "recipe", "run", *typed, "--store", str(place / "st")]
    assert record["runs"] == [
        "prunebench run --scorer random --selector hardest --keep 0.2 --dataset 'planted(train=60, test=30)' --seeds 1 "
        "--steps 2 --threads 1"
    ]
    assert len(record["trials"]) == 4 and len(record["compared"]) == 18
    assert {c["difference"] for c in record["compared"]} == {None}
    assert {row["method"] for row in rows(place / "fig/small.csv")} == {
        "random + hardest", "balanced random", "uniform random", "full data"
    }  # fmt: skip
    for name in ("small", "fifths", "strata"):
        assert (place / f"fig/{name}.png").read_bytes().startswith(b"\x89PNG")
        ElementTree.parse(place / f"fig/{name}.svg")


def test_fifths_are_tested_on_each_other(place):
    matrix = {(r["trained_on"], r["tested_on"]): float(r["accuracy"]) for r in rows(place / "fig/fifths-matrix.csv")}
    assert len(matrix) == 25 and all(0 <= value <= 100 for value in matrix.values())
    for row in rows(place / "fig/fifths.csv"):
        own = [matrix[row["trained_on"], str(j)] for j in range(1, 6)]
        assert float(row["mean_with_diagonal"]) == pytest.approx(sum(own) / 5, abs=1e-3)
        others = sum(own) - matrix[row["trained_on"], row["trained_on"]]
        assert float(row["mean_without_diagonal"]) == pytest.approx(others / 4, abs=1e-3)
        assert 0 <= float(row["test_split"]) <= 100
    told = json.loads((place / "fig/fifths.json").read_text())["compared"]
    assert len(told) == 10 and all(c["measured"] is not None for c in told)


def test_strata_have_as_many_points_of_each(place):
    found = rows(place / "fig/strata.csv")
    counts = {s: sum(row["stratum"] == s for row in found) for s in "12345"}
    assert len(set(counts.values())) == 1 and sum(counts.values()) == len(found)
    assert {row["stratum"] for row in rows(place / "fig/strata-silhouette.csv")} == set("12345")


def test_a_repeated_run_trains_nothing_and_writes_the_same(place, capfd, monkeypatch):
    monkeypatch.setattr("prunebench.training.loop.train", None)
    before = {p.name: p.read_bytes() for p in (place / "fig").iterdir()}
    for name in ("small", "fifths"):
        given = ("--store", str(place / "st"), "--out", str(place / "fig"), "--jobs", "1")
        assert call("recipe", "run", str(place / f"{name}.toml"), *given) == 0
    assert {p.name: p.read_bytes() for p in (place / "fig").iterdir()} == before
    out = capfd.readouterr().out
    assert "theirs is imagewoof, ours planted(train=60,test=30)" in out


def test_dry_run_counts_what_stands_once(place, tmp_path, capfd):
    files = [str(place / "small.toml"), str(place / "strata.toml")]  # the same cells
    assert call("recipe", "run", *files, "--store", str(place / "st"), "--out", str(tmp_path / "x"), "--dry-run") == 0
    assert "2 recipes: 4 trainings, 4 stand" in capfd.readouterr().out
    assert call("recipe", "run", *files, "--store", str(tmp_path / "no"), "--dry-run", "--jobs", "1") == 0
    assert "2 recipes: 4 trainings, 0 stand" in capfd.readouterr().out
    assert not (tmp_path / "no").exists() and not (tmp_path / "x").exists()


def test_listing_and_showing(capfd):
    assert call("recipe", "ls") == 0
    assert "drd-table1      Selectors and scores (Table 1)" in capfd.readouterr().out
    assert call("recipe", "ls", "--json") == 0
    listed = json.loads(capfd.readouterr().out)
    assert len(listed) == 12 and all(r["profiles"] == ["cpu", "gpu", "paper"] for r in listed)
    assert call("recipe", "show", "drd-table2", "--profile", "paper") == 0
    shown = capfd.readouterr().out
    assert "--dataset imagewoof --image-size 224 --seeds 5" in shown and "18 published numbers" in shown
    assert call("recipe", "show", "drd-fig3", "--json") == 0
    assert len(json.loads(capfd.readouterr().out)["published"]) == 10


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["show", "drd-fig9"], "there is no recipe 'drd-fig9'"),
        (["run"], "name the recipes to run, or give --all"),
        (["run", "cost", "--all"], "name the recipes to run, or give --all"),
        (["run", "drd-fig99"], "did you mean"),
        (["run", "drd-fig3", "--profile", "paper", "--data-root", "NONE"], "imagewoof"),
        (["run", "drd-fig3", "--dataset", "digitz"], "did you mean"),
        (["run", "drd-fig3", "--seeds", "0"], "--seeds must be at least 1"),
        (["run", "drd-fig3", "--profile", "tpu"], "'tpu' is not one of"),
        (["run", "mine.toml"], "mine.toml cannot be read"),
    ],
)
def test_what_is_wrong_is_one_sentence(args, told, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert call("recipe", *args) == 2
    said = capfd.readouterr().err.strip().splitlines()
    assert told in said[-1] and "Traceback" not in "".join(said)
    assert not list(tmp_path.glob("figures/*"))


def test_files_of_others_stay(place, capfd, tmp_path):
    (tmp_path / "small.json").write_text('{"mine": 1}')
    asked = ("recipe", "run", str(place / "small.toml"), "--store", str(place / "st"))
    assert call(*asked, "--out", str(tmp_path)) == 2
    assert "is no record of the recipe small" in capfd.readouterr().err
    assert (tmp_path / "small.json").read_text() == '{"mine": 1}' and len(list(tmp_path.iterdir())) == 1
    assert call(*asked, "--out", str(tmp_path / "small.json")) == 2
    assert "cannot write" in capfd.readouterr().err


def test_a_failed_cell_is_told_and_the_rest_is_drawn(place, tmp_path, capfd):
    wrong = recipe(tmp_path, "wrong", "dots", ["hardest", "window(start=0.9)"])
    given = ("--store", str(place / "st"), "--out", str(tmp_path / "fig"), "--jobs", "1")
    assert call("recipe", "run", wrong, *given) == 3
    assert "start=0.9 leaves fewer" in capfd.readouterr().err
    record = json.loads((tmp_path / "fig/wrong.json").read_text())
    assert len(record["failed"]) == 1 and len(record["trials"]) == 4


@pytest.mark.parametrize(
    ("ending", "options", "told"),
    [
        ("sweep", "", "option is missing in [options] of the ending sweep: it must be a text"),
        ("sweep", "option = 1", "option in [options] of the ending sweep must be a text, got '1'"),
        ("sweep", 'option = "start"', "name the option start, which no method of a plan is given"),
        ("tsne", "", "scorer is missing in [options] of the ending tsne"),
        ("tsne", "scorer = 3", "scorer in [options] of the ending tsne must be a text, got '3'"),
        ("tsne", 'scorer = "randon"', "did you mean"),
        ("tsne", 'scorer = "aum"', "name the scorer aum, which no plan runs"),
        ("tsne", 'scorer = "random"\nscore = 1', "[options] of the ending tsne has no 'score'"),
        ("dots", "keep = 0.3", "the ending dots has no options, got keep"),
        ("atlas", 'keep = "all"', "must be a share above 0 and below 1, got 'all'"),
        ("curves", "margins = [1]", "must be a list of [scorer, over, selector, highest keep ratio]"),
        ("curves", 'margins = [["random", "aum", "hardest", 0.4]]', "name the scorer aum, which no plan runs"),
    ],
)
def test_options_that_an_ending_cannot_use_are_told_before_anything_runs(ending, options, told, tmp_path, capfd):
    wrong = recipe(tmp_path, "wrong", ending, options=f"[options]\n{options}")
    assert call("recipe", "run", wrong, "--store", str(tmp_path / "st"), "--out", str(tmp_path / "fig")) == 2
    said = capfd.readouterr().err.strip().splitlines()
    assert told in said[-1] and len(said) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.toml"]


@pytest.mark.parametrize("name", ["small", "fifths", "strata"])
def test_a_record_keeps_to_its_schema(place, name):
    from jsonschema import validate

    schema = json.loads(files("prunebench").joinpath("schemas/recipe.json").read_text())
    validate(json.loads((place / f"fig/{name}.json").read_text()), schema)
