"""How many examples a keep ratio means, in all and per class."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def budget_for(keep: float, examples: int) -> int:
    """k = floor(keep * N + 1/2), at least 1.

    Raises:
        ValueError: keep is not in (0, 1], or there are no examples.
    """
    if not (0 < keep <= 1) or not math.isfinite(keep):
        raise ValueError(f"keep must lie in (0, 1], got {keep}")
    if examples < 1:
        raise ValueError("there are no examples to select from")
    return max(1, math.floor(keep * examples + 0.5))


def class_budgets(counts: Sequence[int] | np.ndarray, budget: int, quota: str = "proportional") -> np.ndarray:
    """(C,) int64 with sum ``budget``: how many examples each class may keep.

    ``proportional``: largest remainder of budget * n_c / N, ties by class index, at least one per class that has
    examples while budget >= number of such classes. ``equal``: the same number for every class, what a small class
    cannot fill going to the others in equal parts.

    Raises:
        ValueError: the budget lies outside 0..N, or the quota is unknown.
    """
    counts = np.asarray(counts, dtype=np.int64)
    total = int(counts.sum())
    if not 0 <= budget <= total:
        raise ValueError(f"the budget must lie between 0 and {total}, got {budget}")
    if quota == "proportional":
        return _largest_remainder(counts, budget, total)
    if quota == "equal":
        return _water_filling(counts, budget)
    raise ValueError(f"quota must be 'proportional' or 'equal', got {quota!r}")


def _largest_remainder(counts: np.ndarray, budget: int, total: int) -> np.ndarray:
    if budget == 0:
        return np.zeros_like(counts)
    numerators = counts * budget  # exact integers: share * total
    quotas = numerators // total
    remainders = numerators - quotas * total
    short = budget - int(quotas.sum())
    quotas[np.argsort(-remainders, kind="stable")[:short]] += 1
    present = counts > 0
    if budget >= int(present.sum()):
        for empty in np.flatnonzero(present & (quotas == 0)):  # take the seat from the class with most
            quotas[np.argmax(quotas)] -= 1
            quotas[empty] = 1
    return quotas


def _water_filling(counts: np.ndarray, budget: int) -> np.ndarray:
    quotas = np.zeros_like(counts)
    left, classes_left = budget, len(counts)
    for c in np.argsort(counts, kind="stable"):
        quotas[c] = min(int(counts[c]), left // classes_left)
        left -= int(quotas[c])
        classes_left -= 1
    return quotas
