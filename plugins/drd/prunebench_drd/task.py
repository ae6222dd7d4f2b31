"""What the harness gives, in one piece: the pictures to work on, and the means to do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

TASK_INPUTS = ("images", "labels", "classes", "seeds", "stored", "generator", "device", "progress")


@dataclass(frozen=True, eq=False)
class Task:
    """N pictures with labels, where to keep what is made of them, and the seed of everything that is drawn."""

    images: Any
    labels: Tensor  # (N,) int64, CPU
    classes: tuple[str, ...]  # (C,)
    seeds: Tensor  # (N,) int64, CPU: each example's own
    stored: Callable[..., Path]
    device: torch.device
    progress: Callable[..., Any]
    seed: int  # names every stream that is not an example's own

    @classmethod
    def of(
        cls,
        images: Any,
        labels: Tensor,
        classes: tuple[str, ...],
        seeds: Tensor,
        stored: Callable[..., Path],
        generator: torch.Generator,
        device: Any,
        progress: Callable[..., Any],
    ) -> Task:
        """From the inputs of a scorer; draws the seed from its generator."""
        seed = int(torch.randint(2**62, (1,), generator=generator))
        return cls(images, labels.cpu(), classes, seeds.cpu(), stored, torch.device(device), progress, seed)

    def named(self, index: int, model: str) -> str:
        """Which picture it is, for a message: methods see pictures in an order of their own."""
        return f"picture {index} in the order of work ({self.of_class(int(self.labels[index]), model)})"

    def of_class(self, c: int, model: str) -> str:
        """A class and the model that looks at it, for a message."""
        return f"class {' '.join(self.classes[c].split())!r}, model {model}"

    def pixels(self, indices: Tensor, size: int) -> Tensor:
        """(B, 3, S, S) uint8 on the device."""
        return self.images.pixels(indices, size).to(self.device)

    def class_sample(self, name: int, count: int) -> Tensor:
        """(<= count,) indices of the class: those with the smallest seeds, so random and independent of the order."""
        own = torch.nonzero(self.labels == name).flatten()
        return own[torch.argsort(self.seeds[own], stable=True)[:count]]
