"""Predictive entropy (Coleman et al., ICLR 2020, as in CCS and DeepCore).

    H(i) = - sum_j p_j(i) log p_j(i)        at the last presentation, in nats

The statistic is what the harness watches; what is left is the choice of the epoch.

Differs from DeepCore, which evaluates without augmentation and keeps, where classes are not balanced, the *lowest*
entropies, the most confident examples.
"""

from __future__ import annotations

from torch import Tensor

from .dynamics import at_epoch


def entropy(history: Tensor, *, epoch: int | None = None) -> Tensor:
    """Entropy at one epoch, mean over runs.

    Args:
        history: (R, E, N) entropies, each in [0, log C].
        epoch: which, 1..E; None is the last one.

    Returns:
        (N,) float64 in nats, high = hard.

    Raises:
        UserError: the history holds no such epoch.
    """
    return at_epoch(history, epoch)
