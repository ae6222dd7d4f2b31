"""k-Center greedy, farthest first (Sener, Savarese, ICLR 2018, algorithm 1).

    s_1 = a random example        s_{t+1} = argmax_i min_{s in S_t} || h_i - h_s ||_2        h: penultimate features

S_t covers the set within at most twice the smallest possible radius. Time O(N k D); memory: the features once more and
a number per example, no N x N matrix.

Differs from DeepCore's code, which fails for a budget of 1 and where nothing was selected before, and adds its budget
to the examples that were; here k counts every centre. The first centre is the example of the smallest seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .geometry import by_seed, distance_to, places


def kcenter(features: Callable[[], Tensor], seeds: Tensor, budget: int) -> Tensor:
    """k centres that cover the features.

    Args:
        features: called for the (N, D) penultimate features of the reference network.
        seeds: (N,) int64; the smallest is the first centre, and of equally far ones the smallest wins.

    Returns:
        (k,) int64 in the order of selection.

    Raises:
        UserError: the features are not finite.
    """
    h, order = by_seed(features(), seeds)
    return order[farthest_first(h, budget)]


def kcenter_place(features: Callable[[], Tensor], seeds: Tensor) -> Tensor:
    """The place of each example in the farthest-first order of all, so that `hardest` keeps what `kcenter` keeps.

    Time O(N^2 D).

    Args:
        features: called for the (N, D) penultimate features of the reference network.
        seeds: (N,) int64, the smallest is the first centre.

    Returns:
        (N,) float64 in 0..N-1, low = hard: far from everything before it.

    Raises:
        UserError: the features are not finite.
    """
    return places(kcenter(features, seeds, len(seeds)))


def farthest_first(h: Tensor, budget: int, centres: Sequence[int] = (0,)) -> Tensor:
    """Farthest-first order: (N, D) -> (k,) int64 that begins with ``centres``; of equal ones the lowest index.

    Where all that is left coincides with a centre, the lowest indices follow.
    """
    chosen = list(centres)[:budget]
    gap = torch.full((len(h),), torch.inf, dtype=h.dtype, device=h.device)  # to the nearest centre, -1 for a centre
    for i in chosen:
        gap = torch.minimum(gap, distance_to(h, h[i]))
    gap[chosen] = -1
    while len(chosen) < budget:
        new = int(gap.argmax())
        chosen.append(new)
        gap = torch.minimum(gap, distance_to(h, h[new]))
        gap[new] = -1
    return torch.tensor(chosen, dtype=torch.int64)
