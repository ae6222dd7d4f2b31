"""What a selection costs, and after how many trainings it has paid for itself.

    reuses = ceil((score + select) / (T_full - T_subset))

Seconds of scoring and selecting as if alone, with nothing shared or stored; T the seconds of one training, on the full
data and on the subset. A selection that is used for as many trainings (of other seeds, models, settings) has cost no
more than training on everything. Where the subset's training is not the cheaper one that is never: so it is under equal
optimiser steps, whatever a clock says of two trainings of the same length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..types import Cost

COUNTED = ("forward", "backward", "evaluations", "peak_bytes", "gpu_peak_bytes")  # of a `Cost`, beside seconds
_NOISE = 1e-9  # relative: a quotient that is whole but for rounding is not taken for one more


def reuses(selecting: float, full: float | None, subset: float, train_budget: str) -> float | None:
    """Trainings after which ``selecting`` seconds have paid for themselves: whole, at least 0, or infinity for never.

    None where no full-data training tells what they are compared with, and at equal cost, where a training is shorter
    by what the selection took.
    """
    if full is None or train_budget == "cost":
        return None
    saved = full - subset
    if train_budget == "steps" or saved <= 0:
        return math.inf
    return float(math.ceil(selecting / saved * (1 - _NOISE)))


def told(count: float | None) -> int | str | None:
    """For files and tables: "never" for infinity."""
    return "never" if count == math.inf else None if count is None else int(count)


def mean_cost(costs: Sequence[Cost]) -> dict[str, Any]:
    """The means of some costs, with the devices and what their peaks are of."""
    return {
        "alone_seconds": math.fsum(c.alone_seconds for c in costs) / len(costs),
        "seconds": math.fsum(c.seconds for c in costs) / len(costs),
        **{name: _mean_count([getattr(c, name) for c in costs]) for name in COUNTED},
        "peak_of": ", ".join(sorted({c.peak_of for c in costs})),
        "device": ", ".join(sorted({c.device for c in costs})),
    }


def _mean_count(counts: Sequence[int]) -> float:
    """A mean that is whole stays an integer."""
    mean, rest = divmod(sum(counts), len(counts))
    return mean if rest == 0 else sum(counts) / len(counts)
