"""Accumulated margin, the score by which CCS cuts (Zheng et al., ICLR 2023).

    M(i) = sum_e ( p_{e,y}(i) - max_{j != y} p_{e,j}(i) )        margins of probabilities, as the batches pass

The paper calls it AUM; on probabilities and summed it is bounded by E and orders examples differently from `aum`.

Differs from the authors' code, which rounds the log-probabilities to float16 before it adds them up.
"""

from __future__ import annotations

import torch
from torch import Tensor


def accumulated_margin(history: Tensor) -> Tensor:
    """Probability margins summed over epochs, mean over runs.

    Args:
        history: (R, E, N) probability margins, each in [-1, 1].

    Returns:
        (N,) float64 in [-E, E], low = hard.
    """
    total = torch.zeros(history.shape[2], dtype=torch.float64, device=history.device)
    for run in history:
        for margins in run:  # in order, so that a number never depends on the example's place or the threads
            total += margins
    return total / len(history)
