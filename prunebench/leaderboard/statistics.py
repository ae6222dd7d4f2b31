"""What a leaderboard may say about a handful of seeds.

    mean:        m = sum(a_s) / n,   sd = sqrt(sum((a_s - m)^2) / (n - 1))
    interval:    below 8 seeds  m +- t(0.975; n - 1) * sd / sqrt(n);  from 8 on BCa, expanded, see `resampling`
    difference:  d_s = a_s - b_s over the seeds both have; the same interval, t = m_d / (sd_d / sqrt(n)), and a
                 permutation test by sign flips, told where 2 / 2^n, the least it can give, is at most 0.05: n >= 6
    runs:        values that share one of G scoring runs are no independent evidence. With e_g = sum of (a_s - m) over
                 those of run g:  se^2 = G / (G - 1) * sum(e_g^2) / n^2  and G - 1 degrees of freedom (Liang & Zeger
                 1986); with as many runs as values that is the interval above. Where there is one run, or the e_g
                 are all 0 though values differ, there is no interval and no p. Such an interval is a t-interval
                 however many seeds there are, and signs are flipped run by run
    Holm (1979): p sorted ascending, adjusted p_(i) = max over j <= i of min(1, (m - j + 1) p_(j))

Student's distribution comes from `scipy.special`, which is what `scipy.stats.t` calls: thousands of rows take no time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from scipy.special import stdtr, stdtrit

from .resampling import bca_interval, expanded_level, sign_flip_p

LEVEL = 0.05
BOOTSTRAPPED = 8  # from so many values on intervals are BCa
DIGITS = 9  # accuracies are in 0..1: means that agree in so many are the same
_NO_SPREAD = 1e-12  # what lies below is rounding


@dataclass(frozen=True)
class Summary:
    """Mean and spread over n seeds; one seed has no spread and no interval, seeds of one run no interval."""

    n: int
    mean: float
    sd: float | None
    half: float | None  # half the width of the 95 % interval
    interval: str | None = None  # how it was made, "t" or "BCa"; None where there is none
    low: float | None = None  # its ends: a BCa interval need not be symmetric about the mean
    high: float | None = None

    @property
    def rounded(self) -> float:
        """The mean to be ranked by, without the last bits: the same sum of other summands is the same."""
        return round(self.mean, DIGITS)


@dataclass(frozen=True)
class Difference:
    """Mean paired difference over n common seeds."""

    n: int
    mean: float
    half: float | None
    p: float | None  # paired t, two-sided; None for one pair or run, and where all differences are the same
    p_holm: float | None = None  # adjusted over the family shown
    interval: str | None = None  # how it was made, "t" or "BCa"; None for one pair or run
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


def summarise(values: Sequence[float], runs: Sequence[int] | None = None, interval: str | None = None) -> Summary:
    """Mean, sd and 95 % interval of ``values`` (n,), n >= 1; ``runs`` (n,), of several, say which share one.

    ``interval`` is "t" or "BCa"; None takes BCa from `BOOTSTRAPPED` values on. Values that share runs get t.
    Those of one run get none.

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
    made = interval or ("BCa" if n >= BOOTSTRAPPED else "t")
    if made == "BCa" and not _clustered(n, runs):
        low, high = bca_interval(values, expanded_level(n)) if sd > _NO_SPREAD else (mean, mean)
        return Summary(n, mean, sd, (high - low) / 2, "BCa", low, high)
    error, degrees = _error([v - mean for v in values], sd, runs)
    if degrees == 0 or (error <= _NO_SPREAD < sd):
        return Summary(n, mean, sd, None)
    half = t_quantile(degrees) * error
    return Summary(n, mean, sd, half, "t", mean - half, mean + half)


def standard_error(values: Sequence[float], runs: Sequence[int] | None = None) -> float | None:
    """Of the mean of ``values`` (n,), of which ``runs`` (n,) say which share one; None of a single value."""
    n = len(values)
    if n < 2:
        return None
    mean = math.fsum(values) / n
    deviations = [v - mean for v in values]
    return _error(deviations, math.sqrt(math.fsum(d * d for d in deviations) / (n - 1)), runs)[0]


def _clustered(n: int, runs: Sequence[int] | None) -> bool:
    """Whether some of n values share a run and others do not."""
    return runs is not None and len(set(runs)) < n


def _error(deviations: Sequence[float], sd: float, runs: Sequence[int] | None) -> tuple[float, int]:
    """The standard error of a mean, and its degrees of freedom; none within one run."""
    n = len(deviations)
    if not _clustered(n, runs):
        return sd / math.sqrt(n), n - 1
    sums = _sums(deviations, runs)
    groups = len(sums)
    if groups == 1:
        return math.inf, 0
    return math.sqrt(groups / (groups - 1) * math.fsum(e * e for e in sums)) / n, groups - 1


def _sums(values: Sequence[float], runs: Sequence[int] | None) -> list[float]:
    """(G,) sums of what belongs together: of each run where some share one, else the values themselves."""
    if runs is None or not _clustered(len(values), runs):
        return list(values)
    return [math.fsum(v for v, r in zip(values, runs, strict=True) if r == run) for run in sorted(set(runs))]


def paired(
    ours: Mapping[int, float],
    theirs: Mapping[int, float],
    runs: Mapping[int, int] | None = None,
    interval: str | None = None,
) -> Difference | None:
    """``ours - theirs``, paired by seed; None without a common seed.

    ``runs``: seed -> scoring run, ``interval``: "t" or "BCa", see `summarise`.
    """
    seeds = sorted(ours.keys() & theirs.keys())
    differences = [ours[seed] - theirs[seed] for seed in seeds]
    if not differences:
        return None
    shared = None if runs is None else [runs[seed] for seed in seeds]
    found = summarise(differences, shared, interval)
    flipped = _sums(differences, shared)
    p, ends = _t_test(differences, found, shared), (found.interval, found.low, found.high)
    told = Difference(found.n, found.mean, found.half, p, None, *ends, flips=len(flipped))
    return replace(told, permutation=sign_flip_p(flipped)) if told.least <= LEVEL else told


def _t_test(differences: Sequence[float], found: Summary, runs: Sequence[int] | None) -> float | None:
    """Two-sided p of the paired t-test; None where nothing varies, and without an interval."""
    if found.sd is None or found.half is None or found.sd <= _NO_SPREAD:
        return None
    error, degrees = _error([d - found.mean for d in differences], found.sd, runs)
    return 2 * float(stdtr(degrees, -abs(found.mean / error)))


def same(found: Summary | Difference) -> bool:
    """Whether no seed differs from another: an interval of no width, which says nothing of how sure the mean is."""
    return found.half is not None and found.half <= 10**-DIGITS


def adjusted(differences: Sequence[Difference | None]) -> list[Difference | None]:
    """The same with the p values of either test adjusted by `holm` over all that have one."""
    told = list(differences)
    for name in ("p", "permutation"):
        tested = [(i, p) for i, d in enumerate(told) if d is not None and (p := getattr(d, name)) is not None]
        for (i, _), p in zip(tested, holm([p for _, p in tested]), strict=True):
            told[i] = replace(told[i], **{f"{name}_holm": p})  # type: ignore[type-var]
    return told


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
