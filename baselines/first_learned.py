"""First learned: when an example is classified correctly for the first time (Toneva et al., ICLR 2019).

    t(i) = min { e : a_e(i) = 1 },    a_e(i) = 1 if presentation e (0, 1, ..) was classified correctly

Differs from the authors' code, where an example that is never learned is undefined (NaN); here it comes last, with
t(i) = E, since scores must be finite.
"""

from __future__ import annotations

import torch
from torch import Tensor


def first_learned(history: Tensor) -> Tensor:
    """First correct presentation, mean over runs.

    Args:
        history: (R, E, N), 1 where the presentation was classified correctly, else 0.

    Returns:
        (N,) float64 in 0..E, high = hard.
    """
    total = torch.zeros(history.shape[2], dtype=torch.float64, device=history.device)
    for run in history:
        wrong_so_far = torch.ones_like(total, dtype=torch.bool)
        for correct in run:  # every presentation before the first correct one counts 1
            wrong_so_far &= correct <= 0.5
            total += wrong_so_far
    return total / len(history)
