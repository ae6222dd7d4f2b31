"""The statistics of the leaderboard, on worked examples that were published or can be done by hand."""

import math

import pytest
from scipy import stats

from prunebench.leaderboard.statistics import holm, paired, summarise, t_quantile

# Student (1908), Biometrika 6, table of additional hours of sleep: two drugs, ten patients
FIRST = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def by_seed(values):
    return dict(enumerate(values))


def test_paired_difference_of_students_sleep_data():
    found = paired(by_seed(SECOND), by_seed(FIRST), interval="t")
    assert found.n == 10
    assert found.mean == pytest.approx(1.58)
    assert found.p == pytest.approx(0.002833, abs=5e-7)  # t = 4.0621 with 9 degrees of freedom
    assert found.mean - found.half == pytest.approx(0.7001142, abs=1e-7)
    assert found.mean + found.half == pytest.approx(2.4598858, abs=1e-7)


def test_holm_step_down_by_hand():
    # sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1, then never falling
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_holm_gives_tied_p_values_the_same_adjusted_one():
    assert holm([0.02, 0.02, 0.02]) == pytest.approx([0.06] * 3)


def test_interval_of_three_seeds_by_hand():
    found = summarise([0.90, 0.92, 0.94])
    assert found.mean == pytest.approx(0.92)
    assert found.sd == pytest.approx(0.02)
    assert found.half == pytest.approx(4.302653 * 0.02 / math.sqrt(3))  # t(0.975; 2) = 4.303 in every table


def test_one_seed_has_no_interval():
    found = summarise([0.9])
    assert (found.n, found.mean, found.sd, found.half) == (1, 0.9, None, None)
    assert paired({0: 0.9}, {0: 0.8}).p is None
    assert paired({0: 0.9}, {0: 0.8}).half is None


def test_no_value_is_no_summary():
    with pytest.raises(ValueError, match="no value"):
        summarise([])


def test_pairs_are_made_by_seed_not_by_position():
    found = paired({0: 0.5, 1: 0.9, 7: 0.1}, {1: 0.8, 0: 0.3, 2: 0.0})
    assert found.n == 2
    assert found.mean == pytest.approx(0.15)
    assert paired({0: 0.5}, {1: 0.5}) is None


def test_equal_differences_are_not_tested():
    assert paired({0: 0.3, 1: 0.4}, {0: 0.1, 1: 0.2}).p is None


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_same_as_scipy_stats(n):
    ours = by_seed([0.9 + 0.01 * math.sin(i) for i in range(n)])
    theirs = by_seed([0.89 + 0.02 * math.cos(3 * i) for i in range(n)])
    test = stats.ttest_rel(list(ours.values()), list(theirs.values()))
    low, high = test.confidence_interval(0.95)
    found = paired(ours, theirs, interval="t")
    assert found.p == pytest.approx(test.pvalue, rel=1e-9)
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high), rel=1e-9)
    assert t_quantile(n - 1) == pytest.approx(stats.t.ppf(0.975, n - 1))
