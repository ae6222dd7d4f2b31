"""Average ranks over data sets, on Demsar's worked example and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from test_leaderboard import balanced, full, trial

from prunebench.leaderboard import board
from prunebench.leaderboard.friedman import cliques, critical_difference, friedman, ranks_of

# Demsar (2006), Table 6: AUC of C4.5, C4.5+m, C4.5+cf, C4.5+m+cf on 14 data sets. On the 13th the table prints 0.975
# twice and ranks the third method before the fourth: the third is written as 0.9751 here.
C45 = np.array(
    [
        *([0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967]),
        *([0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931]),
        *([0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875]),
        *([1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669]),
        *([0.972, 0.981, 0.9751, 0.975], [0.957, 0.978, 0.946, 0.970]),
    ]
)


def test_demsars_worked_example():
    found = friedman(C45)
    assert found.average == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    untied = 1 - (3 * (2**3 - 2) + (4**3 - 4)) / (
        14 * (4**3 - 4)
    )  # three ties of two, one of four; Demsar leaves it out
    assert found.chi2 * untied == pytest.approx(9.28, abs=0.005)
    f = 13 * (found.chi2 * untied) / (14 * 3 - found.chi2 * untied)
    assert f == pytest.approx(3.69, abs=0.005)
    assert found.f == pytest.approx(13 * found.chi2 / (42 - found.chi2)) and found.f > f
    assert found.critical == pytest.approx(1.25, abs=0.005)
    assert found.f_p < 0.05  # he rejects at 2.85, the quantile of F(3, 39)


@pytest.mark.parametrize("methods, q", [(3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (8, 3.031), (10, 3.164)])
def test_critical_values_of_demsars_table_five(methods, q):
    assert critical_difference(methods, 12) / math.sqrt(methods * (methods + 1) / 72) == pytest.approx(q, abs=1e-3)


def test_data_sets_that_all_agree_by_hand():
    found = friedman(np.array([[0.9, 0.8, 0.7]] * 6))
    assert found.chi2 == pytest.approx(6 * 2)  # its largest, N (k - 1)
    assert found.f == math.inf and found.f_p == 0.0


def test_methods_that_always_tie_are_not_tested():
    found = friedman(np.full((5, 3), 0.9))
    assert (found.chi2, found.p, found.f, found.f_p) == (0.0, 1.0, 0.0, 1.0)
    assert found.average.tolist() == [2.0, 2.0, 2.0]


@given(arrays.arrays(np.int64, st.tuples(st.integers(1, 8), st.integers(2, 8)), elements=st.integers(0, 5)))
def test_ranks_average_to_half_of_one_more_than_the_methods(values):
    ranks, k = ranks_of(values), values.shape[1]
    assert ranks.mean(1) == pytest.approx([(k + 1) / 2] * len(values))
    best = ranks == ranks.min(1, keepdims=True)
    assert (values[best].reshape(-1) == np.repeat(values.max(1), best.sum(1))).all()


def test_cliques_by_hand():
    assert cliques([1.0, 1.5, 2.2, 3.6], 1.3) == [(0, 2)]
    assert cliques([1.0, 2.0, 3.0, 4.0], 1.5) == [(0, 1), (1, 2), (2, 3)]
    assert cliques([1.0, 2.0, 3.0], 1.0) == []  # as far apart as the critical difference is different
    assert cliques([1.964, 2.0, 2.893, 3.143], 1.25) == [(0, 3)]  # Demsar: 1.179 apart is not enough


# -- of records -------------------------------------------------------------------------------------------------------

GAINS = {"aum": 0.05, "el2n": -0.05, "forgetting": 0.02}


def results(data_sets=5, keep=0.1, gains=GAINS, **changed):
    made = []
    for number in range(data_sets):
        here = {"dataset": f"set{number}", "fingerprint": f"{number}" * 64, **changed}
        for seed in (0, 1):
            base = 0.7 + 0.02 * number + 0.01 * seed
            made += [
                trial(scorer=f"x/{n}()", keep=keep, seed=seed, accuracy=base + g, **here) for n, g in gains.items()
            ]
            made += [balanced(keep=keep, seed=seed, accuracy=base, **here), full(seed=seed, accuracy=0.97, **here)]
    return made


def test_ranks_of_five_data_sets():
    (found,) = board(results()).ranks
    assert found.methods == ("aum + bws", "forgetting + bws", "balanced random", "el2n + bws")
    assert found.average == (1.0, 2.0, 3.0, 4.0)
    assert found.data_sets == ("set0", "set1", "set2", "set3", "set4")
    assert found.ranks == ((1.0, 2.0, 3.0, 4.0),) * 5
    assert found.chi2 == pytest.approx(15) and found.f == math.inf
    assert found.critical == pytest.approx(2.569 * math.sqrt(4 * 5 / 30), abs=1e-3)  # 2.0976
    assert found.cliques == ((0, 2), (1, 3))
    assert (found.keep, found.conditions["model"]) == (0.1, "resnet18")


def test_four_data_sets_are_too_few_and_so_are_two_methods():
    assert board(results(4)).ranks == ()
    assert board(results(gains={"aum": 0.05})).ranks == ()


def test_conditions_are_not_mixed():
    other = results(2, model="vit_tiny")
    (found,) = board([*results(), *other]).ranks
    assert found.conditions["model"] == "resnet18"
    assert board([*results(3), *[t for t in results(5, train_budget="epochs") if t.dataset > "set2"]]).ranks == ()
    assert [r.keep for r in board([*results(), *results(keep=0.3)]).ranks] == [0.1, 0.3]


def test_a_method_that_a_data_set_lacks_is_named_and_not_ranked():
    lacking = [t for t in results() if not (t.dataset == "set3" and t.scorer == "x/el2n()")]
    (found,) = board(lacking).ranks
    assert found.left_out == ("el2n + bws",) and len(found.methods) == 3


def test_a_data_set_under_two_conditions_counts_once():
    (found,) = board([*results(), *results(2, threads=4, gains={"aum": -0.3, "el2n": 0.1})]).ranks
    assert len(found.data_sets) == 5 and found.average == (1.0, 2.0, 3.0, 4.0)


def test_the_rank_table_stands_below_and_says_what_was_tested():
    for shown in ("results", "tests"):
        text = board(results()).render("table", shown)
        assert "Average ranks over 5 data sets · resnet18 · equal steps · keep 0.1" in text
        lines = [" ".join(line.split()) for line in text.splitlines()]
        assert "aum + bws 1.000 1 1 a" in lines and "forgetting + bws 2.000 2 2 a b" in lines
        assert "chi2 = 15.00 (3 degrees of freedom), p = 0.002" in text
        assert "set0, set1, set2, set3, set4" in text
    assert "Average ranks" not in board(results()).render("table", "cost")
    assert "Average ranks" not in str(board(results(4)))
