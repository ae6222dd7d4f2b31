"""The score atlas: which scorers say the same, how surely they say it, and which classes selections keep.

With h the hardness of N examples (the paper's score, its sign turned where a low score is hard):

    spearman(A, B)  = Spearman's rank correlation of h_A and h_B, ties sharing the mean of their ranks
    overlap(A, B)   = (|H_A & H_B| / k - k / N) / (1 - k / N),  H the k hardest; 1 for the same examples, 0 by chance
    stability       = the same two numbers between scorings of one scorer: other score seeds, other reference networks

A matrix holds means over the scorings that two scorers share (same network, same score seed).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

KEEPS = (0.05, 0.1, 0.2, 0.3, 0.5)  # shares of hardest examples whose overlap is told


@dataclass(frozen=True)
class Stability:
    """How alike the scorings of one scorer are, over all their pairs."""

    scorer: str  # label
    over: str  # "score seeds" or "reference networks"
    pairs: int
    spearman: float  # mean
    lowest: float  # the lowest of the pairs' Spearman correlations
    overlap: Mapping[float, float]  # keep -> mean overlap of the hardest beyond chance


@dataclass(frozen=True)
class Quota:
    """What one selection, or the mean of one method's over seeds, keeps of every class."""

    label: str
    keep: float
    seeds: int
    counts: tuple[float, ...]  # (C,) kept examples, mean over seeds
    shares: tuple[float, ...]  # (C,) of the subset


@dataclass(frozen=True, eq=False)
class Atlas:
    """The scores of one training split."""

    dataset: str
    fingerprint: str
    size: int  # N
    networks: tuple[str, ...]  # reference networks, those of the scorings that are here
    scorers: tuple[str, ...]  # (S,) labels
    scorings: tuple[int, ...]  # (S,) how many score records each has
    spearman: np.ndarray  # (S, S) in -1..1; NaN where two share no scoring, or one score is the same for all
    overlap: Mapping[float, np.ndarray]  # keep -> (S, S), at most 1, NaN where two share no scoring
    stability: tuple[Stability, ...]
    quotas: tuple[Quota, ...]
    left_out: tuple[str, ...] = ()  # scorers whose numbers can be compared within a class only
