"""What travels to a worker and what comes back: names and short texts; results travel through the store."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from traceback import extract_tb
from typing import Any, Literal, Protocol

from ..errors import PrunebenchError, StoreError, kind_and_text

Record = tuple[str, str]  # (kind, id) of a record in the store


@dataclass(frozen=True)
class Task:
    """One piece of work: ``work(setting, **args)`` in a worker, which leaves a record in the store.

    Attributes:
        key: names everything that can change the result; tasks of one key are one task.
        work: "package.module:function"; it returns the (kind, id) of the record it leaves, or None.
        args: JSON.
        needs: keys of the tasks that must be done before.
        name: for people.
    """

    key: str
    work: str
    args: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    ``done``: its ``record`` is said to stand. ``raised``: its work failed, in one sentence. ``died``: its process ended
    or the record it told of is not there. ``timeout``: it took longer than it may. ``storage``: the store failed.
    """

    kind: Literal["done", "raised", "died", "timeout", "storage"]
    told: str = ""
    notes: tuple[str, ...] = ()
    record: Record | None = None

    @property
    def done(self) -> bool:
        return self.kind == "done"


class Backend(Protocol):
    """Where tasks run. One task at a time in a process; a process that dies costs its task and nothing else."""

    def slots(self) -> int:
        """How many more tasks may be started now."""

    def start(self, task: Task) -> None: ...

    def poll(self, seconds: float) -> list[tuple[str, Outcome]]:
        """(key, outcome) of the tasks that ended; waits at most so long for the first of them."""

    def kill(self, key: str) -> None:
        """End a task that is under way, with every process it started. It is not heard of again."""

    def close(self) -> None:
        """End everything at once; nothing is left behind."""


def perform_alone(setting: Any, task: Task) -> Outcome:
    """`perform` in a worker, where nothing can come from outside: whatever a task does, it ends in an outcome."""
    try:
        return perform(setting, task)
    except BaseException as failure:
        return Outcome("raised", describe(failure), tuple(_places(failure)))


def perform(setting: Any, task: Task) -> Outcome:
    """The same code in every backend; an interrupt of this process is the caller's, not the task's."""
    try:
        module, _, function = task.work.partition(":")
        record = getattr(importlib.import_module(module), function)(setting, **task.args)
    except StoreError as failure:
        return Outcome("storage", str(failure))
    except (Exception, SystemExit, GeneratorExit) as failure:  # who leaves must not look like one that is done
        return Outcome("raised", describe(failure), (*getattr(failure, "__notes__", ()), *_places(failure)))
    return Outcome("done", record=record)


def describe(failure: BaseException) -> str:
    """One line: the sentence of our own errors, kind and message of others."""
    told = str(failure) if isinstance(failure, PrunebenchError) else kind_and_text(failure)
    return " ".join(told.split())[:2000]


def _places(failure: BaseException) -> list[str]:
    """Where an unexpected failure came from, innermost last, without folders of this machine."""
    if isinstance(failure, PrunebenchError) and failure.__cause__ is None:
        return []
    root = failure.__cause__ or failure
    return [f"{PurePath(at.filename).name}:{at.lineno} in {at.name}" for at in extract_tb(root.__traceback__)[-8:]]
