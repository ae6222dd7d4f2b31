"""Plugins as real packages: those that `new-plugin` writes and those of `examples`, installed, listed, checked and run;
and those that do everything wrong, installed beside them."""

import importlib.metadata
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from doc_blocks import blocks_of
from doc_blocks import commands as words_of
from doc_stage import planned
from packages import build, commands, install, wheel

from prunebench import UserError
from prunebench.new_plugin import named, new_plugin
from prunebench.registry import installed

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = {"churn": "scorer", "knn_distance": "scorer", "gumbel": "selector"}
OFFERS = """
from prunebench import Scorer, hookimpl

def method(labels):
    "y"
    return labels

@hookimpl
def {hook}():
    return [Scorer(name, method, hard="high") for name in {names}]
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """Two new plugins and the three examples, built into wheels and installed, in a folder of their own."""
    work = tmp_path_factory.mktemp("good")
    new_plugin("late-loss", work / "scorer")
    new_plugin("even-steps", work / "selector", selector=True)
    for name in EXAMPLES:
        shutil.copytree(ROOT / "examples" / name, work / name)
    install(build([work / name for name in ("scorer", "selector", *EXAMPLES)], work / "wheels"), work / "target")
    return work / "target"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Every way in which a package can be wrong, each a wheel that is installed."""
    work = tmp_path_factory.mktemp("bad")
    offers = {name: OFFERS.format(hook="prunebench_scorers", names=[name]) for name in ("fine", "aum", "new")}
    wheels = [
        wheel(work, "prunebench-fine", offers["fine"]),
        wheel(work, "prunebench-broken", "import there_is_no_such_module\n"),
        wheel(work, "prunebench-exiting", "import sys\nsys.exit(3)\n"),
        wheel(work, "prunebench-misspelt", OFFERS.format(hook="prunebench_scorer", names=["x"])),
        wheel(work, "prunebench-too-new", offers["new"], requires="prunebench>=99"),
        wheel(work, "prunebench-clashing", offers["aum"], version="2.5"),
        wheel(work, "prunebench-twice", OFFERS.format(hook="prunebench_scorers", names=["y", "y"])),
    ]
    install(wheels, work / "target")
    return work / "target"


def test_new_plugins_and_examples_install_list_pass_their_checks_and_run(target, tmp_path):
    run = ["run", "--scorer", "late_loss", "--scorer", "churn", "--scorer", "knn_distance", "--selector", "even_steps"]
    run += ["--selector", "gumbel(sharpness=2)", "--dataset", "planted(train=60,test=20)", "--keep", "0.5", "--seeds"]
    run += ["1", "--steps", "2", "--reference-epochs", "2", "--threads", "1", "--jobs", "1", "--device", "cpu"]
    checked = [["check", name] for name in ("late_loss", "even_steps", *EXAMPLES)]
    shown, listed, *found, ran = commands(target, tmp_path, ["plugins", "--problems"], ["ls", "--json"], *checked, run)
    assert shown[:2] == (0, "every plugin could be loaded\n")
    names = {row["name"] for kind in ("scorers", "selectors") for row in json.loads(listed[1])[kind]}
    assert {"late_loss", "even_steps", *EXAMPLES} <= names
    for code, out, err in found:
        assert code == 0 and "FAILED" not in out and out.count("  ok  ") >= 12, out + err
    assert "skipped wrong labels are hard" in found[3][1], "knn_distance sees no label"
    assert ran[0] == 0 and "late_loss" in ran[1] and "gumbel" in ran[1] and "balanced" in ran[1], ran


def test_the_commands_of_the_examples_pages_are_right(target, tmp_path):
    """`check` runs above, pip is looked at in test_doc_blocks.py; of what trains for minutes, the plan is made."""
    blocks = [block for name in EXAMPLES for block in blocks_of(ROOT / "examples" / name / "README.md")]
    calls = [words[1:] for block in blocks for words in words_of(block.code) if words[0] == "prunebench"]
    assert [words for words in calls if words[0] == "check"] == [["check", name] for name in EXAMPLES]
    plans = [planned(words) for words in calls if words[0] == "run"]
    assert len(plans) == len(EXAMPLES) and len(calls) == 2 * len(EXAMPLES)
    for words, (code, out, err) in zip(plans, commands(target, tmp_path, *plans), strict=True):
        assert code == 0 and "trainings" in out + err, f"{words}: {err}"


