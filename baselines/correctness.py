"""Correctness: how often a presentation was classified correctly (Swayamdipta et al., EMNLP 2020; logged by CCS).

    K(i) = sum_e a_e(i),    a_e(i) = 1 if presentation e was classified correctly

With several runs, the mean of their counts.
"""

from __future__ import annotations

import torch
from torch import Tensor


def correctness(history: Tensor) -> Tensor:
    """Correct presentations, mean over runs.

    Args:
        history: (R, E, N), 1 where the presentation was classified correctly, else 0.

    Returns:
        (N,) float64 in 0..E, low = hard.
    """
    total = torch.zeros(history.shape[2], dtype=torch.float64, device=history.device)
    for run in history:
        for correct in run:
            total += correct
    return total / len(history)
