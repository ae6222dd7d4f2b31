"""Graph cut (Iyer et al., ALT 2021; DeepCore): close to all examples, far from each other.

    S = argmax_S lambda sum_i sum_{s in S} sim(i, s) - sum_{s, s' in S} sim(s, s')        greedily, with

    gain(j | S) = lambda sum_i sim(i, j) - 2 sum_{s in S} sim(s, j)        sim(i, j) = (1 + cos(h_i, h_j)) / 2

up to the constant sim(j, j) = 1. Sums of cosines are one product with the sum of all unit vectors, so no matrix of
similarities is made. Time O(N k D); memory: the features once more in float64 and a number per example.

Differs from DeepCore by what is compared: its vectors are gradients of the last layer, here they are features.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from prunebench import UserError

from .geometry import by_seed, first_best, unit_rows


def graph_cut(features: Callable[[], Tensor], seeds: Tensor, budget: int, *, weight: float = 1.0) -> Tensor:
    """k examples that stand for all and not for each other.

    Args:
        features: called for the (N, D) penultimate features of the reference network.
        seeds: (N,) int64, of equal gains the smallest seed wins.
        weight: lambda > 0, of being close to all.

    Returns:
        (k,) int64 in the order of selection.

    Raises:
        UserError: the weight is not above 0, or the features are not finite.
    """
    if not 0 < weight < float("inf"):
        raise UserError(f"weight must be above 0 and finite, got {weight}")
    h, order = by_seed(features(), seeds)
    return order[cut_greedy(unit_rows(h), budget, weight)]


def cut_greedy(unit: Tensor, budget: int, weight: float = 1.0) -> Tensor:
    """Greedy order, of gains equal to within rounding the lowest index first: (N, D) unit rows -> (k,) int64."""
    gain = weight * (len(unit) + unit @ unit.sum(dim=0)) / 2
    scale = float(gain.abs().max()) + 2 * budget
    left = torch.ones(len(unit), dtype=torch.bool, device=unit.device)
    chosen: list[int] = []
    while len(chosen) < budget:
        new = first_best(gain.where(left, -torch.inf), scale)
        chosen.append(new)
        left[new] = False
        gain = gain - (1 + unit @ unit[new])  # 2 sim
    return torch.tensor(chosen, dtype=torch.int64)
