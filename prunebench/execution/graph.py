"""The work of a plan as tasks that need each other: reference trainings, scoring shards, scores, selections, trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..harness.equal_cost import COST
from ..harness.shared import Harness
from ..planning.plans import Cell, Plan
from ..store import identify
from .steps import STEPS, scores_standing, selection_to_be
from .tasks import Task

WORK = "prunebench.execution.steps:perform"
MOST_SHARDS = 64


def graph(harness: Harness, plan: Plan, cells: Sequence[Cell], jobs: int = 1) -> dict[str, tuple[Task, Cell | None]]:
    """Tasks by key, each with the cell it trains if it is a trial, in the order in which they are to be started.

    One after the other, what a cell needs stands right before it. For several ``jobs`` what others wait for comes
    first, and a scorer that works in blocks is cut into shards; the first of these makes what all of them share.
    """
    parts = min(MOST_SHARDS, 4 * jobs) if jobs > 1 else 1
    found: dict[str, tuple[Task, Cell | None]] = {}
    scorings: dict[tuple[str, int], list[Task]] = {}  # looked for once, not for every cell
    for scorer, score_seed in dict.fromkeys((c.scorer, c.seed % plan.score_seeds) for c in cells if c.scorer):
        missing = scores_standing(harness, scorer, score_seed) is None
        scorings[scorer, score_seed] = list(_scoring(harness, plan, scorer, score_seed, parts)) if missing else []
    for cell in cells:
        for task, own in _tasks_of(harness, plan, cell, scorings):
            found.setdefault(task.key, (task, own))
    if jobs > 1:
        order = list(STEPS)
        return dict(sorted(found.items(), key=lambda item: order.index(item[1][0].args["step"])))
    return found


def _tasks_of(
    harness: Harness, plan: Plan, cell: Cell, scorings: Mapping[tuple[str, int], list[Task]]
) -> Iterator[tuple[Task, Cell | None]]:
    scoring = scorings[cell.scorer, cell.seed % plan.score_seeds] if cell.scorer else []
    yield from ((task, None) for task in scoring)
    needs = tuple(task.key for task in scoring[-1:])
    if cell.selector not in plan.of_everything and (needs or not _selection_stands(harness, plan, cell)):
        args = {name: getattr(cell, name) for name in ("scorer", "selector", "keep", "seed")}
        select = _task(harness, plan, "select", args, needs, f"select {cell.method} keep {cell.keep:g}")
        yield select, None
        needs = (select.key,)
    if plan.budget == COST and (cell.selector, cell.seed) != ("full", 0):
        needs = (*needs, _training(harness, plan, Cell(None, "full", 1.0, cell.model, 0)).key)  # tells how long it is
    yield _training(harness, plan, cell, needs), cell


def _training(harness: Harness, plan: Plan, cell: Cell, needs: tuple[str, ...] = ()) -> Task:
    args = {name: getattr(cell, name) for name in ("scorer", "selector", "keep", "model", "seed")}
    return _task(harness, plan, "trial", args, needs, cell.name)


def _selection_stands(harness: Harness, plan: Plan, cell: Cell) -> bool:
    wanted = selection_to_be(harness, plan, cell.scorer, cell.selector, cell.keep, cell.seed)
    return wanted is not None and harness.store.by_id("selections", wanted.id) is not None


def _scoring(harness: Harness, plan: Plan, scorer: str, score_seed: int, parts: int) -> Iterator[Task]:
    """The tasks of one scoring, the score itself last."""
    method = harness.registry.method("scorer", scorer)
    needs: list[str] = []
    if "history" in method.needs:
        for run in range(int(method.options.get("runs", 1))):
            args: dict[str, Any] = {"score_seed": score_seed, "run": run}
            train = _task(harness, plan, "train", args, (), f"reference training {run} of scoring {score_seed}")
            yield train
            needs.append(train.key)
    args = {"scorer": scorer, "score_seed": score_seed}
    if "blocks" in method.needs and parts > 1:
        first = tuple(needs)
        for part in range(parts):
            cut = {**args, "part": part, "of": parts}
            shard = _task(harness, plan, "shard", cut, first, f"{method.label}, shard {part} of {parts}")
            yield shard
            needs.append(shard.key)
            first = first if part else (*first, shard.key)
    plugin = method.entry.plugin
    name = f"score {method.label} ({plugin.distribution} {plugin.version})"
    yield _task(harness, plan, "score", args, tuple(needs), name)


def _task(harness: Harness, plan: Plan, step: str, args: dict[str, Any], needs: tuple[str, ...], name: str) -> Task:
    """Within one store two plans differ in more than a task holds, so its key holds the conditions of both."""
    told = {"step": step, **args}
    shared = [harness.dataset.fingerprint, harness.conditions(), harness.reference_conditions()]
    trained = [plan.budget, plan.steps, plan.epochs, plan.pretrained, plan.score_seeds, plan.policy, plan.best_epoch]
    return Task(identify("tasks", {"work": told, "shared": shared, "trained": trained}), WORK, told, needs, name)
