"""Networks over a whole set of pictures: in batches of one size, the last one padded, without augmentation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .ahead import Ahead
from .models import Network
from .types import Images


class Pixels:
    """``source(rows)``: the pictures at ``rows`` (B,) on the CPU as (B, 3, S, S) uint8 on the device.

    From one tensor on the device where all pictures fit, else decoded batch by batch.
    """

    def __init__(self, images: Images, device: torch.device) -> None:
        from .datasets.memory import resident

        whole = resident(images)
        self.images, self.device = images, device
        self.held = None if whole is None else whole.to(device)
        self.ahead: Ahead | None = None

    def __call__(self, rows: Tensor) -> Tensor:
        if self.held is not None:
            return self.held[rows.to(self.device)]
        return (self.ahead or self.decoded)(rows).to(self.device, non_blocking=True)

    def decoded(self, rows: Tensor) -> Tensor:
        x = self.images.pixels(rows)
        return x.pin_memory() if self.device.type == "cuda" else x

    def expecting(self, batches: Iterable[Tensor]) -> Pixels:
        """The same source, which decodes ``batches`` ahead as they are asked for; others may be asked for as well."""
        if self.held is not None:
            return self
        source = copy(self)
        source.ahead = Ahead(self.decoded, batches)
        return source


def pixels_of(images: Images, device: torch.device) -> Pixels:
    """Batches of ``images`` on ``device``."""
    return Pixels(images, device)


def autocast(device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 on CUDA; float32 as it is elsewhere."""
    return torch.autocast("cuda", dtype=torch.bfloat16, enabled=device.type == "cuda")


def predict(network: Network, images: Images, device: str | torch.device = "cpu", batch: int | None = None) -> Tensor:
    """(N, C) float32 logits on the CPU, in evaluation mode.

    All batches are of one size (default 256 up to 96 px, 64 above), the last one padded, so that an example's result
    does not depend on how many follow it, to the last bit.
    """
    return _over_all(network, network, images, device, batch)


def extract_features(
    network: Network, images: Images, device: str | torch.device = "cpu", batch: int | None = None
) -> Tensor:
    """(N, D) float32 penultimate features on the CPU, as `predict`."""
    return _over_all(network, network.features, images, device, batch)


def evaluated(
    network: Network, compute: Callable[[Tensor], Tensor], source: Pixels, chosen: Tensor, batch: int | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """(positions (b,) in ``chosen``, float32 results (b, ...)) batch by batch; the network's mode is the caller's."""
    batch = batch or (256 if network.size <= 96 else 64)
    parts = [torch.arange(start, min(start + batch, len(chosen))) for start in range(0, len(chosen), batch)]
    padded = [F.pad(positions, (0, batch - len(positions)), value=int(positions[0])) for positions in parts]
    source = source.expecting(chosen[places] for places in padded)
    for positions, places in zip(parts, padded, strict=True):
        with torch.inference_mode():
            x = source(chosen[places])
            with autocast(x.device):
                values = compute(x)
        yield positions, values[: len(positions)].float()


def _over_all(
    network: Network,
    compute: Callable[[Tensor], Tensor],
    images: Images,
    device: str | torch.device,
    batch: int | None,
) -> Tensor:
    device = torch.device(device)
    was_training = network.training
    network.to(device).eval()
    try:
        source = pixels_of(images, device)
        parts = evaluated(network, compute, source, torch.arange(len(images)), batch)
        return torch.cat([values.cpu() for _, values in parts])
    finally:
        network.train(was_training)


def accuracy(logits: Tensor | np.ndarray, labels: Tensor | np.ndarray, classes: int) -> tuple[float, tuple[float, ...]]:
    """(accuracy in 0..1, recall of each class that has examples); of equal logits the lowest class wins."""
    labels = np.asarray(labels)
    right = np.asarray(logits).argmax(1) == labels
    counts = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels, weights=right, minlength=classes)
    return float(right.mean()), tuple(float(h / n) for h, n in zip(hits, counts, strict=True) if n)


def calibration_error(logits: Tensor | np.ndarray, labels: Tensor | np.ndarray, bins: int = 15) -> float:
    """ECE = sum_b |B_b| / N | accuracy(B_b) - confidence(B_b) |, bins of equal width over the largest probability.

    (Guo, Pleiss, Sun, Weinberger, ICML 2017, eq. 3; bin b holds confidences in ((b - 1) / bins, b / bins].)
    """
    p, predicted = torch.as_tensor(logits).double().softmax(dim=1).max(dim=1)
    right = (predicted == torch.as_tensor(labels)).double()
    place = (p * bins).ceil().long().clamp(1, bins) - 1
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, place, right - p)
    return float(gap.abs().sum() / len(p))
