"""What a leaderboard may say about a handful of seeds.

    mean:        m = sum(a_s) / n,   sd = sqrt(sum((a_s - m)^2) / (n - 1))
    interval:    m +- t(0.975; n - 1) * sd / sqrt(n)
    difference:  d_s = a_s - b_s over the seeds both have; the same interval and t = m_d / (sd_d / sqrt(n))
    runs:        values that share one of G scoring runs are no independent evidence. With e_g = sum of (a_s - m) over
                 those of run g:  se^2 = G / (G - 1) * sum(e_g^2) / n^2  and G - 1 degrees of freedom (Liang & Zeger
                 1986); with as many runs as values that is the interval above, with one run it is not used
    Holm (1979): p sorted ascending, adjusted p_(i) = max over j <= i of min(1, (m - j + 1) p_(j))

Student's distribution comes from `scipy.special`, which is what `scipy.stats.t` calls: thousands of rows take no time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from scipy.special import stdtr, stdtrit

LEVEL = 0.05
_NO_SPREAD = 1e-12  # accuracies are in 0..1: what lies below is rounding


@dataclass(frozen=True)
class Summary:
    """Mean and spread over n seeds; one seed has no spread and no interval."""

    n: int
    mean: float
    sd: float | None
    half: float | None  # half the width of the 95 % interval
    interval: str | None = None  # how it was made, "t" or "BCa"; None with one seed
    low: float | None = None  # its ends: a BCa interval need not be symmetric about the mean
    high: float | None = None


@dataclass(frozen=True)
class Difference:
    """Mean paired difference over n common seeds."""

    n: int
    mean: float
    half: float | None
    p: float | None  # paired t, two-sided; None for one pair, and where all differences are the same
    p_holm: float | None = None  # adjusted over the family shown
    interval: str | None = None  # how it was made, "t" or "BCa"; None for one pair
    low: float | None = None  # its ends: a BCa interval need not be symmetric about the mean
    high: float | None = None
    permutation: float | None = None  # paired permutation, two-sided; None where it cannot reach the level at all
    permutation_holm: float | None = None  # adjusted over the family shown
    flips: int = 0  # what the permutation test turns around: the pairs, or the scoring runs where seeds share some

    @property
    def significant(self) -> bool:
        return self.p_holm is not None and self.p_holm < LEVEL

    @property
    def least(self) -> float:
        """The smallest p that a permutation test of so few pairs can give, 2 / 2^flips, at most 1."""
        return min(1.0, 2.0 ** (1 - self.flips))


def summarise(values: Sequence[float], runs: Sequence[int] | None = None) -> Summary:
    """Mean, sd and half width of the 95 % t-interval of ``values`` (n,), n >= 1; ``runs`` (n,) say which share one.

    Raises:
        ValueError: there is no value.
    """
    n = len(values)
    if n == 0:
        raise ValueError("there is no value to summarise")
    mean = math.fsum(values) / n
    if n == 1:
        return Summary(1, mean, None, None)
    sd = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    error, degrees = _error([v - mean for v in values], sd, runs)
    return Summary(n, mean, sd, t_quantile(degrees) * error)


def _error(deviations: Sequence[float], sd: float, runs: Sequence[int] | None) -> tuple[float, int]:
    """The standard error of a mean, and its degrees of freedom."""
    n, groups = len(deviations), len(set(runs or ()))
    if runs is None or groups in (1, n):
        return sd / math.sqrt(n), n - 1
    sums = [math.fsum(d for d, r in zip(deviations, runs, strict=True) if r == run) for run in sorted(set(runs))]
    return math.sqrt(groups / (groups - 1) * math.fsum(e * e for e in sums)) / n, groups - 1


def paired(
    ours: Mapping[int, float], theirs: Mapping[int, float], runs: Mapping[int, int] | None = None
) -> Difference | None:
    """``ours - theirs``, paired by seed; None without a common seed. ``runs``: seed -> scoring run, see `summarise`."""
    seeds = sorted(ours.keys() & theirs.keys())
    differences = [ours[seed] - theirs[seed] for seed in seeds]
    if not differences:
        return None
    shared = None if runs is None else [runs[seed] for seed in seeds]
    found = summarise(differences, shared)
    if found.sd is None or found.sd <= _NO_SPREAD:
        return Difference(found.n, found.mean, found.half, None)
    error, degrees = _error([d - found.mean for d in differences], found.sd, shared)
    if error <= _NO_SPREAD:
        return Difference(found.n, found.mean, found.half, None)
    return Difference(found.n, found.mean, found.half, 2 * float(stdtr(degrees, -abs(found.mean / error))))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values (m,), in the order given."""
    m, adjusted, highest = len(p_values), [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(m), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (m - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


@lru_cache(maxsize=1024)
def t_quantile(degrees: int) -> float:
    """The 97.5 % quantile of Student's t."""
    return float(stdtrit(degrees, 1 - LEVEL / 2))
