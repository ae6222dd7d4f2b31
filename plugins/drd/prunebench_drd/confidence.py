"""Classifier confidence: the log posterior of the label, from the diffusion model used as a classifier.

    log p(c | x_t) = log softmax_c ( - E_eps || eps - eps_hat(x_t, t, c) ||^2 )    at t = t*_c, c the label

Li et al., "Your Diffusion Model is Secretly a Zero-Shot Classifier", ICCV 2023 (arXiv:2303.16203). As its authors
insist, one noise set serves all pictures and classes, so what the softmax subtracts is paired. Low confidence = hard:
mislabelled or between classes.

t*_c differs by class, and with it how much of the class the noise has left: numbers compare inside a class only.

Differs from the authors, who average over many noise levels: here there is one, where DRD's eq. (9) finds most to know
about the class.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prunebench import Scored, UserError, noise

from .batching import network_rows
from .models import Chosen, refuse_unconditional
from .opening import opened
from .options import check, check_counts, under_name
from .pictures import in_blocks
from .rivals import PROBES, Rivals, rival_count, rivals_of
from .search import log_posteriors
from .task import Task
from .timesteps import DISTANCE_LEVELS, Plan, distances_of, steps_of


@under_name("classifier_confidence")
def classifier_confidence(
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
    timestep: int | str = "ib",
    samples: int = 20,
    noises: int = 20,
    draws: int = 10,
    spacing: str = "leading",
    reduction: str = "sum",
    rivals: int | str = "auto",
    search: str = "fast",
) -> Scored:
    """log p(label | x_t*) of every picture, in nats, at most 0; low = hard.

    Args:
        model, dit, dit_steps: the diffusion model, as in ``drd``.
        timestep: ``ib`` (eq. 9, per class) or one DDIM step 0..49 for all.
        samples: pictures per class in the search for t*.
        noises: noises per picture in the search for t*.
        draws: noises in the score, one set for all pictures and classes, none of them used in the search.
        spacing: of the 50 DDIM steps, ``leading`` or ``linspace``.
        reduction: of the squared error, ``sum``, ``mean`` or ``half`` (the sum).
        rivals: other classes in the softmax, as in ``drd``; where they are few, the same for all pictures of a class.
        search: for t*, ``fast`` or ``exhaustive``.

    Returns:
        ``values (N,)`` <= 0, and the details of how: t* and curve of every class, evaluations, and ``saturated``, the
        share of pictures whose value is 0 in double precision, which are tied.

    Raises:
        UserError: an option out of range, or weights that are not on this machine.
        ValueError: the denoiser returned something that is not finite.
    """
    check_counts("classifier_confidence", draws=draws)
    check("classifier_confidence", timestep, samples, noises, draws, reduction, rivals, search)
    if len(classes) < 2:
        raise UserError("classifier_confidence: of one class every picture is sure; give a data set of two or more")
    task = Task.of(images, labels, classes, seeds, stored, generator, device, progress)
    chosen, levels = opened(task, model, dit, dit_steps, spacing)
    refuse_unconditional(chosen.denoiser, "ib")
    steps, found = steps_of(task, chosen, levels, timestep, Plan(spacing, samples, noises, reduction, rivals, search))
    among, probed = rivals_by_class(task, chosen, levels[steps], reduction, rivals)
    values = of_all(task, chosen, blocks, levels[steps], among, range(noises, noises + draws), reduction)
    asked = len(among[0])  # classes in a softmax
    found |= {"model": chosen.name, "picture_size": chosen.size, "draws": draws, "levels": levels[steps].numpy()}
    found |= {"rivals": asked - 1, "rivals_drawn": asked < len(classes)}
    found["saturated"] = float((values == 0).double().mean())
    found["evaluations"] = found["search_evaluations"] + probed + len(values) * asked * draws
    return Scored(values, found)


def of_all(
    task: Task,
    chosen: Chosen,
    blocks: Callable[..., Tensor],
    levels: Tensor,
    among: list[Rivals],
    draws: range,
    reduction: str,
) -> Tensor:
    """`confidence` of all pictures (N,), in blocks."""
    shape = chosen.denoiser.encode(task.pixels(torch.tensor([0]), chosen.size)).shape[1:]
    eps = shared_noise(task, shape, draws)
    order = torch.argsort(task.labels, stable=True)  # a block of one class is one batch per rival
    rows = min(len(order), max(1, network_rows(shape.numel()) // len(draws)))

    def compute(indices: Tensor) -> Tensor:
        return confidence(task, chosen, indices, levels, among, eps, reduction)

    return in_blocks(task, blocks, compute, order, rows, "classifying every picture")


def rivals_by_class(
    task: Task, chosen: Chosen, levels: Tensor, reduction: str, rivals: int | str
) -> tuple[list[Rivals], int]:
    """One row of rivals for every class, at t*_c (C,), and the evaluations spent on which classes are near."""
    classes = len(task.classes)
    count = rival_count(classes, rivals)
    few = count < classes - 1
    distances = distances_of(task, chosen, levels.unique(), reduction) if few else None
    among = [rivals_of(c, classes, count, distances, 1, task.seed) for c in range(classes)]
    return among, DISTANCE_LEVELS * min(PROBES, len(task.labels)) * classes if few else 0


def shared_noise(task: Task, shape: torch.Size, draws: range) -> Tensor:
    """(draws, ...) noises of the task's seed: one set for all pictures and classes."""
    return torch.cat([noise(torch.tensor([task.seed]), draw, shape, task.device) for draw in draws])


def confidence(
    task: Task, chosen: Chosen, indices: Tensor, levels: Tensor, among: list[Rivals], eps: Tensor, reduction: str
) -> Tensor:
    """log p(label | x_t) of some pictures, each at the level of its class.

    Args:
        indices: (B,) int64.
        levels: (C,) int64, t*_c.
        among: one row of rivals for every class.
        eps: (M, ...) the shared noise set.

    Returns:
        (B,) float64 on the CPU, in nats.

    Raises:
        ValueError: the denoiser returned something that is not finite.
    """
    labels = task.labels[indices]
    values = torch.empty(len(indices), dtype=torch.float64)
    for c in labels.unique().tolist():
        own = labels == c
        z_0 = chosen.denoiser.encode(task.pixels(indices[own], chosen.size))
        rows, shape = network_rows(z_0[0].numel()), (len(z_0), -1)
        rivals = Rivals(among[c].names.expand(shape), among[c].log_weights.expand(shape))
        whose = task.of_class(c, chosen.name)
        told = log_posteriors(chosen.denoiser, z_0, rivals, levels[[c]], eps, reduction, rows, chosen.room, whose)
        values[own] = told[:, 0]
    return values
