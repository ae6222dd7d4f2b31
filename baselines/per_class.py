"""Any selector, run inside each class by itself.

    S = union over classes c of inner(examples of c, k_c)        sum_c k_c = k

What makes a ranking that compares only inside a class usable, and what several papers mean by "class-balanced".

Differs from the option of CCS's code, which gives every class the number of the last one; D2's copy does not.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from prunebench import class_budgets

from .grouping import group_by_group


def per_class(
    labels: Tensor, inner: Callable[[Tensor, int], Tensor], budget: int, *, quota: str = "proportional"
) -> Tensor:
    """Run ``inner`` on every class.

    Args:
        labels: (N,) int64.
        inner: called with the (n_c,) indices of a class and k_c, gives (k_c,) of those indices.
        quota: "proportional" (largest remainder of k * n_c / N) or "equal".

    Returns:
        (k,) int64, class by class.

    Raises:
        ValueError: the budget lies outside 0..N, or the quota is unknown.
    """
    labels = labels.cpu()
    counts = torch.bincount(labels)
    members = group_by_group(labels).split(counts.tolist())  # C x (n_c,) ascending
    budgets = class_budgets(counts.numpy(), budget, quota).tolist()
    parts = [inner(indices, k) for indices, k in zip(members, budgets, strict=True) if k]
    return torch.cat([torch.as_tensor(part) for part in parts])
