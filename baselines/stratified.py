"""Stratified random sampling over the score: every part of its range is represented.

    1. split the examples into n strata, of equal counts (by="rank") or of equal widths over [min, max] (by="score")
    2. every stratum gets k/n; what a small one cannot fill goes to the larger ones
    3. inside a stratum those of lowest seed are kept, a uniform draw

by="score" is CCS's stratified sampling (Zheng et al., ICLR 2023) without its cut-off.

Differs from CCS's code as `ccs` does: nobody is lost where scores are negative or all equal.
"""

from __future__ import annotations

import torch
from torch import Tensor

from prunebench import UserError

from .ccs import allocate, strata_of
from .uniform import first_of_each
from .window import ranking


def stratified(hardness: Tensor, seeds: Tensor, budget: int, *, strata: int = 50, by: str = "rank") -> Tensor:
    """A random draw that covers the whole ranking.

    Args:
        hardness: (N,) finite.
        seeds: (N,) int64, all the chance there is; they also break ties of the ranking.
        strata: n, how many (CCS: 50); no more than there are examples to keep are used by rank.
        by: strata of equal counts, "rank", or of equal widths of the score, "score" as in CCS.

    Returns:
        (k,) int64, ascending.

    Raises:
        UserError: an option is out of range.
    """
    if strata < 1:
        raise UserError(f"strata must be at least 1, got {strata}")
    if by not in ("rank", "score"):
        raise UserError(f"by must be 'rank' or 'score', got {by!r}")
    groups = strata_of(hardness, strata) if by == "score" else rank_strata(hardness, seeds, min(strata, budget))
    groups = groups.cpu()
    budgets = allocate(torch.bincount(groups), budget)
    chance = torch.argsort(scrambled(seeds.cpu()), stable=True)  # not the order that broke the ties
    return first_of_each(groups, budgets, chance)


def rank_strata(hardness: Tensor, seeds: Tensor, strata: int) -> Tensor:
    """Strata whose counts differ by one at most, 0 the easiest: (N,), (N,) -> (N,) int64."""
    order = ranking(hardness, seeds, hardest_first=False)
    groups = torch.empty_like(order)
    groups[order] = torch.arange(len(order), device=order.device) * strata // len(order)
    return groups


def scrambled(seeds: Tensor) -> Tensor:
    """Seeds with their low 31 bits in front: a second order, independent of the first: (N,) -> (N,) int64."""
    return ((seeds & 0x7FFFFFFF) << 32) | (seeds >> 31)
