"""Herding (Welling, ICML 2009): examples whose running mean stays at the mean of the set.

    s_{t+1} = argmin_i || mu - (h_i + sum_{s in S_t} h_s) / (t + 1) ||_2        mu: mean of all penultimate features

Time O(N k D); memory: the features once more in float64 and a number per example, no N x N matrix.

Differs from DeepCore's code, which takes the argmax, the example that moves the mean farthest away: ``rule="argmax"``,
for comparison only.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from prunebench import UserError

from .geometry import by_seed, distance_to, places


def herding(features: Callable[[], Tensor], seeds: Tensor, budget: int, *, rule: str = "argmin") -> Tensor:
    """k examples with the mean of all.

    Args:
        features: called for the (N, D) penultimate features of the reference network.
        seeds: (N,) int64, of equally good examples the smallest seed wins.
        rule: "argmin" (the textbook's) or "argmax" (DeepCore's).

    Returns:
        (k,) int64 in the order of selection.

    Raises:
        UserError: the rule is unknown, or the features are not finite.
    """
    h, order = by_seed(features(), seeds)
    return order[herd(h, budget, rule)]


def herding_place(features: Callable[[], Tensor], seeds: Tensor) -> Tensor:
    """The place of each example in the herding order of all, so that `easiest` keeps what `herding` keeps.

    Time O(N^2 D).

    Args:
        features: called for the (N, D) penultimate features of the reference network.
        seeds: (N,) int64, of equally good examples the smallest seed is first.

    Returns:
        (N,) float64 in 0..N-1, high = hard: not needed for the mean.

    Raises:
        UserError: the features are not finite.
    """
    return places(herding(features, seeds, len(seeds)))


def herd(h: Tensor, budget: int, rule: str = "argmin") -> Tensor:
    """Herding order: (N, D) -> (k,) int64, of equally good ones the lowest index."""
    if rule not in ("argmin", "argmax"):
        raise UserError(f"rule must be 'argmin' or 'argmax', got {rule!r}")
    h = h.double()
    mean, total = h.mean(dim=0), torch.zeros(h.shape[1], dtype=torch.float64, device=h.device)
    left = torch.ones(len(h), dtype=torch.bool, device=h.device)
    chosen: list[int] = []
    for t in range(budget):
        error = distance_to(h, (t + 1) * mean - total)  # t + 1 times that of the mean
        best = error.where(left, torch.inf).argmin() if rule == "argmin" else error.where(left, -torch.inf).argmax()
        chosen.append(int(best))
        left[best] = False
        total += h[best]
    return torch.tensor(chosen, dtype=torch.int64)
