"""The two ends of a ranking: keep the hardest (Paul et al., 2021) or the easiest (Sorscher et al., 2022).

    hardest:  S = the k examples of highest hardness        easiest:  S = the k examples of lowest hardness

Equal examples stay in the order in which they are given.

Differs from Data Diet's code at a budget of 0, where theirs keeps everything.
"""

from __future__ import annotations

import torch
from torch import Tensor


def hardest(hardness: Tensor, budget: int) -> Tensor:
    """The k hardest examples.

    Args:
        hardness: (N,).

    Returns:
        (k,) int64, the hardest first.
    """
    return torch.argsort(hardness, descending=True, stable=True)[:budget]


def easiest(hardness: Tensor, budget: int) -> Tensor:
    """The k easiest examples.

    Args:
        hardness: (N,).

    Returns:
        (k,) int64, the easiest first.
    """
    return torch.argsort(hardness, stable=True)[:budget]
