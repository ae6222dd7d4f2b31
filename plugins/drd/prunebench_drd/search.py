"""Class-wise exhaustive search for t*, eq. (8) and (9).

One noise set is shared by all classes, pictures and steps, so what is subtracted is paired; the evaluations of a step
serve both its neighbours, so n candidates cost n + 2 evaluations, not 3 n.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from prunebench import generator_for

from .denoisers import Denoiser
from .equations import information_curve, log_posterior, q_sample, squared_error

MANY_CLASSES = 20  # beyond it, "auto" compares with a few rivals only: the cost grows with the square of C
FEW_RIVALS = 9


def rival_classes(own: int, classes: int, rivals: int | str, seed: int) -> list[int]:
    """The classes in the denominator of eq. (8), the own one first.

    ``auto``: all while C <= 20, else 9 others drawn at random; ``all``; or a number of others.
    """
    others = [k for k in range(classes) if k != own]
    count = {"auto": len(others) if classes <= MANY_CLASSES else FEW_RIVALS, "all": len(others)}.get(str(rivals))
    count = min(int(rivals) if count is None else count, len(others))
    if count < len(others):
        drawn = torch.randperm(len(others), generator=generator_for("drd rivals", seed, own))[:count]
        others = sorted(others[i] for i in drawn.tolist())
    return [own, *others]


@torch.inference_mode()
def own_log_posterior(
    denoiser: Denoiser, z_0: Tensor, among: Sequence[int], levels: Tensor, eps: Tensor, reduction: str, rows: int
) -> Tensor:
    """log p(own class | x_t) of every picture at every level.

    Args:
        z_0: (B, ...) clean pictures of one class.
        among: the classes compared, the own one first.
        levels: (n,) int64.
        eps: (M, ...) the shared noise set.
        rows: network batch.

    Returns:
        (B, n) float64 on the CPU.
    """
    pictures, noises = len(z_0), len(eps)
    abar = denoiser.abar.to(z_0.device, torch.float64)
    spread = z_0.repeat_interleave(noises, dim=0)  # (B * M, ...)
    target = eps.repeat(pictures, *[1] * (eps.dim() - 1))
    out = torch.empty(pictures, len(levels), dtype=torch.float64)
    for j, level in enumerate(levels.tolist()):
        x_t = q_sample(spread, abar[level].float(), target)
        t = torch.tensor([level], device=z_0.device)
        errors = torch.empty(pictures, len(among), dtype=torch.float64)
        for k, name in enumerate(among):
            c = torch.tensor([name], device=z_0.device)  # one (t, c) per batch: conditioning is computed once
            chunks = [
                squared_error(want, denoiser.predict_noise(x, t, c), reduction)
                for x, want in zip(x_t.split(rows), target.split(rows), strict=True)
            ]
            errors[:, k] = torch.cat(chunks).reshape(pictures, noises).double().mean(dim=1).cpu()
        out[:, j] = log_posterior(errors)[:, 0]
    return out


def class_curve(
    denoiser: Denoiser,
    z_0: Tensor,
    among: Sequence[int],
    levels: Tensor,
    steps: Sequence[int],
    eps: Tensor,
    reduction: str,
    rows: int,
) -> Tensor:
    """The curve of eq. (9) over the candidate ``steps`` (consecutive) of one class: (n,) float64."""
    around = levels[steps[0] - 1 : steps[-1] + 2]
    return information_curve(own_log_posterior(denoiser, z_0, among, around, eps, reduction, rows))
