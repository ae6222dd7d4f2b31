"""What resampling says of a mean over a handful of seeds: a bootstrap interval and a test by turning signs around.

With d_i = a_i - m the deviations of n values from their mean m, and B resamples of n values with replacement:

    BCa (Efron 1987):    z0 = Phi^-1(share of resampled means below m, ties by half)
                         a  = sum(d_i^3) / (6 sum(d_i^2)^(3/2)), the acceleration of a mean by the jackknife
                         ends: the Phi(z0 + (z0 + z) / (1 - a (z0 + z))) quantiles of the resampled means, with z
                         the level / 2 and the 1 - level / 2 quantile of the normal distribution
    expanded (Hesterberg 2015, The American Statistician 69:371): a bootstrap interval is too narrow by what separates
                         n from n - 1 and the normal distribution from Student's. Of level alpha, as a 95 % interval of
                         n values, is the one with  level / 2 = Phi(-sqrt(n / (n - 1)) t(1 - alpha / 2; n - 1))
    sign flips (Fisher 1935): under no difference each of G paired differences e_g has either sign, all 2^G alike
                         p = share of the sign choices with |sum s_g e_g| >= |sum e_g|; exact for G <= 12, else of B
                         random choices and the one observed, (1 + count) / (1 + B)

`scipy.stats.bootstrap` and `scipy.stats.permutation_test` are the same, and tests compare them, the bootstrap draw by
draw. They are not called, because here all rows of n values share their draws: a row takes 0.1 ms instead of 3. The
draws come from a fixed seed, so that a board is a function of its records alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

RESAMPLES = 9999
EXACT = 12  # sign choices of so many differences are all tried
_TIE = 1e-12  # accuracies are in 0..1: what lies nearer is rounding


def bca_interval(values: Sequence[float], level: float = 0.05) -> tuple[float, float]:
    """Ends of the BCa interval, 1 - ``level``, of the mean of ``values`` (n,), n >= 2, that are not all the same.

    Raises:
        ValueError: all values are the same.
    """
    given = np.asarray(values, dtype=np.float64)
    mean = given.mean()
    deviations = given - mean
    squares = float(deviations @ deviations)
    if squares <= _TIE**2:
        raise ValueError("a bootstrap of values that are all the same has no width")
    means = _counts(len(given)) @ deviations / len(given)  # (B,), less the mean of all
    below = ((means < -_TIE).sum() + (means <= _TIE).sum()) / (2 * RESAMPLES)
    bias, acceleration = ndtri(below), float((deviations**3).sum()) / (6 * squares**1.5)
    shifted = bias + ndtri(np.array([level / 2, 1 - level / 2]))
    low, high = np.quantile(means, ndtr(bias + shifted / (1 - acceleration * shifted)))
    return float(mean + low), float(mean + high)


@lru_cache(maxsize=256)
def expanded_level(n: int, alpha: float = 0.05) -> float:
    """The level of a bootstrap of ``n`` values, n >= 2, that makes an interval of level ``alpha`` of it: less."""
    return float(2 * ndtr(-math.sqrt(n / (n - 1)) * stdtrit(n - 1, 1 - alpha / 2)))


def sign_flip_p(differences: Sequence[float], exact: int = EXACT) -> float:
    """Two-sided p of the paired permutation test of ``differences`` (G,), G >= 1; in (0, 1].

    All choices of signs are tried where there are no more than ``exact`` differences.
    """
    given = np.asarray(differences, dtype=np.float64)
    flipped = np.abs(_signs(len(given), len(given) <= exact) @ given)
    extreme = int((flipped >= abs(given.sum()) - _TIE).sum())
    return extreme / len(flipped) if len(given) <= exact else (1 + extreme) / (1 + RESAMPLES)


@lru_cache(maxsize=16)
def _counts(n: int) -> np.ndarray:
    """(B, n) how often each of n values stands in each resample."""
    drawn = np.random.default_rng(0).integers(0, n, (RESAMPLES, n))
    return np.stack([(drawn == i).sum(1) for i in range(n)], axis=1).astype(np.float64)


@lru_cache(maxsize=16)
def _signs(n: int, exact: bool) -> np.ndarray:
    """(2^n, n) all choices of signs, or (B, n) random ones; entries are -1 and 1."""
    if exact:
        return 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    return 1.0 - 2.0 * np.random.default_rng(0).integers(0, 2, (RESAMPLES, n))
