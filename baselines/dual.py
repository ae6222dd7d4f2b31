"""DUAL, difficulty and uncertainty-aware lightweight score (Cho, Shin, Kang, Yun, ICML 2025).

    D(i) = 1/(T-J+1) sum_k (1 - mu_k(i)) sigma_k(i)        mean and s.d. (over J-1) of p_{e,y}(i), e = k..k+J-1

Uncertain and difficult early in training: T is a fraction of what other dynamics need. At low keep ratios the paper
samples with `beta`.

Differs from the authors' code by a factor of 10, which orders nothing differently.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .dynamics import first_epochs, window_moments


def dual(history: Tensor, *, epochs: int | None = 30, window: int = 10) -> Tensor:
    """Standard deviation times one less the mean inside a window, mean over windows and runs.

    Args:
        history: (R, E, N) probabilities of the label, as the batches pass.
        epochs: T, how many epochs from the first on (the authors: 30 on CIFAR, 60 on ImageNet); None is all.
        window: J >= 2 (the authors: 10).

    Returns:
        (N,) float64 >= 0, high = hard (the paper keeps these).

    Raises:
        UserError: fewer than ``epochs`` are recorded, or the window does not fit them.
    """
    counted = first_epochs(history, epochs, window)
    total = torch.zeros(history.shape[2], dtype=torch.float64, device=history.device)
    for run in history:
        for mean, squares in window_moments(run[:counted], window):
            total += (1 - mean) * (squares / (window - 1)).sqrt()
    return total / (len(history) * (counted - window + 1))
