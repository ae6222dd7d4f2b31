"""Training-dynamics scores and the selectors beside them: by hand, against reference code, and as properties."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prunebench_baselines.beta import beta, log_beta, shape_of, weighted_draw
from prunebench_baselines.ccs import ccs
from prunebench_baselines.confidence import confidence
from prunebench_baselines.correctness import correctness
from prunebench_baselines.dual import dual
from prunebench_baselines.dyn_unc import dyn_unc
from prunebench_baselines.entropy import entropy
from prunebench_baselines.extremes import easiest
from prunebench_baselines.first_learned import first_learned
from prunebench_baselines.least_confidence import least_confidence
from prunebench_baselines.loss import loss
from prunebench_baselines.margin import margin
from prunebench_baselines.presentations_to_learn import presentations_to_learn
from prunebench_baselines.stratified import rank_strata, stratified
from prunebench_baselines.tdds import divergence, tdds
from prunebench_baselines.window import window
from scipy import stats

from prunebench import UserError, score_log, statistic

GOLDEN = Path(__file__).parent / "golden"


def arrays(name: str) -> dict[str, torch.Tensor]:
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as z:
        return {key: torch.from_numpy(z[key]) for key in z.files if z[key].dtype.kind in "biuf"}


@pytest.fixture(scope="module")
def dynamics():
    return arrays("training_dynamics")


@pytest.fixture(scope="module")
def uncertainty():
    return arrays("deepcore_uncertainty")


def watch(name: str, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What the harness records of (E, N, C) logits: (1, E, N)."""
    return torch.stack([statistic(name)(epoch, labels) for epoch in logits])[None]


def probabilities(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    return {name: watch(name, logits, labels) for name in ("true_probability", "probability_margin")}


def divergences(logits: torch.Tensor) -> torch.Tensor:
    """(T, N, C) -> (1, T, N), NaN at the first epoch, as the recorder has it."""
    labels = torch.zeros(logits.shape[1], dtype=torch.int64)
    rows = [divergence(now, labels, before) for before, now in pairwise(logits)]
    return torch.stack([torch.full_like(rows[0], torch.nan), *rows])[None]


def seeds_of(examples: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 2**63 - 1, examples))


# by hand


@pytest.mark.proves("correctness", "closed form")
@pytest.mark.proves("first_learned", "closed form")
@pytest.mark.proves("presentations_to_learn", "closed form")
def test_counts_of_right_and_wrong_presentations():
    history = torch.tensor([[[0, 1, 1, 0], [1, 1, 0, 0], [0, 1, 0, 0], [1, 1, 1, 0]]]).float()  # (1, 4, 4)
    assert correctness(history).tolist() == [2, 4, 2, 0]
    assert first_learned(history).tolist() == [1, 0, 0, 4]  # never learned: E, where the paper's code has NaN
    assert presentations_to_learn(history).tolist() == [3, 0, 3, 4]
    two = torch.cat([history, torch.ones_like(history)])
    assert correctness(two).tolist() == [3, 4, 3, 2]
    assert first_learned(two).tolist() == [0.5, 0, 0, 2]
    assert presentations_to_learn(two).tolist() == [1.5, 0, 1.5, 2]


@pytest.mark.proves("entropy", "closed form")
@pytest.mark.proves("margin", "closed form")
@pytest.mark.proves("loss", "closed form")
@pytest.mark.parametrize("scorer", [entropy, margin, loss])
def test_one_epoch_averaged_over_runs(scorer):
    history = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
    assert scorer(history).tolist() == [5.0, 6.0]
    assert scorer(history, epoch=1).tolist() == [3.0, 4.0]
    for epoch in (0, 3, -1):
        with pytest.raises(UserError, match=rf"epoch={epoch} .* 2 recorded"):
            scorer(history, epoch=epoch)


@pytest.mark.proves("least_confidence", "closed form")
def test_least_confidence_finds_the_largest_probability_whoever_leads():
    p = torch.tensor([[0.6, 0.3, 0.1], [0.6, 0.3, 0.1], [0.6, 0.3, 0.1], [0.4, 0.4, 0.2]])
    history = probabilities(p.log()[None], torch.tensor([0, 1, 2, 1]))
    assert least_confidence(history).tolist() == pytest.approx([0.4, 0.4, 0.4, 0.6])
    with pytest.raises(UserError, match=r"epoch=2 .* 1 recorded"):
        least_confidence(history, epoch=2)


