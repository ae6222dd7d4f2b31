"""DRoP, distributionally robust pruning (Vysogorets, Ahuja, Kempe, ICLR 2025): more of the classes that are hard.

    k_c ~ N_c (1 - r_c),  k_c <= N_c,  sum_c k_c = k        r_c: recall of class c on examples not trained on

What a full class cannot take goes to the others in the same proportion (algorithm 1); inside a class, a random draw.

A class that is always right would get nothing.

Differs from the paper, whose recall is on half of the test set: here a network trained without the held-out tenth of
the training split is asked about that tenth, and no test example is touched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from prunebench import Chosen, UserError

from .uniform import draw

ROWS = 256  # pictures classified at a time


def class_quota(
    images: Any,
    labels: Tensor,
    held_out: Tensor,
    observe: Callable[..., Any],
    device: torch.device,
    budget: int,
    generator: Generator,
    *,
    smoothing: float = 0.0,
) -> Chosen:
    """Random examples, class by class, as many as the class is often missed.

    Args:
        images: for the held-out pictures.
        labels: (N,) int64.
        held_out: (N,) bool.
        observe: trains the network on all others.
        device: where it is asked.
        smoothing: a >= 0 in 1 - r_c = (missed + a) / (asked + 2 a); above 0 no class is left empty for being easy.

    Returns:
        k examples, ascending; details: ``recall`` (C,), NaN where a class has no held-out example (it is taken to have
        the recall of all together), and ``quota`` (C,).

    Raises:
        UserError: smoothing is negative, or there is nothing to hold out or to train on.
    """
    if not 0 <= smoothing < float("inf"):
        raise UserError(f"smoothing must be at least 0 and finite, got {smoothing}")
    labels, held_out = labels.cpu(), held_out.cpu()
    if bool(held_out.all()) or not bool(held_out.any()):
        raise UserError("class_quota needs held-out examples and others to train on, and this set is too small")
    network = observe(indices=torch.nonzero(~held_out).squeeze(1)).network().to(device)
    asked = torch.nonzero(held_out).squeeze(1)
    with torch.no_grad():
        told = [network(images.pixels(rows, network.size).to(device)).argmax(dim=1).cpu() for rows in asked.split(ROWS)]
    counts = torch.bincount(labels).numpy()
    recall, error = missed(torch.cat(told), labels[asked], len(counts), smoothing)
    quota = quotas(counts, error, budget)
    kept = draw(labels, torch.as_tensor(quota), generator)
    return Chosen(kept, details={"recall": recall, "quota": quota})


def missed(told: Tensor, labels: Tensor, classes: int, smoothing: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Recall r_c (NaN where nothing was asked) and 1 - r_c, smoothed: (M,), (M,) -> (C,), (C,) float64."""
    asked = torch.bincount(labels, minlength=classes).double().numpy()
    right = torch.bincount(labels[told == labels], minlength=classes).double().numpy()
    recall = np.divide(right, asked, out=np.full(classes, np.nan), where=asked > 0)
    overall = 1 - right.sum() / asked.sum()
    error = np.divide(
        asked - right + smoothing, asked + 2 * smoothing, out=np.full(classes, overall), where=asked + smoothing > 0
    )
    error[asked == 0] = overall
    return recall, error


def quotas(counts: np.ndarray, error: np.ndarray, budget: int) -> np.ndarray:
    """k_c in proportion to N_c * error_c, none above N_c: (C,), (C,) -> (C,) int64 with sum k.

    What does not fit into classes with an error goes to the rest in proportion to their size. Fractions are rounded by
    largest remainder, ties by class index.
    """
    counts, share = np.asarray(counts, dtype=np.int64), np.zeros(len(counts))
    excess = float(budget)
    for appetite in (counts * np.asarray(error, dtype=np.float64), counts.astype(np.float64)):
        unsaturated = (appetite > 0) & (share < counts)
        while excess > 1e-9 * max(budget, 1) and unsaturated.any():
            share[unsaturated] += excess * appetite[unsaturated] / appetite[unsaturated].sum()
            excess = float(budget - np.minimum(share, counts).sum())
            share = np.minimum(share, counts)
            unsaturated &= share < counts
    whole = np.minimum(np.floor(share + 1e-9).astype(np.int64), counts)
    remainder = np.where(whole < counts, share - whole, -np.inf)
    whole[np.argsort(-remainder, kind="stable")[: budget - int(whole.sum())]] += 1
    return whole
