"""Dyn-Unc, dynamic uncertainty (He, Yang, Huang, Zhao, CVPR 2024 workshops).

    U(i) = 1/(T-J+1) sum_k sigma_k(i)        sigma_k: s.d. (over J-1) of p_{e,y}(i), e = k..k+J-1

Every window of J consecutive epochs counts the same.

Differs from DUAL's copy by a factor of 10, which orders nothing differently.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .dynamics import first_epochs, window_moments


def dyn_unc(history: Tensor, *, window: int = 10, epochs: int | None = None) -> Tensor:
    """Standard deviation of the label's probability inside a window, mean over windows and runs.

    Args:
        history: (R, E, N) probabilities of the label, as the batches pass.
        window: J >= 2 (the paper: 10).
        epochs: T, how many epochs from the first on; None is all (the paper).

    Returns:
        (N,) float64 >= 0, high = hard (uncertain: the paper keeps these).

    Raises:
        UserError: fewer than ``epochs`` are recorded, or the window does not fit them.
    """
    counted = first_epochs(history, epochs, window)
    total = torch.zeros(history.shape[2], dtype=torch.float64, device=history.device)
    for run in history:
        for _, squares in window_moments(run[:counted], window):
            total += (squares / (window - 1)).sqrt()
    return total / (len(history) * (counted - window + 1))
