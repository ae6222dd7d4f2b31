"""Cells in worker processes: one cell at a time each, a worker's death costs its cell and nothing else.

The plan, cells and ids travel to them; results travel through the store and do not depend on the number of workers.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from .display import Lines
from .errors import CellError, PrunebenchError
from .harness import Harness
from .running import Cell, Plan, attempt, cells, note_failure, open_harness, without_display
from .terminal import InertStream
from .trials import read_trial
from .types import TrialResult

ATTEMPTS = 2  # of a cell whose worker dies; one that raised is not tried again


def run_jobs(plan: Plan, harness: Harness, jobs: int) -> Iterator[TrialResult]:
    """`run` over ``jobs`` worker processes; results come as they are done.

    Raises:
        PrunebenchError: the error of a worker that could not go on, or with ``fail_fast`` of the first failed cell.
    """
    todo, tries = scorers_first(cells(plan, harness), plan.score_seeds), dict[Cell, int]()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["prunebench.running", "prunebench.training"])
    workers: list[_Worker] = []
    try:
        while todo or workers:
            while todo and len(workers) < jobs:
                workers.append(_Worker.start(context, plan))
            _give_work(workers, todo)
            for worker in [w for w in workers if w.ready()]:
                try:
                    result = worker.take(harness)
                except EOFError:
                    workers.remove(worker)
                    _bury(worker, harness, plan, todo, tries)
                    continue
                if result is not None:
                    yield result
            _dismiss(workers, todo)
    finally:
        for worker in workers:
            worker.stop()


def scorers_first(todo: Sequence[Cell], score_seeds: int) -> list[Cell]:
    """One cell of every scoring, then those that need no scores, then the rest: nobody waits for scores in idleness."""
    scorings: set[tuple[str, int]] = set()
    first, free, rest = list[Cell](), list[Cell](), list[Cell]()
    for cell in todo:
        scoring = (str(cell.scorer), cell.seed % score_seeds)
        (free if cell.scorer is None else rest if scoring in scorings else first).append(cell)
        scorings.add(scoring)
    return [*first, *free, *rest]


@dataclass(eq=False)
class _Worker:
    process: Any
    pipe: Connection
    cell: Cell | None = None

    @classmethod
    def start(cls, context: Any, plan: Plan) -> _Worker:
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(without_display(plan), theirs), daemon=True)
        process.start()
        theirs.close()
        return cls(process, ours)

    def ready(self) -> bool:
        return self.cell is not None and self.pipe.poll()

    def take(self, harness: Harness) -> TrialResult | None:
        kind, told = self.pipe.recv()
        self.cell = None
        if kind == "raised":
            raise told
        record = harness.store.by_id("trials", told) if told else None
        return read_trial(record) if record else None

    def stop(self) -> None:
        self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()


def _give_work(workers: Sequence[_Worker], todo: list[Cell]) -> None:
    for worker in workers:
        if worker.cell is None and todo:
            worker.cell = todo.pop(0)
            worker.pipe.send(worker.cell)
    wait([w.pipe for w in workers if w.cell is not None], timeout=1.0)


def _dismiss(workers: list[_Worker], todo: Sequence[Cell]) -> None:
    for worker in [w for w in workers if w.cell is None and not todo]:
        worker.stop()
        workers.remove(worker)


def _bury(worker: _Worker, harness: Harness, plan: Plan, todo: list[Cell], tries: dict[Cell, int]) -> None:
    worker.process.join(5)
    cell = worker.cell
    assert cell is not None
    tries[cell] = tries.get(cell, 0) + 1
    if tries[cell] < ATTEMPTS:
        todo.insert(0, cell)
        return
    failure = CellError(f"the worker died with exit code {worker.process.exitcode}, {ATTEMPTS} times")
    note_failure(harness, plan, cell, failure)
    if plan.fail_fast:
        raise failure


def _work(plan: Plan, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told, and stops its workers
    sys.stdout, sys.stderr = InertStream(sys.stdout), InertStream(sys.stderr)
    plan = replace(plan, progress=Lines(sys.stderr))
    harness = None
    while True:
        try:
            cell = pipe.recv()
        except EOFError:
            return
        try:
            harness = harness or open_harness(plan)
            result = attempt(harness, plan, cell)
            pipe.send(("done", result.id if result else None))
        except PrunebenchError as failure:
            pipe.send(("raised", failure))
