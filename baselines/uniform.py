"""Random baselines: uniform over the set, and uniform inside each class with class quotas.

    random:    P(S) = 1 / C(N, k)  for every S with |S| = k
    balanced:  the same inside each class c, with k_c examples (DeepCore, Guo et al., 2022)

Neither looks at a score: every method has to beat them.

Differs from DeepCore's class-balanced draw, which rounds every class by itself, so that its subset may have a few
examples more or fewer than k: here the classes' shares add up to k.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from prunebench import class_budgets

from .grouping import group_by_group, narrow


def random_score(seeds: Tensor) -> Tensor:
    """A uniform number per example, a function of its seed alone.

    Args:
        seeds: (N,) int64.

    Returns:
        (N,) float64 in [0, 1); neither end is hard.
    """
    return seeds.to(torch.float64) / 2.0**63


def random(seeds: Tensor, budget: int, generator: Generator) -> Tensor:
    """k of N examples, all subsets equally likely.

    Args:
        seeds: (N,) int64, only its length is used.

    Returns:
        (k,) int64, ascending.
    """
    return torch.randperm(len(seeds), generator=generator)[:budget].sort().values


def balanced(labels: Tensor, budget: int, generator: Generator, *, quota: str = "proportional") -> Tensor:
    """k_c examples of each class, all subsets of a class equally likely.

    Args:
        labels: (N,) int64.
        quota: "proportional" (largest remainder of k * n_c / N) or "equal".

    Returns:
        (k,) int64, ascending.

    Raises:
        ValueError: the budget lies outside 0..N, or the quota is unknown.
    """
    counts = torch.bincount(labels)
    return draw(labels, torch.as_tensor(class_budgets(counts.cpu().numpy(), budget, quota)), generator)


def draw(groups: Tensor, budgets: Tensor, generator: Generator) -> Tensor:
    """``budgets[g]`` examples of each group g, uniformly: (N,), (G,) -> (k,) int64, ascending, on the CPU."""
    short = torch.int32 if len(groups) <= torch.iinfo(torch.int32).max else torch.int64  # the same permutation
    shuffled = torch.randperm(len(groups), generator=generator, dtype=short)
    return first_of_each(groups.cpu(), budgets.cpu(), shuffled)


def first_of_each(groups: Tensor, budgets: Tensor, order: Tensor) -> Tensor:
    """The first ``budgets[g]`` of each group g in ``order``: (N,), (G,), (M,) -> (k,) int64, ascending."""
    ordered = narrow(groups)[order]  # (M,)
    counts = torch.bincount(ordered, minlength=len(budgets))  # (G,)
    taken = torch.minimum(budgets, counts)
    skipped = (counts.cumsum(0) - counts) - (taken.cumsum(0) - taken)  # (G,) members before a group's that stay out
    places = torch.arange(int(taken.sum())) + skipped.repeat_interleave(taken)  # (k,) in the order group by group
    kept = torch.zeros(len(groups), dtype=torch.bool)
    kept[order[group_by_group(ordered)[places]]] = True
    return torch.nonzero(kept).squeeze(1)
