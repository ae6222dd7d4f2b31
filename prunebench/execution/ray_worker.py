"""What happens on a Ray node: one task, what it says in a file, and word of how it failed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

from .tasks import Outcome, Task, perform_alone


def perform_there(setting: bytes, task: Task, folder: str, said: str) -> Outcome:
    """`perform` on a node, in the folder in which the run was started; what is said there goes to the file ``said``.

    A process in which a task failed may be spoilt (a CUDA error stays): it leaves word beside ``said`` and ends.
    """
    os.chdir(folder)
    word_of(Path(said)).unlink(missing_ok=True)  # of an earlier run, whose driver was killed before it heard
    with _saying(Path(said)):
        outcome = perform_alone(ForkingPickler.loads(setting), task)
    if not outcome.done:
        new = Path(f"{word_of(Path(said))}.{os.getpid()}")
        new.write_text(json.dumps({"kind": outcome.kind, "told": outcome.told, "notes": outcome.notes}), "utf-8")
        new.replace(word_of(Path(said)))
        os._exit(1)
    Path(said).unlink(missing_ok=True)
    return outcome


def word_of(said: Path) -> Path:
    """Where a process that ends by itself leaves the outcome of its task."""
    return said.with_suffix(".json")


def heard(said: Path) -> Outcome | None:
    """The outcome that a process left, once."""
    try:
        told = json.loads(word_of(said).read_text("utf-8"))
    except FileNotFoundError:
        return None
    word_of(said).unlink(missing_ok=True)
    return Outcome(told["kind"], told["told"], tuple(told["notes"]))


@contextmanager
def _saying(path: Path) -> Iterator[None]:
    """Standard output and error of this process and its children, in a file."""
    path.parent.mkdir(exist_ok=True)
    before = os.dup(1), os.dup(2)
    with path.open("ab") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for standard, old in zip((1, 2), before, strict=True):
            os.dup2(old, standard)
            os.close(old)
