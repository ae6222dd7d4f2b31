"""DRD: Diffusion Reconstruction Deviation (Chen et al., AAAI 2026, arXiv:2511.19274).

    S(x_0, c) = d(x_0, x_0'),   x_0' = DDIM from x_{t*_c} back to 0 under class c,   x_{t*_c} = q-sample of x_0

A picture the class-conditional model rebuilds well is likely under it: low S = high likelihood = easy. t*_c is where
noise takes away most of what tells the class (eq. 9). S at different t*_c compares only inside a class.
The equations are in `prunebench_drd.equations`. Time O(N draws t*) in evaluations of the network, after the search;
``prunebench drd estimate`` says how many and how long.

Differs from the paper only where it leaves something open or contradicts itself: ``docs/drd.md`` says what is done
there. No code of the authors could be read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prunebench import Scored, UserError

from .equations import REDUCTIONS
from .measure import Deviations
from .models import refuse_unconditional
from .opening import STEPS, opened
from .perceptual import load_perceptual, require_trunk, resolve_perceptual
from .reconstruct import evaluations
from .search import SEARCHES
from .task import Task
from .timesteps import Plan, fixed_steps, searched_steps

ENOUGH = 0.7  # split-half reliability below which we warn
log = logging.getLogger("prunebench_drd")


def drd(
    images: Any,
    labels: Tensor,
    classes: tuple[str, ...],
    seeds: Tensor,
    network: Callable[[], Any],
    stored: Callable[..., Path],
    blocks: Callable[..., Tensor],
    generator: torch.Generator,
    device: Any,
    progress: Callable[..., Any],
    *,
    model: str = "auto",
    dit: str = "auto",
    dit_steps: int | str = "auto",
    timestep: int | str = "ib",
    samples: int = 20,
    noises: int = 20,
    draws: int | str = "auto",
    perceptual: str = "auto",
    spacing: str = "leading",
    reduction: str = "sum",
    rivals: int | str = "auto",
    target: str = "original",
    search: str = "fast",
) -> Scored:
    """Deviation of every picture from its partial reconstruction.

    Args:
        network: called only for ``perceptual="features"``.
        model: ``own`` (a DiT trained on this split), a folder in diffusers' layout, a hub id already fetched, or
            ``package.module:factory``; ``auto``: DiT-XL/2 for ImageNet classes from 128 px, else ``own``.
        dit: size of an own model, ``nano``, ``small`` or ``base``; ``auto`` by picture size.
        dit_steps: its training steps; ``auto`` by picture size.
        timestep: ``ib`` (eq. 9, per class) or one DDIM step 0..49 for all.
        samples: B, pictures per class in the search.
        noises: noises per picture in the search.
        draws: reconstructions averaged; ``auto``: 1 for latent models, 8 for pixel models.
        perceptual: ``features``, ``l2``, ``lpips-alex``, ``lpips-vgg``, ``lpips-squeeze``; ``auto`` by picture size.
        spacing: of the 50 DDIM steps, ``leading`` or ``linspace``.
        reduction: of the squared error in eq. (8), ``sum``, ``mean`` or ``half`` (the sum).
        rivals: other classes in eq. (8): ``all``, a number of them (near ones, and drawn ones that stand for the rest),
            or ``auto``: all up to 20 classes, else 10.
        target: compare with the ``original`` or with its round trip through the encoder, ``vae``.
        search: ``fast`` (coarse to fine) or ``exhaustive`` (every candidate step with every noise).

    Returns:
        ``values (N,)`` >= 0, and the details of how: t* and curve of every class, reliability, evaluations.

    Raises:
        UserError: an option out of range, or weights that are not on this machine.
        ValueError: the denoiser returned something that is not finite.
    """
    check(timestep, samples, noises, draws, reduction, rivals, target, search)
    metric = resolve_perceptual(perceptual, images.size)
    require_trunk(metric)  # like the lines around: what is wrong with an option is told before anything trains
    task = Task.of(images, labels, classes, seeds, stored, generator, device, progress)
    chosen, levels = opened(task, model, dit, dit_steps, spacing)
    refuse_unconditional(chosen.denoiser, timestep)
    if timestep == "ib":
        steps, found = searched_steps(task, chosen, levels, Plan(spacing, samples, noises, reduction, rivals, search))
    else:
        steps, found = fixed_steps(int(timestep), len(classes))
    repeats = (1 if chosen.latent else 8) if draws == "auto" else int(draws)
    features = load_perceptual(metric, network, task.device, images.size)
    measure = Deviations(task, chosen, steps, levels, features, target)
    values = measure.all(repeats, blocks)
    agreement, spent = measure.reliability(repeats)
    warn(agreement["split_half_reliability"], repeats)
    resolved = {"model": chosen.name, "perceptual": metric, "draws": repeats, "picture_size": chosen.size}
    resolved["seed"] = str(task.seed)
    found["evaluations"] = found["search_evaluations"] + evaluations(steps[task.labels], repeats) + spent
    return Scored(values, {**resolved, **found, **agreement})


def warn(reliability: float, draws: int) -> None:
    """Say so where the draws are too few for a steady ranking."""
    if reliability < ENOUGH:
        log.warning("drd: %d draw(s) rank with a reliability of only %.2f; give more draws", draws, reliability)


def check(
    timestep: Any, samples: Any, noises: Any, draws: Any, reduction: str, rivals: Any, target: str, search: str
) -> None:
    """Refuse options out of range, one sentence each.

    Raises:
        UserError: naming the option, its range and what was given.
    """

    def whole(value: Any, low: int, high: float = float("inf")) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    if timestep != "ib" and not whole(timestep, 0, STEPS - 1):
        raise UserError(f"drd: timestep must be 'ib' or a DDIM step from 0 to {STEPS - 1}, got {timestep!r}")
    for name, value in (("samples", samples), ("noises", noises)):
        if not whole(value, 1):
            raise UserError(f"drd: {name} must be a number of at least 1, got {value!r}")
    if draws != "auto" and not whole(draws, 1):
        raise UserError(f"drd: draws must be auto or a number of at least 1, got {draws!r}")
    if rivals not in ("auto", "all") and not whole(rivals, 1):
        raise UserError(f"drd: rivals must be auto, all or a number of at least 1, got {rivals!r}")
    if reduction not in REDUCTIONS:
        raise UserError(f"drd: reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")
    if target not in ("original", "vae"):
        raise UserError(f"drd: target must be original or vae, got {target!r}")
    if search not in SEARCHES:
        raise UserError(f"drd: search must be one of {', '.join(SEARCHES)}, got {search!r}")
