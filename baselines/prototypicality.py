"""Prototypicality, self-supervised (Sorscher et al., NeurIPS 2022, section 5): how far from the nearest prototype.

    score(i) = min_c d(e_i, mu_c)        mu_1..mu_K: centres of a k-means of the embeddings e

The embeddings saw no labels, so the score is label-free. Time O(rounds N K D); memory: the embeddings once more in
float64 and blocks of ROWS x K.

Differs from the paper by the encoder: the paper's is SwAV, here any, by default principal components of the pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from prunebench import UserError

from .geometry import by_seed, unit_rows

ROWS = 8192  # examples compared with all centres at a time


def prototypicality(
    embeddings: Callable[[str], Tensor],
    classes: Sequence[str],
    seeds: Tensor,
    generator: Generator,
    *,
    encoder: str = "pca",
    clusters: int | None = None,
    distance: str = "cosine",
    rounds: int = 100,
) -> Tensor:
    """Distance to the nearest of K centres.

    Args:
        embeddings: called with ``encoder`` for (N, D) embeddings.
        classes: only their number is used, and only where ``clusters`` is None.
        seeds: (N,) int64, the order in which the centres are drawn from.
        encoder: "pixels", "pca", a local folder or a timm name.
        clusters: K; None is the number of classes, as in the paper.
        distance: "cosine" (1 - cos, in [0, 2]) or "euclidean", of the score; k-means is Euclidean.
        rounds: Lloyd iterations at most.

    Returns:
        (N,) float64, high = hard: not like any prototype.

    Raises:
        UserError: an option is none of the above or out of range, or the embeddings are not finite.
    """
    clusters = len(classes) if clusters is None else clusters
    if distance not in ("cosine", "euclidean"):
        raise UserError(f"distance must be 'cosine' or 'euclidean', got {distance!r}")
    if clusters < 1 or rounds < 1:
        raise UserError(f"clusters and rounds must be at least 1, got clusters={clusters} and rounds={rounds}")
    e, order = by_seed(embeddings(encoder).cpu(), seeds)
    e = e.double()
    centres = kmeans(e, clusters, generator, rounds)
    if distance == "cosine":
        e, centres = unit_rows(e), unit_rows(centres)
    score = torch.full((len(e),), torch.nan, dtype=torch.float64)
    for at in range(0, len(e), ROWS):
        squared = squared_distances(e[at : at + ROWS], centres).amin(dim=1)
        score[order[at : at + ROWS]] = squared / 2 if distance == "cosine" else squared.sqrt()
    return score


def kmeans(x: Tensor, clusters: int, generator: Generator, rounds: int = 100) -> Tensor:
    """Centres by Lloyd's iterations from a k-means++ start: (N, D) -> (K, D), or fewer than K distinct rows there are.

    A centre that loses all its examples stays where it is.
    """
    centres = plus_plus(x, clusters, generator)
    before = None
    for _ in range(rounds):
        nearest = torch.cat([squared_distances(rows, centres).argmin(dim=1) for rows in x.split(ROWS)])
        if before is not None and torch.equal(nearest, before):
            break
        before = nearest
        counts = torch.bincount(nearest, minlength=len(centres))
        sums = torch.zeros_like(centres).index_add_(0, nearest, x)
        held = counts > 0
        centres[held] = sums[held] / counts[held, None]
    return centres


def plus_plus(x: Tensor, clusters: int, generator: Generator) -> Tensor:
    """k-means++: each centre an example drawn with probability ~ squared distance to the nearest so far: (K, D)."""
    chosen = [int(torch.randint(len(x), (1,), generator=generator))]
    gap = (x - x[chosen[0]]).square().sum(dim=1)
    while len(chosen) < clusters and float(gap.max()) > 0:
        ticks = gap.cumsum(0)
        drawn = torch.rand(1, generator=generator, dtype=torch.float64) * ticks[-1]
        chosen.append(min(int(torch.searchsorted(ticks, drawn, right=True)), len(x) - 1))
        gap = torch.minimum(gap, (x - x[chosen[-1]]).square().sum(dim=1))
    return x[chosen]


def squared_distances(x: Tensor, centres: Tensor) -> Tensor:
    """(B, D), (K, D) -> (B, K) >= 0."""
    cross = x.square().sum(1, keepdim=True) - 2 * x @ centres.T + centres.square().sum(1)
    return cross.clamp_min(0)
