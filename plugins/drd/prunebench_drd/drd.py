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

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prunebench import Scored

from .dit import recipe_for
from .imagenet import are_wnids
from .measure import Deviations
from .models import resolve_model
from .opening import opened
from .options import check, check_classes
from .perceptual import load_perceptual, require_size, require_trunk, resolve_perceptual
from .task import Task
from .timesteps import Plan, steps_of


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
        noises: noises per picture in the search, of which ``fast`` looks at a fifth to a quarter.
        draws: reconstructions averaged; ``auto``: 1 for models with a VAE in their folder, else 8.
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
    check("drd", timestep, samples, noises, draws, reduction, rivals, search, target)
    check_classes("drd", timestep, len(classes))
    metric = usable_metric(perceptual, images, classes, model, dit, dit_steps)
    task = Task.of(images, labels, classes, seeds, stored, generator, device, progress)
    chosen, levels = opened(task, model, dit, dit_steps, spacing)
    require_size(metric, chosen.size)
    plan = Plan(spacing, samples, noises, reduction, rivals, search)
    steps, found = steps_of(task, chosen, levels, timestep, plan)
    repeats = (1 if chosen.latent else 8) if draws == "auto" else int(draws)
    features = load_perceptual(metric, network, task.device, images.size)
    values, agreement, spent = Deviations(task, chosen, steps, levels, features, target).scored(repeats, blocks)
    found["evaluations"] = found["search_evaluations"] + spent
    resolved = {"model": chosen.name, "perceptual": metric, "draws": repeats, "picture_size": chosen.size}
    return Scored(values, {**resolved, "model_digest": chosen.digest(), "seed": str(task.seed), **found, **agreement})


def usable_metric(
    perceptual: str, images: Any, classes: tuple[str, ...], model: str, dit: str, dit_steps: int | str
) -> str:
    """The perceptual distance meant; what is wrong with it is told before anything trains.

    Raises:
        UserError: no such distance, weights that are not on this machine, or pictures too small for it.
    """
    metric = resolve_perceptual(perceptual, images.size)
    if resolve_model(model, are_wnids(classes), images.size) == "own":
        require_size(metric, recipe_for(images.size, dit, dit_steps).pixels)
    require_trunk(metric)
    return metric
