"""Distance to the k nearest neighbours among embeddings, an outlier score (Ramaswamy, Rastogi, Shim, SIGMOD 2000).

    score(i) = 1/k sum_{j in kNN(i)} || e_i - e_j ||        e: embeddings of a frozen encoder

Their score is the distance to the k-th neighbour; the mean of all k is steadier. The encoder saw no labels of the data
set and none is named, so the scorer is label-free. Cost: one pass of the encoder and one neighbour search, both shared
with other methods and stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from prunebench import Scorer, UserError, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


def knn_distance(
    embeddings: Callable[[str], Tensor],
    neighbours: Callable[[Tensor, int], tuple[Tensor, Tensor]],
    *,
    encoder: str = "pca",
    k: int = 5,
) -> Tensor:
    """Mean distance to the nearest neighbours.

    Args:
        embeddings: called with ``encoder`` for (N, D) embeddings.
        neighbours: called with these and k for (N, k) distances and indices, the example itself left out.
        encoder: "pixels", "pca", a local folder or a timm name.
        k: neighbours that count; where there are fewer other examples, all of them.

    Returns:
        (N,) float64, at least 0, high = hard: nothing like it near.

    Raises:
        UserError: k is below 1, or there is no other example.
    """
    e = embeddings(encoder)
    if k < 1 or len(e) < 2:
        raise UserError(f"k must be at least 1 and the examples at least 2, got k={k} and {len(e)} examples")
    distances, _ = neighbours(e, min(k, len(e) - 1))
    return distances.double().mean(dim=1)


@hookimpl
def prunebench_scorers() -> list[Scorer]:
    """What this package offers."""
    return [Scorer("knn_distance", knn_distance, hard="high", definition=1)]
