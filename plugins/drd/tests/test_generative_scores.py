"""ELBO and classifier confidence where likelihoods and posteriors are known exactly."""

from __future__ import annotations

import sys
from itertools import pairwise
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from prunebench_drd import prunebench_scorers
from prunebench_drd.confidence import classifier_confidence, confidence, rivals_by_class, shared_noise
from prunebench_drd.elbo import Bound, elbo, end_terms, error_weights, noise_controls, proposal, stratified_levels
from prunebench_drd.models import Chosen
from prunebench_drd.pictures import few_of_every_class, in_blocks
from prunebench_drd.schedule import ddim_levels, linear_abar
from prunebench_drd.task import TASK_INPUTS, Task
from scipy.stats import spearmanr

from prunebench import UserError, noise

MODEL = {"model": "closed_form_world:factory"}
SHAPE, D = (3, 4, 4), 48


@pytest.fixture
def world(gaussian, monkeypatch):
    """Two Gaussian classes as 4x4 pictures of many spreads; -log q of every picture, and one label in ten wrong."""
    rng = np.random.default_rng(0)
    mu, sigma = rng.uniform(-0.06, 0.06, (2, *SHAPE)), np.array([0.16, 0.2])
    true = np.repeat([0, 1], 100)
    spread = rng.uniform(0.6, 1.4, 200)
    values = mu[true] + (spread * sigma[true])[:, None, None, None] * rng.standard_normal((200, *SHAPE))
    pixels = np.clip(np.round((values + 1) * 127.5), 0, 255).astype(np.uint8)
    z = pixels / 127.5 - 1
    module = ModuleType("closed_form_world")
    module.denoiser = gaussian(torch.from_numpy(mu).float(), torch.from_numpy(sigma).float())
    module.factory = lambda classes: module.denoiser
    monkeypatch.setitem(sys.modules, "closed_form_world", module)
    wrong = np.arange(200) % 10 == 3
    away = ((z[:, None] - mu) ** 2).sum(axis=(2, 3, 4))  # (N, C) || z - mu_c ||^2
    return SimpleNamespace(
        pixels=pixels,
        z=z,
        true=true,
        away=away,
        nats=away[np.arange(200), true] / (2 * sigma[true] ** 2) + D / 2 * np.log(2 * np.pi * sigma[true] ** 2),
        mu=mu,
        sigma=sigma,
        labels=np.where(wrong, 1 - true, true),
        wrong=wrong,
        module=module,
    )


@pytest.fixture
def given(given):
    """What the two scorers name: all that DRD does but the reference network."""
    return lambda *args, **options: {
        name: value for name, value in given(*args, **options).items() if name != "network"
    }


def task_of(inputs):
    return Task.of(**{name: inputs[name] for name in TASK_INPUTS})


def expected_errors(abar, sigma, away, t):
    """E_eps || eps - eps*(x_t) ||^2 of the exact predictor: eps - k (sqrt(a) (x_0 - mu) + sqrt(1-a) eps)."""
    a = abar[t].numpy()
    k = np.sqrt(1 - a) / (a * sigma**2 + 1 - a)
    return D * (1 - k * np.sqrt(1 - a)) ** 2 + k**2 * a * away


def exact_bound(world, abar, c):
    """(N,) the whole sum over all levels in closed form, for pictures as of class c."""
    weights = error_weights(abar).numpy()
    told = sum(weights[t - 1] * expected_errors(abar, world.sigma[c], world.away[:, c], t) for t in range(1, len(abar)))
    return end_terms(torch.from_numpy(world.z), abar).numpy() + told


# -- the bound ---------------------------------------------------------------------------------------------------------


def test_weights_are_ho_et_al_eq_12_with_the_posterior_variance():
    abar = linear_abar()
    alpha = abar[2:] / abar[1:-1]
    beta, posterior = 1 - alpha, (1 - alpha) * (1 - abar[1:-1]) / (1 - abar[2:])
    weights = error_weights(abar)
    torch.testing.assert_close(weights[1:], beta**2 / (2 * posterior * alpha * (1 - abar[2:])), rtol=1e-9, atol=0)
    # at t = 1 the decoder N(x0_hat, beta_1): ||x_0 - x0_hat||^2 = (1 - abar_1) / abar_1 ||eps - eps_hat||^2
    assert float(weights[0]) == pytest.approx(float((1 - abar[1]) / abar[1] / (2 * (1 - abar[1]))), rel=1e-12)


