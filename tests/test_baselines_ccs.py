"""CCS: by hand, against the released code's own numbers, and where that code loses examples."""

from pathlib import Path

import numpy as np
import pytest
import torch
from prunebench_baselines.ccs import allocate, ccs, strata_of, uncut

GOLDEN = Path(__file__).parent / "golden" / "ccs_selection.npz"
CASES = (
    "generic_r10_b30",
    "generic_r30_b10",
    "generic_r70_b0",
    "indivisible_r37_b13",
    "forgetting_r20_b10",
    "over_budget_r80_b40",
    "empty_strata_r25_b0",
    "all_equal_positive_r30_b0",
    "all_zero_r30_b0",
    "all_negative_r90_b0",
)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def case(golden, name):
    return {key.removeprefix(f"{name}__"): value for key, value in golden.items() if key.startswith(f"{name}__")}


def pairs(counts, budgets) -> list[tuple[int, int]]:
    """Comparable where equal-sized strata may swap the odd example."""
    return sorted(zip(np.asarray(counts).tolist(), np.asarray(budgets).tolist(), strict=True))


def no_score(text: str) -> torch.Tensor:
    raise AssertionError(f"asked for {text} without need")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# by hand


def test_strata_have_equal_width_and_the_last_is_closed():
    scores = torch.tensor([0.0, 2.4, 2.5, 4.9, 5.0, 7.5, 9.9, 10.0])
    assert strata_of(scores, 4).tolist() == [0, 0, 1, 1, 2, 3, 3, 3]
    assert strata_of(scores - 100, 4).tolist() == [0, 0, 1, 1, 2, 3, 3, 3]


def test_small_strata_are_taken_whole_and_what_they_cannot_fill_goes_to_larger_ones():
    assert allocate(torch.tensor([100, 2, 0, 10, 50]), 31).tolist() == [10, 2, 0, 9, 10]
    assert allocate(torch.tensor([3, 3, 3]), 7).tolist() == [2, 2, 3]
    assert allocate(torch.tensor([3, 3, 3]), 9).tolist() == [3, 3, 3]


def test_the_cut_takes_the_lowest_margins_and_nothing_else():
    margin_hardness = torch.tensor([0.5, 3.0, -1.0, 3.0, 2.0])  # minus the accumulated margin
    assert uncut(margin_hardness, 2).tolist() == [0, 2, 4]
    assert uncut(margin_hardness, 1).tolist() == [0, 2, 3, 4]  # of equal ones the first is cut
    assert uncut(margin_hardness, 0).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.proves("ccs", "closed form")
def test_a_whole_selection_by_hand():
    hardness = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4, 6.0, 10.0, 9.9])
    margin = torch.tensor([9.0, 9, 9, 9, 9, 9, 9, -1])  # the last one looks mislabelled
    asked = []

    def score(text: str) -> torch.Tensor:
        asked.append(text)
        return -margin

    chosen = ccs(hardness, 4, score, generator(), cutoff=0.125, strata=2)
    assert asked == ["accumulated_margin"]
    assert len(chosen) == 4 and 7 not in chosen.tolist()
    assert chosen[2:].tolist() == [5, 6]  # 2 of the 2 in the upper stratum, 2 of the 5 in the lower one


def test_the_margin_is_asked_for_only_to_cut():
    assert len(ccs(torch.arange(10.0), 3, no_score, generator())) == 3


def test_inside_a_stratum_every_example_is_as_likely_as_any_other():
    hardness = torch.tensor([0.0] * 6 + [1.0] * 2)
    seen = torch.zeros(8)
    for seed in range(1500):
        seen[ccs(hardness, 4, no_score, generator(seed), strata=2)] += 1
    assert seen[6:].tolist() == [1500, 1500]
    assert bool(((seen[:6] - 500).abs() < 4.5 * (1500 * (1 / 3) * (2 / 3)) ** 0.5).all())


def test_the_draw_follows_the_generator_alone():
    hardness = torch.arange(100.0)
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first = ccs(hardness, 30, no_score, generator(3))
    assert torch.equal(first, ccs(hardness, 30, no_score, generator(3)))
    assert not torch.equal(first, ccs(hardness, 30, no_score, generator(4)))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_cut_that_leaves_too_few_is_refused_with_the_way_out():
    hardness = torch.arange(500.0)
    with pytest.raises(ValueError, match=r"cutoff=0.4 leaves 300 of 500 .* 400 .* cutoff <= 0.2 or keep fewer"):
        ccs(hardness, 400, lambda text: hardness, generator(), cutoff=0.4)
    assert len(ccs(hardness, 400, lambda text: hardness, generator(), cutoff=0.2)) == 400


