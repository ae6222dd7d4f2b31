"""Least confidence: how far the most probable class is from certain (DeepCore, Guo et al., 2022).

    L(i) = 1 - max_j p_j(i)        at the last presentation

The maximum follows from what is watched anyway: it is p_y where the label leads, and p_y less the (negative) margin of
the label where another class does.

    max_j p_j = p_y - min(0, m),    m = p_y - max_{j != y} p_j

Differs from DeepCore, which takes the largest *logit*, no probability and another order of the examples, and which
keeps, where classes are not balanced, the most confident.
"""

from __future__ import annotations

from torch import Tensor

from .dynamics import at_epoch


def least_confidence(history: dict[str, Tensor], *, epoch: int | None = None) -> Tensor:
    """One less the largest probability at one epoch, mean over runs.

    Args:
        history: ``true_probability`` in [0, 1] and ``probability_margin`` in [-1, 1], each (R, E, N).
        epoch: which, 1..E; None is the last one.

    Returns:
        (N,) float64 in [0, 1 - 1/C], high = hard.

    Raises:
        UserError: the history holds no such epoch.
    """
    p, m = history["true_probability"], history["probability_margin"]
    epoch = p.shape[1] if epoch is None else epoch
    at_epoch(p[:, :, :0], epoch)  # refuses an epoch that is not there
    rows = slice(epoch - 1, epoch)
    largest = p[:, rows].double() - m[:, rows].double().clamp(max=0)  # (R, 1, N)
    return 1 - at_epoch(largest, None)
