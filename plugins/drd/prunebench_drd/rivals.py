"""The classes in the denominator of eq. (8): all of them, or few that stand for all.

    sum_k exp(-e_k)  ~  sum_{k near} exp(-e_k) + sum_{k drawn} exp(-e_k) / (s p_k)

The search costs a network evaluation for every picture and rival, so with C classes it grows with C^2. The model
itself says which rivals matter: classes k and c whose predicted noise differs by d^2 = || eps_k - eps_c ||^2 on the
same noised pictures give e_k - e_c = d^2 in the mean, so exp(-d^2) is about the weight of k among the rivals of c.
The nearest are always compared with; of the others each picture draws a few of its own, with probability p_k, and
weighs them by 1 / (s p_k), which leaves the sum unbiased. (Nearest ones alone would do at little noise and fail at
much, where all classes together outweigh them.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prunebench import generator_for, noise, seed_for

from .batching import in_rows, network_rows
from .denoisers import FINITE, Denoiser
from .equations import q_sample

MANY_CLASSES = 20  # beyond it, "auto" compares with few
FEW = 10  # rivals of a picture then: half of them the nearest, half drawn
PROBES = 4  # pictures on which the classes are compared
EVEN_SHARE = 0.1  # of the draws are uniform, should the distances mislead


@dataclass(frozen=True, eq=False)
class Rivals:
    """Whom the B pictures of one class are compared with; the own class stands first."""

    names: Tensor  # (B, K) int64
    log_weights: Tensor  # (B, K) float64: 0, or -log(s p_k) of one that was drawn

    @classmethod
    def same(cls, names: Sequence[int], pictures: int) -> Rivals:
        """The same classes for every picture, each for itself."""
        row = torch.tensor(list(names)).expand(pictures, len(names))
        return cls(row, torch.zeros(row.shape, dtype=torch.float64))

    def __len__(self) -> int:
        return self.names.shape[1]


def rival_count(classes: int, rivals: int | str) -> int:
    """How many other classes a picture is compared with; all of them is exact.

    ``auto``: all while C <= 20, else 10; ``all``; or a number.
    """
    others = classes - 1
    if rivals == "all" or (rivals == "auto" and classes <= MANY_CLASSES):
        return others
    return min(FEW if rivals == "auto" else int(rivals), others)


def rivals_of(own: int, classes: int, count: int, distances: Tensor | None, pictures: int, seed: int) -> Rivals:
    """The rivals of every picture of class ``own``: all classes, or ``count`` by their distances (L, C, C)."""
    if count >= classes - 1 or distances is None:
        return Rivals.same([own, *(k for k in range(classes) if k != own)], pictures)
    mass = torch.logsumexp(-distances[:, own].double(), dim=0)  # (C,) over the levels looked at
    mass[own] = float("-inf")
    order = torch.argsort(mass, descending=True, stable=True)[:-1]
    near, far = order[: (count + 1) // 2], order[(count + 1) // 2 :]
    drawn = count - len(near)
    flat = torch.softmax(mass[far] / 2, dim=0)  # the square root: rather too often than too seldom
    chance = (1 - EVEN_SHARE) * flat + EVEN_SHARE / len(far)
    generator = generator_for("drd rivals", seed, own)
    places = torch.multinomial(chance.expand(pictures, -1), max(drawn, 1), replacement=True, generator=generator)[
        :, :drawn
    ]
    names = torch.cat([torch.full((pictures, 1), own), near.expand(pictures, -1), far[places]], dim=1)
    weights = torch.zeros(names.shape, dtype=torch.float64)
    weights[:, names.shape[1] - drawn :] = -(drawn * chance[places]).log()
    return Rivals(names, weights)


@torch.inference_mode()
def class_distances(
    denoiser: Denoiser, z_0: Tensor, levels: Sequence[int], classes: int, reduction: str, seed: int
) -> Tensor:
    """(L, C, C) float32, CPU: mean over the probes z_0 (P, ...) of || eps_hat(x_t, t, k) - eps_hat(x_t, t, j) ||^2.

    Costs P evaluations per class and level.

    Raises:
        ValueError: the denoiser returned something that is not finite.
    """
    abar = denoiser.abar.to(z_0.device, torch.float64)
    probing = torch.tensor([seed_for("drd probes", seed)])
    eps = torch.cat([noise(probing, i, z_0.shape[1:], z_0.device) for i in range(len(z_0))])
    scale = {"sum": 1, "mean": z_0[0].numel(), "half": 2}[reduction]
    found = []
    for level in levels:
        x_t, t = q_sample(z_0, abar[level].float(), eps), torch.tensor([level], device=z_0.device)
        rows = max(1, network_rows(z_0[0].numel()) // len(z_0))

        def predicted(names: Tensor, x_t: Tensor = x_t, t: Tensor = t) -> Tensor:
            every = x_t.repeat(len(names), *[1] * (x_t.dim() - 1))
            told = denoiser.predict_noise(every, t, names.to(x_t.device).repeat_interleave(len(x_t)))
            return told.reshape(len(names), -1).float().cpu()

        signature = in_rows(predicted, rows, torch.arange(classes))  # (C, P * elements)
        if not bool(torch.isfinite(signature).all()):
            raise ValueError(f"drd: the denoiser returned noise that is not finite at level {level}; {FINITE}")
        found.append(torch.cdist(signature, signature).square() / (len(z_0) * scale))
    return torch.stack(found)
