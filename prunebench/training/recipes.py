"""Training recipes: one row per (data family, architecture family), stated at full data.

Batch size, schedule and augmentation depend on neither keep ratio nor method. A ``floor`` is our own measurement of the
full-data row on the test split, less a margin; what was tuned was tuned on held-out training examples.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from typing import Literal

from ..types import Dataset

DataFamily = Literal["digits", "tiny", "small", "thumbnails", "photographs"]
Architecture = Literal["resnet", "efficientnet", "vit"]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained from scratch: all that affects its numbers beside data, model, seed and device."""

    optimizer: Literal["sgd", "adamw"]  # SGD with Nesterov momentum
    peak_lr: float
    weight_decay: float  # adamw: of matrices and kernels only; sgd: of everything
    batch: int
    epochs: float  # passes over the full data that the steps stand for
    steps: int = 0  # optimiser steps at full data
    momentum: float = 0.9  # adamw: beta_1, beta_2 is 0.999
    schedule: Literal["one-cycle"] = "one-cycle"
    warmup: float = 0.3  # fraction of the steps until the peak
    clip: float | None = None  # largest gradient norm
    shift: int = 0  # px
    flip: bool = False  # where the pictures may be mirrored
    reference_epochs: int = 10
    floor: float | None = None  # test accuracy that a full-data row reaches; None: not measured yet

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON of what affects numbers: neither ``floor`` nor a default stated elsewhere."""
        fields = {
            key: value for key, value in asdict(self).items() if key not in ("floor", "reference_epochs", "epochs")
        }
        return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


_SGD = Recipe(optimizer="sgd", peak_lr=0.05, weight_decay=5e-4, batch=32, epochs=10)
_ADAMW = Recipe(optimizer="adamw", peak_lr=1e-3, weight_decay=0.05, batch=32, epochs=10, warmup=0.1, clip=1.0)

RECIPES: dict[tuple[DataFamily, Architecture], Recipe] = {
    # scikit-learn's 8x8 scans: 1,437 training examples, so 120 steps of 32 are 2.7 passes
    ("digits", "resnet"): replace(_SGD, weight_decay=5e-3, steps=120, epochs=2.7, floor=0.96),
    ("digits", "efficientnet"): replace(_SGD, peak_lr=0.02, steps=240, epochs=5.4),
    ("digits", "vit"): replace(_ADAMW, peak_lr=5e-4, steps=480, epochs=10.7),
    # any other pictures up to 16 px
    ("tiny", "resnet"): replace(_SGD, epochs=10),
    ("tiny", "efficientnet"): replace(_SGD, peak_lr=0.02, epochs=20),
    ("tiny", "vit"): replace(_ADAMW, peak_lr=5e-4, epochs=20),
    # 17 to 40 px: CIFAR, SVHN, Fashion-MNIST
    ("small", "resnet"): replace(_SGD, peak_lr=0.1, batch=128, epochs=40, shift=4, flip=True, reference_epochs=40),
    ("small", "efficientnet"): replace(
        _SGD, peak_lr=0.1, batch=128, epochs=60, shift=4, flip=True, reference_epochs=40
    ),
    ("small", "vit"): replace(_ADAMW, batch=128, epochs=100, shift=4, flip=True, reference_epochs=40),
    # 41 to 96 px: ImageNette and ImageWoof at 64, Tiny ImageNet, STL-10
    ("thumbnails", "resnet"): replace(_SGD, batch=64, epochs=40, shift=6, flip=True, reference_epochs=40),
    ("thumbnails", "efficientnet"): replace(_SGD, batch=64, epochs=60, shift=6, flip=True, reference_epochs=40),
    ("thumbnails", "vit"): replace(_ADAMW, batch=64, epochs=100, shift=6, flip=True, reference_epochs=40),
    # above 96 px: ImageNet and its like
    ("photographs", "resnet"): replace(
        _SGD, peak_lr=0.2, weight_decay=5e-5, batch=256, epochs=60, shift=28, flip=True, reference_epochs=60
    ),
    ("photographs", "efficientnet"): replace(
        _SGD, peak_lr=0.2, weight_decay=5e-5, batch=256, epochs=100, shift=28, flip=True, reference_epochs=60
    ),
    ("photographs", "vit"): replace(_ADAMW, batch=256, epochs=100, shift=28, flip=True, reference_epochs=60),
}

# networks that train with SGD as their papers do; every other timm architecture gets AdamW, as a ViT does
_RESNET_LIKE = ("resnet", "wide_resnet", "resnext", "seresnet", "resnetv2", "vgg", "densenet", "regnet", "repvgg")
_EFFICIENTNET_LIKE = ("efficientnet", "tf_efficientnet", "mobilenet", "mnasnet", "rexnet")


def data_family(name: str, size: int) -> DataFamily:
    """Digits by name; every other data set by the side of its pictures in px."""
    if name.partition("(")[0].rpartition("/")[2] == "digits" and size <= 16:
        return "digits"
    if size <= 16:
        return "tiny"
    return "small" if size <= 40 else "thumbnails" if size <= 96 else "photographs"


def architecture(model: str) -> Architecture:
    """The family a model is trained as, by the beginning of its name."""
    if model.startswith(_RESNET_LIKE):
        return "resnet"
    return "efficientnet" if model.startswith(_EFFICIENTNET_LIKE) else "vit"


def recipe_for(family: DataFamily, kind: Architecture) -> Recipe:
    """The row of the table, before steps are filled in for data of unknown length (0)."""
    return RECIPES[family, kind]


def recipe(dataset: Dataset, model: str) -> Recipe:
    """The recipe of ``model`` on ``dataset``, with its steps at full data."""
    row = recipe_for(data_family(dataset.name, dataset.image_size), architecture(model))
    return row if row.steps else _with_steps(row, len(dataset.train))


@lru_cache(maxsize=64)
def _with_steps(row: Recipe, examples: int) -> Recipe:
    return replace(row, steps=max(1, math.ceil(row.epochs * examples / row.batch)))


def one_cycle(step: int, total: int, warmup: float, *, start: float = 1 / 25, end: float = 4e-6) -> float:
    """Learning rate over its peak at ``step`` of ``total``: cosine from ``start`` to 1, then cosine to ``end``.

    Smith & Topin 2018 as in torch's OneCycleLR, which divides by zero where warmup * total = 1.
    """
    peak = max(0.0, warmup * total - 1)
    if step < peak:
        return _cosine(start, 1.0, step / peak)
    return _cosine(1.0, end, (step - peak) / (total - 1 - peak)) if total - 1 > peak else 1.0


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2
