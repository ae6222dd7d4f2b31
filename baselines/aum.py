"""AUM, the area under the margin (Pleiss et al., NeurIPS 2020).

    AUM(i) = 1/E sum_e ( z_{e,y}(i) - max_{j != y} z_{e,j}(i) )        margins of logits, as the batches pass

Low values mark mislabelled and hard examples.

Differs from what CCS, D2 and ELFS call AUM, which is `accumulated_margin`, and from DUAL's code, which begins anew at
every epoch, so that only the last one counts. The authors' code fails on a batch of one example.
"""

from __future__ import annotations

import torch
from torch import Tensor


def aum(history: Tensor) -> Tensor:
    """Mean logit margin over presentations.

    Args:
        history: (R, E, N) logit margins.

    Returns:
        (N,) float64 in logits, low = hard.
    """
    runs, epochs, examples = history.shape
    total = torch.zeros(examples, dtype=torch.float64, device=history.device)
    for run in history:
        for margins in run:  # in order, so that a number never depends on the example's place or the threads
            total += margins
    return total / (runs * epochs)
