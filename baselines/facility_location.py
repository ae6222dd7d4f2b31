"""Facility location (Iyer et al., ALT 2021; DeepCore): every example has a chosen one that resembles it.

    S = argmax_S sum_i max_{s in S} sim(i, s)        sim(i, j) = (1 + cos(h_i, h_j)) / 2        greedily, with

    gain(j | S) = sum_i max(0, sim(i, j) - max_{s in S} sim(i, s))

within 1 - 1/e of the optimum. A gain never rises as S grows, so one that was computed for a smaller S is an upper
bound, and only candidates whose bound reaches the best gain are computed again (Minoux's lazy greedy). Time O(N^2 D) at
least; memory: the features once more in float64 and blocks of CANDIDATES x ROWS, never N x N.

Differs from DeepCore by what is compared: its vectors are gradients of the last layer, here they are features.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .geometry import by_seed, first_best, unit_rows

CANDIDATES = 64  # columns of similarities computed at a time,
ROWS = 4096  # for so many rows


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
    covered = torch.zeros(len(unit), dtype=unit.dtype, device=unit.device)  # max_{s in S} sim(i, s), sim >= 0
    bound = (len(unit) + unit @ unit.sum(dim=0)) / 2  # the gain for S = {}: sum_i sim(i, j)
    scale = float(bound.abs().max())  # what gains are exact relative to
    left = torch.ones(len(unit), dtype=torch.bool, device=unit.device)
    chosen: list[int] = []
    while len(chosen) < budget:
        fresh = torch.zeros_like(left)
        while True:
            stale = bound.where(left & ~fresh, -torch.inf)
            best = bound.where(left & fresh, -torch.inf).max()
            if not bool(stale.max() >= best - 1e-12 * scale) or not bool((left & ~fresh).any()):
                break
            tried = stale.topk(min(candidates, int((left & ~fresh).sum()))).indices
            bound[tried] = gains(unit, tried, covered)
            fresh[tried] = True
        new = first_best(bound.where(left & fresh, -torch.inf), scale)
        chosen.append(new)
        left[new] = False
        covered = torch.maximum(covered, (1 + unit @ unit[new]) / 2)
    return torch.tensor(chosen, dtype=torch.int64)


def gains(unit: Tensor, tried: Tensor, covered: Tensor) -> Tensor:
    """What each of some candidates adds to the objective: (N, D), (B,), (N,) -> (B,)."""
    total = torch.zeros(len(tried), dtype=unit.dtype, device=unit.device)
    for x, have in zip(unit.split(ROWS), covered.split(ROWS), strict=True):  # (ROWS, D), (ROWS,)
        total += torch.addmm(0.5 - have, unit[tried], x.T, alpha=0.5).clamp_min_(0).sum(dim=1)  # sim - covered
    return total
