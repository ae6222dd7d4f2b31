"""Every equation by hand, and against the reference vectors."""

from __future__ import annotations

import math

import pytest
import torch
from prunebench_drd.equations import (
    ddim_step,
    deviation,
    information_curve,
    log_posterior,
    predicted_clean,
    q_sample,
    squared_error,
)
from prunebench_drd.reconstruct import evaluations, reconstruct
from prunebench_drd.schedule import candidates, ddim_levels, linear_abar, snr

from prunebench import UserError

SPACINGS = {"50": "linspace", "ddim50": "leading"}


def test_noising_and_one_ddim_step_by_hand():
    abar_t, abar_s = torch.tensor(0.25), torch.tensor(0.64)
    x_t = q_sample(torch.tensor([[2.0]]), abar_t, torch.tensor([[1.0]]))
    assert x_t.item() == pytest.approx(1 + math.sqrt(0.75))
    assert predicted_clean(x_t, torch.tensor([[1.0]]), abar_t).item() == pytest.approx(2)
    assert ddim_step(x_t, torch.tensor([[1.0]]), abar_t, abar_s).item() == pytest.approx(0.8 * 2 + 0.6)


def test_squared_error_sums_or_averages():
    eps, eps_hat = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]])
    assert squared_error(eps, eps_hat).item() == 5
    assert squared_error(eps, eps_hat, "mean").item() == 2.5
    with pytest.raises(UserError, match="sum, mean"):
        squared_error(eps, eps_hat, "median")


def test_posterior_and_curve_by_hand():
    log_p = log_posterior(torch.tensor([[0.0, math.log(3)]]))
    assert log_p[0, 0].exp().item() == pytest.approx(0.75)
    # |1 - 0| / 2 and |-1 - 0| / 2 average to 1/2: the absolute value is inside the mean
    assert information_curve(torch.tensor([[0.0, 7.0, 1.0], [0.0, 7.0, -1.0]])).tolist() == [0.5]


def test_deviation_sums_over_stages_and_averages_over_places():
    real = [torch.zeros(1, 2, 1, 2), torch.zeros(1, 1, 1, 1)]
    rebuilt = [torch.tensor([[[[1.0, 0.0]], [[2.0, 1.0]]]]), torch.full((1, 1, 1, 1), 3.0)]
    assert deviation(real, rebuilt).tolist() == [(5 + 1) / 2 + 9]


def test_schedules_agree_with_the_reference(golden):
    abar = linear_abar()
    assert abar.shape == (1001,) and abar[0] == 1
    torch.testing.assert_close(abar[1:], golden["alphas_cumprod_1000"], rtol=1e-6, atol=0)
    torch.testing.assert_close(snr(abar)[1:], golden["snr_1000"], rtol=1e-6, atol=0)
    for name, spacing in SPACINGS.items():
        levels = ddim_levels(1000, 50, spacing)
        assert torch.equal(levels - 1, golden[f"timestep_map_{name}"])
        torch.testing.assert_close(snr(abar[levels]), golden[f"snr_{name}"], rtol=1e-6, atol=0)
        assert candidates(abar, levels) == golden[f"candidates_{name}"].tolist()


def test_schedule_corners():
    with pytest.raises(UserError, match="leading, linspace"):
        ddim_levels(1000, 50, "trailing")
    with pytest.raises(ValueError, match="no 50 DDIM steps"):
        ddim_levels(30, 50)
    abar, levels = linear_abar(), ddim_levels(1000)
    assert candidates(abar, levels, low=1e-9, high=1e-8) == [48]  # noisier than any inner step: the last of them
    assert candidates(abar, levels, low=1e9, high=1e10) == [1]
    assert candidates(abar, levels, low=0.30, high=0.31) == [19]  # between two steps: the nearer one


@pytest.mark.proves("drd", "golden")
@pytest.mark.parametrize("name", SPACINGS)
@pytest.mark.parametrize("step", [13, 20, 27])
def test_reconstruction_agrees_with_the_reference(golden, gaussian, name, step):
    denoiser = gaussian(golden["toy_mu"], golden["toy_sigma"])
    levels, start = ddim_levels(1000, 50, SPACINGS[name]), torch.full((8,), step)
    x_t = q_sample(golden["x0"].double(), denoiser.abar[levels[step]], golden["noise"].double())
    torch.testing.assert_close(x_t, golden[f"{name}_t{step}__xt"], rtol=0, atol=1e-6)
    rebuilt = reconstruct(denoiser, golden["x0"], golden["labels"], start, golden["noise"], levels)
    torch.testing.assert_close(rebuilt.double(), golden[f"{name}_t{step}__recon"], rtol=0, atol=1e-5)
    squared = (rebuilt - golden["x0"]).double().square().flatten(1).sum(dim=1)
    torch.testing.assert_close(squared, golden[f"{name}_t{step}__sq_l2"], rtol=1e-4, atol=1e-4)
    assert denoiser.calls == evaluations(start, 1) == 8 * (step + 1)


def test_rows_of_many_starts_share_a_batch_and_change_nothing(golden, gaussian):
    denoiser, levels = gaussian(golden["toy_mu"], golden["toy_sigma"]), ddim_levels(1000)
    start = torch.tensor([20, 0, 27, 13, 20, 5, 27, 13])
    together = reconstruct(denoiser, golden["x0"], golden["labels"], start, golden["noise"], levels)
    for i in range(8):
        one = slice(i, i + 1)
        alone = reconstruct(
            denoiser, golden["x0"][one], golden["labels"][one], start[one], golden["noise"][one], levels
        )
        torch.testing.assert_close(together[one], alone, rtol=0, atol=1e-6)


def test_agreement_with_diffusers_ddim_loop(golden, gaussian):
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(clip_sample=False)  # leading spacing, steps_offset 0, alpha of the last step 1
    scheduler.set_timesteps(50)
    denoiser, levels = gaussian(golden["toy_mu"], golden["toy_sigma"]), ddim_levels(1000)
    for step in (0, 13, 27, 49):
        t = torch.tensor([20 * step])
        x = scheduler.add_noise(golden["x0"], golden["noise"], t)
        for timestep in range(20 * step, -1, -20):
            eps_hat = denoiser.predict_noise(x, torch.tensor([timestep + 1]), golden["labels"])
            x = scheduler.step(eps_hat, timestep, x, eta=0.0).prev_sample
        start = torch.full((8,), step)
        ours = reconstruct(denoiser, golden["x0"], golden["labels"], start, golden["noise"], levels)
        torch.testing.assert_close(ours, x, rtol=0, atol=1e-5)
