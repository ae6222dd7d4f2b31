"""Average ranks of methods over data sets, and which of them cannot be told apart.

After Demsar (2006), "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7:1-30: k methods, N data
sets, r_ij the rank of method j on data set i (1 is best, ties share the mean of their ranks), R_j the mean over i:

    chi2_F = 12 N / (k (k + 1)) * (sum_j R_j^2 - k (k + 1)^2 / 4)         k - 1 degrees of freedom (Friedman 1937)
    F_F    = (N - 1) chi2_F / (N (k - 1) - chi2_F)                        k - 1 and (k - 1)(N - 1) (Iman & Davenport)
    CD     = q_alpha * sqrt(k (k + 1) / (6 N))                            Nemenyi: ranks further apart differ

q_alpha is the upper quantile of the studentized range of k means with infinite degrees of freedom, over sqrt(2). Where
methods tie, chi2_F is divided by 1 - sum(t^3 - t) / (N (k^3 - k)), t the sizes of the ties.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LEAST = 5  # data sets


@dataclass(frozen=True)
class AverageRanks:
    """The methods that all of N data sets have at one keep ratio, ranked by mean accuracy on each; best first."""

    conditions: Mapping[str, Any]  # what the tables share: model, budget and so on
    keep: float
    data_sets: tuple[str, ...]  # (N,)
    methods: tuple[str, ...]  # (k,) labels, by average rank
    ranks: tuple[tuple[float, ...], ...]  # (N, k), 1 is best
    average: tuple[float, ...]  # (k,) mean over the data sets
    chi2: float  # Friedman's statistic
    p: float  # of chi2
    f: float  # Iman and Davenport's statistic; infinite where all data sets agree
    f_p: float  # of f
    critical: float  # Nemenyi's critical difference at the 5 % level
    cliques: tuple[tuple[int, int], ...]  # (first, last) places of methods that it does not tell apart, first best
    left_out: tuple[str, ...] = ()  # methods that are not on all the data sets
