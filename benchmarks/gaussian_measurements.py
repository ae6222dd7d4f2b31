"""What `gaussian_worlds` measures: deviation against likelihood, and the readings of eq. (9) against the truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gaussian_cases import ABAR, CASES, DIMENSIONS, DRAWS, LEVELS, SEEDS, SIGMA, STARTS, WINDOW, placed
from prunebench_drd.equations import information_curve, log_posterior, q_sample, squared_error
from prunebench_drd.mixtures import MixtureDenoiser, true_log_posterior
from prunebench_drd.reconstruct import reconstruct
from prunebench_drd.search import log_posteriors
from scipy.stats import spearmanr
from torch import Tensor

import prunebench as pb

CLASSES, PICTURES, NOISES, TRUTH = 5, 20, 20, 1000
WIDE = list(range(1, 49))
READINGS = ("sum, inside", "sum, outside", "mean, inside", "mean, outside", "half sum, inside", "exact, inside")
POSTERIORS = ("exact", "sum", "half sum", "mean")
SEPARATIONS, SIZES = (3.0, 6.0, 12.0, 24.0), (2, 16, 64)
SHOWN = (16, 12.0)


def deviations(denoiser: Any, x_0: Tensor, starts: Sequence[int], draws: int, generator: torch.Generator) -> Tensor:
    """Squared L2 deviations (starts, draws, N); every start uses the same noise."""
    rows = len(starts) * len(x_0)
    start = torch.tensor(starts).repeat_interleave(len(x_0))
    found = []
    for _ in range(draws):
        eps = torch.randn(x_0.shape, generator=generator)
        every, noise = x_0.repeat(len(starts), 1), eps.repeat(len(starts), 1)
        rebuilt = reconstruct(denoiser, every, torch.zeros(rows, dtype=torch.int64), start, noise, LEVELS)
        found.append((rebuilt - every).square().sum(dim=1).reshape(len(starts), -1))
    return torch.stack(found, dim=1)


def rho(a: Tensor, b: Tensor) -> float:
    return float(spearmanr(a.numpy(), b.numpy()).statistic)


def likelihood(case: str, size: int, seed: int) -> dict[str, np.ndarray]:
    """Spearman (starts,) with -log q of a single draw (mean over the draws) and of the mean of all draws."""
    generator = pb.generator_for("gaussian worlds", case, size, seed)
    denoiser, x_0 = CASES[case].make(size, generator)
    truth = -denoiser.log_density(x_0, torch.tensor([0]), torch.tensor([0]))
    found = deviations(denoiser, x_0, STARTS, DRAWS, generator)
    return {
        "1": np.array([np.mean([rho(draw, truth) for draw in at]) for at in found]),
        str(DRAWS): np.array([rho(at.mean(dim=0), truth) for at in found]),
    }


def all_likelihoods() -> dict[str, dict[str, dict[str, list[float]]]]:
    """case -> dimension -> draws -> Spearman per start, mean over the seeds."""
    out: dict[str, dict[str, dict[str, list[float]]]] = {}
    for case in CASES:
        out[case] = {}
        for size in DIMENSIONS:
            runs = [likelihood(case, size, seed) for seed in SEEDS]
            out[case][str(size)] = {m: np.mean([run[m] for run in runs], axis=0).round(3).tolist() for m in runs[0]}
        print(case, {d: v[str(DRAWS)][3] for d, v in out[case].items()}, "at step", STARTS[3], flush=True)
    return out


def curves(size: int, separation: float, seed: int) -> dict[str, Tensor]:
    """(C, 48) curves at steps 1..48: the truth and its readings; (C, 50) mean log p of the own class: `POSTERIORS`."""
    generator = pb.generator_for("information", size, separation, seed)
    world = MixtureDenoiser(
        placed(CLASSES, size, separation * SIGMA, generator)[:, None], torch.full((CLASSES, 1), SIGMA)
    )
    eps = torch.randn(NOISES, size, generator=generator)
    found: dict[str, list[Tensor]] = {name: [] for name in ("truth", *READINGS, *POSTERIORS)}
    for c in range(CLASSES):
        exact = true_log_posterior(world, c, LEVELS, TRUTH, generator)
        pictures = world.sample(c, PICTURES, generator)
        among = [c, *(k for k in range(CLASSES) if k != c)]
        told = {
            how: log_posteriors(world, pictures, among, LEVELS, eps, how, PICTURES * NOISES) for how in ("sum", "mean")
        }
        told |= {"half sum": half_log_posterior(world, pictures, c, eps), "exact": exact}
        found["truth"].append(outside(exact))
        for how, log_p in told.items():
            found[how].append(log_p.mean(dim=0))
            found[f"{how}, inside"].append(information_curve(log_p))
            if how in ("sum", "mean"):
                found[f"{how}, outside"].append(outside(log_p))
    return {name: torch.stack(rows) for name, rows in found.items()}


def half_log_posterior(world: MixtureDenoiser, pictures: Tensor, own: int, eps: Tensor) -> Tensor:
    """Eq. 8 with the exponent -1/2 ||eps - eps_hat||^2: log p of class ``own``, (B, 50)."""
    spread, noise = pictures.repeat_interleave(len(eps), dim=0), eps.repeat(len(pictures), 1)
    found = []
    for level in LEVELS.tolist():
        x_t, t = q_sample(spread, ABAR[level].float(), noise), torch.tensor([level])
        errors = [squared_error(noise, world.predict_noise(x_t, t, torch.tensor([c]))) for c in range(world.classes)]
        mean = torch.stack(errors).double().reshape(world.classes, len(pictures), len(eps)).mean(dim=2)
        found.append(log_posterior(mean / 2, dim=0)[own])
    return torch.stack(found, dim=1)


def outside(log_p: Tensor) -> Tensor:
    """|E[.]|: the absolute value outside the mean, (B, n+2) -> (n,)."""
    return (log_p[:, 2:] - log_p[:, :-2]).mean(dim=0).abs() / 2


def choices(found: dict[str, Tensor], steps: Sequence[int]) -> dict[str, dict[str, float]]:
    """For the truth and each reading: mean t* over classes, |t* - truth| and regret, inside ``steps``."""
    part = slice(steps[0] - 1, steps[-1])
    truth = found["truth"][:, part]
    best = truth.argmax(dim=1)
    out = {"truth": {"t_star": float(best.double().mean()) + steps[0]}}
    for name in READINGS:
        at = found[name][:, part].argmax(dim=1)
        regret = 1 - truth.gather(1, at[:, None])[:, 0] / truth.max(dim=1).values
        out[name] = {
            "t_star": float(at.double().mean()) + steps[0],
            "steps_off": float((at - best).abs().double().mean()),
            "regret": float(regret.mean()),
        }
    return out


def averaged(runs: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """The mean over runs of every number."""
    return {
        name: {key: round(float(np.mean([run[name][key] for run in runs])), 3) for key in runs[0][name]}
        for name in runs[0]
    }


def all_choices() -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Per world and range of steps, and pooled over worlds; and the curves of one world for the figure."""
    worlds: dict[str, Any] = {}
    gaps: dict[str, list[float]] = {name: [] for name in POSTERIORS[1:]}
    every: dict[str, list[Any]] = {"window": [], "wide": []}
    shown: dict[str, Tensor] = {}
    for size in SIZES:
        for separation in SEPARATIONS:
            runs = [curves(size, separation, seed) for seed in SEEDS]
            name = f"D={size}, {separation:g} sigma"
            worlds[name] = {}
            for which, steps in (("window", WINDOW), ("wide", WIDE)):
                found = [choices(run, steps) for run in runs]
                every[which] += found
                worlds[name][which] = averaged(found)
            part = slice(WINDOW[0], WINDOW[-1] + 1)
            for how, gap in gaps.items():
                gap += [float((run[how] - run["exact"])[:, part].mean()) for run in runs]
            if (size, separation) == SHOWN:
                shown = runs[0]
        print("D =", size, json.dumps(worlds[name]["window"]), flush=True)
    pooled = {which: averaged(found) for which, found in every.items()}
    excess = {how: round(float(np.mean(gap)), 3) for how, gap in gaps.items()}
    return {**pooled, "own_log_posterior_above_the_exact": excess, "worlds": worlds}, shown
