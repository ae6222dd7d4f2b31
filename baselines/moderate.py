"""Moderate coreset (Xia et al., ICLR 2023): the examples at a middling distance from the centre of their class.

A class is centred at its median, so that a few outliers do not move it.

    m_c  = coordinate-wise median of h_i over the examples i of class c        h: penultimate features
    d(i) = || h_i - m_{y_i} ||_2
    S    = the middle k of all examples, ordered by d        one ranking for all classes together

Differs from the authors' code in a class of one example, whose centre is there one number for all coordinates, and by
keeping exactly k, where theirs rounds both ends (24 of 100 at 0.25). Differs from D2's function of this name, which
keeps the two ends and drops the middle.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .grouping import group_by_group


def class_distance(features: Callable[[], Tensor], labels: Tensor) -> Tensor:
    """Distance to the median of one's class.

    Args:
        features: called for the (N, D) penultimate features of the reference network.
        labels: (N,) int64.

    Returns:
        (N,) float64, high = hard; 0 for the only example of a class.
    """
    return distance_to_median(features(), labels)


def distance_to_median(h: Tensor, labels: Tensor) -> Tensor:
    """(N, D), (N,) -> (N,) float64: ||h_i - m_{y_i}||_2."""
    labels = labels.to(h.device)
    distance = torch.full((len(h),), torch.nan, dtype=torch.float64, device=h.device)
    members = group_by_group(labels).split(torch.bincount(labels).tolist())
    for indices in members:  # class by class, so that only one class is held in float64
        x = h[indices]  # (n_c, D)
        if len(indices):
            distance[indices] = (x.double() - median(x)).norm(dim=1)
    return distance


def median(x: Tensor) -> Tensor:
    """Coordinate-wise median, the mean of the middle two for an even count: (n, D) -> (D,) float64."""
    by_coordinate = x.T.contiguous()  # NumPy sorts float32 rows by vector instructions, torch on a GPU
    ranked = torch.from_numpy(np.sort(by_coordinate.numpy())) if x.device.type == "cpu" else by_coordinate.sort().values
    return (ranked[:, (len(x) - 1) // 2].double() + ranked[:, len(x) // 2].double()) / 2


def moderate(hardness: Tensor, budget: int) -> Tensor:
    """The middle k of one ranking; of an odd rest the one more is left out at the hard end.

    Returns:
        (k,) int64, the easiest first.
    """
    easy = (len(hardness) - budget) // 2
    return torch.argsort(hardness, stable=True)[easy : easy + budget]
