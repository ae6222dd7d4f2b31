"""The score atlas: agreement of scorers by hand and as `scipy.stats` has it, and what is read from stores."""

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from test_leaderboard import balanced, full, trial

from prunebench import UserError
from prunebench.leaderboard.agreement import overlap, overlaps, spearman, within_class
from prunebench.leaderboard.atlas import atlases, quotas
from prunebench.store import Store
from prunebench.types import Cost

MATRICES = arrays.arrays(np.float64, st.tuples(st.integers(2, 5), st.integers(3, 30)), elements=st.integers(-3, 3))


# -- agreement --------------------------------------------------------------------------------------------------------


def test_spearman_by_hand():
    first, second = [1, 2, 3, 4, 5], [2, 1, 4, 3, 5]  # squared rank differences 1 1 1 1 0
    assert spearman(np.array([first, second]))[0, 1] == pytest.approx(1 - 6 * 4 / (5 * 24))
    assert spearman(np.array([[1.0, 2.0, 3.0], [9.0, 5.0, 1.0]]))[0, 1] == pytest.approx(-1)


@given(MATRICES)
def test_spearman_is_scipys(hardness):
    found = spearman(hardness)
    for i in range(len(hardness)):
        for j in range(len(hardness)):
            if np.ptp(hardness[i]) == 0 or np.ptp(hardness[j]) == 0:
                assert math.isnan(found[i, j])
            else:
                wanted = stats.spearmanr(hardness[i], hardness[j]).statistic
                assert found[i, j] == pytest.approx(wanted, abs=1e-9) and abs(found[i, j]) <= 1


def test_overlap_by_hand():
    hardness = np.arange(10.0)
    shuffled = hardness[[9, 0, 1, 2, 3, 4, 5, 6, 8, 7]]  # its hardest three: places 0, 8, 9
    found = overlap(np.stack([hardness, shuffled, -hardness]), 0.3)
    assert found[0, 1] == pytest.approx((2 / 3 - 0.3) / 0.7)
    assert found[0, 2] == pytest.approx((0 - 0.3) / 0.7)
    assert found.diagonal() == pytest.approx([1, 1, 1])


def test_overlap_is_zero_by_chance():
    drawn = np.random.default_rng(0).normal(size=(2, 200_000))
    for matrix in overlaps(drawn, (0.1, 0.5)).values():
        assert abs(matrix[0, 1]) < 0.02
    assert overlap(drawn, 1e-9)[0, 0] == pytest.approx(1.0)  # one example at least, all but one at most
    assert overlap(drawn[:, :10], 0.999)[0, 0] == pytest.approx(1.0)


def test_equally_hard_examples_count_by_no_position():
    constant = np.zeros((2, 1000))
    by_position = np.stack([np.zeros(1000), -np.arange(1000.0)])  # the second's hardest stand first
    assert overlap(constant, 0.2)[0, 1] == pytest.approx(1.0)  # a selection breaks both ties alike
    assert abs(overlap(by_position, 0.2)[0, 1]) < 0.1


@given(MATRICES, st.sampled_from([0.1, 0.5, 0.9]))
def test_agreement_sees_order_alone(hardness, keep):
    stretched = np.exp(hardness) * 7 - 2
    assert spearman(stretched) == pytest.approx(spearman(hardness), abs=1e-12, nan_ok=True)
    found = overlap(hardness, keep)
    assert overlap(stretched, keep) == pytest.approx(found)
    assert found == pytest.approx(found.T) and found.max() <= 1 + 1e-6


@pytest.mark.parametrize("keep", [0.0, 1.0, -0.1, 2.0])
def test_a_share_that_is_none_is_refused(keep):
    with pytest.raises(ValueError, match="shares between 0 and 1"):
        overlap(np.zeros((2, 5)), keep)


def test_ranks_within_classes_by_hand():
    found = within_class(np.array([5.0, 1.0, 100.0, 300.0, 300.0]), np.array([0, 0, 1, 1, 1]))
    assert found == pytest.approx([0.75, 0.25, 1 / 6, 2 / 3, 2 / 3])


# -- of records -------------------------------------------------------------------------------------------------------

EASY = np.arange(20.0)
SHUFFLED = np.random.default_rng(0).permutation(20).astype(float)
NETWORK = {"model": "resnet18", "recipe": "r", "epochs": 10}


def put(store, name, values, *, seed=0, hard="high", comparable="set", network=NETWORK, data="f", version=1):
    identity = {
        **{"protocol": 1, "threads": 2, "precision": "float32", "image_size": 8, "data": data, "reference": network},
        **{"method": {"text": f"prunebench/{name}()", "definition": version}, "score_seed": seed, "files": {}},
    }
    result = {
        **{"dataset": "digits", "fingerprint": "f", "hard": hard, "comparable": comparable, "label_free": True},
        **{"cost": asdict(Cost()), "details": {}, "per_example": []},
    }
    return store.put("scores", identity, result, arrays={"values": np.asarray(values, dtype=np.float64)})


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


def test_direction_is_taken_into_account(store):
    put(store, "aum", -EASY, hard="low")
    put(store, "el2n", EASY, data="pictures")
    (found,) = atlases(store)
    assert (found.scorers, found.scorings, found.networks, found.size) == (("aum", "el2n"), (1, 1), ("resnet18",), 20)
    assert found.spearman == pytest.approx(np.ones((2, 2)))
    assert found.overlap[0.1] == pytest.approx(np.ones((2, 2)))
    assert found.stability == () and found.left_out == ()