def test_every_weight_is_a_divergence_of_two_normals():
    """w_t e^2 against KL(q(x_s | x_t, x_0) || q(x_s | x_t, x0_hat)) written out for one number."""
    abar, x_0, eps, eps_hat = linear_abar(), 0.3, 0.7, -0.2
    for t in (2, 3, 50, 401, 1000):
        a, s = float(abar[t]), float(abar[t - 1])
        alpha = a / s
        x_t = np.sqrt(a) * x_0 + np.sqrt(1 - a) * eps
        x0_hat = (x_t - np.sqrt(1 - a) * eps_hat) / np.sqrt(a)
        clean = np.sqrt(s) * (1 - alpha) / (1 - a)
        variance = (1 - alpha) * (1 - s) / (1 - a)
        divergence = (clean * (x_0 - x0_hat)) ** 2 / (2 * variance)
        assert float(error_weights(abar)[t - 1]) * (eps - eps_hat) ** 2 == pytest.approx(divergence, rel=1e-9)


def test_end_terms_are_the_prior_divergence_and_the_decoder_constant():
    abar, z = linear_abar(50), torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0))
    a, beta = abar[-1], 1 - abar[1]
    q = torch.distributions.Normal(a.sqrt() * z.double(), (1 - a).sqrt())
    prior = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).flatten(1).sum(dim=1)
    decoder = -torch.distributions.Normal(torch.zeros(10).double(), beta.sqrt()).log_prob(torch.zeros(10)).sum()
    torch.testing.assert_close(end_terms(z, abar), prior + decoder, rtol=1e-9, atol=0)


def test_the_closed_form_bound_lies_above_and_is_affine_in_the_truth(world):
    for c in range(2):
        own = world.true == c
        bound, truth = exact_bound(world, linear_abar(), c)[own], world.nats[own]
        slope, _ = np.polyfit(truth, bound, 1)
        assert (bound > truth).all() and 1 < slope < 1.06  # 1000 levels cost 4 to 5 percent, see the next test
        assert np.ptp(bound - slope * truth) < 1e-2  # affine, but for ||x_0||^2 in L_T


def test_of_the_gap_more_timesteps_leave_the_constant_of_the_posterior_variance(world):
    """The first levels add equal variances, so level t has t / (t - 1) times the noise of t - 1 whatever T is, and

    sum_{t>=2} 1/2 (1 / (t - 1) - log(t / (t - 1))) = gamma / 2 nats per dimension (Euler's) stay, for every picture.
    """
    own, gaps, slopes = world.true == 0, [], []
    for T in (1000, 4000, 16000):  # one variance-preserving path cut finer: beta ~ 1/T
        bound, truth = exact_bound(world, linear_abar(T, 0.1 / T, 20 / T), 0)[own], world.nats[own]
        gaps.append((bound - truth).mean() / D - np.euler_gamma / 2)
        slopes.append(np.polyfit(truth, bound, 1)[0] - 1)
    assert all(2.5 < coarse / fine < 5 for coarse, fine in [*pairwise(gaps), *pairwise(slopes)])


@pytest.mark.proves("elbo", "closed form")
def test_estimates_follow_the_true_likelihood(world, given):
    scored = elbo(**given(world.pixels, world.true), **MODEL, noises=8)
    values = np.asarray(scored.values)
    for c in range(2):
        own = world.true == c
        slope, _ = np.polyfit(world.nats[own], values[own], 1)
        assert spearmanr(values[own], world.nats[own]).statistic > 0.99
        assert 0.8 < slope < 1.2
    assert scored.details["split_half_reliability"] > 0.98
    assert scored.details["bits_per_dimension"] == pytest.approx(values.mean() / (D * np.log(2)))


@pytest.mark.proves("elbo", "closed form")
def test_the_estimate_is_unbiased_over_noises_and_levels(world, given):
    """Means over many seeds against the closed form over all 1000 levels, in standard errors."""
    few = np.array([0, 3, 50, 120, 199])
    exact = np.where(world.true[few] == 0, *(exact_bound(world, linear_abar(), c)[few] for c in range(2)))
    found = np.stack(
        [
            np.asarray(elbo(**given(world.pixels[few], world.true[few], run=run), **MODEL, levels=10).values)
            for run in range(40)
        ]
    )
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - exact) < 4 * error).all()
    assert (error < 0.05 * D).all()  # tight enough to fail by: 0.05 nats per dimension


