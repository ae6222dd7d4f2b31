"""What every view of accuracies is made of: a mean with its interval, and the name of the method it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..leaderboard.rows import Row
from ..leaderboard.statistics import Summary, summarise


@dataclass(frozen=True)
class Estimate:
    """A mean over n seeds and the ends of its 95 % interval, which one seed has not."""

    mean: float
    low: float | None
    high: float | None
    seeds: int


@dataclass(frozen=True)
class Method:
    """Whose numbers they are. ``name`` is the label of its rows, the same in every table of a board."""

    name: str
    baseline: str | None = None  # "full", "balanced", "random"; None for methods and index files
    oracle: bool = False


def method_of(row: Row) -> Method:
    return Method(row.label, row.baseline, row.oracle)


def estimate(found: Summary) -> Estimate:
    """What a view tells of a summary."""
    return Estimate(found.mean, found.low, found.high, found.n)


def estimate_of(values: Sequence[float], row: Row) -> Estimate:
    """The estimate of one value per trial of ``row``; trials that share a scoring run are no independent evidence."""
    runs = row.runs
    return estimate(summarise(values, None if runs is None else [runs[t.seed] for t in row.trials]))
