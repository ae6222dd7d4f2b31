"""What recipes have still to do: the steps of all their plans, each counted once, as they share one store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..console.dry_run import Outlook, outlook
from ..execution.steps import standing_trial
from ..foresight.foreseen import Foreseen
from ..harness.shared import Harness
from ..planning.plans import Cell, Plan, cells, open_harness
from ..store import Store


@dataclass(frozen=True, eq=False)
class Part:
    """The plans that share data, setting, and the conditions of scoring and training."""

    plan: Plan  # the first of them
    harness: Harness
    cells: int
    stand: int
    ahead: Outlook


def parts(plans: Sequence[Plan], jobs: int) -> list[Part]:
    """What does not stand in the plans' store; nothing is written, and nothing fetched.

    Raises:
        UserError: as `open_harness`.
    """
    groups: dict[Plan, list[Plan]] = {}
    for plan in dict.fromkeys(replace(plan, download=False) for plan in plans):
        shared = replace(plan, scorers=(), selectors=(), methods=(), keep=(), models=(), seeds=1)
        groups.setdefault(shared, []).append(plan)
    return [_part(group, jobs) for group in groups.values()]


def _part(plans: Sequence[Plan], jobs: int) -> Part:
    harness = open_harness(plans[0], Store(plans[0].store, writes=False))
    stands, found = dict[Cell, bool](), Foreseen(plans[0], harness, (), jobs)
    for plan in plans:
        new = [cell for cell in cells(plan, harness) if cell not in stands]
        stands |= {cell: standing_trial(harness, plan, cell) is not None for cell in new}
        more = Foreseen(plan, harness, [cell for cell in new if not stands[cell]], jobs)
        found.steps |= more.steps
        found.unknown |= more.unknown
    return Part(plans[0], harness, len(stands), sum(stands.values()), outlook(found, harness, jobs))
