"""ELBO: the negative evidence lower bound of every picture under a class-conditional diffusion model.

    -log p(x_0 | c) <= L_T + sum_{t=1}^T w_t E_eps || eps - eps_hat(x_t, t, c) ||^2 + d/2 log(2 pi beta_1)

    w_t = 1/2 (SNR(t-1) / SNR(t) - 1) = beta_t / (2 alpha_t (1 - abar_{t-1}))     for t >= 2
    w_1 = 1 / (2 alpha_1)
    L_T = KL(q(x_T | x_0) || N(0, I)) = 1/2 (abar_T ||x_0||^2 - d abar_T - d log(1 - abar_T))

alpha_t = abar_t / abar_{t-1} = 1 - beta_t, d the number of elements of x_0. w_t is eq. (14) of Kingma et al.,
Variational Diffusion Models, NeurIPS 2021, and eq. (12) of Ho et al., DDPM, NeurIPS 2020, with the *posterior* variance
sigma_t^2 = beta_t (1 - abar_{t-1}) / (1 - abar_t); Ho's other choice, beta_t, gives smaller weights and another bound.
At t = 1 that variance is 0, and the decoder is N(x0_hat(x_1), beta_1 I), Ho's eq. (13) before its integral over the 256
grey levels: so the bound is one of a density in the space of the denoiser, and latent models fit in. With a linear
schedule and the exact predictor of a Gaussian class the bound is gamma / 2 = 0.29 nats per dimension too high for any T
(0.42 at T = 1000 and a standard deviation of 0.16), the same for all its pictures.

Few levels stand for all. Levels are drawn with q_t proportional to w_t sqrt(abar_t), one from each of K strata of equal
mass, the same for all pictures, so what the choice of levels does is common to all and leaves the order nearly alone:

    sum_t w_t E_t  ~  1/K sum_j w_{t_j} / q_{t_j} ( E_{t_j} - b_j (||eps||^2 - d) )

(on white data of variance 1 the best predictor errs by E_t = d abar_t, which would be the ideal factor; the root spends
more on high noise, where a network's error does not vanish). The last bracket has mean 0 and takes away what is only
the length of the noise drawn; b_j comes from a few pictures with noise of their own. Both keep the estimate unbiased.

Numbers compare inside a class only. All are densities of one space in one unit, but -log p(x | c) is the entropy of
class c plus how untypical x is for it, and only the second tells an example; the gap of the bound differs by class too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prunebench import Scored, UserError, generator_for, noise

from .agreement import reliability, warn_if_unsteady
from .batching import network_rows
from .denoisers import FINITE
from .equations import q_sample, squared_error
from .models import Chosen
from .opening import opened
from .options import check_counts, under_name
from .pictures import in_blocks
from .schedule import snr
from .task import Task

PILOT = 64  # pictures that say how much of the error is the length of the noise


@under_name("elbo")
def elbo(
    images: Any,
    labels: Tensor,
    classes: tuple[str, ...],
    seeds: Tensor,
    stored: Callable[..., Path],
    blocks: Callable[..., Tensor],
    generator: torch.Generator,
    device: Any,
    progress: Callable[..., Any],
    *,
    model: str = "auto",
    dit: str = "auto",
    dit_steps: int | str = "auto",
    levels: int = 25,
    noises: int = 4,
) -> Scored:
    """Upper bound on -log p(x_0 | c) of every picture, its own class c, in nats per picture; high = unlikely = hard.

    Args:
        model, dit, dit_steps: the diffusion model, as in ``drd``.
        levels: K strata, and so noise levels, of the model's T.
        noises: noises per picture and level, from the example's own seed.

    Returns:
        ``values (N,)`` in nats (natural logarithm) of the whole picture, of either sign: a density in the space of the
        denoiser. Details: ``bits_per_dimension``, the mean of value / (d log 2) over the pictures (add log2(127.5) for
        bits per 8-bit grey value where the space is pixels in [-1, 1]), the levels, reliability, evaluations.

    Raises:
        UserError: an option out of range, weights that are not on this machine, or a schedule without a finite bound.
        ValueError: the denoiser returned something that is not finite.
    """
    check_counts("elbo", levels=levels, noises=noises)
    task = Task.of(images, labels, classes, seeds, stored, generator, device, progress)
    chosen, _ = opened(task, model, dit, dit_steps)
    bound = Bound.of(task, chosen, levels, noises)
    order = torch.arange(len(task.labels))

    def compute(indices: Tensor) -> Tensor:
        return bound.of_draws(indices, noises).mean(dim=0)

    values = in_blocks(task, blocks, compute, order, bound.rows(noises), "bounding pictures")
    agreement, sampled = bound.reliability(noises)
    warn_if_unsteady("elbo", agreement, noises, "noise", "more noises or levels")
    found = {
        "model": chosen.name,
        "picture_size": chosen.size,
        "dimensions": bound.dimensions,
        "bits_per_dimension": float(values.mean()) / (bound.dimensions * math.log(2)),
        "levels": bound.levels.numpy(),
        "level_weights": bound.weights.numpy(),
        "noise_controls": bound.controls.numpy(),
        "noises": noises,
        "evaluations": levels * (len(order) * noises + 2 * min(PILOT, len(order)) + sampled),
    }
    return Scored(values, found | agreement)


def error_weights(abar: Tensor) -> Tensor:
    """w_t for t = 1..T: abar (T+1,) -> (T,) float64, in nats per unit of squared error.

    Raises:
        UserError: abar does not fall strictly from 1 to above 0, so some weight is not finite.
    """
    abar = abar.cpu().double()
    if not bool((abar[1:] < abar[:-1]).all() and abar[-1] > 0):
        raise UserError("elbo: the bound is not finite: the model's abar must fall strictly from 1 and stay above 0")
    ratio = snr(abar[1:-1]) / snr(abar[2:])
    return torch.cat([1 / (2 * abar[1:2]), (ratio - 1) / 2])


def end_terms(z_0: Tensor, abar: Tensor) -> Tensor:
    """L_T + d/2 log(2 pi beta_1), what needs no network: z_0 (B, ...) -> (B,) float64, in nats."""
    abar = abar.to(z_0.device, torch.float64)
    d, last = z_0[0].numel(), abar[-1]
    prior = (last * z_0.double().square().flatten(1).sum(dim=1) - d * last - d * torch.log1p(-last)) / 2
    return prior + d / 2 * torch.log(2 * torch.pi * (1 - abar[1]))


def proposal(abar: Tensor) -> Tensor:
    """q_t for t = 1..T, positive and summing to 1: abar (T+1,) -> (T,) float64."""
    mass = error_weights(abar) * abar[1:].cpu().double().sqrt()
    return mass / mass.sum()


def stratified_levels(q: Tensor, strata: int, generator: torch.Generator) -> Tensor:
    """One level 1..T from each of the strata of equal mass of q (T,): (strata,) int64, ascending, repeats possible."""
    places = (torch.arange(strata) + torch.rand(strata, dtype=torch.float64, generator=generator)) / strata
    return torch.searchsorted(q.cumsum(0), places, right=True).clamp(max=len(q) - 1) + 1


def noise_controls(errors: Tensor, norms: Tensor) -> Tensor:
    """b_j: slope of the error on ||eps||^2 inside a picture, two noises each: (2, K, P) both -> (K,) in [0, 1]."""
    rise, run = errors[0] - errors[1], norms[0] - norms[1]  # (K, P)
    return ((rise * run).sum(dim=1) / run.square().sum(dim=1).clamp(min=1e-12)).clamp(0, 1)


@dataclass(frozen=True, eq=False)
class Bound:
    """The estimate of the bound for the pictures of one data set, at the levels all of them share."""

    task: Task
    chosen: Chosen
    levels: Tensor  # (K,) int64, CPU
    weights: Tensor  # (K,) float64, CPU: w / (K q)
    controls: Tensor  # (K,) float64, CPU: b_j
    dimensions: int  # d

    @classmethod
    def of(cls, task: Task, chosen: Chosen, strata: int, noises: int) -> Bound:
        """Draw the levels from the seed of the task, and fit the controls on the `PILOT` smallest example seeds.

        Raises:
            UserError: more strata than levels, or the schedule gives no finite bound.
            ValueError: the denoiser returned something that is not finite.
        """
        abar = chosen.denoiser.abar.cpu().double()
        if strata >= len(abar):
            raise UserError(
                f"elbo: levels must be at most the {len(abar) - 1} of the model {chosen.name}, got {strata}"
            )
        q = proposal(abar)
        levels = stratified_levels(q, strata, generator_for("elbo levels", task.seed))
        weights = error_weights(abar)[levels - 1] / (strata * q[levels - 1])
        d = chosen.denoiser.encode(task.pixels(torch.tensor([0]), chosen.size))[0].numel()
        plain = cls(task, chosen, levels, weights, torch.zeros(strata, dtype=torch.float64), d)
        pilot = torch.argsort(task.seeds, stable=True)[:PILOT].split(plain.rows(2))
        fresh = range(max(2, noises), max(2, noises) + 2)  # draws that neither the score nor its reliability takes
        found = [plain.errors(plain.clean(part), part, fresh) for part in pilot]
        errors, norms = (torch.cat(parts, dim=2) for parts in zip(*found, strict=True))
        return replace(plain, controls=noise_controls(errors, norms))

    def rows(self, draws: int) -> int:
        """Pictures per block, so that all their draws of a level together fill one network batch."""
        return min(len(self.task.labels), max(1, network_rows(self.dimensions) // draws))

    def clean(self, indices: Tensor) -> Tensor:
        """(B, ...) clean pictures in the space of the denoiser."""
        return self.chosen.denoiser.encode(self.task.pixels(indices, self.chosen.size))

    @torch.inference_mode()
    def errors(self, z_0: Tensor, indices: Tensor, draws: range) -> tuple[Tensor, Tensor]:
        """||eps - eps_hat||^2 and ||eps||^2 of pictures z_0 (B, ...): twice (draws, K, B) float64 on the CPU.

        Raises:
            ValueError: the denoiser returned something that is not finite.
        """
        denoiser, device, rows = self.chosen.denoiser, self.task.device, len(indices)
        abar = denoiser.abar.to(device, torch.float64)
        every = z_0.repeat(len(draws), *[1] * (z_0.dim() - 1))  # (draws * B, ...)
        c = self.task.labels[indices].repeat(len(draws)).to(device)
        found = []
        for j, level in enumerate(self.levels.tolist()):
            # a noise of its own for every level (errors at one noise go together), none taken twice
            streams = [draw * len(self.levels) + j for draw in draws]
            eps = torch.cat([noise(self.task.seeds[indices], s, z_0.shape[1:], device) for s in streams])
            t = torch.tensor([level], device=device)
            x_t = q_sample(every, abar[level].float(), eps)
            eps_hat = self.chosen.room.in_rows(
                *("noise", lambda x, k, t=t: denoiser.predict_noise(x, t, k), network_rows(self.dimensions), x_t, c)
            )
            pair = torch.stack([squared_error(eps, eps_hat), squared_error(eps, torch.zeros_like(eps))])
            found.append(pair.double().cpu().reshape(2, len(draws), rows))
        errors, norms = torch.stack(found, dim=2)  # each (draws, K, B)
        if not bool(torch.isfinite(errors).all()):
            row = int((~torch.isfinite(errors).flatten(0, 1).all(dim=0)).nonzero()[0])
            which = self.task.named(int(indices[row]), self.chosen.name)
            raise ValueError(
                f"elbo: the bound is not finite: the denoiser returned NaN or infinite noise for {which}; {FINITE}"
            )
        return errors, norms

    def of_draws(self, indices: Tensor, draws: int) -> Tensor:
        """(B,) indices -> (draws, B) float64 estimates in nats, one for every noise."""
        z_0 = self.clean(indices)
        errors, norms = self.errors(z_0, indices, range(draws))
        told = errors - self.controls[:, None] * (norms - self.dimensions)
        return end_terms(z_0, self.chosen.denoiser.abar).cpu() + (self.weights[:, None] * told).sum(dim=1)

    def reliability(self, noises: int) -> tuple[dict[str, float], int]:
        """How well the noises agree, on a few pictures of every class, and how many noised pictures that took."""
        told, few, repeats = reliability(self.task, self.of_draws, self.rows, noises)
        return told, repeats * len(few)
