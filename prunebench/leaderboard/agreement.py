"""Whether several scores of the same examples say the same.

With h the hardness of N examples (the paper's score, its sign turned where a low score is hard):

    spearman(A, B)  = Pearson's correlation of the ranks of h_A and h_B, ties sharing the mean of their ranks
    overlap(A, B)   = (|H_A & H_B| / k - k / N) / (1 - k / N),  H the k hardest; 1 for the same examples, 0 by chance
    within_class    = (rank in its class - 1/2) / size of the class, in (0, 1), ties sharing the mean of their ranks

with k = floor(keep * N + 1/2), at least 1 and at most N - 1. Which of equally hard examples count is drawn once, alike
for all scorers and never by position, as in a selection.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def spearman(hardness: np.ndarray) -> np.ndarray:
    """(S, S) rank correlations of ``hardness`` (S, N), NaN in the rows and columns of a score that never varies."""
    from scipy.stats import rankdata

    ranks = rankdata(hardness, axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    norms = np.sqrt((ranks**2).sum(1))
    norms[norms == 0] = math.nan
    ranks /= norms[:, None]
    return np.clip(ranks @ ranks.T, -1, 1)


def overlap(hardness: np.ndarray, keep: float) -> np.ndarray:
    """(S, S) overlap beyond chance of the hardest share ``keep``, 0 < keep < 1, of ``hardness`` (S, N), N >= 2."""
    return overlaps(hardness, (keep,))[keep]


def overlaps(hardness: np.ndarray, keeps: Sequence[float]) -> dict[float, np.ndarray]:
    """Keep -> `overlap`, for several shares at the price of one sort.

    Raises:
        ValueError: a share outside (0, 1), or fewer than two examples.
    """
    n = hardness.shape[1]
    if n < 2 or not all(0 < keep < 1 for keep in keeps):
        raise ValueError(f"overlap needs shares between 0 and 1 of at least two examples, not {list(keeps)} of {n}")
    drawn = np.random.default_rng(0).permutation(n)
    order = np.stack([np.lexsort((drawn, -values)) for values in hardness])
    return {keep: _overlap(order, min(n - 1, max(1, math.floor(keep * n + 0.5)))) for keep in keeps}


def _overlap(order: np.ndarray, k: int) -> np.ndarray:
    among = np.zeros(order.shape, dtype=np.float32)
    np.put_along_axis(among, order[:, :k], 1.0, axis=1)
    chance = k / order.shape[1]
    return ((among @ among.T).astype(np.float64) / k - chance) / (1 - chance)


def within_class(hardness: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(N,) in (0, 1): where each example stands in its class, high = hard; of ``hardness`` and ``classes`` (N,)."""
    from scipy.stats import rankdata

    found = np.empty(len(hardness), dtype=np.float64)
    for label in np.unique(classes):
        alike = classes == label
        found[alike] = (rankdata(hardness[alike]) - 0.5) / alike.sum()
    return found
