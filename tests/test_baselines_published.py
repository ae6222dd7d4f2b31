"""Published numbers beside those of the methods' own tests: what other code bases compute of the same training, where
that differs from the papers, and faults of theirs that ours does not have."""

from pathlib import Path

import numpy as np
import pytest
import torch
from prunebench_baselines.accumulated_margin import accumulated_margin
from prunebench_baselines.ccs import strata_of
from prunebench_baselines.confidence import confidence
from prunebench_baselines.el2n import el2n
from prunebench_baselines.extremes import easiest, hardest
from prunebench_baselines.forgetting import forgetting
from prunebench_baselines.moderate import distance_to_median, median, moderate
from prunebench_baselines.per_class import per_class
from prunebench_baselines.tdds import divergence, tdds
from prunebench_baselines.uniform import first_of_each

from prunebench import class_budgets, statistic
from prunebench.training.statistics import STANDARD

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


@pytest.fixture(scope="module")
def dynamics():
    return {name: torch.from_numpy(array) for name, array in golden("training_dynamics").items()}


@pytest.fixture(scope="module")
def selections():
    return golden("ccs_selection")


def watch(name: str, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What the harness records of (E, N, C) logits: (1, E, N)."""
    return torch.stack([statistic(name)(epoch, labels) for epoch in logits])[None]


HALF = {"ccs": 5e-4, "elfs": 1e-4}  # CCS takes exp of rounded log-probabilities, ours sum to 1 again


def as_logged(logits: torch.Tensor, code: str) -> torch.Tensor:
    """(E, N, C) as a code base keeps them: CCS rounds log-probabilities to float16, ELFS the logits themselves."""
    return (logits.log_softmax(-1) if code == "ccs" else logits).half().float()


# one training, many code bases


@pytest.mark.parametrize("code", ["ccs", "elfs"])
def test_scores_of_logs_in_half_precision(dynamics, code):
    logits, labels = as_logged(dynamics["logits"], code), dynamics["labels"]
    margin = accumulated_margin(watch("probability_margin", logits, labels))
    torch.testing.assert_close(margin, dynamics[f"{code}_accumulated_margin"].double(), atol=HALF[code], rtol=0)
    counts = forgetting(watch("correct", logits, labels), never_learned="zero")
    assert torch.equal(counts, dynamics[f"{code}_forgetting"].double())


@pytest.mark.parametrize("variant", ["ccs_el2n", "elfs_el2n", "ccs_el2n_fp32log"])
def test_el2n_of_ccs_is_the_sum_of_ten_epochs_and_the_papers_is_one_of_them(dynamics, variant):
    logits, code = dynamics["logits"], variant.partition("_")[0]
    history = watch("el2n", logits if "fp32" in variant else as_logged(logits, code), dynamics["labels"])
    each = torch.stack([el2n(history, epoch=epoch) for epoch in range(1, 11)])
    theirs = dynamics[variant].double()
    torch.testing.assert_close(each.sum(0), theirs, atol=1e-5 if "fp32" in variant else HALF[code], rtol=0)
    assert not torch.equal(el2n(history).argsort(), theirs.argsort())


def test_el2n_of_each_run(dynamics):
    for run, theirs in zip(dynamics["run_logits_ckpt"], dynamics["datadiet_el2n_runs"], strict=True):
        ours = el2n(watch("el2n", run[None], dynamics["labels"]), epoch=1)
        torch.testing.assert_close(ours, theirs.double(), atol=1e-5, rtol=1e-5)


def test_forgetting_as_bws_counts_it_epoch_after_epoch(dynamics):
    correct = watch("correct", dynamics["logits"], dynamics["labels"])
    for epoch, theirs in enumerate(dynamics["bws_forgetting_cumulative"], start=1):
        assert torch.equal(forgetting(correct[:, :epoch], never_learned="zero"), theirs)


def test_data_diets_other_errors_follow_from_our_margin_and_confidence(dynamics):
    """max_j p_j - p_y is minus our margin; ||p - onehot||_1 = 2 (1 - p_y); sum_j (p_j - p_y) = 1 - C p_y."""
    margin = watch("probability_margin", dynamics["logits"], dynamics["labels"])
    p_y = watch("true_probability", dynamics["logits"], dynamics["labels"])
    for epoch in range(24):
        now = slice(epoch, epoch + 1)
        p = confidence(p_y[:, now])
        for ours, name in (
            (-accumulated_margin(margin[:, now]), "max_margin"),
            (2 * (1 - p), "el1n"),
            (1 - 5 * p, "sum_margin"),
        ):
            torch.testing.assert_close(ours, dynamics[f"datadiet_{name}"][epoch].double(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", STANDARD)
def test_a_batch_of_one_is_watched_too(dynamics, name):
    """AUM's calculator fails on it, so a data set with one example left over for its last batch crashes."""
    logits, labels = dynamics["logits"][3], dynamics["labels"]
    whole = statistic(name)(logits, labels)
    assert torch.equal(torch.cat([statistic(name)(logits[i : i + 1], labels[i : i + 1]) for i in range(48)]), whole)


@pytest.mark.parametrize("case", range(4))
def test_tdds_ranks_as_published(case):
    z = golden("tdds")
    epochs, size, decay = z["combos"][case].tolist()
    logits, labels = torch.from_numpy(z["logits"]), torch.zeros(40, dtype=torch.int64)
    rows = [divergence(logits[e], labels, logits[e - 1]) for e in range(1, 16)]
    history = torch.stack([torch.full_like(rows[0], torch.nan), *rows])[None]
    ours = tdds(history, epochs=int(epochs), window=int(size), decay=decay).numpy()
    ranked = ours[z[f"c{case}_ascending_order"]]
    assert (np.diff(ranked) >= -1e-5 * np.abs(ranked[1:])).all()


# uncertainty


@pytest.mark.parametrize("percent", [10, 33])
def test_the_least_confident_by_deepcores_own_score(percent):
    """Its score is the largest raw logit; without balance its code keeps the most confident."""
    z, name = golden("deepcore_uncertainty"), f"LeastConfidence_f{percent}"
    hardness, labels = -torch.from_numpy(z["LeastConfidence__score"]), z["labels"]
    intended = z[f"{name}_bal0__indices_intended_most_uncertain"]
    kept = hardest(hardness, len(intended)).tolist()
    assert sorted(kept) == sorted(intended.tolist())
    assert set(kept).isdisjoint(z[f"{name}_bal0__indices_ref"].tolist())
    theirs = z[f"{name}_bal1__indices_ref"]
    for c in np.unique(labels[theirs]):
        own, inside = theirs[labels[theirs] == c], torch.from_numpy(np.flatnonzero(labels == c))
        assert inside[hardest(hardness[inside], len(own))].tolist() == own.tolist()


# CCS: the draw inside a stratum, and its top-k helper


@pytest.mark.parametrize(
    "name", ["generic_r10_b30", "generic_r70_b0", "indivisible_r37_b13", "over_budget_r80_b40",
             "all_equal_positive_r30_b0", "all_negative_r90_b0"]
)  # fmt: skip
def test_the_members_that_ccs_keeps_when_its_shuffle_is_the_identity(selections, name):
    z = {key.removeprefix(f"{name}__"): a for key, a in selections.items() if key.startswith(f"{name}__")}
    assert not z["budget_depends_on_sort_ties"]
    kept = torch.from_numpy(z["kept_after_cut"])
    groups = strata_of(torch.from_numpy(z["score"])[kept], 50, rounding="reference")
    found = groups >= 0  # the reference loses the others
    budgets = torch.from_numpy(z["strata_budgets"])
    ours = kept[found][first_of_each(groups[found], budgets, torch.arange(int(found.sum())))]
    assert sorted(ours.tolist()) == sorted(z["selected_identity_perm"].tolist())


@pytest.mark.parametrize("labels", ["", "_singleton"])
@pytest.mark.parametrize("percent", [10, 33])
@pytest.mark.parametrize("descending", [0, 1])
def test_the_ends_of_the_ranking_with_every_class_at_its_own_size(selections, labels, percent, descending):
    """CCS gives every class the number that is due to the last one, and fails where that is 0; D2's copy is mended."""
    z, case = selections, f"{labels}_desc{descending}_r{percent}_bal"
    score, y = torch.from_numpy(z["mono_score"]), torch.from_numpy(z[f"mono_labels{labels}"])
    end, budget = hardest if descending else easiest, int(percent / 100 * 500)
    whole = end(score, budget)
    for code in ("ccs", "d2"):
        assert sorted(whole.tolist()) == sorted(z[f"mono_{code}{case}0"].tolist())
    kept = per_class(y, lambda inside, k: inside[end(score[inside], k)], budget)
    counts = np.bincount(y)
    assert torch.bincount(y[kept], minlength=len(counts)).tolist() == class_budgets(counts, budget).tolist()
    mended, broken = z[f"mono_d2{case}1"], z[f"mono_ccs{case}1"]
    assert set(mended.tolist()) <= set(kept.tolist()) and 0 <= budget - len(mended) < len(counts)
    if labels:
        assert broken.tolist() == [-1]
    else:
        due = int(percent / 100 * counts[-1])
        assert np.bincount(y[broken]).tolist() == [due] * len(counts) and len(broken) < len(kept) / 5


# Moderate


@pytest.mark.parametrize("percent", [10, 20, 25, 30, 50, 75, 90, 100])
def test_moderate_drops_both_ends_and_d2s_copy_of_it_keeps_them(percent):
    z = golden("moderate")
    distance, k = torch.from_numpy(z["distance_intended"]), len(z[f"r{percent}__kept_intended"])
    kept = set(moderate(distance, k).tolist())
    assert set(range(57)) - kept == set(z[f"r{percent}__dropped_intended"].tolist())
    if percent < 50:
        assert kept.isdisjoint(z[f"r{percent}__d2_moderate_selection_as_coreset"].tolist())
    theirs = torch.from_numpy(z["distance_ref"])  # of another prototype for the class of one, by the same rule
    assert set(moderate(theirs, k).tolist()) == set(z[f"r{percent}__kept_ref"].tolist())
    assert len(z[f"r{percent}__dropped_ref"]) == 57 - k


def test_moderates_prototype_is_the_median_also_of_a_class_of_one():
    z = golden("moderate")
    h, labels = torch.from_numpy(z["features"]), torch.from_numpy(z["labels"])
    assert torch.bincount(labels).tolist() == z["class_sizes"].tolist()
    for c in range(4):
        ours = median(h[labels == c]).numpy()
        if z["class_sizes"][c] > 1:
            np.testing.assert_allclose(ours, z["prototypes_ref"][c], rtol=1e-6)
            assert np.abs(ours - z["prototypes_mean_variant"][c]).max() > 0.01
        else:
            assert np.array_equal(ours, h[labels == c][0]) and np.ptp(z["prototypes_ref"][c]) == 0  # a scalar
    many = torch.from_numpy(z["class_sizes"])[labels] > 1
    ours = distance_to_median(h, labels)
    np.testing.assert_allclose(ours[many], z["distance_ref"][many.numpy()], rtol=1e-5, atol=1e-6)
