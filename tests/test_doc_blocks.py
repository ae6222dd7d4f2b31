"""Every fenced block of README and docs is run, or checked as far as a test can: none is passed over."""

import ast
import importlib.util
import json
import re
import subprocess
import tomllib
from pathlib import Path

import click
import pytest
import yaml
from doc_blocks import FENCE, ROOT, blocks_of, commands, console, pages, parsed
from doc_stage import VARIABLES, build, filled, planned, shortened

from prunebench import UserError

PAGES = {path.relative_to(ROOT).as_posix(): blocks_of(path) for path in pages()}
BLOCKS = [block for found in PAGES.values() for block in found]
KINDS = ("bash", "console", "python", "toml", "yaml", "json", "text", "bibtex")

# Pages whose blocks are files and commands of one story, which another test follows from the first to the last.
FOLLOWED = {
    "docs/deepcore.md": "plugins/deepcore/tests/test_doc_commands.py",
    "docs/plugins.md": "tests/test_plugin_tutorial.py",
    "docs/recorder.md": "tests/test_docs_recorder.py",
    "docs/ten_minutes.md": "tests/test_transcript.py",
    "plugins/deepcore/README.md": "plugins/deepcore/tests/test_doc_commands.py",
    "examples/churn/README.md": "tests/test_plugin_packages.py",
    "examples/gumbel/README.md": "tests/test_plugin_packages.py",
    "examples/knn_distance/README.md": "tests/test_plugin_packages.py",
}
# Commands that the command line's own parser reads and nothing runs, by how they begin, and why.
PARSED = {
    "datasets cache imagenet": "1.28 million pictures; test_datasets_cache.py makes and verifies caches",
    "datasets verify imagenet": "the same",
    "import data_score.pt --as scores --array el2n --hard high --dataset cifar10": "needs CIFAR-10; test_interop.py",
    "import coreset.txt --as selection --dataset cifar10": "the same",
    "recipe run --all": "test_experiments.py resolves every plan; a minute here",
    "recipe run drd-table1 --out": "minutes; the command before it on the page is its plan",
    "recipe run drd-table1 --profile paper": "needs ImageNette",
    "run --method all --dataset folder:/shared/pictures": "needs a Ray cluster; test_execution_ray.py starts one",
    "drd pretrain": "20 s however small, for its sheets of pictures; plugins/drd/tests",
    "drd explain --scores s.npz --out sheet.png": "wants DRD's scores, which the page does not make; docs/drd.md does",
}
# Commands that train for many minutes, of which the plan is made: `--dry-run` stands behind their words.
RIVALS = "run --scorer forgetting --scorer el2n"
PLANNED = ("run --method all", "run --scorer drd", RIVALS, "run --scorer accumulated_margin --scorer aum")
# Other programs, and why nothing but the shell's grammar is looked at.
OTHERS = {
    "python3": "`-m venv`, of the standard library",
    "git": "needs a network",
    "xargs": "the prunebench command that it calls is looked at by itself",
    "sed": "tests/test_transcript.py runs it",
    **dict.fromkeys(("test", "cd", "export", "chmod"), "of the shell"),
}
SIGNATURES = "docs/plugins/"  # pages whose Python is the signature of what a method is given


def every_command():
    """(block, words) of each command in the shell blocks, the prompts and the CI steps of all pages."""
    for block in BLOCKS:
        for script in scripts(block):
            for words in commands(script, VARIABLES):
                yield block, words


def scripts(block):
    if block.kind == "bash":
        return [block.code]
    if block.kind == "console":
        return [console(block.code)]
    return steps(yaml.safe_load(block.code)) if block.kind == "yaml" else []


def steps(value):
    """The values of ``run`` in a CI file."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [s for name, one in inside for s in ([one] if name == "run" else steps(one))]


def ours(words):
    """The words after ``prunebench``, wherever it stands in a command; None where it does not."""
    at = next((i for i, word in enumerate(words) if Path(word).name == "prunebench"), None)
    return None if at is None else words[at + 1 :]


def begins(words, those):
    return next((start for start in those if " ".join(words).startswith(start)), None)


RUN = {}  # page -> (place, words) of what is run on it
for _block, _words in every_command():
    if _block.page not in FOLLOWED and _block.kind == "bash" and (_mine := ours(_words)) is not None:
        RUN.setdefault(_block.page, []).append((_block.place, _mine))


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    return build(tmp_path_factory.mktemp("docs") / "stage")


@pytest.fixture
def here(stage, bundle, tmp_path, monkeypatch):
    """The working folder is a copy of the stage, and what trains does so in this process."""
    from prunebench.console import reporting
    from prunebench.running import Workers

    monkeypatch.chdir(filled(stage, tmp_path / "stage", bundle.parent / "runs"))
    monkeypatch.setattr(reporting, "workers_for", lambda *given: Workers("here"))


def call(words):
    from prunebench.cli import main
    from prunebench.registry import leave_out

    try:
        main(words)
    except SystemExit as left:
        return left.code or 0
    finally:
        leave_out(())
    return 0


@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_run(page, here, capfd):
    for place, words in RUN[page]:
        if not begins(words, PARSED):
            asked = planned(words) if begins(words, PLANNED) else shortened(words)
            code = call(asked)
            told = capfd.readouterr()
            assert code == 0 and told.out + told.err, f"{place}: prunebench {' '.join(asked)}: {told.err}"


def test_every_command_is_one_of_ours_with_options_that_it_has(stage, monkeypatch):
    from prunebench.cli import cli

    monkeypatch.chdir(stage)
    for block, words in every_command():
        if (mine := ours(words)) is not None:
            try:
                parsed(cli, mine)
            except (click.ClickException, UserError) as wrong:
                pytest.fail(f"{block.place}: prunebench {' '.join(mine)}: {wrong}")


def test_methods_that_commands_name_are_there(stage, monkeypatch):
    from prunebench.cli import cli
    from prunebench.registry import installed

    monkeypatch.chdir(stage)
    made = {"late_loss", "late_entropy", "restless", "churn", "knn_distance", "gumbel(sharpness=3)"}  # by the pages
    seen = 0
    for _, words in every_command():
        if (mine := ours(words)) is None:
            continue
        params = parsed(cli, mine).params
        for kind, name in (("scorer", "scorers"), ("selector", "selectors"), ("scorer", "scorer")):
            for text in params.get(name) if isinstance(params.get(name), tuple) else [params.get(name)]:
                if text and text not in made:
                    assert installed().method(kind, text).text
                    seen += 1
    assert seen > 20


def test_every_other_program_is_known():
    for block, words in every_command():
        program = Path(words[0]).name
        if ours(words) is not None or program in OTHERS:
            continue
        assert program in OTHER_CHECKS, f"{block.place}: {program} is run by no test: say in OTHERS why"
        OTHER_CHECKS[program](block, words[1:])


def pip(block, words):
    """pip's own parser reads it, and what it is to install stands in this clone, or the page makes it."""
    from pip._internal.commands import create_command

    given, rest = create_command(words[0]).parse_args(words[1:])
    for path in given.editables:
        there = (ROOT / path.partition("[")[0] / "pyproject.toml").is_file()
        assert there or path in ("prunebench-late-loss", "prunebench-restless"), f"{block.place}: pip install {path}"
    assert all(name == "$PRUNEBENCH" for name in rest), block.place


