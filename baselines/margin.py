"""Margin of the two most probable classes, whatever the label (DeepCore, Guo et al., 2022).

    M(i) = p_(1)(i) - p_(2)(i)        p_(1) >= p_(2) >= ...: sorted probabilities, at the last presentation

Not AUM's margin, which is the label's.

Differs from DeepCore, which evaluates without augmentation and keeps, where classes are not balanced, the *largest*
margins, the most confident examples.
"""

from __future__ import annotations

from torch import Tensor

from .dynamics import at_epoch


def margin(history: Tensor, *, epoch: int | None = None) -> Tensor:
    """Top-two margin at one epoch, mean over runs.

    Args:
        history: (R, E, N) margins, each in [0, 1].
        epoch: which, 1..E; None is the last one.

    Returns:
        (N,) float64 in [0, 1], low = hard.

    Raises:
        UserError: the history holds no such epoch.
    """
    return at_epoch(history, epoch)
