"""The search for t*: exact where it is exhaustive, as good where it is fast, and few rivals standing for many."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given as holds_for
from hypothesis import settings
from hypothesis import strategies as st
from prunebench_drd.rivals import Rivals, class_distances, rival_count, rivals_of
from prunebench_drd.schedule import candidates, ddim_levels, linear_abar
from prunebench_drd.search import Posterior, best_step, exhaustive, fast, log_posteriors
from prunebench_drd.timesteps import evaluated_noises

LEVELS = ddim_levels(1000)


def table(denoiser, z_0, rivals, eps, steps, reduction="sum", rows=64):
    return Posterior(denoiser, z_0, rivals, LEVELS[steps[0] - 1 : steps[-1] + 2], eps, reduction, rows)


@pytest.mark.proves("drd", "golden")
@pytest.mark.proves("classifier_confidence", "golden")
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_posteriors_and_best_steps_agree_with_the_reference(golden, gaussian, reduction):
    denoiser = gaussian(golden["toy_mu"], golden["toy_sigma"])
    labels, steps, eps = golden["labels"], candidates(denoiser.abar, LEVELS), golden["classifier_noise"]
    for c in range(3):
        own = torch.nonzero(labels == c).flatten()
        expected = int(golden[f"tstar_{reduction}_abs_inside_eq9_rederived"][c])
        if not len(own):
            assert expected == -1
            continue
        z_0, rivals = golden["x0"][own], rivals_of(c, 3, 2, None, len(own), 0)
        log_p = log_posteriors(denoiser, z_0, rivals, LEVELS, eps, reduction, rows=7)
        want = golden[f"log_p_{reduction}"][own, c].double()
        torch.testing.assert_close(log_p, want, rtol=2e-4, atol=2e-4)
        curve, used = exhaustive(table(denoiser, z_0, rivals, eps, steps, reduction))
        assert best_step(curve, used, steps) == expected and used.tolist() == [20] * 15


def test_neighbouring_candidates_share_their_evaluations(golden, gaussian):
    denoiser = gaussian(golden["toy_mu"], golden["toy_sigma"])
    posterior = table(denoiser, golden["x0"][:2], Rivals.same([0, 1], 2), golden["classifier_noise"], [13, 14, 15])
    exhaustive(posterior)
    assert denoiser.calls == posterior.evaluations == 2 * 2 * 20 * (3 + 2)  # pictures, classes, noises, steps 12..16
    exhaustive(posterior)
    assert denoiser.calls == posterior.evaluations  # all there already


def test_fast_visits_every_second_candidate_then_the_best_with_its_neighbours(golden, gaussian):
    denoiser = gaussian(golden["toy_mu"], golden["toy_sigma"])
    steps, eps = candidates(denoiser.abar, LEVELS), golden["classifier_noise"]
    own = torch.nonzero(golden["labels"] == 0).flatten()
    posterior = table(denoiser, golden["x0"][own], rivals_of(0, 3, 2, None, len(own), 0), eps, steps)
    curve, used = fast(posterior)
    whole, _ = exhaustive(table(denoiser, golden["x0"][own], rivals_of(0, 3, 2, None, len(own), 0), eps[:5], steps))
    judged = torch.nonzero(used == 5).flatten()
    assert 2 <= len(judged) <= 3 and judged.max() - judged.min() == len(judged) - 1
    assert torch.equal(curve[judged], whole[judged])  # the very numbers that a search with five noises finds there
    assert set(used.tolist()) <= {0, 4, 5} and (used[::2] > 0).all() and torch.isnan(curve[used == 0]).all()
    assert (
        posterior.evaluations == len(own) * 3 * evaluated_noises(used.numpy()) == denoiser.calls - 3 * 17 * 5 * len(own)
    )


@settings(deadline=None, max_examples=40)
@holds_for(st.integers(1, 25), st.integers(1, 30), st.integers(0, 10**6))
def test_fast_counts_what_it_evaluates_for_any_number_of_candidates_and_noises(n, noises, seed):
    steps = list(range(5, 5 + n))

    class Counting:
        abar, calls = linear_abar(), 0

        def predict_noise(self, x_t, t, c):
            self.calls += len(x_t)
            return x_t * c.reshape(-1, *[1] * (x_t.dim() - 1))

    generator, denoiser = torch.Generator().manual_seed(seed), Counting()
    z_0, eps = torch.randn(2, 3, generator=generator), torch.randn(noises, 3, generator=generator)
    posterior = table(denoiser, z_0, Rivals.same([0, 1], 2), eps, steps)
    curve, used = fast(posterior)
    assert denoiser.calls == posterior.evaluations == 2 * 2 * evaluated_noises(used.numpy())
    assert posterior.evaluations <= 2 * 2 * noises * (n + 2)
    assert best_step(curve, used, steps) in steps and torch.equal(torch.isnan(curve), used == 0)


def test_best_step_takes_the_first_maximum_of_the_best_judged_and_the_middle_of_a_flat_curve():
    same = torch.ones(3, dtype=torch.int64)
    assert best_step(torch.tensor([1.0, 3.0, 3.0]), same, [13, 14, 15]) == 14
    assert best_step(torch.zeros(3), same, [13, 14, 15]) == 14
    assert best_step(torch.tensor([9.0, math.nan, 2.0]), torch.tensor([1, 0, 5]), [13, 14, 15]) == 15


def test_noise_that_is_not_finite_is_told_with_its_level(golden, gaussian):
    denoiser = gaussian(golden["toy_mu"], golden["toy_sigma"])
    denoiser.predict_noise = lambda x_t, t, c: torch.full_like(x_t, math.inf)
    with pytest.raises(ValueError, match="not finite at level 241"):
        exhaustive(table(denoiser, golden["x0"][:2], Rivals.same([0, 1], 2), golden["classifier_noise"], [13, 14]))


# -- rivals -----------------------------------------------------------------------------------------------------------


def test_how_many_rivals():
    assert (rival_count(3, "auto"), rival_count(20, "auto"), rival_count(200, "auto")) == (2, 19, 10)
    assert (rival_count(200, "all"), rival_count(5, 99), rival_count(5, 2), rival_count(1, "auto")) == (199, 4, 2, 0)


def test_all_rivals_are_each_for_itself():
    rivals = rivals_of(1, 3, 2, None, 4, 0)
    assert rivals.names.tolist() == [[1, 0, 2]] * 4 and not rivals.log_weights.any()


def many_classes(classes=60, groups=12, dims=16, seed=0):
    """Class means in groups: each class has a few near rivals, and many far ones."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(groups, dims, generator=generator)
    means = centres[torch.arange(classes) % groups] + 0.35 * torch.randn(classes, dims, generator=generator)
    return means, torch.full((classes,), 0.35)


