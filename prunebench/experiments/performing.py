"""A recipe is run: its plans as `prunebench run` would do them, on one store, and what they leave is gathered.

Everything that stands in the store is read, also what another recipe left there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..console.boards import label
from ..errors import UserError
from ..harness.shared import Harness
from ..leaderboard import Board, board
from ..planning.plans import Plan, cell_id, cells, open_harness, pairs
from ..registry import installed
from ..running import Workers, run
from ..store import Record
from ..types import TrialResult
from .recipe import Experiment

Told = Callable[[TrialResult, int, int, float], None]  # result, its number, of how many, seconds since the start


@dataclass(frozen=True, eq=False)
class Found:
    """What the runs of a recipe left in the store."""

    experiment: Experiment
    profile: str
    plans: tuple[Plan, ...]
    harnesses: tuple[Harness, ...]  # one for each plan; plans of one data set and setting share theirs
    results: tuple[TrialResult, ...]
    failures: tuple[dict[str, Any], ...]
    seconds: float

    @cached_property
    def board(self) -> Board:
        """Every row of the plans, and nothing else that the store holds."""
        return board(self.results, self.failures, labels=label)

    def methods(self) -> Iterator[tuple[Harness, str]]:
        """Every scorer once on every data set and setting, with its harness."""
        seen = set()
        for plan, harness in zip(self.plans, self.harnesses, strict=True):
            for scorer in plan.scorers_named():
                text = harness.registry.method("scorer", scorer).text
                if (id(harness), text) not in seen:
                    seen.add((id(harness), text))
                    yield harness, text

    def selection(self, trial: TrialResult) -> Record | None:
        """The selection's record that a trial trained on; None where it selected nothing."""
        return self.harnesses[0].store.by_id("selections", trial.selection)


def perform(
    experiment: Experiment, profile: str, plans: Sequence[Plan], harnesses: Sequence[Harness], jobs: int, told: Told
) -> Found:
    """Run what does not stand, and gather what does; ``harnesses`` are those of the plans, as `opened`."""
    started, results, failures = time.monotonic(), dict[str, TrialResult](), dict[str, dict[str, Any]]()
    wanted = [cells(plan, harness) for plan, harness in zip(plans, harnesses, strict=True)]
    total = sum(map(len, wanted))
    number = 0
    for plan, harness, own in zip(plans, harnesses, wanted, strict=True):
        workers = Workers("local", jobs) if jobs > 1 else Workers()
        for result in run(plan, workers, harness=harness):
            number += 1
            results[result.id] = result
            told(result, number, total, time.monotonic() - started)
        mine = {cell_id(harness, plan, cell) for cell in own}
        failures |= {f["id"]: f for f in harness.store.failures() if f["id"] in mine}
    return Found(
        experiment,
        profile,
        tuple(plans),
        tuple(harnesses),
        tuple(results.values()),
        tuple(failures.values()),
        time.monotonic() - started,
    )


def refuse_options(experiment: Experiment, plans: Sequence[Plan]) -> None:
    """Refuse, before anything is run, options of an ending that name what no plan runs.

    Raises:
        UserError: as said, or there is no such method.
    """
    from .endings.rows import option  # endings are given what this module gathers

    registry, options = installed(), experiment.options
    run = {
        registry.method(kind, text).text
        for plan in plans
        for pair in pairs(plan)
        for kind, text in zip(("scorer", "selector"), pair, strict=True)
        if text and text not in plan.of_everything
    }
    for kind, text in _named(options):
        if registry.method(kind, text).text not in run:
            raise UserError(f"{experiment.name}: [options] name the {kind} {text}, which no plan runs: add it to one")
    wanted = options.get("option")
    if wanted and all(option(text, wanted) is None for text in run):
        raise UserError(f"{experiment.name}: [options] name the option {wanted}, which no method of a plan is given")


def _named(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "scorer" in options:
        yield "scorer", options["scorer"]
    for scorer, over, selector, _ in options.get("margins", ()):
        yield from (("scorer", scorer), ("scorer", over), ("selector", selector))


def opened(plans: Sequence[Plan]) -> list[Harness]:
    """The harness of every plan: opened for each, so that what is wrong with any is told before the first runs.

    Raises:
        UserError: as `open_harness`.
    """
    first: dict[Plan, Harness] = {}
    found = []
    for plan in plans:
        harness = open_harness(plan)
        alike = replace(plan, scorers=(), selectors=(), methods=(), keep=(), models=(), seeds=1)
        found.append(first.setdefault(alike, harness))
    return found
