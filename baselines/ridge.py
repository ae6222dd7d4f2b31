"""Ridge regression to class indicators, for all windows of a ranking at once.

    W_w = (X_w^T X_w + lambda I)^-1 X_w^T Y_w        X: (n, D+1) features after a column of ones, Y: (n, C)

An example lies in consecutive windows, so examples that enter and leave together are one segment; the moments X^T X and
X^T Y of a segment are computed once, in float64, and added to the windows it lies in: one pass over the data, however
many windows. The primal form is the dual one, to rounding, also for fewer examples than features.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

ROWS = 8192  # examples in float64 at a time


def window_accuracy(h: Tensor, labels: Tensor, member: Tensor, judged: Tensor, ridge: float = 1.0) -> np.ndarray:
    """How often each window's ridge classifier is right on the judged examples.

    Args:
        h: (N, D) features.
        labels: (N,) int64.
        member: (W, N) bool; the windows of one example are consecutive.
        judged: (N,) bool, at least one.
        ridge: lambda > 0, the bias included.

    Returns:
        (W,) float64 in 0..1.

    Raises:
        ValueError: the features are not finite.
    """
    if not bool(torch.isfinite(h).all()):
        raise ValueError("the features by which windows are judged are not finite: the proxy training diverged")
    labels, member, judged = labels.to(h.device), member.to(h.device), judged.to(h.device)
    weights = solve(*window_moments(h, labels, member), ridge)  # (W, D+1, C)
    right = torch.zeros(len(weights), dtype=torch.int64, device=h.device)
    for rows in torch.nonzero(judged).squeeze(1).split(ROWS):
        x, y = with_ones(h[rows]), labels[rows]
        right += torch.stack([(x @ weight).argmax(dim=1).eq(y).sum() for weight in weights])
    return right.cpu().numpy() / int(judged.sum())


def solve(gram: Tensor, cross: Tensor, ridge: float) -> Tensor:
    """(W, D+1, D+1), (W, D+1, C) -> weights (W, D+1, C), the bias first."""
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    return torch.stack([torch.linalg.solve(g + ridge * eye, xy) for g, xy in zip(gram, cross, strict=True)])


def window_moments(h: Tensor, labels: Tensor, member: Tensor) -> tuple[Tensor, Tensor]:
    """X^T X and X^T Y of every window: (N, D), (N,), (W, N) -> (W, D+1, D+1), (W, D+1, C), float64."""
    width, classes = h.shape[1] + 1, int(labels.max()) + 1
    gram = torch.zeros(len(member), width, width, dtype=torch.float64, device=h.device)
    cross = torch.zeros(len(member), width, classes, dtype=torch.float64, device=h.device)
    for enters, leaves, segment in segments(member):
        for rows in segment.split(ROWS):
            x = with_ones(h[rows])  # (B, D+1)
            y = torch.nn.functional.one_hot(labels[rows], classes).double()  # (B, C)
            gram[enters:leaves] += x.T @ x
            cross[enters:leaves] += x.T @ y
    return gram, cross


def segments(member: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """(W, N) bool -> first window, window after the last, and indices of the examples that lie in exactly those."""
    enters = member.to(torch.uint8).argmax(dim=0)  # (N,)
    leaves = enters + member.sum(dim=0)
    kept = torch.nonzero(leaves > enters).squeeze(1)
    codes, which = torch.unique(enters[kept] * (len(member) + 1) + leaves[kept], return_inverse=True)
    parts = torch.argsort(which, stable=True).split(torch.bincount(which).tolist())
    for code, part in zip(codes.tolist(), parts, strict=True):
        yield *divmod(code, len(member) + 1), kept[part]


def with_ones(h: Tensor) -> Tensor:
    """(B, D) -> (B, D+1) float64, ones first."""
    return torch.cat([torch.ones(len(h), 1, dtype=torch.float64, device=h.device), h.double()], dim=1)
