"""What several training-dynamics scores share: a row of the history, and its sliding windows.

mu_k = 1/J sum_{e=k}^{k+J-1} x_e        SS_k = sum_{e=k}^{k+J-1} (x_e - mu_k)^2        k = 0..E-J
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral

import torch
from torch import Tensor

from prunebench import UserError


def at_epoch(history: Tensor, epoch: int | None) -> Tensor:
    """Mean over runs after ``epoch`` epochs, the last one for None: (R, E, N) -> (N,) float64.

    Raises:
        UserError: the history holds no such epoch.
    """
    runs, epochs, examples = history.shape
    if epoch is not None and not (isinstance(epoch, Integral) and 1 <= epoch <= epochs):
        raise UserError(f"epoch={epoch} is not among the {epochs} recorded epochs: choose 1 to {epochs}")
    total = torch.zeros(examples, dtype=torch.float64, device=history.device)
    for run in history:
        total += run[(epoch or epochs) - 1]
    return total / runs


def first_epochs(history: Tensor, epochs: int | None, window: int, shortest: int = 2) -> int:
    """How many epochs count: ``epochs``, or all recorded for None.

    Raises:
        UserError: fewer are recorded, or a window of ``window`` >= ``shortest`` epochs does not fit.
    """
    recorded = history.shape[1]
    counted = recorded if epochs is None else epochs
    if not 1 <= counted <= recorded:
        raise UserError(f"epochs={epochs} is not among the {recorded} recorded: lower it or record more epochs")
    if counted < shortest:
        raise UserError(f"epochs that count: {counted}; a window takes {shortest} or more: record or count more")
    if not shortest <= window <= counted:
        raise UserError(f"window={window} does not fit {counted} epochs: choose {shortest} to {counted}")
    return counted


def window_moments(rows: Tensor, window: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Mean and summed squared deviation of every J consecutive rows: (E, N), J -> E-J+1 times (N,), (N,) float64."""
    for first in range(len(rows) - window + 1):
        inside = rows[first : first + window]
        mean = torch.zeros(rows.shape[1], dtype=torch.float64, device=rows.device)
        for row in inside:  # in order, so that a number never depends on the example's place or the threads
            mean += row
        mean /= window
        squares = torch.zeros_like(mean)
        for row in inside:
            squares += (row - mean) ** 2
        yield mean, squares