def ray(block, words):
    """Its own parser reads it; no cluster is started."""
    parsed(pytest.importorskip("ray.scripts.scripts").cli, words)


def python(block, words):
    """A program of this clone takes the options; test_docs.py has it write its tables."""
    if words[:2] == ["-m", "pytest"]:
        return pytest_of(block, words[2:])
    path = ROOT / words[0]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert words[1::2] == ["--rate"] * len(words[2::2]), block.place
    assert dict(map(module.rate, words[2::2])), block.place


def pytest_of(block, words):
    """The folder is there, and knows the options; the benchmarks take hours. README's second command is CI's own."""
    folders = [word for word in words if not word.startswith("-")]
    known = "".join((ROOT / folder / "conftest.py").read_text() for folder in folders if block.page not in FOLLOWED)
    for option in words if known else ():
        assert option in folders or f'addoption("{option}"' in known, f"{block.place}: {option}"


def deepcore(block, words):
    """In its plugin's own tests."""
    assert block.page in FOLLOWED


OTHER_CHECKS = {"pip": pip, "ray": ray, "python": python, "pytest": pytest_of, "prunebench-deepcore": deepcore}


def test_every_block_is_of_a_kind_that_is_looked_at():
    for block in BLOCKS:
        assert block.kind in KINDS, f"{block.place} begins with ```{block.kind}: say what it is, of {', '.join(KINDS)}"
    assert {block.kind for block in BLOCKS} >= set(KINDS) - {"json"}


@pytest.mark.parametrize("page", [page for page, found in PAGES.items() if any(b.kind == "bash" for b in found)])
def test_a_shell_can_read_it(page):
    for block in PAGES[page]:
        if block.kind == "bash":
            run = subprocess.run(["bash", "-n"], input=block.code, capture_output=True, text=True)
            assert run.returncode == 0, f"{block.place}: {run.stderr}"


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.kind in ("toml", "yaml", "json")], ids=lambda b: b.place)
def test_data_can_be_read(block):
    read = {"toml": tomllib.loads, "yaml": yaml.safe_load, "json": json.loads}[block.kind]
    assert isinstance(read(block.code), dict | list)


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.kind == "python" and b.page not in FOLLOWED], ids=lambda b: b.place
)
def test_python_runs(block, here):
    if block.page.startswith(SIGNATURES):
        (shown,) = ast.parse(block.code).body
        assert isinstance(shown, ast.FunctionDef) and shown.name == Path(block.page).stem and ast.get_docstring(shown)
    else:
        exec(compile(block.code, block.place, "exec"), {"__name__": "page"})


def test_text_and_indented_lines_hide_no_command():
    """What is typed stands in a block of its language, so that it is run; text is what a program prints."""
    typed = re.compile(
        r"^(\$ |pip |python3? |import |git |\.venv/)|^prunebench (?!.*(\[OPTIONS\]|COMMAND))", re.MULTILINE
    )
    for block in BLOCKS:
        assert block.kind != "text" or not typed.search(block.code), f"{block.place} is no text"
    for path in pages():
        outside = FENCE.sub("", path.read_text())
        assert not re.search(r"^(    |\t)(\$ |pip |prunebench |\.venv/)", outside, re.MULTILINE), path


def test_what_is_passed_over_is_there():
    """A page that is followed elsewhere, and a beginning of commands in a table, is one of today's."""
    for page, test in FOLLOWED.items():
        assert PAGES[page] and (ROOT / test).is_file(), page
    asked = [words for found in RUN.values() for _, words in found]
    for start in (*PARSED, *PLANNED):
        assert any(begins(words, [start]) for words in asked), f"no page has the command {start!r} any more"
    programs = {Path(words[0]).name for _, words in every_command()}
    assert programs >= set(OTHERS)
