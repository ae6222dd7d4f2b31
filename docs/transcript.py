"""Writes docs/ten_minutes.md: `python docs/transcript.py`, from an idea to a row of the leaderboard, as it went.

Every command is run by a shell in a fresh virtual environment, which finds what prunebench depends on where this
interpreter has it; prunebench and its plugin are installed there without asking any index. The page has the commands,
what they printed (long output shortened, and it says by how much) and the seconds that each took.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
import time
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "ten_minutes.md"
HEAD, TAIL = 8, 26  # lines of a long output that are shown, from its beginning and from its end
FOLDER = "prunebench-restless"
TITLE = "# From an idea to a row in ten minutes"
BEGINNING = """A stranger has an idea for a score: *what is hard is what the network keeps changing its mind about, also
late in training*. From there to a row of the leaderboard and its pages took {total:.0f} seconds of commands on {cores}
CPU cores that had other work to do; the rest is typing. Below is every command with what it printed, the long ones
shortened, in a fresh virtual environment in which prunebench was installed (README's first command).
`python docs/transcript.py` runs it all again and writes this page. The pieces are explained in
[Write a plugin](plugins.md)."""
METHOD = '''"""Restlessness: how much the network still changes its mind about an example late in training.

    score(i) = 1 / (R W) sum_r sum_{e = E-W}^{E-1} |p_{r,e+1}(y_i | x_i) - p_{r,e}(y_i | x_i)|      W = min(last, E-1)

p_{r,e} is the reference network of run r while it is trained in epoch e. What is learned stays learned; what is hard is
won and lost again. Time O(R W N); memory: those W + 1 epochs in float64, and their differences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench import UserError

if TYPE_CHECKING:
    from torch import Tensor


def restless(history: Tensor, *, last: int = 5) -> Tensor:
    """Mean absolute change of the label's probability over the last epochs.

    Args:
        history: (R, E, N) float32, the probability of every example's label when it was presented.
        last: W, how many of the last changes count; more than there are count as all.

    Returns:
        (N,) float64 in [0, 1], high = hard.

    Raises:
        UserError: ``last`` is below 1, or the training has one epoch.
    """
    if last < 1 or history.shape[1] < 2:
        raise UserError(f"last must be at least 1 and the training two epochs, got {last} and {history.shape[1]}")
    return history[:, -last - 1 :].double().diff(dim=1).abs().mean(dim=(0, 1))
'''
TEST = '''"""The method against a case worked out by hand, and prunebench's contract."""

import pytest
import torch
from prunebench_restless import prunebench_scorers
from prunebench_restless.restless import restless

from prunebench.testing import checks


@pytest.mark.parametrize("title, check", [pair for record in prunebench_scorers() for pair in checks(record)])
def test_contract(title, check):
    check()


def test_two_examples_by_hand():
    history = torch.tensor([[[0.0, 0.5], [1.0, 0.5], [0.5, 0.75]]])  # one run, three epochs
    assert restless(history).tolist() == [0.75, 0.125]
    assert restless(history, last=1).tolist() == [0.5, 0.25]
'''
FILES = {f"{FOLDER}/prunebench_restless/restless.py": METHOD, f"{FOLDER}/tests/test_restless.py": TEST}


@dataclass(frozen=True)
class Step:
    """One heading of the page: what is said, files that are written, and the command that is run."""

    heading: str
    said: str
    command: str
    files: tuple[str, ...] = ()
    code: int = 0  # what it ends with


STEPS = (
    Step("A package", "`new-plugin` writes one that works as it is.", "prunebench new-plugin restless"),
    Step(
        "The idea",
        "The method goes into the file that is there for it, and its case by hand into the test. The record in "
        "`__init__.py` says what the reference training is to record: no longer the loss, but the label's probability.",
        f"""sed -i 's/watch="loss"/watch="true_probability"/' {FOLDER}/prunebench_restless/__init__.py""",
        files=tuple(FILES),
    ),
    Step(
        "Installed",
        "`pip install -e prunebench-restless` is all it takes; the two options keep pip from asking an index for what "
        "is installed already.",
        f"pip install -q --no-deps --no-build-isolation -e {FOLDER} && prunebench ls restless",
    ),
    Step("The contract", "", "prunebench check restless", code=4),
    Step(
        "What failed, mended",
        "The record that `new-plugin` wrote promises 64 bytes per example, and differences of epochs take more: say "
        "so, and check again.",
        f"sed -i 's/bytes_per_example=64/bytes_per_example=96/' {FOLDER}/prunebench_restless/__init__.py "
        "&& prunebench check restless",
    ),
    Step("Its own tests", "The contract once more, and the case by hand.", f"python -m pytest -q {FOLDER}"),
    Step(
        "A row of the leaderboard",
        "On scikit-learn's scanned digits, beside the random rows and full data, three seeds each. `--threads 1` lets "
        "two trainings run side by side on two cores.",
        "prunebench run --scorer restless --selector hardest --selector ccs --keep 0.2 --threads 1",
    ),
    Step(
        "As pages",
        "Tables, curves, the method's card and every record; they open from disk.",
        "prunebench leaderboard runs --format html --out site",
    ),
)


def environment(folder: Path) -> dict[str, str]:
    """A fresh virtual environment with prunebench and DRD, and the variables of a shell in which it is active."""
    venv.create(folder, with_pip=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    (packages / "dependencies.pth").write_text("".join(f"{path}\n" for path in sys.path if "site-packages" in path))
    left_out = ("PYTHONPATH", "VIRTUAL_ENV", "COLUMNS")
    found = {name: value for name, value in os.environ.items() if name not in left_out}
    found |= {"PATH": f"{folder / 'bin'}{os.pathsep}{found['PATH']}", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    older = "pip uninstall -q -y setuptools"  # that of Python 3.11's venv
    install = f"pip install -q --no-deps --no-build-isolation -e {ROOT} -e {ROOT / 'plugins' / 'drd'}"
    run_in(folder, f"{older} && {install}", found)
    return found


def run_in(folder: Path, command: str, variables: dict[str, str], code: int = 0) -> str:
    """What a command printed.

    Raises:
        SystemExit: it ended otherwise than with ``code``.
    """
    run = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if run.returncode != code:
        raise SystemExit(f"{command} ended with {run.returncode}, not {code}:\n{run.stdout}")
    return run.stdout


def shortened(text: str) -> str:
    """The first `HEAD` and the last `TAIL` lines of what was printed, with a line that says how many are left out."""
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    if len(lines) <= HEAD + TAIL + 1:
        return "\n".join(lines)
    return "\n".join([*lines[:HEAD], f"[... {len(lines) - HEAD - TAIL} lines ...]", *lines[-TAIL:]])


def section(number: int, step: Step, printed: str, seconds: float) -> str:
    """One step as it stands on the page."""
    parts = [f"## {number}. {step.heading}", textwrap.fill(step.said, 120)]
    parts += [f"`{name}`:\n\n```python\n{FILES[name]}```" for name in step.files]
    ended = f"; it ended with exit code {step.code}" if step.code else ""
    shell = "\n".join(filter(None, (f"$ {step.command}", shortened(printed))))
    parts += [f"```console\n{shell}\n```", f"{seconds:.1f} s{ended}."]
    return "\n\n".join(filter(None, parts)) + "\n"


def page(told: list[tuple[str, float]]) -> str:
    """The whole page, of what each step printed and its seconds."""
    sections = [section(i, step, *one) for i, (step, one) in enumerate(zip(STEPS, told, strict=True), 1)]
    total = sum(seconds for _, seconds in told)
    beginning = textwrap.fill(" ".join(BEGINNING.split()).format(total=total, cores=os.cpu_count()), 120)
    return "\n".join([f"{TITLE}\n", f"{beginning}\n", *sections])


def main() -> None:
    """Run every step in a folder of its own, and write the page."""
    with tempfile.TemporaryDirectory(prefix="prunebench-transcript-") as name:
        folder = Path(name) / "work"
        folder.mkdir()
        variables = environment(Path(name) / "venv")
        told = []
        for step in STEPS:
            for file in step.files:
                (folder / file).write_text(FILES[file])
            started = time.monotonic()
            printed = run_in(folder, step.command, variables, step.code)
            told.append((printed.replace(name, "..."), time.monotonic() - started))
            print(f"{told[-1][1]:6.1f} s  {step.command}", flush=True)
    PAGE.write_text(page(told))


if __name__ == "__main__":
    main()
