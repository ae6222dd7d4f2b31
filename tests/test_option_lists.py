"""Options of several values: with commas or given again, on the command line and in a file."""

import pytest
from test_cli import call

from prunebench.cli.program import leaderboard, run

DRY = [
    "--dataset",
    "planted(train=60,test=20)",
    "--method",
    "ccs",
    "--seeds",
    "1",
    "--steps",
    "1",
    "--dry-run",
    "--json",
]


@pytest.mark.parametrize(
    "given",
    [["--keep", "0.25,0.5"], ["--keep", "0.25", "--keep", "0.5"]],
    ids=["with a comma", "given again"],
)
def test_every_value_counts(given):
    assert run.make_context("run", [*given, "--model", "resnet18", "--model", "vit_tiny"]).params["keep"] == (0.25, 0.5)
    assert run.make_context("run", [*given, "--model", "a,b", "--model", "c"]).params["models"] == ("a", "b", "c")


def test_defaults_and_columns():
    assert run.make_context("run", []).params["keep"] == (0.05, 0.2)
    assert leaderboard.make_context("leaderboard", ["s", "--group-by", "keep", "--group-by", "model"]).params[
        "group_by"
    ] == ("keep", "model")


def test_a_file_may_have_a_list(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.toml").write_text("keep = [0.25, 0.5]\n")
    assert call("run", "--config", "plan.toml", *DRY, "--json") == 0
    told = capsys.readouterr().out
    assert "0.25" in told and "0.5" in told


def test_wrong_values_are_one_sentence(capsys):
    assert call("run", "--keep", "0.1", "--keep", "much") == 2
    assert "'much' is not a number" in capsys.readouterr().err
    assert call("run", "--threads", "0", "--method", "ccs", "--dry-run") == 2
    assert capsys.readouterr().err == "error: --threads must be at least 1, got 0\n"
    assert call("run", "--selector", "bws,ccs") == 2
    assert "for several methods give the option again" in capsys.readouterr().err
