"""DRD's claim where the truth is known: high deviation means low likelihood, through the public denoiser protocol."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from prunebench_drd.drd import drd
from prunebench_drd.reconstruct import reconstruct
from prunebench_drd.schedule import ddim_levels, linear_abar
from prunebench_drd.timesteps import evaluated_noises
from scipy.stats import spearmanr

from prunebench import UserError


class Oracle:
    """Knows the noise that was injected."""

    abar = linear_abar()

    def __init__(self, eps):
        self.eps = eps

    def predict_noise(self, x_t, t, c):
        return self.eps


@pytest.mark.proves("drd", "closed form")
def test_given_the_true_noise_reconstruction_is_exact():
    generator = torch.Generator().manual_seed(0)
    z_0, eps = (torch.randn(4, 3, 8, 8, generator=generator) for _ in range(2))
    rebuilt = reconstruct(
        Oracle(eps), z_0, torch.zeros(4, dtype=torch.int64), torch.full((4,), 27), eps, ddim_levels(1000)
    )
    torch.testing.assert_close(rebuilt, z_0, rtol=0, atol=2e-5)


@pytest.fixture
def world(gaussian, monkeypatch):
    """Two Gaussian classes as 4x4 pictures, five planted outliers each; -log q of every picture under its class."""
    rng = np.random.default_rng(0)
    base = rng.uniform(-0.2, 0.2, (2, 1, 4, 4)).repeat(3, axis=1)
    sigma, labels = np.array([0.16, 0.2]), np.repeat([0, 1], 100)
    spread = np.where(np.arange(200) % 20 == 0, 2.2, rng.uniform(0.6, 1.2, 200))  # how far from the class mean
    values = base[labels] + (spread * sigma[labels])[:, None, None, None] * rng.standard_normal((200, 3, 4, 4))
    pixels = np.clip(np.round((values + 1) * 127.5), 0, 255).astype(np.uint8)
    seen = pixels / 127.5 - 1
    energy = ((seen - base[labels]) ** 2).sum(axis=(1, 2, 3)) / (2 * sigma[labels] ** 2)  # -log q, up to a constant
    module = ModuleType("closed_form_world")
    module.made_for = []

    def factory(classes):
        module.made_for.append(classes)
        return gaussian(torch.from_numpy(base).float(), torch.from_numpy(sigma).float())

    module.factory = factory
    monkeypatch.setitem(sys.modules, "closed_form_world", module)
    return pixels, labels, energy, module


OPTIONS = {"model": "closed_form_world:factory", "perceptual": "l2"}


@pytest.mark.proves("drd", "closed form")
@pytest.mark.parametrize("timestep", ["ib", 13, 20, 27])
def test_deviation_ranks_by_likelihood_and_finds_planted_outliers(world, given, timestep):
    pixels, labels, energy, module = world
    scored = drd(**given(pixels, labels), **OPTIONS, timestep=timestep, draws=4, samples=10, noises=5)
    values = np.asarray(scored.values)
    assert module.made_for == [("class 0", "class 1")]
    for c in range(2):
        own = np.flatnonzero(labels == c)
        assert spearmanr(values[own], energy[own]).statistic > 0.8
        assert set(own[np.argsort(-values[own])[:5]]) == set(own[own % 20 == 0])


def test_details_tell_how(world, given):
    pixels, labels, _, _ = world
    told = drd(**given(pixels, labels), **OPTIONS, draws=4, samples=10, noises=5).details
    assert told["candidates"].tolist() == list(range(13, 28))
    assert told["curve"].shape == told["curve_noises"].shape == (2, 15)
    assert np.array_equal(np.isnan(told["curve"]), told["curve_noises"] == 0)
    assert told["t_star"].tolist() == [13 + int(np.nanargmax(row)) for row in told["curve"]]  # 5 noises: one each
    assert told["search_evaluations"] == 2 * 10 * 2 * sum(evaluated_noises(row) for row in told["curve_noises"]) // 2
    per_picture = told["t_star"][labels] + 1
    sampled = 2 * 20 * 4  # pictures of two equal classes, draws
    assert told["evaluations"] == told["search_evaluations"] + 4 * per_picture.sum() + sampled * per_picture.mean()
    assert told["split_half_reliability"] > 0.7
    assert (told["model"], told["draws"], told["rivals"], told["rivals_drawn"]) == (OPTIONS["model"], 4, 1, False)
    assert all(np.ndim(value) or isinstance(value, int | float | str | bool) for value in told.values())


def test_an_exhaustive_search_knows_the_whole_curve(world, given):
    pixels, labels, _, _ = world
    told = drd(**given(pixels, labels), **OPTIONS, draws=1, samples=10, noises=5, search="exhaustive").details
    assert np.isfinite(told["curve"]).all() and told["search_evaluations"] == 2 * 10 * 2 * 5 * 17
    assert told["t_star"].tolist() == [13 + int(row.argmax()) for row in told["curve"]]


def test_reported_evaluations_are_the_calls_made(world, given, gaussian):
    pixels, labels, _, module = world
    denoiser = module.factory(())
    module.factory = lambda classes: denoiser
    scored = drd(**given(pixels[::2], labels[::2]), **OPTIONS, draws=1, samples=3, noises=2)
    assert denoiser.calls == scored.details["evaluations"]


def test_same_inputs_same_bits_and_another_run_another_noise(world, given):
    pixels, labels, _, _ = world
    options = {**OPTIONS, "timestep": 20, "draws": 1}
    first, again = (np.asarray(drd(**given(pixels, labels), **options).values) for _ in range(2))
    other = np.asarray(drd(**given(pixels, labels, run=1), **options).values)
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize("size", [1, 7, 200])
def test_another_block_size_agrees_to_rounding(world, given, size):
    pixels, labels, _, _ = world
    options = {**OPTIONS, "timestep": 20, "draws": 2}
    inputs = given(pixels, labels)
    blocks = inputs["blocks"]
    other = drd(**{**inputs, "blocks": lambda compute, order, rows: blocks(compute, order, size)}, **options)
    np.testing.assert_allclose(other.values, drd(**given(pixels, labels), **options).values, rtol=1e-5)


def test_one_class_a_missing_class_and_few_pictures(world, given):
    pixels, labels, _, _ = world
    with pytest.raises(UserError, match="this data set has one; give a DDIM step: timestep=20"):
        drd(**given(pixels[:7], labels[:7], classes=("only",)), **OPTIONS, draws=1, noises=2)
    one = drd(**given(pixels[:7], labels[:7], classes=("here", "gone")), **OPTIONS, draws=1, noises=2)
    assert one.details["samples"].tolist() == [7, 0]
    missing = drd(**given(pixels[:30], labels[:30], classes=("here", "gone")), **OPTIONS, draws=1, noises=2)
    assert missing.details["t_star"][1] == 20 and np.isnan(missing.details["curve"][1]).all()
    single = drd(**given(pixels[:1], labels[:1], classes=("only",)), **OPTIONS, timestep=20)
    assert np.isfinite(np.asarray(single.values)).all() and np.isnan(single.details["split_half_reliability"])


def test_a_reliability_that_nothing_tells_is_warned_of(world, given, caplog):
    pixels, labels, _, _ = world
    drd(**given(pixels[:1], labels[:1], classes=("only",)), **OPTIONS, timestep=20, draws=3)
    assert "how well 3 draw(s) rank cannot be told, as no class has two pictures" in caplog.text


@pytest.mark.parametrize(("search", "judged"), [("fast", 5), ("exhaustive", 20)])
def test_the_noises_asked_for_and_those_behind_t_star_are_both_told(world, given, search, judged):
    pixels, labels, _, _ = world
    told = drd(**given(pixels, labels), **OPTIONS, draws=1, samples=2, search=search).details
    assert (told["noises"], told["noises_at_t_star"], told["curve_noises"].max()) == (20, judged, judged)


def test_a_schedule_without_candidates_says_what_is_taken_instead(world, given, gaussian, caplog):
    """SNR from 9e3 to 9: above the window, so the last step that has two neighbours is nearest."""
    pixels, labels, _, module = world
    denoiser = module.factory(())
    denoiser.abar = torch.linspace(1, 0.9, 1001, dtype=torch.float64)
    module.factory = lambda classes: denoiser
    scored = drd(**given(pixels, labels), **OPTIONS, draws=1, samples=2, noises=2)
    warned = [record.getMessage() for record in caplog.records if "SNR" in record.getMessage()]
    assert scored.details["t_star"].tolist() == [48, 48] and len(warned) == 1 and "\n" not in warned[0]
    parts = (f"the model {OPTIONS['model']} has no DDIM step", "its 50 steps go from 1e+04 to 9.19", "t = 48 with SNR")
    assert all(part in warned[0] for part in parts) and "choose another with timestep=0..49" in warned[0]


def test_few_draws_are_warned_of(world, given, caplog):
    pixels, labels, _, _ = world
    calm = pixels[labels == 0][1:20]  # no outlier: single draws rank by their noise
    for draws, enough in ((200, True), (1, False)):
        scored = drd(**given(calm, np.zeros(len(calm))), **OPTIONS, timestep=27, draws=draws)
        assert (scored.details["split_half_reliability"] > 0.7) == enough
        assert ("give more draws" in caplog.text) != enough


def test_a_denoiser_that_returns_nan_is_told(world, given, gaussian):
    pixels, labels, _, module = world
    broken = module.factory(())
    broken.predict_noise = lambda x_t, t, c: torch.full_like(x_t, float("nan"))
    module.factory = lambda classes: broken
    with pytest.raises(ValueError, match="not finite"):
        drd(**given(pixels, labels), **OPTIONS, samples=2, noises=2)


@pytest.mark.parametrize(
    "options, told",
    [
        ({"timestep": 50}, "timestep must be 'ib' or a DDIM step from 0 to 49"),
        ({"timestep": "best"}, "timestep"),
        ({"samples": 0}, "samples must be"),
        ({"noises": 2.5}, "noises must be"),
        ({"draws": 0}, "draws must be"),
        ({"draws": "many"}, "draws must be"),
        ({"rivals": 0}, "rivals must be"),
        ({"rivals": "some"}, "rivals must be"),
        ({"reduction": "max"}, "reduction must be one of sum, mean"),
        ({"target": "latent"}, "target must be"),
        ({"search": "quick"}, "search must be one of fast, exhaustive"),
        ({"spacing": "cosine"}, "spacing must be one of leading, linspace"),
        ({"perceptual": "ssim"}, "perceptual must be auto or one of"),
        ({"dit": "huge"}, "dit must be auto or one of nano, small, base"),
        ({"dit_steps": 0}, "dit_steps must be"),
        ({"model": "no_such_package:factory"}, "cannot be imported"),
        ({"model": "closed_form_world:absent"}, "cannot be imported"),
        ({"model": "types:MappingProxyType"}, "must take the tuple"),
        ({"model": "builtins:list"}, "lacks abar, predict_noise, encode, decode"),
        ({"model": "no such folder"}, "is neither a folder in diffusers"),
    ],
)
def test_what_the_user_must_change_is_one_sentence(world, given, options, told):
    pixels, labels, _, _ = world
    with pytest.raises(UserError, match=told) as error:
        drd(**given(pixels, labels), **{**OPTIONS, **options})
    assert "\n" not in str(error.value)
