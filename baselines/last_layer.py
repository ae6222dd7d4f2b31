"""Gradients of each example's loss in the last linear layer, kept as their two factors.

    g_i = grad_{[W b]} CE(W h_i + b, y_i) = a_i x_i^T        a_i = p_i - onehot(y_i), (C,)        x_i = [h_i 1], (D+1,)

    <g_i, g_j> = <a_i, a_j> <x_i, x_j>        || g_i - g_j ||^2 = || g_i ||^2 + || g_j ||^2 - 2 <g_i, g_j>

The N x C(D+1) matrix of gradients is never made: memory N (C + D + 1) numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from prunebench import UserError, class_budgets

from .geometry import by_seed

ROWS = 256  # pictures at a time

Rows = Tensor | slice


@dataclass(frozen=True, eq=False)
class Gradients:
    """Last-layer gradients of n examples."""

    a: Tensor  # (n, C) p - onehot(y)
    x: Tensor  # (n, D+1) features, then 1 for the bias

    def __len__(self) -> int:
        return len(self.a)

    def of(self, members: Tensor) -> Gradients:
        """Those of some examples (m,), in float64."""
        members = members.to(self.a.device)
        return Gradients(self.a[members].double(), self.x[members].double())

    def inner(self, rows: Rows, columns: Rows) -> Tensor:
        """<g_i, g_j> for r rows and s columns: (r, s)."""
        return (self.a[rows] @ self.a[columns].T) * (self.x[rows] @ self.x[columns].T)

    @cached_property
    def squares(self) -> Tensor:
        """|| g_i ||^2: (n,)."""
        return self.a.square().sum(dim=1) * self.x.square().sum(dim=1)

    def distances(self, rows: Rows, columns: Rows) -> Tensor:
        """|| g_i - g_j ||_2 for r rows and s columns: (r, s); 0 where it is below rounding, so for duplicates."""
        squares = self.squares[rows][:, None] + self.squares[columns]
        apart = squares - 2 * self.inner(rows, columns)
        return apart.where(apart > 1e-14 * squares, 0).sqrt_()

    def onto_sum(self) -> Tensor:
        """<g_i, sum_j g_j>: (n,)."""
        return ((self.a @ (self.a.T @ self.x)) * self.x).sum(dim=1)


def last_layer_gradients(
    images: Any,
    labels: Tensor,
    features: Callable[[], Tensor],
    network: Callable[[], Any],
    seeds: Tensor,
    device: torch.device,
) -> tuple[Gradients, Tensor, Tensor]:
    """Gradients at the end of the reference training, in ascending order of seed, the labels so too, and that order.

    All is as the harness gives it to a selector: N pictures, and functions for the (N, D) features and the network.

    Returns:
        Gradients of N examples, float32; (N,) int64 labels; (N,) int64 where each stood. The last two on the CPU.

    Raises:
        UserError: the features or the logits are not finite.
    """
    h, order = by_seed(features(), seeds)
    net, labels = network().to(device), labels.cpu()
    errors = []
    with torch.no_grad():
        for rows in torch.arange(len(labels)).split(ROWS):
            logits = net(images.pixels(rows, net.size).to(device))
            errors.append(errors_of(logits, labels[rows].to(device)).float())
    a = torch.cat(errors).to(h.device)[order.to(h.device)]  # (N, C)
    if not bool(torch.isfinite(a).all()):
        raise UserError("the logits are not finite: the network they come from diverged")
    x = torch.cat([h.float(), torch.ones(len(h), 1, device=h.device)], dim=1)
    return Gradients(a, x), labels[order], order


def errors_of(logits: Tensor, y: Tensor) -> Tensor:
    """p - onehot(y), the gradient of the cross-entropy by the logits: (B, C), (B,) -> (B, C) float64."""
    p = logits.double().softmax(dim=1)
    return p - F.one_hot(y, logits.shape[1])


def parts(labels: Tensor, budget: int, by: str, quota: str) -> list[tuple[Tensor, int]]:
    """Which examples are matched together, and how many of them are kept: class by class, or all.

    Args:
        labels: (N,) int64.
        by: "class" or "set".
        quota: of `class_budgets`, by class only.

    Returns:
        ((n_c,) int64 ascending, k_c) for every class with k_c > 0.

    Raises:
        UserError: ``by`` or ``quota`` is none of the above.
    """
    if by not in ("class", "set"):
        raise UserError(f"by must be 'class' or 'set', got {by!r}")
    if quota not in ("proportional", "equal"):
        raise UserError(f"quota must be 'proportional' or 'equal', got {quota!r}")
    if by == "set":
        return [(torch.arange(len(labels)), budget)]
    counts = torch.bincount(labels)
    members = torch.argsort(labels, stable=True).split(counts.tolist())
    return [(m, k) for m, k in zip(members, class_budgets(counts.numpy(), budget, quota).tolist(), strict=True) if k]
