"""How far two independent halves of the draws rank the pictures alike, inside their classes."""

from __future__ import annotations

import torch
from torch import Tensor


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