@pytest.mark.parametrize("options", [{"cutoff": -0.1}, {"cutoff": 1.0}, {"strata": 0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=str(next(iter(options)))):
        ccs(torch.arange(10.0), 3, lambda text: torch.arange(10.0), generator(), **options)


@pytest.mark.parametrize("bad", [torch.inf, -torch.inf, torch.nan])
def test_scores_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        ccs(torch.tensor([0.0, bad, 1.0]), 1, no_score, generator())


# the released code


def test_the_allocator_on_the_reference_inputs(golden):
    for total, length, bins, theirs, d2 in zip(
        golden["alloc_n"],
        golden["alloc_len"],
        golden["alloc_bins"],
        golden["alloc_ccs"],
        golden["alloc_d2_uniform"],
        strict=True,
    ):
        counts = bins[:length]
        if total > counts.sum():  # the reference budgets more than there is, and then returns fewer than asked for
            with pytest.raises(ValueError, match=f"between 0 and {counts.sum()}, got {total}"):
                allocate(torch.from_numpy(counts), int(total))
            continue
        ours = allocate(torch.from_numpy(counts), int(total))
        assert pairs(counts, ours) == pairs(counts, theirs[:length]) == pairs(counts, d2[:length])


@pytest.mark.proves("ccs", "golden")
@pytest.mark.parametrize("name", CASES)
def test_the_cut_of_the_reference(golden, name):
    g = case(golden, name)
    left = uncut(-torch.from_numpy(g["cut_score"]), int(g["beta"] * len(g["score"])))
    assert left.tolist() == sorted(g["kept_after_cut"].tolist())
    assert len(g["score"]) - len(left) == g["n_cut"]


@pytest.mark.proves("ccs", "golden")
@pytest.mark.parametrize("name", CASES)
def test_strata_in_the_references_rounding(golden, name):
    g = case(golden, name)
    kept = torch.from_numpy(g["score"][g["kept_after_cut"]])
    assert strata_of(kept, 50, rounding="reference").tolist() == g["stratum_of_kept"].tolist()


@pytest.mark.proves("ccs", "golden")
@pytest.mark.parametrize("name", CASES)
def test_budgets_of_the_references_strata(golden, name):
    g = case(golden, name)
    budget = min(int(g["n_target"]), int(g["strata_counts"].sum()))
    ours = allocate(torch.from_numpy(g["strata_counts"]), budget).numpy()
    if g["budget_depends_on_sort_ties"]:
        assert pairs(g["strata_counts"], ours) == pairs(g["strata_counts"], g["strata_budgets"])
    elif name != "all_zero_r30_b0":  # there the reference gives its last, empty stratum a budget that nothing fills
        assert ours.tolist() == np.minimum(g["strata_budgets"], g["strata_counts"]).tolist()


@pytest.mark.parametrize("name", CASES)
def test_our_strata_lose_nobody_and_agree_with_the_reference_away_from_its_faults(golden, name):
    g = case(golden, name)
    kept = torch.from_numpy(g["score"][g["kept_after_cut"]])
    ours, theirs = strata_of(kept, 50).numpy(), g["stratum_of_kept"]
    assert ours.min() >= 0 and ours.max() <= 49
    if kept.max() > kept.min() and kept.max() > 0:  # 1.0001 * max moves every edge by under one stratum
        assert np.abs(ours - theirs).max() <= 1
        assert (ours == theirs).mean() > 0.9


def test_the_reference_loses_examples_where_ours_does_not(golden):
    negative, zero = case(golden, "all_negative_r90_b0"), case(golden, "all_zero_r30_b0")
    assert (negative["stratum_of_kept"] == -1).sum() >= 1 and zero["n_selected"] == 0
    chosen = ccs(torch.from_numpy(zero["score"]).double(), 150, no_score, generator())
    assert len(chosen.unique()) == 150
    top = int(negative["score"].argmax())
    lost = negative["stratum_of_kept"][negative["kept_after_cut"] == top]
    assert lost.tolist() == [-1]
    assert int(strata_of(torch.from_numpy(negative["score"]), 50)[top]) == 49


@pytest.mark.parametrize(
    "scores", [[-190.0, -50.0, 0.01], [-1.7e308, 0.0, 1.7e308], [0.0, 5e-324, 1.5e-323], [1e300, 1e300, 1.0000001e300]]
)
def test_strata_at_the_edges_of_float64(scores):
    groups = strata_of(torch.tensor(scores, dtype=torch.float64), 50)
    assert groups[0] == 0 and groups[2] == 49 and bool((groups.diff() >= 0).all())


@pytest.mark.proves("ccs", "golden")
@pytest.mark.parametrize("name", [c for c in CASES if c not in ("over_budget_r80_b40",)])
def test_whole_selections_have_the_size_and_cut_of_the_reference(golden, name):
    g = case(golden, name)
    hardness, margin = torch.from_numpy(g["score"]).double(), torch.from_numpy(g["cut_score"]).double()
    budget = int(g["n_target"])
    chosen = ccs(hardness, budget, lambda text: -margin, generator(), cutoff=float(g["beta"]))
    assert len(chosen) == len(chosen.unique()) == budget
    assert not set(chosen.tolist()) & set(g["cut"].tolist())
    left = torch.from_numpy(np.sort(g["kept_after_cut"]))
    groups = strata_of(hardness[left], 50)
    taken = torch.bincount(groups[torch.isin(left, chosen)], minlength=50)
    assert torch.equal(taken, allocate(torch.bincount(groups, minlength=50), budget))
