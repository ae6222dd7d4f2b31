"""The pages of docs/commands and docs/api are fresh, and say all that `--help` and the package offer."""

import importlib
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import prunebench
from prunebench.cli import cli

ROOT = Path(__file__).resolve().parents[1]
COMMANDS, API = ROOT / "docs" / "commands", ROOT / "docs" / "api"


@pytest.fixture
def pages_of(monkeypatch):
    """The pages that a module of docs/ writes, by path."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    return lambda name: getattr(importlib.import_module(name), name)()


def every_command(group=cli, words=()):
    """(words, command) of all commands, those in groups too."""
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            yield (*words, name), command
            if isinstance(command, click.Group):
                yield from every_command(command, (*words, name))


@pytest.mark.parametrize("words", [words for words, _ in every_command()], ids=" ".join)
def test_a_command_has_all_that_its_help_says(words):
    page = (COMMANDS / f"{words[0]}.md").read_text()
    called = " ".join(["prunebench", *words])
    section = re.split(r"^#+ `", page.partition(f" `{called}`\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    assert section, f"{words[0]}.md has no heading `{called}`"
    told = CliRunner().invoke(cli, [*words, "--help"], prog_name="prunebench", terminal_width=200)
    assert told.exit_code == 0 and told.output.startswith(f"Usage: {called}")
    for option in set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", told.output, re.MULTILINE)) - {"--help"}:
        assert f"{option} " in section or f"{option}`" in section, f"{words[0]}.md does not tell of {option}"
    assert section.split() and told.output.split("\n")[0].removeprefix("Usage: ") in section


def test_the_index_of_commands_names_all_codes_and_variables():
    text = (COMMANDS / "README.md").read_text()
    for words, _ in every_command():
        assert f"[`{words[0]}`]({words[0]}.md)" in text
    for code in (0, 1, 2, 3, 4, 130, 143):
        assert re.search(rf"^\| [\d, ]*\b{code}\b", text, re.MULTILINE), f"no exit code {code}"
    sources = [*(ROOT / "prunebench").rglob("*.py"), *(ROOT / "plugins").rglob("prunebench_*/*.py")]
    read = {name for path in sources for name in re.findall(r"\bPRUNEBENCH_[A-Z_]+\b", path.read_text())}
    assert read == set(re.findall(r"`(PRUNEBENCH_[A-Z_]+)`", text)) and len(read) > 3


def test_every_public_name_is_described_once_and_nothing_else():
    pages = {path: path.read_text() for path in API.glob("*.md") if path.name != "README.md"}
    headings = [name for text in pages.values() for name in re.findall(r"^## `(\w+)`$", text, re.MULTILINE)]
    assert sorted(headings) == sorted(set(prunebench.__all__) - {"__version__"})
    index = (API / "README.md").read_text()
    for path, text in pages.items():
        for name, told in re.findall(r"^## `(\w+)`\n\n(.+)", text, re.MULTILINE):
            assert f"[`{name}`]({path.name}#{name.lower()})" in index and told.strip(), name
    assert "0x" not in "".join(pages.values()), "an address in memory is another one tomorrow"


def test_the_pages_of_both_are_fresh(pages_of):
    written = pages_of("api_pages") | pages_of("command_pages")
    stale = [path.relative_to(ROOT).as_posix() for path, text in written.items() if _text(path) != text]
    assert not stale, f"{', '.join(stale)} are not what the program says: run `python docs/build.py`"
    gone = {path for folder in (API, COMMANDS) for path in folder.glob("*.md")} - set(written)
    assert not gone, f"nothing is called so: {gone}; run `python docs/build.py`"


def _text(path):
    return path.read_text() if path.is_file() else None


def test_a_name_without_a_topic_and_one_without_a_docstring_are_errors(pages_of, monkeypatch):
    with monkeypatch.context() as changed:
        changed.setattr(prunebench, "__all__", [*prunebench.__all__, "brand_new"])
        with pytest.raises(ValueError, match="brand_new"):
            pages_of("api_pages")
    with monkeypatch.context() as changed:
        changed.setattr(prunebench.budget_for, "__doc__", None)
        with pytest.raises(ValueError, match=r"prunebench\.budget_for needs a docstring"):
            pages_of("api_pages")
