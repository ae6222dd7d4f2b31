"""A window: k consecutive examples of one ranking, from a given start.

    S = ranks floor(w N) .. floor(w N) + k - 1        w: start; rank 0 is the hardest, or the easiest, example

Data Diet's offset rule (order="easiest"), ELFS's double-end pruning (order="hardest", w = its cut-off).

Differs from ELFS's slice, which is empty where the window ends at the last rank, and from Data Diet's, which is cut
short there: here k examples are always kept.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from prunebench import UserError


def window(hardness: Tensor, seeds: Tensor, budget: int, *, start: float = 0.0, order: str = "hardest") -> Tensor:
    """k consecutive ranks of one ranking for all classes together.

    Args:
        hardness: (N,).
        seeds: (N,) int64, which break ties.
        start: w in [0, 1 - k/N], the fraction of examples passed over at the end that ``order`` names.
        order: the end from which the start counts, "hardest" or "easiest".

    Returns:
        (k,) int64, in ``order``.

    Raises:
        UserError: the window does not fit, or the order is unknown.
    """
    if order not in ("hardest", "easiest"):
        raise UserError(f"order must be 'hardest' or 'easiest', got {order!r}")
    examples = len(hardness)
    first = math.floor(start * examples + 1e-9) if 0 <= start <= 1 else -1
    if not 0 <= first <= examples - budget:
        most = math.floor((examples - budget) / examples * 1e4) / 1e4
        raise UserError(f"start={start} leaves fewer than the {budget} of {examples} to be kept: choose 0 to {most}")
    return ranking(hardness, seeds, hardest_first=order == "hardest")[first : first + budget]


def ranking(hardness: Tensor, seeds: Tensor, *, hardest_first: bool) -> Tensor:
    """Indices by hardness, ties by seed: (N,), (N,) -> (N,) int64."""
    by_seed = torch.argsort(seeds.to(hardness.device), stable=True)
    return by_seed[torch.argsort(hardness[by_seed], descending=hardest_first, stable=True)]