def test_given_the_levels_the_noise_is_unbiased_with_and_without_controls(world, given):
    inputs = given(world.pixels, world.true)
    task, chosen = task_of(inputs), Chosen(world.module.denoiser, "gaussian", {}, 4, latent=False)
    bound = Bound.of(task, chosen, 25, 4)
    abar, index = linear_abar(), torch.tensor([7])
    expected = sum(
        float(w) * expected_errors(abar, world.sigma[0], world.away[7, 0], int(t))
        for w, t in zip(bound.weights, bound.levels, strict=True)
    ) + float(end_terms(torch.from_numpy(world.z[7:8]), abar))
    bare = Bound(task, chosen, bound.levels, bound.weights, torch.zeros(25, dtype=torch.float64), D)
    spreads = []
    for estimate in (bound, bare):
        draws = estimate.of_draws(index, 400)[:, 0].numpy()
        spreads.append(draws.std(ddof=1))
        assert abs(draws.mean() - expected) < 4 * spreads[-1] / 20
    assert spreads[0] < 0.7 * spreads[1]  # the controls are worth their evaluations


@settings(max_examples=60, deadline=None)
@drawn(st.integers(1, 40), st.lists(st.floats(1e-3, 1), min_size=2, max_size=60), st.integers(0, 2**31))
def test_levels_are_one_from_each_stratum(strata, mass, seed):
    q = torch.tensor(mass, dtype=torch.float64)
    q = q / q.sum()
    levels = stratified_levels(q, strata, torch.Generator().manual_seed(seed))
    edges = torch.cat([torch.zeros(1, dtype=torch.float64), q.cumsum(0)])
    j = torch.arange(strata)
    assert len(levels) == strata and bool((levels[1:] >= levels[:-1]).all())
    assert bool((edges[levels - 1] < (j + 1) / strata + 1e-9).all() and (edges[levels] > j / strata - 1e-9).all())


def test_levels_are_drawn_as_often_as_the_proposal_says():
    q = proposal(linear_abar(20))
    assert float(q.sum()) == pytest.approx(1) and bool((q > 0).all())
    drawn_levels = torch.cat([stratified_levels(q, 7, torch.Generator().manual_seed(s)) for s in range(2000)])
    share = torch.bincount(drawn_levels, minlength=21)[1:] / 14000
    assert bool(((share - q).abs() < 4 * (q / 14000).sqrt()).all())


def test_controls_are_the_slope_on_the_length_of_the_noise():
    generator = torch.Generator().manual_seed(0)
    norms, level = (torch.rand(2, 3, 9, generator=generator, dtype=torch.float64) for _ in range(2))
    slopes = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)
    told = noise_controls(slopes[:, None] * norms + level[:1], norms)
    torch.testing.assert_close(told, slopes)
    assert noise_controls(norms, torch.ones_like(norms)).tolist() == [0, 0, 0]  # noises of one length tell nothing


def test_the_seed_decides_and_blocks_do_not(world, given, monkeypatch):
    def values(run=0, **options):
        return np.asarray(elbo(**given(world.pixels, world.true, run=run), **MODEL, levels=8, **options).values)

    first = values()
    assert np.array_equal(first, values()) and not np.array_equal(first, values(run=1))
    monkeypatch.setattr("prunebench_drd.elbo.network_rows", lambda elements: 28)  # blocks of 7 pictures
    np.testing.assert_allclose(values(), first, rtol=1e-5)


