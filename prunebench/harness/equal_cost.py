"""Budget "cost": scoring, selecting and training together take as long as training on the full data.

    steps(k) = round((F - score - select) / (F / steps(N))), at least 1;    a cell with score + select >= F has failed

F is what the training of the full-data row of seed 0 took, in the same store with the same model; score and select are
the seconds that the records of scores and selection tell, as if alone. All of these are read from records that stand,
so a repeated run trains as many steps as before.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ..errors import CellError
from ..store import Record
from ..types import Cost
from .shared import Harness
from .trials import Trial, everything, everything_named, read_trial, run_trial, standing_record

COST = "cost"


def leader(trial: Trial) -> Trial:
    """The trial whose training is the budget of all others with its model."""
    return replace(trial, seed=0, policy="plain", best_epoch=False, steps=None, budget_seconds=None)


def within(harness: Harness, trial: Trial, *spent: Cost) -> Trial:
    """The trial with the steps that are left for it after ``spent``; of another budget, as it is.

    The full-data row of seed 0 is trained where it does not stand.

    Raises:
        CellError: nothing is left.
    """
    if trial.budget != COST or _leads(trial, spent):
        return trial
    whole = run_trial(harness, leader(trial), everything(harness), None, 0)
    return _fitted(trial, whole.train_cost.seconds, whole.steps, spent)


def standing_within(harness: Harness, trial: Trial, *spent: Cost) -> Trial | None:
    """As `within`, where the full-data row stands; None where it does not, or nothing is left."""
    if trial.budget != COST or _leads(trial, spent):
        return trial
    record = standing_record(harness, leader(trial), everything_named(harness))
    if record is None:
        return None
    whole = read_trial(record)
    try:
        return _fitted(trial, whole.train_cost.seconds, whole.steps, spent)
    except CellError:
        return None


def selection_cost(record: Record) -> Cost:
    """What the record of a selection tells."""
    return Cost(**record.result["cost"])


def steps_left(full_seconds: float, full_steps: int, spent_seconds: float) -> int:
    """How many steps of full training take as long as what is left of it; 0 where nothing is."""
    left = full_seconds - spent_seconds
    return max(1, math.floor(left / full_seconds * full_steps + 0.5)) if left > 0 else 0


def _leads(trial: Trial, spent: tuple[Cost, ...]) -> bool:
    return trial.seed == 0 and not spent and not trial.best_epoch


def _fitted(trial: Trial, full_seconds: float, full_steps: int, spent: tuple[Cost, ...]) -> Trial:
    seconds = sum(cost.alone_seconds for cost in spent)
    steps = steps_left(full_seconds, full_steps, seconds)
    if not steps:
        raise CellError(
            f"scoring and selecting take {seconds:.1f} s and training on the full data takes {full_seconds:.1f} s: "
            "--budget cost leaves nothing to train with; take --budget steps or epochs"
        )
    return replace(trial, steps=steps, budget_seconds=full_seconds)
