"""Which scorers say the same: rank correlations, and overlaps of the hardest examples beyond chance, as matrices.

The arithmetic is `prunebench.leaderboard.atlas`; here its scorers are put in an order that shows groups: that of the
leaves of average linkage over 1 - Spearman (Bar-Joseph, Gifford & Jaakkola 2001, Bioinformatics 17:S22).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..leaderboard.atlas import Atlas


@dataclass(frozen=True)
class ScoreMap:
    """One number for every pair of scorers of one training split."""

    heading: str
    measure: str  # "spearman" or "overlap"
    keep: float | None  # of an overlap: the share of hardest examples
    scorers: tuple[str, ...]  # (S,) labels
    values: tuple[tuple[float | None, ...], ...]  # (S, S); None where two share no scoring


def score_maps(atlases: Sequence[Atlas], keep: float = 0.1) -> tuple[ScoreMap, ...]:
    """Of every atlas of at least two scorers the correlations, and the overlap at the share nearest to ``keep``."""
    found = []
    for atlas in atlases:
        if len(atlas.scorers) > 1:
            order = grouped(atlas.spearman)
            scorers = tuple(atlas.scorers[i] for i in order)
            title = f"{atlas.dataset} · {atlas.size} examples · scored with {', '.join(atlas.networks)}"
            found.append(ScoreMap(title, "spearman", None, scorers, _plain(atlas.spearman, order)))
            if atlas.overlap:
                share = min(atlas.overlap, key=lambda each: (abs(each - keep), each))
                found.append(ScoreMap(title, "overlap", share, scorers, _plain(atlas.overlap[share], order)))
    return tuple(found)


def grouped(spearman: np.ndarray) -> list[int]:
    """The order of (S, S) correlations in which like stands beside like; what is not known counts as 0."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(spearman) < 3:
        return list(range(len(spearman)))
    known = np.nan_to_num(np.asarray(spearman, dtype=np.float64))
    distance = 1 - (known + known.T) / 2
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance.clip(min=0.0), checks=False), "average", optimal_ordering=True)
    return [int(i) for i in leaves_list(tree)]


def _plain(matrix: np.ndarray, order: Sequence[int]) -> tuple[tuple[float | None, ...], ...]:
    lines = np.asarray(matrix, dtype=np.float64)[np.ix_(order, order)].tolist()
    return tuple(tuple(None if math.isnan(v) else v for v in line) for line in lines)
