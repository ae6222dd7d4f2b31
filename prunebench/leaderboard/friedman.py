"""Average ranks of methods over data sets, and which of them cannot be told apart.

After Demsar (2006), "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7:1-30: k methods, N data
sets, r_ij the rank of method j on data set i (1 is best, ties share the mean of their ranks), R_j the mean over i:

    chi2_F = 12 N / (k (k + 1)) * (sum_j R_j^2 - k (k + 1)^2 / 4)         k - 1 degrees of freedom (Friedman 1937)
    F_F    = (N - 1) chi2_F / (N (k - 1) - chi2_F)                        k - 1 and (k - 1)(N - 1) (Iman & Davenport)
    CD     = q_alpha * sqrt(k (k + 1) / (6 N))                            Nemenyi: ranks further apart differ

q_alpha is the upper quantile of the studentized range of k means with infinite degrees of freedom, over sqrt(2). Where
methods tie, chi2_F is divided by 1 - sum(t^3 - t) / (N (k^3 - k)), t the sizes of the ties.

A data set is one block, by its name. Ranks are taken within one table, so nothing is compared across conditions; where
a data set has several fitting tables (other step counts, threads), that with most methods stands for it. Random rows
are ranked with the methods; the full data, oracles and index files are not. What others report is ranked by itself.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .rows import Row
from .statistics import DIGITS, LEVEL
from .table import Table

LEAST = 5  # data sets
FEWEST = 3  # methods: two are compared by a paired test
_OWN = (  # conditions that belong to a data set; ranks are taken within it
    *("dataset", "fingerprint", "test_fingerprint", "image_size", "recipe", "steps", "budget_seconds"),
    *("reference_epochs", "threads"),
)


@dataclass(frozen=True)
class AverageRanks:
    """The methods that all of N data sets have at one keep ratio, ranked by mean accuracy on each; best first."""

    conditions: Mapping[str, Any]  # what the tables share: model, budget and so on; source: "here" or "reported"
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


@dataclass(frozen=True)
class Tested:
    """Friedman's test of ranks (N, k)."""

    average: np.ndarray  # (k,)
    chi2: float
    p: float
    f: float
    f_p: float
    critical: float


def ranks_of(accuracies: np.ndarray) -> np.ndarray:
    """(N, k) ranks within each row of ``accuracies`` (N, k), 1 the most accurate, ties their mean."""
    from scipy.stats import rankdata

    return rankdata(-np.round(np.asarray(accuracies, dtype=np.float64), DIGITS), axis=1)


def friedman(accuracies: np.ndarray) -> Tested:
    """Friedman's test, Iman and Davenport's and Nemenyi's critical difference of ``accuracies`` (N, k), N >= 2, k >= 3.

    Where every method has the same rank everywhere there is nothing to test: chi2 and F are 0, p is 1.
    """
    from scipy.stats import f as f_distribution
    from scipy.stats import friedmanchisquare

    ranks = ranks_of(accuracies)
    n, k = ranks.shape
    critical = critical_difference(k, n)
    if (ranks == ranks[0, 0]).all():
        return Tested(ranks.mean(0), 0.0, 1.0, 0.0, 1.0, critical)
    found = friedmanchisquare(*(-ranks).T)
    chi2, most = float(found.statistic), n * (k - 1)
    f = math.inf if most - chi2 <= 1e-9 * most else (n - 1) * chi2 / (most - chi2)
    f_p = float(f_distribution.sf(f, k - 1, (k - 1) * (n - 1)))
    return Tested(ranks.mean(0), chi2, float(found.pvalue), f, f_p, critical)


def critical_difference(methods: int, data_sets: int) -> float:
    """Nemenyi's: how far apart two average ranks must be for the two methods to differ at the 5 % level."""
    return _quantile(methods) * math.sqrt(methods * (methods + 1) / (6 * data_sets))


@lru_cache(maxsize=256)
def _quantile(methods: int) -> float:
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - LEVEL, methods, np.inf)) / math.sqrt(2)


def cliques(average: Sequence[float], critical: float) -> list[tuple[int, int]]:
    """(first, last) of every longest run of at least two ascending average ranks (k,) less than ``critical`` apart."""
    found: list[tuple[int, int]] = []
    for first in range(len(average)):
        last = max(i for i in range(first, len(average)) if average[i] - average[first] < critical)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def average_ranks(tables: Sequence[Table]) -> list[AverageRanks]:
    """Of every set of tables that differ in the data set alone, at every keep ratio that enough data sets have; one's
    own rows and those of others apart."""
    alike: dict[str, list[Table]] = defaultdict(list)
    for table in tables:
        alike[repr(sorted((_shared(table) | dict(table.split)).items(), key=str))].append(table)
    enough = [found for found in alike.values() if len({t.conditions["dataset"] for t in found}) >= LEAST]
    parts = [(found, keep, own) for found in enough for keep in _keeps(found) for own in (True, False)]
    return [told for found, keep, own in parts if (told := _ranked(found, keep, own)) is not None]


def _shared(table: Table) -> dict[str, Any]:
    return {name: value for name, value in table.conditions.items() if name not in _OWN}


def _keeps(tables: Sequence[Table]) -> list[float]:
    return sorted({row.keep for table in tables for row in table.rows if row.baseline != "full"})


def _ranked(tables: Sequence[Table], keep: float, own: bool) -> AverageRanks | None:
    blocks: dict[str, dict[tuple[str, str, str], Row]] = {}
    for table in tables:
        fitting = [row for row in table.rows if row.keep == keep and row.own is own and _may_rank(row)]
        rows = {(row.scorer or "", row.selector, row.variant): row for row in fitting}
        contenders = any(row.baseline is None for row in rows.values())
        if contenders and len(rows) > len(blocks.get(table.conditions["dataset"], ())):
            blocks[table.conditions["dataset"]] = rows
    seen = {method: row.label for rows in blocks.values() for method, row in rows.items()}
    common = [method for method in seen if all(method in rows for rows in blocks.values())]
    if len(blocks) < LEAST or len(common) < FEWEST:
        return None
    names = sorted(blocks)
    accuracies = np.array([[blocks[name][method].accuracy.mean for method in common] for name in names])
    tested = friedman(accuracies)
    order = sorted(range(len(common)), key=lambda j: (tested.average[j], seen[common[j]]))
    average = tuple(float(tested.average[j]) for j in order)
    return AverageRanks(
        conditions=_shared(tables[0]) | dict(tables[0].split) | {"source": "here" if own else "reported"},
        keep=keep,
        data_sets=tuple(names),
        methods=tuple(seen[common[j]] for j in order),
        ranks=tuple(tuple(map(float, row)) for row in ranks_of(accuracies)[:, order]),
        average=average,
        **{"chi2": tested.chi2, "p": tested.p, "f": tested.f, "f_p": tested.f_p, "critical": tested.critical},
        cliques=tuple(cliques(average, tested.critical)),
        left_out=tuple(sorted(label for method, label in seen.items() if method not in common)),
    )


def _may_rank(row: Row) -> bool:
    return row.baseline != "full" and not row.oracle and row.selector != "subset"
