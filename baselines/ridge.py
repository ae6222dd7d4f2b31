"""Ridge regression to class indicators, for all windows of a ranking at once.

    W_w = (X_w^T X_w + lambda I)^-1 X_w^T Y_w        X: (n, D+1) features after a column of ones, Y: (n, C)

Examples that lie in the same windows are one part; the moments X^T X and X^T Y of a part are computed once, in float64,
and added to the windows it lies in: one pass over the data, however many windows, of one keep ratio or of all. The
primal form is the dual one, to rounding, also for fewer examples than features. Memory: 8 W (D+1)^2 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from .grouping import group_by_group

ROWS = 8192  # examples in float64 at a time
GUESSES = 2**24  # numbers of a block of x W_w


def window_accuracy(h: Tensor, labels: Tensor, member: Tensor, judged: Tensor, ridge: float = 1.0) -> np.ndarray:
    """How often each window's ridge classifier is right on the judged examples.

    Args:
        h: (N, D) features.
        labels: (N,) int64.
        member: (W, N) bool.
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
    at_once = max(1, GUESSES // (ROWS * weights.shape[2]))  # windows
    together = [w.permute(1, 0, 2).flatten(1) for w in weights.split(at_once)]  # (D+1, W' C)
    for rows in torch.nonzero(judged).squeeze(1).split(ROWS):
        x, y = with_ones(h[rows]), labels[rows]
        guesses = [(x @ w).view(len(x), -1, weights.shape[2]).argmax(dim=2) for w in together]  # (B, W')
        right += (torch.cat(guesses, dim=1) == y[:, None]).sum(dim=0)
    return right.cpu().numpy() / int(judged.sum())


def solve(gram: Tensor, cross: Tensor, ridge: float) -> Tensor:
    """(W, D+1, D+1), (W, D+1, C) -> weights (W, D+1, C), the bias first."""
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    return torch.stack([torch.linalg.solve(g + ridge * eye, xy) for g, xy in zip(gram, cross, strict=True)])


def window_moments(h: Tensor, labels: Tensor, member: Tensor) -> tuple[Tensor, Tensor]:
    """X^T X and X^T Y of every window: (N, D), (N,), (W, N) -> (W, D+1, D+1), (W, D+1, C), float64."""
    width, classes = h.shape[1] + 1, int(labels.max()) + 1
    gram = torch.zeros(len(member), width, width, dtype=torch.float64, device=h.device)
    cross = torch.zeros(len(member), classes, width, dtype=torch.float64, device=h.device)
    for inside, part in parts(member):
        xx, yx = torch.zeros_like(gram[0]), torch.zeros_like(cross[0])
        for rows in part.split(ROWS):
            x = with_ones(h[rows])  # (B, D+1)
            xx += x.T @ x
            yx.index_add_(0, labels[rows], x)  # Y: one 1 a row
        for w in inside:
            gram[w] += xx
            cross[w] += yx
    return gram, cross.mT


def parts(member: Tensor) -> Iterator[tuple[list[int], Tensor]]:
    """(W, N) bool -> windows, and indices of the examples that lie in exactly those; none for the rest."""
    code = torch.zeros(member.shape[1], dtype=torch.int64, device=member.device)  # (N,) below N
    for windows in member.split(32):  # bits that fit beside N in an int64
        for window in windows:
            code = 2 * code + window
        code = torch.unique(code, return_inverse=True)[1]
    for part in group_by_group(code).split(torch.bincount(code).tolist()):
        if inside := torch.nonzero(member[:, part[0]]).squeeze(1).tolist():
            yield inside, part


def with_ones(h: Tensor) -> Tensor:
    """(B, D) -> (B, D+1) float64, ones first."""
    return torch.cat([torch.ones(len(h), 1, dtype=torch.float64, device=h.device), h.double()], dim=1)
