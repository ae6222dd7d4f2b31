"""Prediction churn: how often the predicted class of an example changes while a network is trained.

    score(i) = 1/R sum_r sum_{e=2}^{E} [ argmax_c z_{r,e}(x_i) != argmax_c z_{r,e-1}(x_i) ]

No standard statistic tells this, so the record watches one of its own. The label is not compared, but the network that
is watched was trained on labels. Time O(R E N); memory: one number per example.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench import Scorer, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


def changed(logits: Tensor, labels: Tensor, previous: Tensor) -> Tensor:
    """What is watched: (B, C), (B,), (B, C) of the epoch before -> (B,), 1.0 where the prediction is another one."""
    return (logits.argmax(-1) != previous.argmax(-1)).float()


def churn(history: Tensor, *, runs: int = 1) -> Tensor:
    """Changes of the predicted class, mean over runs.

    Args:
        history: (R, E, N) of `changed`; the first epoch has none before it and is left out.
        runs: independent reference trainings, R.

    Returns:
        (N,) float64, from 0 to E - 1, high = hard.
    """
    return history[:, 1:].sum(dim=1).double().mean(dim=0)  # whole numbers, exact


@hookimpl
def prunebench_scorers() -> list[Scorer]:
    """What this package offers."""
    return [Scorer("churn", churn, hard="high", watch=changed, definition=1, bytes_per_example=64)]
