"""Networks over a whole set of pictures: in batches of one size, the last one padded, without augmentation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import CellError
from ..types import Images
from .ahead import Ahead
from .models import Network

log = logging.getLogger("prunebench")


class Pixels:
    """``source(rows)``: the pictures at ``rows`` (B,) on the CPU as (B, 3, S, S) uint8 on the device.

    From one tensor on the device where all pictures fit, else decoded batch by batch.
    """

    def __init__(self, images: Images, device: torch.device) -> None:
        from ..datasets.memory import resident

        whole = resident(images)
        self.images, self.device = images, device
        self.held: Tensor | None = None
        self.ahead: Ahead | None = None
        with suppress(torch.OutOfMemoryError):  # then they stay in memory, or in their files
            self.held = None if whole is None else whole.to(device)

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
    """(positions (b,) in ``chosen``, float32 results (b, ...)) batch by batch; the network's mode is the caller's.

    Where a batch does not fit in the device's memory it is halved, and so are all that follow.

    Raises:
        CellError: one picture does not fit.
    """
    batch, start = batch or (256 if network.size <= 96 else 64), 0
    while start < len(chosen):
        parts = [torch.arange(i, min(i + batch, len(chosen))) for i in range(start, len(chosen), batch)]
        padded = [F.pad(positions, (0, batch - len(positions)), value=int(positions[0])) for positions in parts]
        ahead = source.expecting(chosen[places] for places in padded)
        for positions, places in zip(parts, padded, strict=True):
            values = _fitting(compute, ahead, chosen[places])
            if values is None:
                break
            yield positions, values[: len(positions)].float()
            start += len(positions)
        else:
            return
        if batch == 1:
            raise CellError(
                f"the device's memory is too small for {network.name} and one picture of {network.size} px: take a "
                "smaller model or --image-size, or a device that nobody else is using"
            )
        batch //= 2
        log.warning("a batch of %d does not fit in the device's memory: evaluated by %d", 2 * batch, batch)


def _fitting(compute: Callable[[Tensor], Tensor], source: Pixels, rows: Tensor) -> Tensor | None:
    """What ``compute`` makes of the pictures at ``rows``; None where they do not fit in the device's memory."""
    try:
        with torch.inference_mode():
            x = source(rows)
            with autocast(x.device):
                return compute(x)
    except torch.OutOfMemoryError:
        pass
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # here, where nothing holds the attempt's tensors any more
    return None


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
