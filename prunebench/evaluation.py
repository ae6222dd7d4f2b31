"""Networks over a whole set of pictures: in batches of one size, the last one padded, without augmentation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .errors import CellError
from .models import Network
from .types import Images

log = logging.getLogger("prunebench")
Pixels = Callable[[Tensor], Tensor]  # positions (B,) on the CPU -> (B, 3, S, S) uint8 on the device


def pixels_of(images: Images, device: torch.device) -> Pixels:
    """Batches from one tensor where the pictures fit, on the device or in memory, else decoded batch by batch."""
    from .datasets.memory import resident

    whole = resident(images)
    if whole is None:
        return lambda rows: images.pixels(rows).to(device, non_blocking=True)
    try:
        held = whole.to(device)
    except torch.OutOfMemoryError:
        return lambda rows: whole[rows].to(device, non_blocking=True)
    return lambda rows: held[rows.to(device)]


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
        positions = torch.arange(start, min(start + batch, len(chosen)))
        values = _fitting(compute, source, chosen[F.pad(positions, (0, batch - len(positions)), value=start)])
        if values is None:
            if batch == 1:
                raise CellError(
                    f"the device's memory is too small for {network.name} and one picture of {network.size} px: take a "
                    "smaller model or --image-size, or a device that nobody else is using"
                )
            batch //= 2
            log.warning("a batch of %d does not fit in the device's memory: evaluated by %d", 2 * batch, batch)
            continue
        yield positions, values[: len(positions)].float()
        start += batch


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
