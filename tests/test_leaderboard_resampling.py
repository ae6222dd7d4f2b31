"""Bootstrap intervals and permutation tests of a handful of seeds: exact where they can be, and as in `scipy.stats`."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from prunebench.leaderboard.resampling import RESAMPLES, bca_interval, expanded_level, sign_flip_p
from prunebench.leaderboard.statistics import Difference, adjusted, paired, summarise

# Fisher (1935), The Design of Experiments, chapter 3: heights of 15 pairs of Darwin's maize, in eighths of an inch
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
ACCURACIES = st.lists(st.integers(0, 1000).map(lambda n: n / 1000), min_size=2, max_size=9)


def by_seed(values):
    return dict(enumerate(values))


# -- sign flips -------------------------------------------------------------------------------------------------------


def test_fishers_exact_test_of_darwins_maize():
    assert sum(DARWIN) == 314
    assert sign_flip_p(DARWIN, exact=15) == 2 * 863 / 2**15  # Fisher counts 863 sign choices in either tail
    assert sign_flip_p(DARWIN) == pytest.approx(2 * 863 / 2**15, abs=0.007)  # three standard errors of 9,999 choices


def test_two_differences_by_hand():
    assert sign_flip_p([3, 1]) == 0.5  # |3 + 1| of 4, 2, 2, 4
    assert sign_flip_p([3, -1]) == 1.0
    assert sign_flip_p([0, 0]) == 1.0
    assert sign_flip_p([1] * 6) == 2 / 64


@pytest.mark.parametrize("n", [3, 6, 10, 12])
def test_sign_flips_are_the_exact_test_of_scipy(n):
    differences = np.random.default_rng(n).normal(0.01, 0.01, n)
    found = stats.permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(differences) == found.pvalue


def test_many_differences_are_tested_by_as_many_draws_as_scipy_takes():
    differences = np.random.default_rng(0).normal(0.004, 0.01, 20)
    found = stats.permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=RESAMPLES, rng=1)
    error = math.sqrt(found.pvalue * (1 - found.pvalue) / RESAMPLES)
    assert sign_flip_p(differences) == pytest.approx(found.pvalue, abs=5 * math.sqrt(2) * error)
    assert sign_flip_p(np.ones(20)) == 1 / (1 + RESAMPLES)  # what was observed is one of the choices


@given(ACCURACIES, st.data())
def test_the_permutation_test_is_symmetric_and_sees_differences_alone(values, data):
    others = data.draw(
        st.lists(st.integers(0, 1000).map(lambda n: n / 1000), min_size=len(values), max_size=len(values))
    )
    differences = [a - b for a, b in zip(values, others, strict=True)]
    p = sign_flip_p(differences)
    assert 0 < p <= 1 and (p * 2 ** len(values)).is_integer()
    assert sign_flip_p([-d for d in differences]) == p
    assert sign_flip_p(differences[::-1]) == p
    shifted = [(a + 0.25) - (b + 0.25) for a, b in zip(values, others, strict=True)]
    assert sign_flip_p(shifted) == p


def test_the_permutation_test_is_exact_under_no_difference():
    """Of all 2^7 signs of given sizes, as many have p <= alpha as alpha allows: never more."""
    sizes = np.array([0.1, 0.7, 0.2, 0.5, 1.1, 0.3, 0.9])
    signs = 1 - 2 * ((np.arange(2**7)[:, None] >> np.arange(7)) & 1)
    p = np.array([sign_flip_p(sizes * s) for s in signs])
    for alpha in np.unique(p):
        assert (p <= alpha).mean() == alpha


# -- BCa --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [8, 9, 15, 40])
@pytest.mark.parametrize("draw", ["normal", "exponential"])
def test_bca_is_scipys_draw_by_draw(n, draw):
    values = 0.9 + 0.01 * getattr(np.random.default_rng(n), draw)(size=n)
    found = stats.bootstrap((values,), np.mean, method="BCa", rng=np.random.default_rng(0)).confidence_interval
    width = found.high - found.low
    assert bca_interval(values) == pytest.approx(tuple(found), abs=1e-3 * width)  # scipy counts rounding as no tie


def test_bca_leans_with_the_values():
    low, high = bca_interval([0.9] * 9 + [0.8])
    assert 0.89 - low > high - 0.89 > 0
    assert bca_interval([-v for v in [0.9] * 9 + [0.8]]) == pytest.approx((-high, -low), abs=1e-3)


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 1000), min_size=8, max_size=20).filter(lambda v: len(set(v)) > 1), st.integers(-500, 500)
)
def test_bca_moves_with_its_values_and_holds_their_mean(values, shift):
    low, high = bca_interval([v / 1000 for v in values])
    assert min(values) / 1000 - 1e-9 <= low <= sum(values) / len(values) / 1000 <= high <= max(values) / 1000 + 1e-9
    moved = bca_interval([(v + shift) / 1000 for v in values])
    assert moved == pytest.approx((low + shift / 1000, high + shift / 1000), abs=1e-9)


def test_bca_of_the_same_values_is_refused():
    with pytest.raises(ValueError, match="all the same"):
        bca_interval([0.5] * 8)


def test_bca_covers_in_a_small_simulation():
    """Nominal 95 %: expanded, it covers 94 % for 8 normal values, 88 % as it is; for skewed ones more than t does."""
    draw = np.random.default_rng(0)

    def covered(values, truth, interval):
        ends = [interval(row) for row in values]
        return np.mean([low <= truth <= high for low, high in ends])

    def of_a_board(row):
        found = summarise(list(row), interval="BCa")
        return found.low, found.high

    def students(row):
        found = summarise(list(row), interval="t")
        return found.low, found.high

    normal, skewed = draw.normal(size=(1000, 8)), draw.exponential(size=(1000, 10))
    assert covered(normal, 0, of_a_board) == pytest.approx(0.94, abs=0.02)
    assert covered(normal, 0, bca_interval) == pytest.approx(0.88, abs=0.02)
    assert covered(skewed, 1, of_a_board) > covered(skewed, 1, students) + 0.01


def test_the_level_of_an_expanded_bootstrap_by_hand():
    # t(0.975; 7) = 2.364624; sqrt(8 / 7) = 1.069045; Phi(-2.527889) = 0.005737
    assert expanded_level(8) == pytest.approx(2 * 0.005737, abs=2e-6)
    assert expanded_level(10_000) == pytest.approx(0.05, abs=1e-4)
    assert [expanded_level(n) for n in (8, 20, 99)] == sorted(expanded_level(n) for n in (8, 20, 99))


# -- what a board takes of them ---------------------------------------------------------------------------------------


def test_intervals_are_t_below_eight_seeds_and_bca_from_there_on():
    values = [0.9, 0.91, 0.93, 0.9, 0.89, 0.95, 0.92, 0.9]
    seven, eight = summarise(values[:7]), summarise(values)
    assert (seven.interval, eight.interval) == ("t", "BCa")
    assert (seven.low, seven.high) == pytest.approx((seven.mean - seven.half, seven.mean + seven.half))
    assert (eight.low, eight.high) == bca_interval(values, expanded_level(8))
    assert eight.half == (eight.high - eight.low) / 2
    assert summarise(values, interval="t").interval == "t"
    assert summarise([0.9]).interval is None and summarise([0.9]).low is None


def test_seeds_that_never_vary_have_an_interval_of_no_width():
    found = summarise([0.9] * 9)
    assert (found.interval, found.half) == ("BCa", 0.0)
    assert (found.low, found.high) == pytest.approx((0.9, 0.9))


def test_shared_scoring_runs_keep_their_t_interval_and_flip_together():
    ours, theirs = by_seed([0.9 + 0.01 * (s % 5) for s in range(10)]), by_seed([0.88] * 10)
    runs = {s: s % 5 for s in range(10)}
    found = paired(ours, theirs, runs)
    assert (found.interval, found.flips) == ("t", 5)
    assert found.permutation is None and found.least == 2 / 2**5 > 0.05
    six = paired(ours, theirs, {s: s % 6 for s in range(10)})
    assert six.permutation is not None and six.flips == 6


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6, 12, 13])
def test_a_permutation_test_that_cannot_reach_the_level_gives_no_p(n):
    found = paired(by_seed([0.9 + 0.01 * s for s in range(n)]), by_seed([0.5] * n))
    assert found.least == min(1, 2 / 2**n)
    assert (found.permutation is None) == (n < 6)
    if 6 <= n <= 12:
        assert found.permutation == 2 / 2**n


def test_both_tests_are_adjusted_over_those_that_have_a_p():
    def told(p, permutation):
        return Difference(6, 0.1, 0.1, p, permutation=permutation, flips=6)

    first, none, second, third = adjusted([told(0.01, None), None, told(0.04, 0.25), told(None, 0.125)])
    assert none is None
    assert (first.p_holm, second.p_holm, third.p_holm) == (0.02, 0.04, None)
    assert (first.permutation_holm, second.permutation_holm, third.permutation_holm) == (None, 0.25, 0.25)