def test_a_matrix_is_the_mean_over_what_two_scorers_share(store):
    put(store, "a", EASY)
    put(store, "a", SHUFFLED, seed=1)
    put(store, "b", EASY)
    put(store, "b", EASY, seed=1)
    put(store, "c", EASY, seed=2)
    put(store, "flat", np.zeros(20))
    (found,) = atlases(store)
    rho = stats.spearmanr(EASY, SHUFFLED).statistic
    assert found.scorers == ("a", "b", "c", "flat") and found.scorings == (2, 2, 1, 1)
    assert found.spearman[0, 1] == pytest.approx((1 + rho) / 2)
    assert math.isnan(found.spearman[0, 2]) and math.isnan(found.overlap[0.2][1, 2])  # no scoring in common
    assert math.isnan(found.spearman[0, 3]) and math.isnan(found.spearman[3, 3])  # no spread
    assert np.isfinite(found.overlap[0.2][0, 3])


def test_stability_over_seeds_and_networks_by_hand(store):
    put(store, "a", EASY)
    put(store, "a", EASY, seed=1)
    put(store, "a", SHUFFLED, seed=2)
    put(store, "a", SHUFFLED, network=NETWORK | {"model": "vit_tiny", "epochs": 30})
    put(store, "a", EASY, network=NETWORK | {"epochs": 99})  # another schedule is neither
    put(store, "b", EASY)
    (found,) = atlases(store, keeps=(0.5,))
    rho, shared = stats.spearmanr(EASY, SHUFFLED).statistic, overlap(np.stack([EASY, SHUFFLED]), 0.5)[0, 1]
    seeds, networks = found.stability
    assert (seeds.scorer, seeds.over, seeds.pairs) == ("a", "score seeds", 3)
    assert seeds.spearman == pytest.approx((1 + 2 * rho) / 3) and seeds.lowest == pytest.approx(rho)
    assert seeds.overlap[0.5] == pytest.approx((1 + 2 * shared) / 3)
    assert (networks.over, networks.pairs) == ("reference networks", 2)  # the ViT against either schedule
    assert networks.spearman == pytest.approx(rho)
    assert found.networks == ("resnet18", "vit_tiny")


def test_scores_that_compare_within_a_class_go_by_their_ranks_there(store):
    classes = np.repeat([0, 1], 10)
    by_class = np.concatenate([np.arange(10.0), 1000 + np.arange(10.0)])
    put(store, "drd", by_class, comparable="class")
    put(store, "el2n", np.tile(np.arange(10.0), 2))
    (found,) = atlases(store)
    assert found.scorers == ("el2n",) and found.left_out == ("drd",)
    asked = []
    (found,) = atlases(store, classes=lambda *place: asked.append(place) or classes)
    assert asked == [("digits", "f")]
    assert found.scorers == ("drd", "el2n") and found.left_out == ()
    assert found.spearman[0, 1] == pytest.approx(1.0)
    (found,) = atlases(store, classes=lambda *place: classes[:5])  # of other data
    assert found.left_out == ("drd",)


def test_two_definitions_of_one_method_are_two_scorers(store):
    put(store, "a", EASY, version=1)
    put(store, "a", SHUFFLED, version=2)
    (found,) = atlases(store)
    assert found.scorers == ("a [definition 1]", "a [definition 2]")
    assert found.spearman[0, 1] == pytest.approx(stats.spearmanr(EASY, SHUFFLED).statistic)


def test_a_record_in_several_stores_counts_once_and_a_torn_one_is_left_out(store, tmp_path, caplog):
    other = Store(tmp_path / "other")
    for where in (store, other):
        put(where, "a", EASY)
    torn = put(other, "b", SHUFFLED)
    torn.path.write_text(torn.path.read_text()[:-20])
    (found,) = atlases([store, other])
    assert found.scorers == ("a",) and found.scorings == (1,)
    assert "left out" in caplog.text


def test_a_score_of_another_shape_is_left_out(store, caplog):
    put(store, "a", EASY)
    store.put("scores", {"method": "of another version"}, {"hard": "high"}, arrays={"values": EASY})
    (found,) = atlases(store)
    assert found.scorers == ("a",) and "is not a score that this version can read" in caplog.text


def test_stores_without_scores_and_shares_that_are_none_are_explained(store, tmp_path):
    with pytest.raises(UserError, match=r"there are no scores in .*runs: run `prunebench run`"):
        atlases(store)
    with pytest.raises(UserError, match="there is no store at"):
        atlases(tmp_path / "nowhere")
    with pytest.raises(UserError, match="between 0 and 1, not 1"):
        atlases(store, keeps=(0.1, 1.0))


# -- class quotas -----------------------------------------------------------------------------------------------------


def test_quotas_are_means_over_selections_each_counted_once():
    results = [
        trial(seed=0, class_counts=(90, 10), selection="s0"),
        trial(seed=0, class_counts=(90, 10), selection="s0", model="vit_tiny", id="other"),  # the same selection
        trial(seed=1, class_counts=(70, 30), selection="s1"),
        balanced(class_counts=(50, 50)),
        full(class_counts=(500, 500)),
        trial(keep=0.3, class_counts=()),
    ]
    first, second = quotas(results)
    assert (first.label, first.keep, first.seeds) == ("balanced random", 0.1, 1)
    assert first.shares == (0.5, 0.5)
    assert (second.label, second.seeds, second.counts) == ("drd + bws", 2, (80, 20))
    assert second.shares == pytest.approx((0.8, 0.2))


def test_quotas_of_a_store_are_those_of_its_training_split(store):
    put(store, "a", EASY)
    for t in (trial(class_counts=(9, 1), fingerprint="f"), trial(class_counts=(1, 9), fingerprint="else", seed=1)):
        store.put("trials", {"name": t.id}, {k: v for k, v in asdict(t).items() if k not in ("id", "provenance")})
    (found,) = atlases(store)
    assert [(q.label, q.counts) for q in found.quotas] == [("drd + bws", (9, 1))]
