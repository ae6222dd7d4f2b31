"""docs/submit.md: every command in it is run, in its order, and its workflow is what it says."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from trainings import QUICK

from prunebench.bundles.schemas import SCHEMAS, schema
from prunebench.cli import main
from prunebench.console import reporting
from prunebench.running import Workers

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "submit.md").read_text()
SMALL = [
    "--dataset",
    QUICK.dataset,
    "--model",
    "test_resnet",
    "--reference",
    "test_resnet",
    "--threads",
    "1",
    "--steps",
    "4",
]


def commands():
    """Every line of the blocks of shell commands, as arguments."""
    blocks = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def test_every_command_of_the_page(tmp_path, monkeypatch, capsys):
    """As they stand there, on a data set of sixty pictures where they train."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reporting, "Workers", lambda *how: Workers())  # here: a worker process takes seconds to begin
    np.save("mine.npy", np.arange(0, 60, 2))
    asked = commands()
    assert [words[1] for words in asked] == [
        *("run", "submit", "verify", "train", "submit", "verify", "leaderboard", "leaderboard")
    ]
    for words in asked:
        program, *args = words
        assert program == "prunebench"
        args = [str(path) for arg in args for path in (sorted(Path().glob(arg)) if "*" in arg else [arg])]
        more = (
            SMALL
            if args[0] == "train"
            else [*SMALL, "--reference-epochs", "1", "--jobs", "1"]
            if args[0] == "run"
            else []
        )
        main([*args, *more])
    told = capsys.readouterr()
    assert "Traceback" not in told.err and told.out.count(": sound") == 2
    assert "index file" in told.out and "aum + ccs (reported)" not in told.out  # they stand in `runs`
    page = (tmp_path / "site" / "index.html").read_text()
    assert "reported" in page and "aum" in page


def test_the_workflow_names_commands_and_options_that_there_are():
    from prunebench.cli import cli

    (workflow,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    found = re.findall(r"prunebench (\w+)([^|\n]*)", workflow)
    assert [name for name, _ in found] == ["verify", "verify", "leaderboard"]
    for name, rest in found:
        known = {option for param in cli.commands[name].params for option in param.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= known
    assert "${{ github." not in workflow  # nothing that a stranger wrote is put into a shell


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_schemas_and_named_by_the_page_of_files(name):
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(schema(name))
    assert schema(name)["additionalProperties"] is False
    assert f"schemas/{name}.json" in (ROOT / "docs" / "files.md").read_text()


def test_a_renamed_file_is_a_changed_one():
    assert PAGE.count("git diff") == PAGE.count("git diff --no-renames") == 2