@pytest.mark.proves("dyn_unc", "closed form")
@pytest.mark.proves("dual", "closed form")
@pytest.mark.proves("confidence", "closed form")
def test_windows_by_hand():
    history = torch.tensor([0.0, 1.0, 1.0, 0.5]).reshape(1, 4, 1)
    first, second, third = 0.5**0.5, 0.0, 0.125**0.5  # standard deviations over J - 1 = 1
    assert dyn_unc(history, window=2).item() == pytest.approx((first + second + third) / 3)
    assert dual(history, window=2, epochs=None).item() == pytest.approx((0.5 * first + 0.0 + 0.25 * third) / 3)
    assert dual(history, window=2, epochs=3).item() == pytest.approx((0.5 * first + 0.0) / 2)
    assert confidence(history).item() == 0.625 and confidence(history, epochs=2).item() == 0.5


@pytest.mark.parametrize("scorer", [dyn_unc, dual, tdds])
def test_windows_that_do_not_fit_are_told(scorer):
    with pytest.raises(UserError, match=r"epochs=30 .* 12 recorded"):
        scorer(torch.zeros(1, 12, 3), epochs=30)
    for size in (13, 1):
        with pytest.raises(UserError, match=f"window={size} does not fit 12 epochs"):
            scorer(torch.zeros(1, 12, 3), epochs=12, window=size)


def test_tdds_refuses_a_decay_that_is_none():
    with pytest.raises(UserError, match="decay must lie between 0 and 1"):
        tdds(torch.zeros(1, 12, 3), decay=1.0)


# as properties

SCORERS = {
    "entropy": entropy,
    "margin": margin,
    "loss": loss,
    "correctness": correctness,
    "confidence": confidence,
    "dyn_unc": dyn_unc,
    "dual": dual,
    "tdds": lambda h: tdds(h, epochs=None),
    "first_learned": first_learned,
    "presentations_to_learn": presentations_to_learn,
    "least_confidence": lambda h: least_confidence({"true_probability": h, "probability_margin": 2 * h - 1}),
}


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("examples", [1, 7, 333])
def test_an_examples_number_does_not_depend_on_its_place(name, examples):
    generator = torch.Generator().manual_seed(examples)
    history = torch.rand(2, 31, examples, generator=generator)
    before = history.clone()
    order = torch.randperm(examples, generator=generator)
    values = SCORERS[name](history)
    assert values.dtype == torch.float64 and values.shape == (examples,) and bool(torch.isfinite(values).all())
    assert torch.equal(SCORERS[name](history[:, :, order]), values[order])  # bit for bit
    assert torch.equal(history, before)


@pytest.mark.proves("correctness", "property")
@pytest.mark.proves("confidence", "property")
@pytest.mark.proves("loss", "property")
@pytest.mark.proves("first_learned", "property")
@pytest.mark.proves("presentations_to_learn", "property")
@pytest.mark.parametrize("name", ["correctness", "confidence", "loss", "first_learned", "presentations_to_learn"])
def test_mislabelled_examples_are_hard(name):
    """Ten clean examples that are learned early, ten mislabelled ones that hardly are."""
    rise = torch.linspace(0, 1, 30)[:, None]
    p = torch.cat([(0.3 + 0.69 * rise).expand(30, 10), (0.05 + 0.3 * rise).expand(30, 10)], dim=1)[None]
    history = {"confidence": p, "loss": -p.log()}.get(name, (p > 0.5).float())
    values = SCORERS[name](history)
    hardness = -values if name in ("correctness", "confidence") else values
    assert hardness[10:].min() > hardness[:10].max()


@pytest.mark.parametrize("name", ["dyn_unc", "dual", "tdds", "entropy", "margin", "least_confidence"])
def test_recorded_logits_are_enough(name):
    z = arrays("training_dynamics")
    text = {"dual": "dual(epochs=24)"}.get(name, name)
    values = score_log(text, z["logits"], z["labels"]).values
    assert values.shape == (48,) and np.isfinite(values).all()


# the reference implementations