def test_their_own_tests_pass(target):
    """But for the contract, which `check` runs on the installed ones."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(target), *filter(None, sys.path)])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "-k", "not contract"]
    files = sorted(map(str, target.parent.glob("*/tests/test_*.py")))
    run = subprocess.run([*command, *files], cwd=target.parent, env=env, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0 and "10 passed" in run.stdout and len(files) == 5, run.stdout + run.stderr


def test_what_is_wrong_with_a_package_is_told_and_stops_nobody(hostile, tmp_path):
    calls = [["plugins", "--json"], ["ls", "scorers"], ["ls", "fine"], ["ls", "new"], ["check", "new"]]
    calls += [["--no-plugin", "prunebench-clashing", "ls", "scorer:aum"], ["plugins", "show", "prunebench-broken"]]
    calls += [["plugins", "show", "prunebench-fine", "--json"], ["run", "--scorer", "aum", "--selector", "hardest"]]
    calls += [["plugins", "show", "prunebench-too-new"]]
    plugins, scorers, fine, new, checked, alone, broken, page, run, newer = commands(hostile, tmp_path, *calls)
    problems = {row["distribution"]: row["problem"] for row in json.loads(plugins[1]) if row["problem"]}
    assert problems == {
        "prunebench-broken": "ModuleNotFoundError: No module named 'there_is_no_such_module'",
        "prunebench-exiting": "exits when imported (3)",
        "prunebench-misspelt": "ValueError: has a hook 'prunebench_scorer' that prunebench does not know, did you mean "
        "'prunebench_scorers' or 'prunebench_selectors'?",
        "prunebench-too-new": "ValueError: needs prunebench>=99, this is prunebench 0.1.0",
        "prunebench-twice": "ValueError: offers the scorer prunebench-twice/y a second time",
    }
    assert "5 plugins could not be loaded" in scorers[1] and fine[0] == 0
    assert new[0] == 2 and "prunebench_too_new of prunebench-too-new could not be loaded" in new[2]
    assert checked[0] == 2 and "needs prunebench>=99" in checked[2]
    assert alone[0] == 0 and "prunebench-clashing" not in alone[1]
    assert "way out" in broken[1] and "--no-plugin prunebench_broken" in broken[1]
    assert "way out     pip install -U prunebench, or run with --no-plugin prunebench_too_new" in newer[1]
    (row,) = json.loads(page[1])
    assert row["hooks"] == ["prunebench_scorers"] and row["requires"] == ["prunebench"]
    assert row["from"].endswith("prunebench_fine.py") and row["entry_point"] == "prunebench_fine = prunebench_fine"
    assert run[0] == 2 and "prunebench-clashing/aum and prunebench/aum" in run[2]
    assert not list(tmp_path.iterdir())


def test_a_strict_process_raises_and_an_allow_list_keeps_strangers_out(hostile, tmp_path):
    (told,) = commands(hostile, tmp_path, ["ls", "scorers"], PRUNEBENCH_STRICT_PLUGINS="1")
    assert told[0] == 1 and "there_is_no_such_module" in told[2]
    told, plugins = commands(
        hostile, tmp_path, ["-v", "ls", "fine"], ["plugins", "--json"], PRUNEBENCH_PLUGINS="prunebench-fine"
    )
    assert told[0] == 0 and "plugin prunebench_fine of prunebench-fine 1.0 loaded in" in told[2]
    on = {row["distribution"] for row in json.loads(plugins[1]) if row["state"] == "on"}
    assert on == {"prunebench", "prunebench-fine"}
    calls = [["plugins", "--problems"], ["plugins", "show", "fine"], ["ls", "scorers"], ["ls", "drd"]]
    told, shown, listed, drd = commands(hostile, tmp_path, *calls, PRUNEBENCH_PLUGINS="fine")
    assert told[0] == 0 and "PRUNEBENCH_PLUGINS names 'fine', and there is no such plugin" in told[1]
    assert shown[0] == 0 and "way out     correct the list" in shown[1]
    assert listed[0] == 0 and "drd: prunebench-drd was left out" in listed[1] and "pip install" not in drd[2]


@pytest.mark.parametrize(
    "name, told",
    [
        ("aum", "there is a scorer 'aum' already, of prunebench"),
        ("prunebench-AUM", "there is a scorer 'aum' already"),
        ("lambda", "is a keyword of Python"),
        ("3-sigma", "begins with a digit"),
        ("a b", "no name of a package"),
        ("-x", "no name of a package"),
        ("größe", "no name of a package"),
        ("prunebench", "names no method"),
        ("history", "means something else inside a method"),
        ("x" * 60, "60 characters"),
        ("drd", "there is a scorer 'drd'"),
        (
            "baselines",
            "prunebench-baselines is a name of prunebench's own: give another name, for example my-baselines",
        ),
        ("prunebench-datasets", "a name of prunebench's own"),
    ],
)
def test_a_name_that_cannot_be_is_refused_in_a_sentence(name, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=told):
        new_plugin(name, None)
    assert not list(tmp_path.iterdir())


def test_a_distribution_that_is_installed_is_not_written_again():
    with pytest.raises(UserError, match=r"prunebench-drd .* is installed already"):
        named("drd", "selector", installed())


@pytest.mark.parametrize("name", ["drd", "deepcore"])
def test_a_package_of_the_projects_own_is_not_written_where_it_is_not_installed(name, monkeypatch):
    def not_installed(distribution):
        raise importlib.metadata.PackageNotFoundError(distribution)

    monkeypatch.setattr(importlib.metadata, "version", not_installed)
    with pytest.raises(UserError, match=f"prunebench-{name} is a name of prunebench's own"):
        named(name, "selector", installed())


def test_a_module_that_is_there_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "prunebench_mine.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="there is a module prunebench_mine already"):
        named("mine", "scorer", installed())


@pytest.mark.parametrize("text", ["late-loss", "Late_Loss", "prunebench-late.loss", "prunebench_late-loss"])
def test_one_name_has_one_spelling(text):
    found = named(text, "scorer", installed())
    assert (found.name, found.distribution, found.module) == (
        "late_loss",
        "prunebench-late-loss",
        "prunebench_late_loss",
    )


def test_nothing_is_written_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full", "mine").write_text("mine")
    Path("file").write_text("mine")
    Path("link").symlink_to("full")
    for place, told in (("full", "is not empty"), ("file", "a file or a link"), ("link", "a file or a link")):
        with pytest.raises(UserError, match=told):
            new_plugin("late-loss", Path(place))
    assert [p.name for p in Path("full").iterdir()] == ["mine"] and Path("file").read_text() == "mine"
    Path("empty").mkdir()
    new_plugin("late-loss", Path("empty"))
    new_plugin("late-loss", None)
    assert sorted(os.listdir("empty")) == sorted(os.listdir("prunebench-late-loss")) and len(os.listdir("empty")) == 6
    assert sorted(os.listdir()) == ["empty", "file", "full", "link", "prunebench-late-loss"]


def test_a_path_with_a_space_is_told_as_a_shell_takes_it(tmp_path, capsys):
    new_plugin("late-loss", tmp_path / "my plugin")
    (told,) = [line for line in capsys.readouterr().out.splitlines() if "pip install" in line]
    assert shlex.split(told) == ["pip", "install", "-e", str(tmp_path / "my plugin")]


def test_a_place_that_takes_no_files_is_told(tmp_path):
    with pytest.raises(UserError, match="give a folder that can be written"):
        new_plugin("late-loss", Path("/dev/null/late"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short(name):
    files = [p for p in (ROOT / "examples" / name).rglob("*") if p.suffix in (".py", ".toml")]
    assert len(files) == 3 and sum(len(p.read_text().splitlines()) for p in files) < 100
