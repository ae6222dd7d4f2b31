"""What a diffusion model can do, as pictures: new samples of every class, and reconstructions of real ones."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from prunebench import noise

from .batching import in_rows, network_rows
from .figures import Row, save_sheet, short_names
from .models import Chosen
from .reconstruct import generate, reconstruct
from .task import Task

CLASSES, EACH = 20, 8  # rows and pictures per row of a sheet at most
FROM = 20  # DDIM step that reconstructions start from: the middle of the window of SNR


def gallery(chosen: Chosen, task: Task, levels: Tensor, folder: Path) -> list[Path]:
    """Write ``samples.png`` and ``reconstructions.png``."""
    filled = [c for c in range(len(task.classes)) if bool((task.labels == c).any())]
    made, rebuilt = folder / "samples.png", folder / "reconstructions.png"
    names = short_names(task.classes)
    part = f"\nthe first {CLASSES} of {len(filled)} classes" if len(filled) > CLASSES else ""
    rows = [Row(names[c], sampled(chosen, task, c, levels)) for c in filled[:CLASSES]]
    title = f"new pictures from noise, {EACH} per class ({len(levels)} DDIM steps, no guidance)"
    save_sheet(made, title + part, [], rows)
    rows = [Row(names[c], restored(chosen, task, c, levels)) for c in filled[:CLASSES]]
    columns = ["real", f"from t={FROM}"] * (EACH // 2)
    save_sheet(rebuilt, f"real pictures, and what is rebuilt of them from step {FROM}{part}", columns, rows)
    return [made, rebuilt]


@torch.inference_mode()
def sampled(chosen: Chosen, task: Task, c: int, levels: Tensor) -> list[Tensor]:
    """EACH new pictures (3, S, S) of class c."""
    z = _encoded(chosen, task, task.class_sample(c, 1))
    seeds = torch.tensor([task.seed])
    x_T = torch.cat([noise(seeds, 1000 * c + i, z.shape[1:], task.device) for i in range(EACH)])
    labels = torch.full((EACH,), c, device=task.device)
    made = in_rows(lambda x, k: generate(chosen.denoiser, x, k, levels), network_rows(z[0].numel()), x_T, labels)
    return list(chosen.denoiser.decode(made))


@torch.inference_mode()
def restored(chosen: Chosen, task: Task, c: int, levels: Tensor) -> list[Tensor]:
    """Pairs of a real picture and its reconstruction."""
    own = task.class_sample(c, EACH // 2)
    z = _encoded(chosen, task, own)
    eps = noise(task.seeds[own], 0, z.shape[1:], task.device)
    labels = torch.full((len(own),), c, device=task.device)
    rebuilt = reconstruct(chosen.denoiser, z, labels, torch.full((len(own),), FROM), eps, levels)
    real = task.pixels(own, chosen.size).float() / 255
    return [tile for pair in zip(real, chosen.denoiser.decode(rebuilt), strict=True) for tile in pair]


def _encoded(chosen: Chosen, task: Task, indices: Tensor) -> Tensor:
    return chosen.denoiser.encode(task.pixels(indices, chosen.size))