def test_a_picture_is_scored_by_its_own_seed_wherever_it_stands(world, given):
    inputs = given(world.pixels, world.true)
    task, chosen = task_of(inputs), Chosen(world.module.denoiser, "gaussian", {}, 4, latent=False)
    bound = Bound.of(task, chosen, 8, 2)
    whole, part = bound.of_draws(torch.arange(200), 2), bound.of_draws(torch.tensor([150, 9]), 2)
    torch.testing.assert_close(part, whole[:, [150, 9]], rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(bound.of_draws(torch.arange(9), 1)[0], whole[0, :9], rtol=1e-6, atol=1e-4)


def test_elbo_tells_what_it_spent(world, given):
    for noises in (1, 3):
        world.module.denoiser.calls = 0
        told = elbo(**given(world.pixels[:90], world.true[:90]), **MODEL, levels=5, noises=noises).details
        padding = -90 % min(90, 1024 // noises)
        assert world.module.denoiser.calls == told["evaluations"] + padding * noises * 5
        assert told["levels"].shape == told["level_weights"].shape == told["noise_controls"].shape == (5,)
        assert told["dimensions"] == D
        assert all(np.ndim(value) or isinstance(value, int | float | str | bool) for value in told.values())


def test_weak_bounds_are_warned_of(world, given, caplog):
    calm = world.pixels[:20]
    for noises, enough in ((400, True), (1, False)):
        told = elbo(**given(calm, np.zeros(20)), **MODEL, levels=1, noises=noises).details["split_half_reliability"]
        assert (told > 0.7) == enough and ("give more noises" in caplog.text) != enough


@pytest.mark.parametrize("abar", [[1, 0.5, 0], [1, 0.5, 0.5], [1, 1, 0.5]])
def test_schedules_without_a_finite_bound_are_refused(world, given, abar):
    world.module.denoiser.abar = torch.nn.functional.pad(torch.tensor(abar, dtype=torch.float64), (0, 0))
    with pytest.raises(UserError, match="must fall strictly"):
        error_weights(world.module.denoiser.abar)


# -- the posterior -----------------------------------------------------------------------------------------------------


def exact_posterior(world, abar, level, labels):
    """log softmax_c(-E_eps || eps - eps*_c ||^2) of every picture in closed form: eq. (8) without sampling."""
    errors = np.stack([expected_errors(abar, world.sigma[c], world.away[:, c], level) for c in range(2)], axis=1)
    log_p = -errors - np.logaddexp.reduce(-errors, axis=1, keepdims=True)
    return log_p[np.arange(len(labels)), labels]


@pytest.mark.proves("classifier_confidence", "closed form")
@pytest.mark.parametrize("timestep", ["ib", 20])
def test_confidence_is_the_exact_posterior_and_finds_wrong_labels(world, given, timestep):
    options = {"timestep": timestep, "samples": 10, "noises": 5, "draws": 40}
    scored = classifier_confidence(**given(world.pixels, world.labels), **MODEL, **options)
    values, steps = np.asarray(scored.values), scored.details["t_star"]
    assert (values <= 0).all() and np.array_equal(scored.details["levels"], ddim_levels(1000)[steps])
    for c in range(2):
        own = world.labels == c
        exact = exact_posterior(world, linear_abar(), int(scored.details["levels"][c]), world.labels)
        assert spearmanr(values[own], exact[own]).statistic > 0.95
        assert auroc(-values[own], world.wrong[own]) > 0.95


@pytest.mark.proves("classifier_confidence", "closed form")
def test_every_class_is_judged_at_its_own_level_and_to_scale(world, given):
    task = task_of(given(world.pixels, world.labels))
    chosen, levels = Chosen(world.module.denoiser, "gaussian", {}, 4, latent=False), torch.tensor([261, 541])
    among, probed = rivals_by_class(task, chosen, levels, "sum", "all")
    eps = shared_noise(task, torch.Size(SHAPE), range(200))
    found = confidence(task, chosen, torch.arange(200), levels, among, eps, "sum").numpy()
    assert probed == 0
    for c, level in enumerate(levels.tolist()):
        own = world.labels == c
        slope, _ = np.polyfit(exact_posterior(world, linear_abar(), level, world.labels)[own], found[own], 1)
        assert slope == pytest.approx(1, abs=0.05)


def auroc(scores, positive):
    return np.mean(np.sign(scores[positive][:, None] - scores[~positive][None]) / 2 + 0.5)


def test_confidence_of_equal_classes_is_chance(world, given):
    world.module.denoiser.mu[1], world.module.denoiser.sigma[1] = world.module.denoiser.mu[0], world.sigma[0]
    scored = classifier_confidence(**given(world.pixels, world.labels), **MODEL, timestep=20)
    np.testing.assert_allclose(np.asarray(scored.values), -np.log(2), rtol=1e-6)
    assert scored.details["saturated"] == 0


def test_confidence_is_the_same_again_in_any_blocks_and_another_with_another_seed(world, given, monkeypatch):
    def values(run=0):
        inputs = given(world.pixels, world.labels, run=run)
        return np.asarray(classifier_confidence(**inputs, **MODEL, timestep=20, draws=4).values)

    first = values()
    assert np.array_equal(first, values()) and not np.array_equal(first, values(run=1))
    monkeypatch.setattr("prunebench_drd.confidence.network_rows", lambda elements: 28)
    np.testing.assert_allclose(values(), first, rtol=1e-4, atol=1e-6)


def test_confidence_tells_what_it_spent(world, given):
    def told(**options):
        world.module.denoiser.calls = 0
        inputs = given(world.pixels[:60], world.labels[:60], classes=("a", "b", "c"))
        return classifier_confidence(**inputs, **MODEL, samples=3, noises=2, draws=4, **options).details

    world.module.denoiser.mu = torch.cat([world.module.denoiser.mu, torch.zeros(1, *SHAPE)])
    world.module.denoiser.sigma = torch.tensor([0.16, 0.2, 0.3])
    found = told()
    assert found["evaluations"] == world.module.denoiser.calls == found["search_evaluations"] + 60 * 3 * 4
    found = told(timestep=17, rivals=1)
    assert found["evaluations"] == world.module.denoiser.calls == 3 * 4 * 3 + 60 * 2 * 4
    assert (found["rivals"], found["rivals_drawn"], found["search_evaluations"]) == (1, True, 0)
    assert all(np.ndim(value) or isinstance(value, int | float | str | bool) for value in found.values())


# -- both --------------------------------------------------------------------------------------------------------------


def test_no_noise_is_taken_twice(world, given, monkeypatch):
    """Not at two levels of the bound or by its controls, and not by the search for t* and the score."""
    asked = []

    def recorded(seeds, draw, shape, device="cpu"):
        asked.append((len(seeds), draw))
        return noise(seeds, draw, shape, device)

    for module in ("elbo", "confidence", "timesteps"):
        monkeypatch.setattr(f"prunebench_drd.{module}.noise", recorded)
    elbo(**given(world.pixels[:100], world.true[:100]), **MODEL, levels=5, noises=3)
    controls, scored = ({draw for rows, draw in asked if rows == count} for count in (64, 100))
    assert scored == set(range(15)) and controls == set(range(15, 25))
    asked.clear()
    classifier_confidence(**given(world.pixels, world.labels), **MODEL, samples=2, noises=3, draws=4)
    assert [draw for _, draw in asked] == [0, 1, 2] * 2 + [3, 4, 5, 6]  # two classes searched, one set for all


@pytest.mark.parametrize("score", [elbo, classifier_confidence])
def test_a_model_of_ones_own_is_trained_and_asked(digits, given, score):
    scored = score(**given(digits.pixels[:40], digits.labels[:40]), model="own", dit="nano", dit_steps=2, noises=1)
    assert np.isfinite(np.asarray(scored.values)).all() and scored.details["model"] == "own"
    if score is elbo:
        assert scored.details["dimensions"] == 64  # grey: one channel


@pytest.mark.parametrize("score", [elbo, classifier_confidence])
def test_a_denoiser_that_returns_nan_is_told(world, given, score):
    world.module.denoiser.predict_noise = lambda x_t, t, c: torch.full_like(x_t, float("nan"))
    for options in ({}, {"timestep": 20}) if score is classifier_confidence else ({},):
        with pytest.raises(ValueError, match="not finite"):
            score(**given(world.pixels, world.labels), **MODEL, noises=2, **options)


@pytest.mark.parametrize(
    "score, options, told",
    [
        (elbo, {"levels": 0}, "levels must be"),
        (elbo, {"levels": "many"}, "levels must be"),
        (elbo, {"noises": True}, "noises must be"),
        (elbo, {"dit": "huge"}, "dit must be"),
        (elbo, {"model": "no such folder"}, "is neither a folder in diffusers"),
        (classifier_confidence, {"draws": "auto"}, "draws must be"),
        (classifier_confidence, {"timestep": 50}, "timestep must be"),
        (classifier_confidence, {"rivals": 0}, "rivals must be"),
        (classifier_confidence, {"reduction": "max"}, "reduction must be one of"),
        (classifier_confidence, {"search": "slow"}, "search must be one of"),
        (classifier_confidence, {"spacing": "cosine"}, "spacing must be one of"),
    ],
)
def test_what_the_user_must_change_is_one_sentence(world, given, score, options, told):
    with pytest.raises(UserError, match=told) as error:
        score(**given(world.pixels, world.labels), **{**MODEL, **options})
    assert "\n" not in str(error.value)


def test_records_say_direction_and_source():
    records = {record.name: record for record in prunebench_scorers()}
    assert {name: records[name].hard for name in ("elbo", "classifier_confidence")} == {
        "elbo": "high",
        "classifier_confidence": "low",
    }
    for record in records.values():
        assert record.comparable == "class" and record.paper.removeprefix("arXiv:") in record.bibtex


def test_blocks_that_stood_already_are_ticked_off(world, given):
    ticked = []

    def progress(iterable, total, text):
        for item in iterable:
            yield item
            ticked.append(item)

    inputs = given(world.pixels, world.true) | {"progress": progress}
    stood = lambda compute, order, rows: compute(order[:rows]).sum() * torch.ones(len(order))  # noqa: E731 - one block
    values = in_blocks(task_of(inputs), stood, lambda own: own.double(), torch.arange(200), 64, "working")
    assert float(values[0]) == sum(range(64)) and ticked == [0, 1, 2, 3]


def test_a_few_pictures_of_every_class(world, given):
    few = few_of_every_class(task_of(given(world.pixels, world.true)))
    assert np.bincount(world.true[few]).tolist() == [20, 20]
    many = few_of_every_class(task_of(given(world.pixels, np.arange(200) // 2)))
    assert len(many) == 200
