"""What the geometric methods share: a canonical order, distances that do not depend on it, and unit vectors.

Examples are put in the order of their seeds before anything is computed, so a result is a function of the set of
(seed, features), whatever the order of the examples: of equal ones the smallest seed comes first.
"""

from __future__ import annotations

import torch
from torch import Tensor

from prunebench import UserError


def by_seed(x: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
    """The rows in ascending order of seed, and where they stood: (N, D), (N,) -> (N, D), (N,) int64 on the CPU.

    Raises:
        UserError: a feature is not finite.
    """
    order = torch.argsort(seeds.cpu(), stable=True)
    if not bool(torch.isfinite(x).all()):
        raise UserError("the features are not finite: the network they come from diverged")
    return x[order.to(x.device)], order


def distance_to(x: Tensor, centre: Tensor) -> Tensor:
    """(N, D), (D,) -> (N,): || x_i - c ||_2, from the differences, so that it is exact 0 for a duplicate."""
    return torch.cdist(x, centre[None], compute_mode="donot_use_mm_for_euclid_dist").squeeze(1)


def unit_rows(x: Tensor) -> Tensor:
    """(N, D) -> (N, D) float64, every row of length 1; a row of zeros stays one."""
    x = x.double()
    return x / x.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)


def first_best(values: Tensor, scale: float) -> int:
    """The lowest position whose value is the largest to within rounding, 1e-12 of ``scale``: (N,) -> int."""
    return int((values >= values.max() - 1e-12 * scale).to(torch.uint8).argmax())


def places(order: Tensor) -> Tensor:
    """The place of each example in an order of all: (N,) -> (N,) float64, 0 for the first."""
    place = torch.full((len(order),), torch.nan, dtype=torch.float64)
    place[order] = torch.arange(len(order), dtype=torch.float64)
    return place
