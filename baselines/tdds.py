"""TDDS, temporal dual-depth scoring (Zhang, Du, Li, Xie, Zhou, CVPR 2024).

    d_e(i) = sum_c | p_{e,c} (log(p_{e,c} + 1e-8) - log(p_{e-1,c} + 1e-8)) |
    R_k(i) = sqrt( sum_{e=k+1}^{k+J-1} (d_e - mean d)^2 )                window k = epochs k..k+J-1
    S(i)   = sum_{k=0}^{T-J} g (1-g)^{T-J-k} R_k(i)                      g: decay, so late windows count most

The label is never used. d_e needs the logits of the epoch before, so this statistic is the method's own.

Differs from the authors' training, which weights the loss of the subset by the scores: the harness trains plainly.
Differs from DUAL's copy, which leaves out the softmax and never moves the window.
"""

from __future__ import annotations

import torch
from torch import Tensor

from prunebench import UserError

from .dynamics import first_epochs, window_moments


def divergence(logits: Tensor, labels: Tensor, previous: Tensor) -> Tensor:
    """d_e, what is watched: (B, C), (B,), (B, C) -> (B,); NaN at the first epoch, which has none before it."""
    p, q = logits.softmax(-1), previous.softmax(-1)
    return (p * ((p + 1e-8).log() - (q + 1e-8).log())).abs().sum(-1)


def tdds(history: Tensor, *, window: int = 10, epochs: int | None = 10, decay: float = 0.9) -> Tensor:
    """Variation of the divergence between consecutive epochs, late windows first.

    Args:
        history: (R, E, N) divergences, as the batches pass; the first epoch's are never read.
        window: J >= 3, in epochs.
        epochs: T, how many epochs from the first on; None is all. The defaults of window, epochs and decay are those of
            the released code; its README has T=30, J=10 for CIFAR-100 at 10 % kept.
        decay: g in (0, 1).

    Returns:
        (N,) float64 >= 0, high = hard (the paper keeps these), mean over runs.

    Raises:
        UserError: fewer than ``epochs`` are recorded, the window does not fit them, or decay is out of range.
    """
    counted = first_epochs(history, epochs, window, shortest=3)
    if not 0 < decay < 1:
        raise UserError(f"decay must lie between 0 and 1, got {decay}")
    total = torch.zeros(history.shape[2], dtype=torch.float64, device=history.device)
    for run in history:
        for k, (_, squares) in enumerate(window_moments(run[1:counted], window - 1)):
            total += decay * (1 - decay) ** (counted - window - k) * squares.sqrt()
    return total / len(history)
