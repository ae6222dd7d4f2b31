"""EL2N, the error L2 norm early in training (Paul, Ganguli, Dziugaite, NeurIPS 2021).

    EL2N(i) = 1/R sum_r || p_{r,t}(i) - onehot(y_i) ||_2        at epoch t, evaluation mode, no augmentation

The norm is what the harness watches (statistic "el2n"); what is left is the mean over independent runs.

Differs from the paper in its defaults: one run where the paper recommends 10, since each is a training. Differs from
CCS, D2 and ELFS, which add up epochs 0..9 of one run, as the augmented batches pass, and from BWS, which takes one run
at epoch 20 (``el2n(epoch=20)``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from prunebench import UserError


def el2n(history: Tensor, *, epoch: int = 10, runs: int = 1) -> Tensor:
    """Mean error norm after ``epoch`` finished epochs.

    Args:
        history: (R, E, N) error norms, each in [0, sqrt 2].
        epoch: how many epochs are finished, 1..E (the paper: 10 or 20).
        runs: how many independent reference trainings the harness provides (the paper: 10); all given ones count.

    Returns:
        (N,) float64 in [0, sqrt 2], high = hard.

    Raises:
        UserError: the history is shorter than ``epoch`` or has fewer than ``runs`` runs.
    """
    recorded_runs, epochs, examples = history.shape
    if not 1 <= epoch <= epochs:
        raise UserError(f"epoch={epoch} is not among the {epochs} recorded epochs: choose 1 to {epochs}")
    if runs > recorded_runs:
        raise UserError(f"runs={runs} asks for more than the {recorded_runs} recorded: record more or lower runs")
    total = torch.zeros(examples, dtype=torch.float64, device=history.device)
    for run in history:
        total += run[epoch - 1]
    return total / recorded_runs