@pytest.mark.proves("first_learned", "golden")
@pytest.mark.proves("presentations_to_learn", "golden")
@pytest.mark.proves("correctness", "golden")
def test_toneva_and_ccs_counts(dynamics):
    history = watch("correct", dynamics["logits"], dynamics["labels"])
    theirs, epochs = dynamics["toneva_first_learned"], history.shape[1]
    assert torch.equal(torch.isnan(theirs), dynamics["never_learned"])
    assert torch.equal(first_learned(history), theirs.nan_to_num(epochs))  # finite where the reference is not
    assert torch.equal(presentations_to_learn(history).long(), dynamics["toneva_presentations_to_learn"])
    assert torch.equal(correctness(history).int(), dynamics["ccs_correctness"])
    assert torch.equal(correctness(history[:, -1:]).int(), dynamics["ccs_last_correctness"])


@pytest.mark.proves("entropy", "golden")
@pytest.mark.proves("loss", "golden")
def test_ccs_entropy_and_loss_of_the_last_epoch(dynamics):
    for scorer, name in ((entropy, "entropy"), (loss, "loss")):
        values = scorer(watch(name, dynamics["logits"], dynamics["labels"]))
        expected = dynamics[f"ccs_{name}_last"].double()
        torch.testing.assert_close(values, expected, atol=1e-5, rtol=1e-5)


def uncertain(z, name):
    """Our scores of DeepCore's case, high = uncertain."""
    logits, labels = z["logits"][None], z["labels"]
    return {
        "Entropy": lambda: entropy(watch("entropy", logits, labels)),
        "Margin": lambda: -margin(watch("top_margin", logits, labels)),
        "LeastConfidence": lambda: least_confidence(probabilities(logits, labels)),
    }[name]()


