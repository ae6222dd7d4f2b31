"""The classes of `gaussian_worlds`: mixtures and ellipsoids whose likelihood and best denoiser are known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from prunebench_drd.mixtures import MixtureDenoiser
from prunebench_drd.schedule import candidates, ddim_levels, linear_abar
from torch import Tensor

ABAR, LEVELS = linear_abar(), ddim_levels(1000)
WINDOW = candidates(ABAR, LEVELS)  # SNR in [0.05, 1]
DIMENSIONS, STARTS = (2, 16, 64, 256), tuple(range(3, 49, 5))
SIGMA, EXAMPLES, DRAWS, SEEDS = 0.3, 200, 8, (0, 1)


def placed(count: int, size: int, distance: float, generator: torch.Generator) -> Tensor:
    """(count, D) float64 means whose mean distance from each other is ``distance``."""
    means = torch.randn(count, size, generator=generator, dtype=torch.float64)
    return means * distance / torch.pdist(means).mean() if count > 1 else torch.zeros_like(means)


def mixture(means: Tensor, sigmas: Sequence[float], weights: Sequence[float] | None = None) -> MixtureDenoiser:
    """A world of one class: means (K, D), sigmas (K,), weights (K,)."""
    return MixtureDenoiser(means[None], torch.tensor([sigmas]), None if weights is None else torch.tensor([weights]))


class Ellipsoid:
    """One class N(0, diag(s^2)): eps* = sqrt(1 - a) x / (a s^2 + 1 - a)."""

    abar = ABAR

    def __init__(self, sigmas: Tensor) -> None:
        self.sigmas = sigmas  # (D,)

    def predict_noise(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        a = self.abar[int(t)].float()
        return (1 - a).sqrt() * x_t / (a * self.sigmas**2 + 1 - a)

    def encode(self, pixels: Tensor) -> Tensor:
        return pixels

    def decode(self, z: Tensor) -> Tensor:
        return z

    def sample(self, c: int, n: int, generator: torch.Generator) -> Tensor:
        return self.sigmas * torch.randn(n, len(self.sigmas), generator=generator)

    def log_density(self, x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        return -((x / self.sigmas).square() / 2).double().sum(dim=1)


@dataclass(frozen=True)
class Case:
    """A kind of class: ``make(D, generator)`` -> (denoiser, examples (N, D) that carry its label)."""

    title: str
    make: Callable[[int, torch.Generator], tuple[Any, Tensor]]


def one_gaussian(size: int, generator: torch.Generator) -> tuple[Any, Tensor]:
    world = mixture(torch.zeros(1, size), [SIGMA])
    return world, world.sample(0, EXAMPLES, generator)


def wrong_labels(distance: float) -> Callable[[int, torch.Generator], tuple[Any, Tensor]]:
    """One example in ten is of another class, ``distance`` sigmas away."""

    def make(size: int, generator: torch.Generator) -> tuple[Any, Tensor]:
        means = placed(2, size, distance * SIGMA, generator)
        world = MixtureDenoiser(means[:, None], torch.full((2, 1), SIGMA))
        wrong = EXAMPLES // 10
        return world, torch.cat([world.sample(0, EXAMPLES - wrong, generator), world.sample(1, wrong, generator)])

    return make


def components(distance: float, sigmas: Sequence[float], weights: Sequence[float] | None = None) -> Any:
    """A class of K components, ``distance`` sigmas apart."""

    def make(size: int, generator: torch.Generator) -> tuple[Any, Tensor]:
        world = mixture(placed(len(sigmas), size, distance * SIGMA, generator), sigmas, weights)
        return world, world.sample(0, EXAMPLES, generator)

    return make


def ellipsoid(ratio: float) -> Callable[[int, torch.Generator], tuple[Any, Tensor]]:
    """Standard deviations from sigma down to sigma / ratio, equal steps in the logarithm."""

    def make(size: int, generator: torch.Generator) -> tuple[Any, Tensor]:
        world = Ellipsoid(SIGMA * torch.logspace(0, -math.log10(ratio), size))
        return world, world.sample(0, EXAMPLES, generator)

    return make


CASES = {
    "one gaussian": Case("one Gaussian", one_gaussian),
    "wrong labels, 3 sigma": Case("1 in 10 is 3σ away", wrong_labels(3.0)),
    "wrong labels, 12 sigma": Case("1 in 10 is 12σ away", wrong_labels(12.0)),
    "four components, 3 sigma": Case("4 components, 3σ apart", components(3.0, [SIGMA] * 4)),
    "four components, 12 sigma": Case("4 components, 12σ apart", components(12.0, [SIGMA] * 4)),
    "unequal widths": Case("4 widths, σ to σ/4", components(12.0, [SIGMA / w for w in (1, 1.5, 2.5, 4)])),
    "rare component": Case("rare component (5%)", components(12.0, [SIGMA] * 2, [0.95, 0.05])),
    "ellipsoid, 1:30": Case("ellipsoid, axes 30 : 1", ellipsoid(30.0)),
}
FOLLOWS = ("one gaussian", "wrong labels, 12 sigma", "four components, 3 sigma")
FAILS = ("four components, 12 sigma", "unequal widths", "rare component", "ellipsoid, 1:30")
