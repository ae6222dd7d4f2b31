"""How far two independent halves of the draws rank the pictures alike, inside their classes."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .pictures import few_of_every_class
from .task import Task

ENOUGH = 0.7  # split-half reliability below which we warn
log = logging.getLogger("prunebench_drd")


def class_ranks(values: Tensor, labels: Tensor) -> Tensor:
    """(N,) float64 in (0, 1): mid-rank among the examples of the same class, divided by their number."""
    ranks = torch.empty(len(values), dtype=torch.float64)
    for name in labels.unique():
        own = torch.nonzero(labels == name).flatten()
        ranks[own[torch.argsort(values[own], stable=True)]] = (torch.arange(len(own)).double() + 0.5) / len(own)
    return ranks


def split_half(draws: Tensor, labels: Tensor) -> dict[str, float]:
    """Agreement of two halves of the draws (D, N), and what it says of the mean of ``used`` draws.

    ``split_half_agreement`` is the correlation rho of within-class ranks (Spearman's, pooled over classes) of the means
    of the first and the second half; ``split_half_reliability`` is 2 rho / (1 + rho) (Spearman-Brown), that of the mean
    of all. NaN where no class has two examples.
    """
    half = len(draws) // 2
    crowded = torch.bincount(labels)[labels] > 1
    if not bool(crowded.any()):
        return {"split_half_agreement": float("nan"), "split_half_reliability": float("nan")}
    first, second = (
        class_ranks(part.mean(dim=0)[crowded], labels[crowded]) for part in (draws[:half], draws[half : 2 * half])
    )
    rho = float(torch.corrcoef(torch.stack([first, second]))[0, 1])
    return {"split_half_agreement": rho, "split_half_reliability": 2 * rho / (1 + rho) if rho > 0 else rho}


def reliability(
    task: Task, drawn: Callable[[Tensor, int], Tensor], rows: Callable[[int], int], draws: int
) -> tuple[dict[str, float], Tensor, int]:
    """`split_half` on a few pictures of every class; these (n,), and how many draws each of them was given.

    A single draw is compared with a second one, and its reliability is their agreement.

    Args:
        drawn: (B,) indices and D -> (D, B) numbers.
        rows: D -> pictures that go through ``drawn`` together.
        draws: of which the score is the mean.
    """
    few, repeats = few_of_every_class(task), max(2, draws)
    found = torch.cat([drawn(part, repeats) for part in few.split(rows(repeats))], dim=1)
    told = split_half(found, task.labels[few])
    if draws == 1:
        told["split_half_reliability"] = told["split_half_agreement"]
    return told, few, repeats


def warn_if_unsteady(scorer: str, told: Mapping[str, float], draws: int, what: str, remedy: str) -> None:
    """Say so where the draws are too few for a steady ranking, or nothing tells whether they are."""
    found = told["split_half_reliability"]
    if math.isnan(found):
        log.warning("%s: how well %d %s(s) rank cannot be told, as no class has two pictures", scorer, draws, what)
    elif found < ENOUGH:
        log.warning("%s: %d %s(s) rank with a reliability of only %.2f; give %s", scorer, draws, what, found, remedy)
