"""The program on one screen: what stands is read; the rest is scored, selected, trained, and told of."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .errors import CellError, StoreError, UserError
from .execution.graph import graph
from .execution.ray_access import endpoint
from .execution.steps import Opened, standing_trial
from .execution.supervisor import supervise
from .execution.tasks import Backend, Outcome, Task
from .harness.shared import Harness
from .harness.trials import read_trial
from .planning.plans import Cell, Plan, cell_id, cells, for_workers, open_harness
from .types import TrialResult

log = logging.getLogger("prunebench")
EXECUTORS = ("here", "local", "ray")
UNKNOWN = 16  # how many jobs a cluster of unknown size is taken to do side by side, where scorings are cut


@dataclass(frozen=True)
class Workers:
    """Where the work of a run is done; the records do not depend on it.

    ``here``: in this process, one piece after the other. ``local``: in worker processes of this machine; a script that
    asks for these keeps what it runs under ``if __name__ == "__main__":``, as they import it. ``ray``: on the Ray
    cluster at an address, or on one that is started here (``local``).

    Raises:
        UserError: there is no such executor, or it cannot do what is asked.
    """

    executor: str = "here"
    jobs: int = 1  # pieces of work side by side; 0: as many as a Ray cluster has room for
    timeout: float | None = None  # seconds that one piece may take
    ray_address: str = "local"

    def __post_init__(self) -> None:
        if self.executor not in EXECUTORS:
            raise UserError(
                f"the executor must be {', '.join(EXECUTORS[:-1])} or {EXECUTORS[-1]}, got {self.executor!r}"
            )
        if self.jobs < 0 or (self.jobs == 0 and self.executor != "ray"):
            raise UserError(f"the executor's jobs must be at least 1, got {self.jobs}")
        if self.timeout is not None and not self.timeout > 0:
            raise UserError(f"the executor's timeout must be more than 0 seconds, got {self.timeout:g}")
        if self.executor == "here" and (self.jobs > 1 or self.timeout is not None):
            raise UserError("jobs and a timeout need worker processes: take the executor 'local' or 'ray'")
        if endpoint(self.ray_address) and self.executor != "ray":
            raise UserError("--ray-address needs --executor ray")

    def backend(self, harness: Harness, plan: Plan) -> Backend:
        if self.executor == "here":
            from .execution.inline import Inline

            return Inline(Opened(plan, harness))
        if self.executor == "local":
            from .execution.local import Local, devices_for

            return Local(for_workers(plan, self.jobs), self.jobs, devices=devices_for(plan.device))
        from .execution.on_ray import OnRay
        from .execution.ray_nodes import needs_of

        there = replace(for_workers(plan, 2), device=harness.device.type)  # which GPU, Ray says
        return OnRay(there, self.jobs, self.ray_address, needs_of(harness, plan))


def run(plan: Plan, workers: Workers | None = None, *, harness: Harness | None = None) -> Iterator[TrialResult]:
    """Every cell of the plan: what stands in the store is read, the rest is computed and stored.

    A cell that fails is noted in the store and the others go on; with ``plan.fail_fast`` its error is raised.

    Args:
        workers: where; default here.
        harness: of this plan, where it is open already.

    Raises:
        UserError: what the user must change, before any cell starts.
        StoreError: the store cannot be written.
    """
    harness = harness or open_harness(plan)
    missing, noted = list[Cell](), harness.store.failed()
    for cell in cells(plan, harness):
        result = standing_trial(harness, plan, cell)
        if result is None:
            missing.append(cell)
        else:
            if noted and (failed := cell_id(harness, plan, cell)) in noted:
                harness.store.forget_failure(failed)
            yield result
    if missing:
        yield from _computed(harness, plan, missing, workers or Workers())


def _computed(harness: Harness, plan: Plan, missing: Sequence[Cell], workers: Workers) -> Iterator[TrialResult]:
    work = graph(harness, plan, missing, workers.jobs or UNKNOWN)
    tasks = [task for task, _ in work.values()]

    def stands(task: Task, outcome: Outcome) -> bool:
        return outcome.record is None or harness.store.by_id(*outcome.record) is not None

    for task, outcome in supervise(tasks, workers.backend(harness, plan), stands, workers.timeout):
        cell = work[task.key][1]
        if outcome.kind == "storage":
            raise StoreError(outcome.told)
        if not outcome.done and cell is not None:
            note_failure(harness, plan, cell, outcome, tell=not plan.fail_fast)
            if plan.fail_fast:
                raise CellError(f"{cell.name}: {outcome.told}")
        if outcome.done and cell is not None:
            assert outcome.record is not None
            record = harness.store.by_id(*outcome.record)
            assert record is not None
            harness.store.forget_failure(cell_id(harness, plan, cell))
            yield read_trial(record)


def note_failure(harness: Harness, plan: Plan, cell: Cell, outcome: Outcome, tell: bool = True) -> None:
    """Say in the store, and in the log, why a cell has no number."""
    if tell:
        log.error("failed: %s: %s", cell.name, outcome.told)
    noted: dict[str, Any] = {
        "error": outcome.told,
        "kind": outcome.kind,
        "notes": list(outcome.notes),
        "dataset": harness.dataset.name,
        "fingerprint": harness.dataset.fingerprint,
        **{"train_budget": plan.budget, "image_size": harness.dataset.image_size, "steps": plan.steps},
        **{name: getattr(cell, name) for name in ("scorer", "selector", "keep", "model", "seed")},
        "provenance": harness.provenance(),
    }
    harness.store.note_failure(cell_id(harness, plan, cell), noted)
