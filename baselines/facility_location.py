"""Facility location (Iyer et al., ALT 2021; DeepCore): every example has a chosen one that resembles it.

    S = argmax_S sum_i max_{s in S} sim(i, s)        sim(i, j) = (1 + cos(h_i, h_j)) / 2

greedily (`coverage`). Time O(N^2 D) at least; memory: the features once more in float64 and blocks of
CANDIDATES x ROWS, never N x N.

Differs from DeepCore by what is compared: its vectors are gradients of the last layer, here they are features.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .coverage import CANDIDATES, ROWS, most_covering
from .geometry import by_seed, unit_rows


def facility_location(features: Callable[[], Tensor], seeds: Tensor, budget: int) -> Tensor:
    """k examples that represent all.

    Args:
        features: called for the (N, D) penultimate features of the reference network.
        seeds: (N,) int64, of equal gains the smallest seed wins.

    Returns:
        (k,) int64 in the order of selection.

    Raises:
        UserError: the features are not finite.
    """
    h, order = by_seed(features(), seeds)
    return order[lazy_greedy(unit_rows(h), budget)]


def lazy_greedy(unit: Tensor, budget: int, candidates: int = CANDIDATES) -> Tensor:
    """Greedy order, of gains equal to within rounding the lowest index first: (N, D) unit rows -> (k,) int64."""
    return most_covering(
        gains=lambda tried, covered: gains(unit, tried, covered),
        similar=lambda new: (1 + unit @ unit[new]) / 2,
        bound=(len(unit) + unit @ unit.sum(dim=0)) / 2,  # the gain for S = {}: sum_i sim(i, j)
        covered=torch.zeros(len(unit), dtype=unit.dtype, device=unit.device),  # sim >= 0
        budget=budget,
        candidates=candidates,
    )


def gains(unit: Tensor, tried: Tensor, covered: Tensor) -> Tensor:
    """What each of some candidates adds to the objective: (N, D), (B,), (N,) -> (B,)."""
    total = torch.zeros(len(tried), dtype=unit.dtype, device=unit.device)
    for x, have in zip(unit.split(ROWS), covered.split(ROWS), strict=True):  # (ROWS, D), (ROWS,)
        total += torch.addmm(0.5 - have, unit[tried], x.T, alpha=0.5).clamp_min_(0).sum(dim=1)  # sim - covered
    return total
