"""The equations of Chen et al., "Diffusion Reconstruction-based Data Likelihood Estimation", AAAI 2026.

(1)  x_t  = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps
(4)  x_s  = sqrt(abar_s) x0_hat + sqrt(1 - abar_s) eps_hat,   x0_hat = (x_t - sqrt(1 - abar_t) eps_hat) / sqrt(abar_t)
(7)  S    = sum_l mean_places || f_l(x_0) - f_l(x_0') ||^2     (f_l: the perceptual features of stage l)
(8)  log p(c | x_t) = log softmax_c ( - E_eps || eps - eps_hat(x_t, t, c) ||^2 )
(9)  t*_c = argmax_t 1/B sum_i | log p(c | x_{t+1}) - log p(c | x_{t-1}) | / 2

In (4) the direction is the predicted noise, as in DDIM (eta = 0, nothing clipped); the injected noise that the paper
prints there would give another reconstruction. In (9) the absolute value is inside the mean, as printed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from prunebench import UserError

REDUCTIONS = ("sum", "mean")


def q_sample(x_0: Tensor, abar_t: Tensor, eps: Tensor) -> Tensor:
    """Eq. (1): x_t (B, ...) from clean x_0, noise eps and abar_t (a number or (B, 1, ...))."""
    return abar_t.sqrt() * x_0 + (1 - abar_t).sqrt() * eps


def predicted_clean(x_t: Tensor, eps_hat: Tensor, abar_t: Tensor) -> Tensor:
    """x0_hat (B, ...): what is left of x_t when the predicted noise is taken out."""
    return (x_t - (1 - abar_t).sqrt() * eps_hat) / abar_t.sqrt()


def ddim_step(x_t: Tensor, eps_hat: Tensor, abar_t: Tensor, abar_s: Tensor) -> Tensor:
    """Eq. (4): from level t down to level s < t, deterministic."""
    return abar_s.sqrt() * predicted_clean(x_t, eps_hat, abar_t) + (1 - abar_s).sqrt() * eps_hat


def deviation(real: Sequence[Tensor], rebuilt: Sequence[Tensor]) -> Tensor:
    """Eq. (7): two lists over stages of (B, F, h, w) features -> (B,)."""
    return torch.stack(
        [(a - b).square().sum(dim=1).flatten(1).mean(dim=1) for a, b in zip(real, rebuilt, strict=True)]
    ).sum(dim=0)


def squared_error(eps: Tensor, eps_hat: Tensor, reduction: str = "sum") -> Tensor:
    """|| eps - eps_hat ||^2 (B,) float32, summed over elements as printed, or averaged over them.

    Raises:
        UserError: the reduction is neither ``sum`` nor ``mean``.
    """
    if reduction not in REDUCTIONS:
        raise UserError(f"drd: reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")
    squares = (eps.float() - eps_hat.float()).square().flatten(1)
    return squares.sum(dim=1) if reduction == "sum" else squares.mean(dim=1)


def log_posterior(errors: Tensor, dim: int = 1) -> Tensor:
    """Eq. (8): errors averaged over the noises, classes along ``dim`` -> log p(c | x_t), same shape."""
    return torch.log_softmax(-errors, dim=dim)


def information_curve(log_p: Tensor) -> Tensor:
    """Eq. (9) before the argmax: log p(c | x_t) (B, n+2) at consecutive steps -> (n,), the two ends lost."""
    return (log_p[:, 2:] - log_p[:, :-2]).abs().mean(dim=0) / 2


def best_step(curve: Tensor, steps: Sequence[int]) -> int:
    """t*_c: the step where the curve is highest (first of equals); the middle one where the curve is flat at zero.

    Raises:
        ValueError: the curve is not finite.
    """
    if not bool(torch.isfinite(curve).all()):
        raise ValueError("drd: the curve of eq. 9 is not finite: the denoiser returned NaN or infinite noise")
    return steps[int(curve.argmax())] if bool((curve > 0).any()) else steps[len(steps) // 2]
