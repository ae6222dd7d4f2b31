"""Greedy maximisation of how well the chosen examples cover all: what facility location and CRAIG share.

    S = argmax_S sum_i max_{s in S} sim(i, s)        greedily, with

    gain(j | S) = sum_i max(0, sim(i, j) - max_{s in S} sim(i, s))

within 1 - 1/e of the optimum. A gain never rises as S grows, so one that was computed for a smaller S is an upper
bound, and only candidates whose bound reaches the best gain are computed again (Minoux's lazy greedy).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .geometry import first_best

CANDIDATES = 64  # columns of similarities computed at a time,
ROWS = 4096  # for so many rows


def most_covering(
    gains: Callable[[Tensor, Tensor], Tensor],
    similar: Callable[[int], Tensor],
    bound: Tensor,
    covered: Tensor,
    budget: int,
    candidates: int = CANDIDATES,
) -> Tensor:
    """Greedy order, of gains equal to within rounding the lowest index first.

    Args:
        gains: called with some candidates (B,) and what is covered (N,), gives what each would add, (B,).
        similar: called with an example, gives the similarity of all to it, (N,).
        bound: (N,) gains for S = {}, or upper bounds of them.
        covered: (N,) what counts as similarity to the best of S = {}.
        budget: k, 0..N.
        candidates: how many gains are computed at once.

    Returns:
        (k,) int64.
    """
    bound = bound.clone()
    scale = float(bound.abs().max())  # what gains are exact relative to
    left = torch.ones(len(bound), dtype=torch.bool, device=bound.device)
    chosen: list[int] = []
    while len(chosen) < budget:
        fresh = torch.zeros_like(left)
        while True:
            stale = bound.where(left & ~fresh, -torch.inf)
            best = bound.where(left & fresh, -torch.inf).max()
            if not bool(stale.max() >= best - 1e-12 * scale) or not bool((left & ~fresh).any()):
                break
            tried = stale.topk(min(candidates, int((left & ~fresh).sum()))).indices
            bound[tried] = gains(tried, covered)
            fresh[tried] = True
        new = first_best(bound.where(left & fresh, -torch.inf), scale)
        chosen.append(new)
        left[new] = False
        covered = torch.maximum(covered, similar(new))
    return torch.tensor(chosen, dtype=torch.int64)
