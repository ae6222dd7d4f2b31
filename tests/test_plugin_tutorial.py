"""docs/plugins.md, followed: its files are built, installed and tested, its commands run; and its pages are whole."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packages import build, commands, install, wheel

from prunebench import hookspecs
from prunebench.methods import FUNCTIONS, VALUES
from prunebench.new_plugin import files_of, named
from prunebench.registry import installed

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "plugins.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
FILES = {code.partition("\n")[0].removeprefix("# "): code for kind, code in BLOCKS if kind in ("python", "toml")}


def lines(code: str) -> list[list[str]]:
    """The commands of a block as lists of words."""
    import shlex

    found = [shlex.split(line, comments=True) for line in code.splitlines()]
    return [words[1:] for words in found if words[0] == "prunebench"]


CALLS = [call for kind, code in BLOCKS if kind == "bash" and "new-plugin" not in code for call in lines(code)]


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """The tutorial's scorer, built as its pyproject says, and its command, both installed."""
    work = tmp_path_factory.mktemp("tutorial")
    project = work / "project"
    project.mkdir()
    for name in ("prunebench_late_entropy.py", "pyproject.toml"):
        (project / name).write_text(FILES[name])
    wheels = build([project], work / "wheels")
    install([*wheels, wheel(work, "prunebench-look", FILES["prunebench_look.py"])], work / "target")
    return work / "target"


def test_every_block_is_a_file_or_a_command():
    assert set(FILES) == {
        *("prunebench_late_entropy.py", "pyproject.toml", "test_late_entropy.py", "prunebench_look.py"),
    }
    assert len(CALLS) == 7 and {kind for kind, _ in BLOCKS} == {"python", "toml", "bash"}


def test_the_commands_of_the_tutorial_run(target, tmp_path):
    look = ["look", "--dataset", "planted(train=60,test=20)", "--reference-epochs", "2", "--store", "trial"]
    *found, looked = commands(target, tmp_path, *CALLS, look)
    for words, (code, out, err) in zip(CALLS, found, strict=True):
        assert code == 0 and out, f"{words}: {err}"
    card, run = found[0][1], found[1][1]
    assert "W, how many of the last epochs count" in card and "Late entropy" in card
    assert re.search(r"^ {4,}score\(i\) = .+\s+W = epochs$", card, re.MULTILINE), card  # however wide the terminal is
    assert "late_entropy" in run and "balanced" in run and "full data" in run
    assert looked[0] == 0 and "nats at first" in looked[1], looked


def test_the_test_file_of_the_tutorial_passes(target, tmp_path):
    (tmp_path / "test_late_entropy.py").write_text(FILES["test_late_entropy.py"])
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(target), *filter(None, sys.path)])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "-c", os.devnull]
    run = subprocess.run(
        [*command, "test_late_entropy.py"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0 and re.search(r"1[5-9] passed", run.stdout), run.stdout + run.stderr


def test_the_first_commands_are_those_that_new_plugin_tells():
    (first,) = [code for kind, code in BLOCKS if kind == "bash" and "new-plugin" in code]
    names = named(lines(first)[0][1], "scorer", installed())
    assert f"pip install -e {names.distribution}" in first and ["check", names.name] in lines(first)
    readme = files_of(names)["README.md"]
    assert "prunebench run --scorer late_loss --selector hardest" in first and "--scorer late_loss" in readme


# the pages


@pytest.fixture(scope="module")
def pages():
    spec = importlib.util.spec_from_file_location("plugin_pages", ROOT / "docs" / "plugin_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_hook_and_input_has_a_page_and_every_field_a_meaning(pages):
    hooks = [name for name in vars(hookspecs) if name.startswith("prunebench_")]
    there = {path.stem for path in (ROOT / "docs" / "plugins").glob("*.md")} - {"README"}
    assert there == {*hooks, *VALUES, *FUNCTIONS}
    for hook in hooks:
        record, _ = pages.RECORDS[hook]
        text = (ROOT / "docs" / "plugins" / f"{hook}.md").read_text()
        for field in record.__dataclass_fields__:
            assert re.search(rf"^\| `{field}` \| .+ \| .{{5,}} \|$", text, re.MULTILINE), f"{hook}: {field}"


def test_what_is_not_documented_is_refused(pages, monkeypatch, tmp_path):
    code = "from dataclasses import dataclass\n\n@dataclass\nclass Bare:\n    name: str  # told\n    size: int = 3\n"
    (tmp_path / "bare.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    import bare

    with pytest.raises(ValueError, match=r"Bare.size needs a comment"):
        pages.fields(bare.Bare)
    monkeypatch.setattr(hookspecs, "prunebench_models", lambda: [], raising=False)
    with pytest.raises(ValueError, match="must know the record of prunebench_models"):
        pages.plugin_pages(installed())


def test_a_page_tells_what_naming_it_means(pages):
    def told(name):
        return pages.input_page(name, installed())

    assert "a method that names it is not" in told("labels") and "as what is asked for is" in told("score")
    assert "| given to | selectors |" in told("budget") and "scorers and selectors" in told("images")
    assert "[`grand`](../methods/grand.md)" in told("network") and "network(run: int = 0" in told("network")
