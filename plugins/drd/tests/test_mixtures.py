"""Gaussian-mixture worlds: the denoiser is exact, and what DRD finds there agrees with the truth where it can."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from prunebench_drd.equations import information_curve, q_sample
from prunebench_drd.mixtures import (
    MixtureDenoiser,
    gaussian_agreement,
    many_classes,
    posterior_sharpness,
    true_log_posterior,
)
from prunebench_drd.reconstruct import reconstruct
from prunebench_drd.schedule import candidates, ddim_levels, linear_abar
from prunebench_drd.search import log_posteriors
from scipy.stats import norm, spearmanr

ABAR, LEVELS = linear_abar(), ddim_levels(1000)
WINDOW = candidates(ABAR, LEVELS)


def at(value):
    return torch.tensor([value])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_world(shape, components, seed, classes=3):
    g = seeded(seed)
    means = torch.randn(classes, components, *shape, generator=g, dtype=torch.float64)
    sigmas, weights = (torch.rand(classes, components, generator=g) + 0.1 for _ in range(2))
    return MixtureDenoiser(means, sigmas, weights), g


def separated(size, distance, sigma=0.3, classes=4, seed=0):
    """Classes N(mu_c, sigma^2 I), means ``distance`` sigmas apart on average."""
    mu = torch.randn(classes, size, generator=seeded(seed), dtype=torch.float64)
    mu *= distance * sigma / torch.pdist(mu).mean()
    return MixtureDenoiser(mu[:, None], torch.full((classes, 1), sigma)), mu


# ------------------------------------------------------------------------------------------ exactness


@settings(max_examples=25, deadline=None)
@drawn(
    st.sampled_from([(1,), (2,), (7,), (64,), (3, 4, 4)]), st.integers(1, 1000), st.integers(1, 5), st.integers(0, 99)
)
def test_the_noise_is_the_gradient_of_the_log_density(shape, t, components, seed):
    world, g = random_world(shape, components, seed)
    x = (2 * torch.randn(6, *shape, generator=g, dtype=torch.float64)).requires_grad_()
    c = torch.tensor([0, 2, 1, 1, 0, 2])
    (gradient,) = torch.autograd.grad(world.log_density(x, at(t), c).sum(), x)
    with torch.no_grad():
        found = world.predict_noise(x, at(t), c)
    torch.testing.assert_close(found, -(1 - ABAR[t]).sqrt() * gradient, rtol=1e-8, atol=1e-9)


def test_the_log_density_is_that_of_the_mixture_and_of_the_noised_mixture():
    world = MixtureDenoiser(torch.tensor([[[0.5], [-1.0]]]), torch.tensor([[0.2, 0.4]]), torch.tensor([[3.0, 1.0]]))
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    for t in (0, 300):
        a = float(ABAR[t])
        width = [math.sqrt(a * s * s + 1 - a) for s in (0.2, 0.4)]
        want = 0.75 * norm.pdf(x, math.sqrt(a) * 0.5, width[0]) + 0.25 * norm.pdf(x, -math.sqrt(a), width[1])
        found = world.log_density(x, at(t), at(0)).exp()
        torch.testing.assert_close(found, torch.from_numpy(want)[:, 0], rtol=1e-6, atol=0)


def test_one_component_is_the_gaussian_formula(gaussian):
    g = seeded(1)
    mu, sigma = torch.randn(3, 3, 4, 4, generator=g, dtype=torch.float64), torch.tensor([0.1, 0.5, 2.0]).double()
    x, c = torch.randn(5, 3, 4, 4, generator=g, dtype=torch.float64), torch.tensor([2, 0, 1, 1, 0])
    world = MixtureDenoiser(mu[:, None], sigma[:, None])
    for t in (1, 401, 1000):
        want = gaussian(mu, sigma).predict_noise(x, at(t), c)
        torch.testing.assert_close(world.predict_noise(x, at(t), c), want, rtol=1e-9, atol=1e-10)


def test_one_class_for_all_rows_is_that_class_for_each_row():
    world, g = random_world((5,), 3, 0)
    x = torch.randn(4, 5, generator=g)
    each = torch.tensor([1, 1, 1, 1])
    torch.testing.assert_close(world.predict_noise(x, at(200), at(1)), world.predict_noise(x, at(200), each))
    torch.testing.assert_close(world.log_density(x, at(200), at(1)), world.log_density(x, at(200), each))
    assert world.calls == 8 and world.predict_noise(x, at(200), at(1)).dtype == torch.float32


def test_the_prediction_has_the_least_error_on_injected_noise():
    world, g = random_world((2,), 3, 3, classes=1)
    x_0 = world.sample(0, 20_000, g).double()
    eps = torch.randn(x_0.shape, generator=g, dtype=torch.float64)
    x_t = q_sample(x_0, ABAR[300], eps)
    best = world.predict_noise(x_t, at(300), at(0))

    def error(prediction):
        return float((eps - prediction).square().sum(dim=1).mean())

    for other in (1.05 * best, 0.95 * best, best + 0.1, best - 0.1, best + 0.1 * x_t.sin(), best - 0.1 * x_t.sin()):
        assert error(other) > error(best)
    # what is left is orthogonal to any function of x_t: 5 standard errors
    for function in (torch.ones_like(x_t), x_t, x_t.sin(), best):
        product = ((eps - best) * function).sum(dim=1)
        assert abs(float(product.mean())) < 5 * float(product.std()) / math.sqrt(len(product))


def test_noised_samples_have_the_moments_of_the_noised_mixture():
    means = torch.tensor([[[1.0, 0.0], [-1.0, 2.0]]])
    world = MixtureDenoiser(means, torch.tensor([[0.3, 0.6]]), torch.tensor([[0.8, 0.2]]))
    g = seeded(4)
    x_0 = world.sample(0, 40_000, g)
    x_t = q_sample(x_0, ABAR[400], torch.randn(x_0.shape, generator=g))
    a = float(ABAR[400])
    inner = 0.8 * 0.09 + 0.2 * 0.36
    mean = torch.tensor([0.6, 0.4])
    between = torch.tensor([0.8 * 0.4**2 + 0.2 * 1.6**2, 0.8 * 0.4**2 + 0.2 * 1.6**2])
    torch.testing.assert_close(x_t.mean(dim=0), math.sqrt(a) * mean, rtol=0, atol=0.03)
    torch.testing.assert_close(x_t.var(dim=0), a * (inner + between) + 1 - a, rtol=0.04, atol=0)
    # E log q_t is minus the entropy: below that of any other density on the same samples
    wrong = MixtureDenoiser(means, torch.tensor([[0.3, 0.6]]), torch.tensor([[0.6, 0.4]]))
    right, other = (w.log_density(x_t, at(400), at(0)).mean() for w in (world, wrong))
    assert right > other


def test_the_class_posterior_is_bayes_rule_and_fades_to_chance():
    world, g = random_world((4,), 2, 5)
    x = torch.randn(50, 4, generator=g)
    posterior = world.log_class_posterior(x, at(300))
    joint = torch.stack([world.log_density(x, at(300), at(c)) for c in range(3)], dim=1).exp()
    torch.testing.assert_close(posterior.exp(), joint / joint.sum(dim=1, keepdim=True))
    chance = torch.full((50, 3), 1 / 3, dtype=torch.float64)
    torch.testing.assert_close(world.log_class_posterior(x, at(1000)).exp(), chance, rtol=0, atol=0.03)


def test_far_away_points_give_finite_noise_and_density():
    world = MixtureDenoiser(torch.zeros(2, 3, 3, 8, 8), torch.full((2, 3), 0.01))
    x = torch.full((2, 3, 8, 8), 100.0)
    assert torch.isfinite(world.predict_noise(x, at(1), at(1))).all()
    assert torch.isfinite(world.log_density(x, at(0), at(1))).all()


def test_pixels_are_encoded_and_decoded_again():
    world = many_classes(2, (3, 4, 4))
    pixels = torch.arange(48, dtype=torch.uint8).reshape(1, 3, 4, 4) * 5
    torch.testing.assert_close(world.decode(world.encode(pixels)) * 255, pixels.float(), rtol=0, atol=1e-4)
    z = torch.randn(3, 7)
    assert world.encode(z) is z and world.decode(z) is z


@pytest.mark.parametrize(
    ("means", "sigmas", "weights"),
    [
        ((2, 3), (2, 3), None),
        ((2, 3, 4), (3, 2), None),
        ((2, 3, 4), (2, 3), (2, 2)),
        ((2, 3, 4), (2, 3), "zero"),
        ((2, 3, 4), "zero", None),
    ],
)
def test_impossible_worlds_are_refused(means, sigmas, weights):
    made = [
        None if shape is None else torch.zeros(2, 3) if shape == "zero" else torch.ones(shape)
        for shape in (means, sigmas, weights)
    ]
    with pytest.raises(ValueError, match="mixtures: "):
        MixtureDenoiser(*made)


def test_many_classes_have_few_near_rivals():
    world = many_classes(200, 32, seed=1, family=8, near=8.0, far=32.0, sigma=0.3)
    distance = torch.cdist(world.means[:, 0], world.means[:, 0]) / 0.3
    family = torch.arange(200) // 8
    same = (family[:, None] == family) & ~torch.eye(200, dtype=torch.bool)
    assert abs(float(distance[same].mean()) - 8) < 0.5
    assert float(distance[same].max()) < float(distance[family[:, None] != family].min())
    again = many_classes(200, 32, seed=1)
    assert torch.equal(world.means, again.means) and not torch.equal(world.means, many_classes(200, 32, seed=2).means)
    eps = torch.randn(20, 32, generator=seeded(3))
    x_t = q_sample(world.sample(17, 20, seeded()), ABAR[LEVELS[13]].float(), eps)
    posterior = world.log_class_posterior(x_t, at(int(LEVELS[13]))).exp()
    assert float(posterior[:, family == family[17]].sum(dim=1).mean()) > 0.99
    assert float(posterior[:, 17].mean()) < 0.8


# ------------------------------------------------------------------------------- theorem 1: likelihood


def deviations(world, x_0, start, draws, c=0):
    g = seeded(9)
    every = x_0.repeat(draws, *[1] * (x_0.dim() - 1))
    rows = len(every)
    rebuilt = reconstruct(
        world,
        every,
        torch.full((rows,), c),
        torch.full((rows,), start),
        torch.randn(every.shape, generator=g),
        LEVELS,
    )
    return (rebuilt - every).square().sum(dim=1).reshape(draws, -1)


@pytest.mark.parametrize("size", [16, 64])
@pytest.mark.parametrize("step", [WINDOW[0], WINDOW[-1]])
def test_with_many_draws_deviation_ranks_like_the_likelihood(size, step):
    world = MixtureDenoiser(torch.zeros(1, 1, size), torch.tensor([[0.3]]))
    x_0 = world.sample(0, 100, seeded(2))
    truth = -world.log_density(x_0, at(0), at(0))
    assert spearmanr(deviations(world, x_0, step, 64).mean(dim=0), truth).statistic > 0.88


@pytest.mark.proves("drd", "closed form")
@pytest.mark.parametrize(("sigma", "step", "draws"), [(0.3, 13, 1), (0.3, 27, 8), (1.0, 20, 8), (0.3, 48, 1)])
def test_the_agreement_with_likelihood_is_the_closed_form_in_any_dimension(sigma, step, draws):
    want = gaussian_agreement(sigma, ABAR, LEVELS, step, draws)
    for size in (2, 32):
        world = MixtureDenoiser(torch.zeros(1, 1, size), torch.tensor([[sigma]]))
        x_0 = world.sample(0, 1200, seeded(size))
        truth = -world.log_density(x_0, at(0), at(0))
        found = deviations(world, x_0, step, draws).mean(dim=0)
        r = float(torch.corrcoef(torch.stack([found.double(), truth]))[0, 1])
        assert abs(r - want) < 0.09, (size, r, want)


def test_a_single_draw_of_small_steps_never_agrees_beyond_one_half():
    """The same noise range cut into 20,000 steps: the limit of the closed form."""
    abar, levels = linear_abar(20_000, 5e-6, 1e-3), ddim_levels(20_000, 20_000)
    for sigma in (0.1, 0.3, 1.0):
        for step in (4000, 10_000, 19_000):
            a = float(abar[levels[step]])
            u = 1 - sigma * math.sqrt(a / (a * sigma**2 + 1 - a))
            one, eight = (gaussian_agreement(sigma, abar, levels, step, draws) for draws in (1, 8))
            assert one == pytest.approx(u / 2, abs=0.002) and one < 0.501
            assert eight == pytest.approx(u / math.sqrt(u * u + (4 - u * u) / 8), abs=0.002)


def test_other_classes_do_not_change_the_deviation():
    near, _ = separated(16, 1.0)
    far, _ = separated(16, 20.0)
    alone = MixtureDenoiser(near.means[:1], torch.full((1, 1), 0.3))
    moved = MixtureDenoiser(torch.cat([near.means[:1], far.means[1:]]), torch.full((4, 1), 0.3))
    x_0 = alone.sample(0, 20, seeded())
    first = deviations(alone, x_0, 20, 1)
    for world in (near, moved):
        assert torch.equal(deviations(world, x_0, 20, 1), first)


@pytest.mark.parametrize("widths", [(1.0, 1.0, 1.0, 1.0), (1.0, 0.66, 0.4, 0.25)])
def test_far_components_spoil_the_ranking_from_high_steps(widths):
    """There the example is rebuilt in another component, and the deviation is the way to it."""
    g = seeded(6)
    mu = torch.randn(4, 16, generator=g, dtype=torch.float64)
    sigmas = 0.3 * torch.tensor([widths])
    world = MixtureDenoiser((mu * 12 * 0.3 / torch.pdist(mu).mean())[None], sigmas)
    x_0 = world.sample(0, 200, g)
    truth = -world.log_density(x_0, at(0), at(0))
    early, late = (spearmanr(deviations(world, x_0, s, 8).mean(dim=0), truth).statistic for s in (8, 27))
    assert early > 0.5 and late < 0.42 and early - late > 0.25


# ------------------------------------------------------------------------- lemma 1 and eq. 9: the step


def test_information_falls_as_noise_grows():
    world, _ = separated(8, 8.0)
    true = torch.stack([true_log_posterior(world, c, LEVELS, 2000, seeded(c)).mean(dim=0) for c in range(4)])
    information = math.log(4) + true.mean(dim=0)
    assert information[0] > 0.95 * math.log(4) and abs(float(information[-1])) < 0.01
    assert float(information.diff().max()) < 0.005


@settings(max_examples=15, deadline=None)
@drawn(st.sampled_from([2, 16, 48]), st.integers(0, 49), st.floats(0.2, 1.5))
def test_eq_8_is_sharper_than_the_truth_by_the_closed_form(size, step, sigma):
    """Log odds of two classes, over 40 noises and their opposites, which cancels what is linear in them."""
    mu = torch.zeros(2, 1, size, dtype=torch.float64)
    mu[1] = 0.2 / math.sqrt(size)
    world = MixtureDenoiser(mu, torch.full((2, 1), sigma))
    x_0 = world.sample(0, 3, seeded(1))
    half = torch.randn(40, size, generator=seeded(2))
    eps, a = torch.cat([half, -half]), ABAR[LEVELS[step]]
    log_p = log_posteriors(world, x_0, [0, 1], LEVELS[step : step + 1], eps, "sum", 512)[:, 0]
    found = log_p - torch.log1p(-log_p.exp())
    x_t = q_sample(x_0.repeat_interleave(80, dim=0), a.float(), eps.repeat(3, 1))
    exact = world.log_class_posterior(x_t, at(int(LEVELS[step])))
    true = (exact[:, 0] - exact[:, 1]).reshape(3, 80).mean(dim=1)
    want = posterior_sharpness(sigma, float(a)) * true
    torch.testing.assert_close(found, want, rtol=1e-3, atol=2e-5)


def test_eq_9_with_the_summed_error_comes_too_late_and_with_the_mean_too_early():
    world, _ = separated(16, 12.0, seed=3)
    eps = torch.randn(20, 16, generator=seeded(7))
    around = LEVELS[WINDOW[0] - 1 : WINDOW[-1] + 2]
    steps = {"true": [], "exact": [], "sum": [], "mean": []}
    for c in range(4):
        among = [c, *(k for k in range(4) if k != c)]
        pictures = world.sample(c, 20, seeded(c))
        exact = true_log_posterior(world, c, around, 2000, seeded(c))
        steps["true"].append(int((exact[:, 2:] - exact[:, :-2]).mean(dim=0).abs().argmax()))
        steps["exact"].append(int(information_curve(exact).argmax()))
        for how in ("sum", "mean"):
            log_p = log_posteriors(world, pictures, among, around, eps, how, 400)
            steps[how].append(int(information_curve(log_p).argmax()))
    mean = {name: sum(found) / 4 + WINDOW[0] for name, found in steps.items()}
    assert abs(mean["exact"] - mean["true"]) <= 1
    assert mean["sum"] > mean["true"] + 4
    assert mean["mean"] <= mean["true"]


def test_outside_the_window_eq_9_takes_a_false_rise_for_information():
    """Eq. 8 forgets the class as the noise goes to zero: a (1 - a) / v^2 does; the exact posterior does not."""
    world, _ = separated(16, 12.0)
    eps = torch.randn(20, 16, generator=seeded(7))
    log_p = log_posteriors(world, world.sample(0, 20, seeded()), [0, 1, 2, 3], LEVELS, eps, "sum", 400)
    exact = true_log_posterior(world, 0, LEVELS, 500, seeded()).mean(dim=0)
    assert float(log_p[:, 0].mean()) < -1 and float(log_p[:, 6].mean()) > -0.05
    assert float(exact[0]) > -0.01
    assert int(information_curve(log_p).argmax()) + 1 == 1
    assert int((exact[2:] - exact[:-2]).abs().argmax()) + 1 > 8
