"""The step t*_c of every class: searched by eq. (9) on B of its pictures, or fixed."""

from __future__ import annotations

import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prunebench import noise

from . import search
from .batching import network_rows
from .models import Chosen, refuse_unconditional
from .rivals import PROBES, class_distances, rival_count, rivals_of
from .schedule import candidates, in_window, snr
from .task import Task

log = logging.getLogger("prunebench_drd")
DISTANCE_LEVELS = 3  # where classes are compared with one another: the first, the middle and the last


@dataclass(frozen=True)
class Plan:
    """What decides the curves, beside the model, the pictures and the seed."""

    spacing: str
    samples: int  # B
    noises: int  # M
    reduction: str
    rivals: int | str
    search: str


def steps_of(
    task: Task, chosen: Chosen, levels: Tensor, timestep: int | str, plan: Plan
) -> tuple[Tensor, dict[str, Any]]:
    """t* (C,) int64 and details of how: ``ib`` searches, a DDIM step is taken for every class."""
    if timestep != "ib":
        return fixed_steps(int(timestep), len(task.classes))
    refuse_unconditional(chosen.denoiser, timestep)
    return searched_steps(task, chosen, levels, plan)


def fixed_steps(step: int, classes: int) -> tuple[Tensor, dict[str, Any]]:
    """The same step for every class, no search."""
    return torch.full((classes,), step), {"t_star": np.full(classes, step), "search_evaluations": 0}


def searched_steps(task: Task, chosen: Chosen, levels: Tensor, plan: Plan) -> tuple[Tensor, dict[str, Any]]:
    """t* (C,) int64, and details: curves (C, n), candidates (n,) and their SNR, evaluations.

    One file per class is stored as it is found, so an interrupted search goes on with the next class. A class without
    pictures gets the middle candidate and a curve of NaN; so do candidates of the curve that a fast search passed over.

    Raises:
        ValueError: the denoiser returned something that is not finite.
    """
    abar = chosen.denoiser.abar.cpu().double()
    steps, classes = candidates(abar, levels), len(task.classes)
    if not in_window(snr(abar[levels[steps]])):
        ratio = snr(abar[levels])
        log.warning(
            "drd: the model %s has no DDIM step with an SNR in [0.05, 1] (its %d steps go from %.3g to %.3g), so the "
            "nearest, t = %d with SNR %.3g, is taken for every class; choose another with timestep=0..%d",
            *(chosen.name, len(levels), ratio[0], ratio[-1], steps[0], ratio[steps[0]], len(levels) - 1),
        )
    around = levels[steps[0] - 1 : steps[-1] + 2]
    pictures = [task.class_sample(c, plan.samples) for c in range(classes)]
    spec = {**asdict(plan), "ddim_steps": len(levels), "seed": task.seed, "model": chosen.identity}
    folder = task.stored("timesteps", spec, lambda folder: search_classes(folder, task, chosen, around, pictures, plan))
    curves, used = np.full((classes, len(steps)), np.nan), np.zeros((classes, len(steps)), dtype=np.int64)
    t_star = torch.full((classes,), steps[len(steps) // 2])
    for c in range(classes):
        if len(pictures[c]):
            curves[c], used[c] = np.load(class_file(folder, c), allow_pickle=False)
            t_star[c] = search.best_step(torch.from_numpy(curves[c]), torch.from_numpy(used[c]), steps)
    rivals = rival_count(classes, plan.rivals)
    spent = [len(p) * (1 + rivals) * evaluated_noises(u) for p, u in zip(pictures, used, strict=True)]
    compared = 0 if rivals == classes - 1 else DISTANCE_LEVELS * min(PROBES, len(task.labels)) * classes
    return t_star, {
        "t_star": t_star.numpy(),
        "curve": curves,
        "curve_noises": used,
        "candidates": np.array(steps),
        "candidate_snr": snr(abar[levels[steps]]).numpy(),
        "samples": np.array([len(found) for found in pictures]),
        "noises": plan.noises,
        "noises_at_t_star": int(used.max()),  # a fast search looks at fewer
        "rivals": rivals,
        "rivals_drawn": rivals < classes - 1,
        "search": plan.search,
        "search_evaluations": sum(spent) + compared,
    }


def search_classes(
    folder: Path, task: Task, chosen: Chosen, around: Tensor, pictures: list[Tensor], plan: Plan
) -> None:
    """Leave ``class-NNNNN.npy`` (2, n) for every class that has pictures: its curve, and the noises behind it."""
    classes, curve_of = len(task.classes), {"fast": search.fast, "exhaustive": search.exhaustive}[plan.search]
    count = rival_count(classes, plan.rivals)
    distances = distances_of(task, chosen, around, plan.reduction) if count < classes - 1 else None
    for c in task.progress(range(classes), classes, "finding t* of every class"):
        if not len(pictures[c]) or class_file(folder, c).is_file():
            continue
        z_0 = encoded(task, chosen, pictures[c])
        eps = torch.cat([noise(torch.tensor([task.seed]), m, z_0.shape[1:], task.device) for m in range(plan.noises)])
        among = rivals_of(c, classes, count, distances, len(z_0), task.seed)
        rows = network_rows(z_0[0].numel())
        whose = task.of_class(c, chosen.name)
        posterior = search.Posterior(chosen.denoiser, z_0, among, around, eps, plan.reduction, rows, chosen.room, whose)
        curve, used = curve_of(posterior)
        part = class_file(folder, c).with_suffix(".part")
        with part.open("wb") as file:
            np.save(file, torch.stack([curve, used.double()]).numpy(), allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, class_file(folder, c))


def distances_of(task: Task, chosen: Chosen, around: Tensor, reduction: str) -> Tensor:
    """How far apart the classes are to the model, on a few pictures at the first, middle and last level."""
    probes = torch.argsort(task.seeds, stable=True)[:PROBES]
    z_0 = encoded(task, chosen, probes)
    levels = [int(level) for level in around[torch.linspace(0, len(around) - 1, DISTANCE_LEVELS).round().long()]]
    return class_distances(chosen.denoiser, z_0, levels, len(task.classes), reduction, task.seed)


def encoded(task: Task, chosen: Chosen, indices: Tensor) -> Tensor:
    """(B, ...) clean pictures in the space of the denoiser."""
    return chosen.room.in_rows("encode", chosen.denoiser.encode, len(indices), task.pixels(indices, chosen.size))


def class_file(folder: Path, c: int) -> Path:
    return folder / f"class-{c:05d}.npy"


def evaluated_noises(used: np.ndarray) -> int:
    """Noises evaluated at all n + 2 levels together, from those behind the n values of a curve."""
    return int(np.maximum(np.r_[used, 0, 0], np.r_[0, 0, used]).sum())