def test_distances_are_those_of_the_predicted_noises(gaussian):
    means, sigma = many_classes()
    denoiser, level = gaussian(means, sigma), int(LEVELS[20])
    found = class_distances(denoiser, means[:4], [level], 60, "sum", seed=0)
    a = denoiser.abar[level]
    scale = (1 - a) * a / (a * 0.35**2 + 1 - a) ** 2  # eps_k - eps_j = sqrt((1 - a) a) (mu_j - mu_k) / (a s^2 + 1 - a)
    torch.testing.assert_close(
        found[0].double(), scale * torch.cdist(means, means).double().square(), rtol=1e-3, atol=1e-3
    )
    assert denoiser.calls == 4 * 60


def test_near_rivals_are_certain_and_drawn_ones_weigh_for_the_rest(gaussian):
    means, sigma = many_classes()
    denoiser = gaussian(means, sigma)
    distances = class_distances(denoiser, means[:4], [int(LEVELS[s]) for s in (12, 20, 28)], 60, "sum", seed=0)
    rivals = rivals_of(7, 60, 10, distances, 5, seed=3)
    assert rivals.names.shape == (5, 11) and (rivals.names[:, 0] == 7).all() and (rivals.names[:, 1:] != 7).all()
    near = torch.argsort((means - means[7]).square().sum(1))[1:6]
    assert set(rivals.names[0, 1:6].tolist()) == set(near.tolist()) and not rivals.log_weights[:, :6].any()
    assert not set(rivals.names[:, 6:].flatten().tolist()) & set(near.tolist())
    again, other = rivals_of(7, 60, 10, distances, 5, seed=3), rivals_of(7, 60, 10, distances, 5, seed=4)
    assert torch.equal(rivals.names, again.names) and not torch.equal(rivals.names, other.names)


def test_the_weighted_sum_is_unbiased(gaussian):
    means, sigma = many_classes()
    denoiser, generator = gaussian(means, sigma), torch.Generator().manual_seed(1)
    distances = class_distances(denoiser, means[:4], [int(LEVELS[24])], 60, "sum", seed=0)
    own, eps = 7, torch.randn(3, 16, generator=generator)
    z_0 = means[own] + 0.35 * torch.randn(1, 16, generator=generator)
    level = LEVELS[24:25]
    exact = log_posteriors(denoiser, z_0, rivals_of(own, 60, 59, None, 1, 0), level, eps, "sum", 64)
    many = z_0.expand(4000, -1)
    drawn = rivals_of(own, 60, 10, distances, 4000, seed=0)
    found = log_posteriors(denoiser, many, drawn, level, eps, "sum", 4096)
    ratio = (-found).exp().mean() / (-exact).exp()  # 1 / p = 1 + sum_k exp(e_own - e_k), linear in the sum
    assert ratio.item() == pytest.approx(1, abs=0.05) and (-found).exp().std() > 0


def test_many_classes_a_hundredth_of_the_evaluations(gaussian):
    """60 classes here; `benchmarks/timestep_search.py` reports 200, and a trained model with 10."""
    means, sigma = many_classes()
    denoiser, generator = gaussian(means, sigma), torch.Generator().manual_seed(1)
    steps = candidates(denoiser.abar, LEVELS)
    around = [int(LEVELS[s]) for s in (12, 20, 28)]
    distances = class_distances(denoiser, means[:4], around, 60, "sum", seed=0)
    spent, whole, good = denoiser.calls, 0, 0
    eps, judging = torch.randn(4, 16, generator=generator), torch.randn(16, 16, generator=generator)
    for c in range(60):
        z_0 = means[c] + 0.35 * torch.randn(4, 16, generator=generator)
        posterior = table(denoiser, z_0, rivals_of(c, 60, 10, distances, 4, 0), eps, steps)
        found = steps.index(best_step(*fast(posterior), steps))
        spent += posterior.evaluations
        judge = table(denoiser, z_0, rivals_of(c, 60, 59, None, 4, 0), judging, steps, rows=4096)
        curve, _ = exhaustive(judge)
        good += bool(curve[found] >= 0.95 * curve.max())
        whole += 4 * 4 * 60 * 17
    assert whole > 25 * spent  # grows with C: over 100 at 200 classes
    assert good >= 54
