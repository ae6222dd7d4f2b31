"""Examples by group: labels and strata are few and small, and numbers of one or two bytes are sorted digit by digit."""

from __future__ import annotations

import torch
from torch import Tensor


def narrow(groups: Tensor) -> Tensor:
    """The same numbers in the fewest bytes that hold them: (N,) int64 -> (N,) uint8, int16 or int64."""
    low, high = (int(x) for x in groups.aminmax()) if len(groups) else (0, 0)
    if low < 0 or high > torch.iinfo(torch.int16).max:
        return groups
    return groups.to(torch.uint8 if high <= torch.iinfo(torch.uint8).max else torch.int16)


def group_by_group(groups: Tensor) -> Tensor:
    """Positions in ascending order of group, as given inside each: (N,) -> (N,) int64."""
    return torch.argsort(narrow(groups), stable=True)