@pytest.mark.proves("entropy", "golden")
@pytest.mark.proves("margin", "golden")
@pytest.mark.proves("least_confidence", "golden")
def test_deepcore_scores(uncertainty):
    z = uncertainty
    np.testing.assert_allclose(-uncertain(z, "Entropy"), z["Entropy__score"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(-uncertain(z, "Margin"), z["Margin__score"], rtol=1e-5, atol=1e-6)
    ours = 1 - uncertain(z, "LeastConfidence")
    np.testing.assert_allclose(ours, z["LeastConfidence_softmax_variant"], rtol=1e-5)
    assert not torch.equal(ours.argsort(), z["LeastConfidence__score"].argsort())  # DeepCore ranks raw logits


@pytest.mark.proves("entropy", "golden")
@pytest.mark.proves("margin", "golden")
@pytest.mark.parametrize("name", ["Entropy", "Margin"])
@pytest.mark.parametrize("percent", [10, 33])
def test_the_most_uncertain_are_kept_and_not_deepcores_most_confident(uncertainty, name, percent):
    z, found = uncertainty, uncertain(uncertainty, name)
    k = len(z[f"{name}_f{percent}_bal0__indices_ref"])
    kept = set(found.argsort(descending=True)[:k].tolist())
    assert kept == set(z[f"{name}_f{percent}_bal0__indices_intended_most_uncertain"].tolist())
    assert kept.isdisjoint(z[f"{name}_f{percent}_bal0__indices_ref"].tolist())
    theirs = z[f"{name}_f{percent}_bal1__indices_ref"]  # class by class DeepCore has it right
    for c in z["labels"].unique():
        own, of_class = theirs[z["labels"][theirs] == c], torch.nonzero(z["labels"] == c).squeeze(1)
        mine = of_class[found[of_class].argsort(descending=True)[: len(own)]]
        assert sorted(mine.tolist()) == sorted(own.tolist())


def test_least_confidence_keeps_no_example_of_deepcores_most_confident(uncertainty):
    kept = uncertain(uncertainty, "LeastConfidence").argsort(descending=True)[:5]
    assert set(kept.tolist()).isdisjoint(uncertainty["LeastConfidence_f10_bal0__indices_ref"].tolist())


@pytest.mark.proves("tdds", "golden")
@pytest.mark.parametrize("case", range(4))
def test_tdds_as_published(case):
    z = arrays("tdds")
    epochs, size, decay = z["combos"][case].tolist()
    values = tdds(divergences(z["logits"]), epochs=int(epochs), window=int(size), decay=decay)
    np.testing.assert_allclose(values, z[f"c{case}_score"], rtol=1e-4, atol=1e-6)
    order = torch.from_numpy(np.argsort(z[f"c{case}_score"].numpy(), kind="stable"))
    close = values[order].diff() < -1e-5 * values[order][1:].abs()
    assert not bool(close.any())  # the reference's order is ours but for scores that are equal to 1e-5
    for percent in (30, 50, 90):
        kept = z[f"c{case}_kept_prune{percent}"]
        assert set(values.argsort(descending=True)[: len(kept)].tolist()) == set(kept.tolist())


@pytest.mark.proves("tdds", "property")
def test_tdds_moves_its_window_and_takes_probabilities():
    """DUAL's copy never moves the window and takes raw logits: later epochs and a shift of all logits tell."""
    logits = arrays("tdds")["logits"]
    values = tdds(divergences(logits), epochs=16)
    changed = torch.cat([logits[:10], logits[10:].flip(2)])
    assert not torch.allclose(tdds(divergences(changed), epochs=16), values)
    torch.testing.assert_close(tdds(divergences(logits + 3.0), epochs=16), values, rtol=1e-3, atol=1e-5)
    assert values[0] < 1e-6  # row 0 never changes


@pytest.mark.proves("dual", "closed form")
@pytest.mark.proves("dyn_unc", "closed form")
def test_dual_and_dyn_unc_equal_the_plain_loop(dynamics):
    """The authors' formula written out with torch's own moments (their factor 10 left out)."""
    p = watch("true_probability", dynamics["logits"], dynamics["labels"])
    windows = [p[0, k : k + 10] for k in range(15)]
    plain_dyn = torch.stack([w.std(0) for w in windows]).mean(0).double()
    plain_dual = torch.stack([w.std(0) * (1 - w.mean(0)) for w in windows]).mean(0).double()
    torch.testing.assert_close(dyn_unc(p), plain_dyn, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(dual(p, epochs=24), plain_dual, rtol=1e-5, atol=1e-7)
    later = p.clone()
    later[:, 12:] = 0.123
    assert torch.equal(dual(later, epochs=12), dual(p, epochs=12))  # nothing after T is read


# selectors


def never(text):
    raise AssertionError(f"asked for {text}")


def run_beta(hardness, seeds, budget, mean, **options):
    return beta(hardness.abs(), seeds, budget, lambda text: -mean, **options).indices


SELECTORS = {
    "window": lambda h, s, k, p: window(h, s, k),
    "window(late)": lambda h, s, k, p: window(h, s, k, start=(len(h) - k) / len(h), order="easiest"),
    "stratified": lambda h, s, k, p: stratified(h, s, k),
    "stratified(strata=3)": lambda h, s, k, p: stratified(h, s, k, strata=3),
    "stratified(by=score)": lambda h, s, k, p: stratified(h, s, k, by="score"),
    "beta": run_beta,
    "beta(anchors=1)": lambda h, s, k, p: run_beta(h, s, k, p, anchors=1, exponent=0.0),
}


@pytest.mark.proves("window", "property")
@pytest.mark.proves("stratified", "property")
@pytest.mark.proves("beta", "property")
@pytest.mark.parametrize("name", SELECTORS)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), examples=st.integers(1, 60), tied=st.booleans(), data=st.data())
def test_exactly_k_distinct_whatever_the_order(name, seed, examples, tied, data):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(examples)
    hardness = torch.from_numpy(np.floor(values) if tied else values)
    seeds, mean = seeds_of(examples, seed), torch.from_numpy(np.clip(rng.uniform(-0.2, 1.2, examples), 0, 1))
    budget = data.draw(st.one_of(st.just(1), st.just(examples), st.integers(1, examples)))
    before = [t.clone() for t in (hardness, seeds, mean)]
    chosen = SELECTORS[name](hardness, seeds, budget, mean)
    assert chosen.dtype == torch.int64 and chosen.shape == (budget,) and len(chosen.unique()) == budget
    assert int(chosen.min()) >= 0 and int(chosen.max()) < examples
    order = torch.from_numpy(rng.permutation(examples))
    moved = SELECTORS[name](hardness[order], seeds[order], budget, mean[order])
    assert sorted(order[moved].tolist()) == sorted(chosen.tolist())
    assert all(torch.equal(a, b) for a, b in zip((hardness, seeds, mean), before, strict=True))


@pytest.mark.proves("window", "golden")
def test_window_is_data_diets_offset_and_never_cut_short():
    z = arrays("subset_rules")
    scores, seeds = z["scores"].double(), seeds_of(60)
    for offset, size in ((0, 15), (12, 15)):
        kept = window(scores, seeds, size, start=offset / 60, order="easiest")
        assert sorted(kept.tolist()) == z[f"datadiet_offset{offset}_size{size}"].tolist()
    assert len(z["datadiet_offset55_size10"]) == 5  # asked for 10
    with pytest.raises(UserError, match=r"fewer than the 10 of 60 .* choose 0 to 0\.8333"):
        window(scores, seeds, 10, start=55 / 60, order="easiest")
    for size in (1, 20, 60):
        assert sorted(window(scores, seeds, size).tolist()) == z[f"datadiet_keep_max_scores_{size}"].tolist()
        from_easy = window(scores, seeds, size, order="easiest")
        assert sorted(from_easy.tolist()) == z[f"datadiet_keep_min_scores_{size}"].tolist()
        assert sorted(from_easy.tolist()) == sorted(easiest(scores, size).tolist())


@pytest.mark.proves("window", "golden")
def test_window_is_elfs_double_end_also_where_the_authors_slice_is_empty():
    z = arrays("elfs_selection")
    hardness, seeds, empty = -z["accumulated_margin"].double(), seeds_of(200), 0
    for ratio, cutoff, _, target, _, found in z["grid_ratio_beta_cut_target_chop_nref"].tolist():
        name = f"r{round(ratio * 100)}_b{round(cutoff * 100)}"
        intended = z[f"{name}__intended"].tolist()
        if len(intended) < target:  # keep ratio and cut-off do not fit together
            with pytest.raises(UserError, match="leaves fewer than"):
                window(hardness, seeds, int(target), start=cutoff)
            continue
        assert sorted(window(hardness, seeds, int(target), start=cutoff).tolist()) == sorted(intended)
        empty += found == 0
    assert empty


@pytest.mark.parametrize("options", [{"start": -0.1}, {"start": 1.5}, {"start": float("nan")}, {"order": "up"}])
def test_window_refuses_what_does_not_fit(options):
    with pytest.raises(UserError, match=r"start=|order must be"):
        window(torch.arange(10.0), seeds_of(10), 3, **options)


@pytest.mark.proves("stratified", "property")
def test_strata_by_rank_are_equal_and_all_represented():
    hardness = torch.from_numpy(np.random.default_rng(0).exponential(size=1003))
    groups = rank_strata(hardness, seeds_of(1003), 50)
    counts = torch.bincount(groups)
    assert len(counts) == 50 and int(counts.min()) == 20 and int(counts.max()) == 21
    assert all(hardness[groups == s].max() <= hardness[groups == s + 1].min() for s in range(49))
    taken = torch.bincount(groups[stratified(hardness, seeds_of(1003), 250)], minlength=50)
    assert taken.tolist() == [5] * 50


@pytest.mark.parametrize("by", ["rank", "score"])
def test_stratified_draws_every_example_of_a_stratum_alike(by):
    """Ties broken by the seeds must not tell who is drawn: constant scores are one uniform draw."""
    times = torch.zeros(20)
    for seed in range(3000):
        times[stratified(torch.zeros(20), seeds_of(20, seed), 5, strata=2, by=by)] += 1
    assert stats.chisquare(times.numpy()).pvalue > 1e-4


@pytest.mark.proves("stratified", "golden")
def test_stratified_by_score_has_the_budgets_of_ccs():
    """The strata themselves are CCS's (test_baselines_ccs), so each example's stratum stands in for its score."""
    with np.load(GOLDEN / "ccs_selection.npz", allow_pickle=False) as z:
        checked = 0
        for case in z["case_names"].tolist():
            stratum = torch.from_numpy(z[f"{case}__stratum_of_kept"])
            if int(stratum.min()) != 0 or int(stratum.max()) != 49:
                continue  # the reference loses examples there: the next test
            budget = int(z[f"{case}__n_selected"])
            kept = stratified(stratum.double(), seeds_of(len(stratum)), budget, by="score")
            ours, counts = torch.bincount(stratum[kept], minlength=50).tolist(), z[f"{case}__strata_counts"].tolist()
            theirs = z[f"{case}__strata_budgets"].tolist()
            if bool(z[f"{case}__budget_depends_on_sort_ties"]):
                ours, theirs = sorted(zip(counts, ours, strict=True)), sorted(zip(counts, theirs, strict=True))
            assert ours == theirs, case
            checked += 1
        assert checked >= 6


@pytest.mark.parametrize("scores", [-1 - torch.rand(200), torch.zeros(200)])
def test_stratified_loses_nobody_at_negative_or_constant_scores(scores):
    """The authors' 1.0001 max lies below a negative maximum; of constant zeros their code selects nothing."""
    assert len(stratified(scores.double(), seeds_of(200), 200, by="score")) == 200
    counts = ccs(scores.double(), 60, never, torch.Generator().manual_seed(0))
    assert len(stratified(scores.double(), seeds_of(200), 60, by="score")) == len(counts)


@pytest.mark.parametrize("options", [{"strata": 0}, {"by": "width"}])
def test_stratified_refuses_unknown_options(options):
    with pytest.raises(UserError, match="must be"):
        stratified(torch.arange(9.0), seeds_of(9), 3, **options)


@pytest.mark.proves("beta", "closed form")
def test_beta_density_is_scipys_up_to_a_constant():
    p = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    for anchor, pruned in ((0.3, 0.9), (0.5, 0.3), (0.9, 0.99)):
        a, b = shape_of(anchor, pruned, 4.0, 15.0)
        assert b == pytest.approx(15 * (1 - anchor) * (1 - pruned**4)) and a + b == pytest.approx(16)
        offset = log_beta(p, a, b).numpy() - stats.beta.logpdf(p.numpy(), a, b)
        np.testing.assert_allclose(offset, offset[0], rtol=0, atol=1e-9)


def test_beta_lets_in_easier_examples_as_fewer_are_kept():
    mean = torch.from_numpy(np.random.default_rng(1).uniform(0, 1, 2000))
    hardness = (mean * (1 - mean)).sqrt() * (1 - mean)
    kept = [mean[run_beta(hardness, seeds_of(2000), k, mean)].mean().item() for k in (1400, 600, 200)]
    assert kept[0] < kept[1] < kept[2]


def test_beta_takes_its_anchor_from_the_highest_scores():
    """The authors' loader hands over scores and ranking in each other's place."""
    mean = torch.linspace(0, 1, 100, dtype=torch.float64)
    hardness = torch.zeros(100, dtype=torch.float64) + 0.1
    hardness[20:30] = 1.0
    asked = []
    chosen = beta(hardness, seeds_of(100), 30, lambda text: asked.append(text) or -mean)
    assert asked == ["confidence(epochs=30)"]
    assert chosen.details["anchor_mean"] == pytest.approx(mean[20:30].mean().item())


@pytest.mark.proves("beta", "closed form")
def test_weighted_draw_has_the_distribution_of_a_draw_one_after_another():
    weight = torch.tensor([4.0, 3.0, 2.0, 1.0, 0.0], dtype=torch.float64)
    p = weight.numpy() / 10
    expected = {(i, j): p[i] * p[j] / (1 - p[i]) for i in range(4) for j in range(4) if i != j}
    found = dict.fromkeys(expected, 0)
    for seed in range(6000):
        found[tuple(weighted_draw(weight.log(), seeds_of(5, seed), 2).tolist())] += 1
    observed, theory = np.array(list(found.values())), 6000 * np.array(list(expected.values()))
    assert stats.chisquare(observed, theory).pvalue > 1e-4
    assert weighted_draw(weight.log(), seeds_of(5), 5)[-1] == 4  # weightless comes last


def test_beta_refuses_negative_scores_and_bad_options():
    with pytest.raises(UserError, match="must not be negative"):
        beta(torch.tensor([-1.0, 1.0]), seeds_of(2), 1, never)
    for options in ({"exponent": -1.0}, {"concentration": 0.0}, {"anchors": 0}):
        with pytest.raises(UserError, match="at least"):
            beta(torch.ones(2), seeds_of(2), 1, never, **options)
