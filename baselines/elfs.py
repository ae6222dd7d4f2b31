"""ELFS, label-free coreset selection (Zheng, Tsai et al., ICLR 2025): training dynamics on pseudo-labels.

    1. e_i            embeddings of a frozen encoder; N_i: the n nearest by cosine
    2. c_1 .. c_N     pseudo-labels in 0..K-1: clusters of the e_i
    3. M(i) = sum_e ( p_{e,c_i}(i) - max_{j != c_i} p_{e,j}(i) )     accumulated margin of a training on (x_i, c_i)

Clusters are those of TEMI heads (`temi`), or of k-means, the cheap option. No true label has a part in any of it; after
the selection (`double_end`) only the chosen examples' labels are asked for.

Differs from the released code, which takes the clustering of best accuracy on true validation labels: here heads are
chosen by their own loss. Defaults are its own where they can be: n = 50, 200 epochs, beta 0.6, batches of 1024 at a
rate of 4e-4 (1e-4 per 256). Its 50 heads (TEMI's authors: 16) are 8 here, for a CPU's sake; its encoder DINO is
`pca`, which needs no weights; and its 200 epochs of ResNet-18 are the harness's reference training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from prunebench import Scored, UserError

from .accumulated_margin import accumulated_margin
from .geometry import by_seed, unit_rows
from .prototypicality import kmeans, squared_distances
from .temi import Clustering, temi

STARTS = 10  # of k-means; the one of least inertia is taken


def elfs(
    embeddings: Callable[[str], Tensor],
    neighbours: Callable[[Tensor, int], tuple[Tensor, Tensor]],
    observe: Callable[..., Any],
    classes: Sequence[str],
    seeds: Tensor,
    generator: Generator,
    device: torch.device,
    progress: Callable[..., Iterable[Any]],
    *,
    encoder: str = "pca",
    clusters: int | None = None,
    heads: str = "temi",
    nearest: int = 50,
    candidates: int = 8,
    epochs: int = 200,
    beta: float = 0.6,
    rate: float = 4e-4,
) -> Scored:
    """Accumulated margin of a training on cluster labels.

    Args:
        embeddings: called with ``encoder`` for (N, D) embeddings.
        neighbours: called with unit embeddings and ``nearest``, for TEMI.
        observe: trains the reference network on the pseudo-labels.
        classes: only their number is used, and only where ``clusters`` is None.
        seeds: (N,) int64, the order in which everything is drawn.
        encoder: "pixels", "pca", a local folder or a timm name; the paper's are DINO and SwAV.
        clusters: K >= 2; None is the number of classes, as in the paper.
        heads: "temi" or "kmeans".
        nearest: n, at most N - 1.
        candidates: TEMI heads, of which the one of lowest loss is taken.
        epochs: of TEMI. Batches hold 1024 pairs, or a tenth of the examples where that is less, but 64 at least.
        beta: of TEMI's loss.
        rate: AdamW's. A head is 512 wide, or 2 D where that is less.

    Returns:
        (N,) float64 in [-E, E], low = hard; details: ``pseudo_labels`` (N,) int64, ``clusters`` asked for,
        ``clusters_used``, and of the heads ``head`` and ``head_loss``, the chosen one's.

    Raises:
        UserError: an option is none of the above or out of range, or the embeddings are not finite.
    """
    clusters = len(classes) if clusters is None else clusters
    _check(len(seeds), clusters, heads, nearest, candidates, epochs, beta, rate)
    e, order = by_seed(embeddings(encoder).to(device), seeds)
    details: dict[str, Any] = {"clusters": clusters}
    if heads == "kmeans":
        found = kmeans_labels(e.cpu().double(), clusters, generator)
    else:
        near = neighbours(unit_rows(e).float(), min(nearest, len(e) - 1))[1]
        clustering = temi_labels(e, near, clusters, generator, candidates, epochs, beta, rate, progress)
        found = clustering.labels
        details |= {"head": clustering.head, "head_loss": float(clustering.losses[clustering.head])}
    pseudo = torch.empty_like(found)
    pseudo[order] = found
    margins = observe(labels=pseudo, watch="probability_margin").history["probability_margin"]  # (E, N)
    details |= {"pseudo_labels": pseudo, "clusters_used": len(pseudo.unique())}
    return Scored(accumulated_margin(margins[None]), details)


def _check(
    examples: int, clusters: int, heads: str, nearest: int, candidates: int, epochs: int, beta: float, rate: float
) -> None:
    if heads not in ("temi", "kmeans"):
        raise UserError(f"heads must be 'temi' or 'kmeans', got {heads!r}")
    if clusters < 2:
        raise UserError(f"clusters must be at least 2, got {clusters}")
    if min(nearest, candidates, epochs) < 1 or not beta > 0 or not rate > 0:
        raise UserError(
            f"nearest, candidates and epochs must be at least 1, beta and rate above 0, "
            f"got {nearest}, {candidates}, {epochs}, {beta} and {rate}"
        )
    if examples <= clusters:
        raise UserError(f"{clusters} clusters of {examples} examples: elfs needs more examples than clusters")


def temi_labels(
    e: Tensor,
    near: Tensor,
    clusters: int,
    generator: Generator,
    candidates: int = 8,
    epochs: int = 200,
    beta: float = 0.6,
    rate: float = 4e-4,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> Clustering:
    """TEMI sized by the data: (N, D), (N, k) -> labels (N,), the chosen head and the heads' losses."""
    return temi(
        e,
        near,
        clusters,
        generator,
        candidates=candidates,
        epochs=epochs,
        batch=min(1024, max(64, len(e) // 10)),
        rate=rate,
        width=min(512, 2 * e.shape[1]),
        beta=beta,
        progress=progress,
    )


def kmeans_labels(e: Tensor, clusters: int, generator: Generator) -> Tensor:
    """Nearest centre of the k-means of least inertia among STARTS: (N, D) float64 -> (N,) int64."""
    best, labels = float("inf"), torch.zeros(len(e), dtype=torch.int64)
    for _ in range(STARTS):
        squared, nearest = squared_distances(e, kmeans(e, clusters, generator)).min(dim=1)
        if float(squared.sum()) < best:
            best, labels = float(squared.sum()), nearest
    return labels
