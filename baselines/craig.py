"""CRAIG, coresets whose weighted gradient is near the full one (Mirzasoleiman, Bilmes, Leskovec, ICML 2020).

    S = argmin_S sum_i min_{s in S} d(i, s)        d(i, j) = || g_i - g_j ||_2        inside each class, greedily

    w_s = #{i : s = argmin_{s' in S} d(i, s')}        sum_s w_s = N

g: gradients in the last linear layer at the end of the reference training, where the paper bounds the distance of all
gradients by them. The sum of distances bounds || sum_i g_i - sum_s w_s g_s ||. Facility location with d_0 - d(i, s) as
similarity, d_0 = 2 max_i || g_i || at least any distance (`coverage`).

Differs from DeepCore, whose weights are 1 + the number of examples served, itself among them, so that they sum to
N + k, and whose gains over the whole set (balance=False) add up a part of the data only. Here w_s counts each example
once, and `by="set"` is exact.

Time O(n_c^2 (C + D)) a class, n_c its size; memory: N (C + D) numbers, and the n_c x n_c distances of one class at a
time where n_c <= WHOLE (512 MiB), else blocks of CANDIDATES x ROWS, which are computed again for every step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from prunebench import Chosen

from .coverage import CANDIDATES, ROWS, most_covering
from .last_layer import Gradients, last_layer_gradients, parts

WHOLE = 8192  # largest class whose distances are kept

Distances = Callable[[Tensor, slice], Tensor]  # (r,), columns -> (r, columns)


def craig(
    images: Any,
    labels: Tensor,
    features: Callable[[], Tensor],
    network: Callable[[], Any],
    seeds: Tensor,
    device: torch.device,
    budget: int,
    *,
    by: str = "class",
    quota: str = "proportional",
) -> Chosen:
    """k examples that stand for those with gradients near theirs, weighted by how many these are.

    Args:
        images: N pictures.
        labels: (N,) int64.
        features: called for the (N, D) penultimate features of the reference network.
        network: called for that network.
        seeds: (N,) int64, of equal gains the smallest seed wins.
        device: where the network is asked.
        by: "class", each class by itself as published, or "set".
        quota: how k is divided among classes, "proportional" or "equal".

    Returns:
        k examples, class by class in the order of selection, with weights >= 1 whose sum is the number of examples in
        the classes that are kept from: N, where k is at least the number of classes.

    Raises:
        UserError: an option is none of the above, or the network diverged.
    """
    g, ordered, order = last_layer_gradients(images, labels, features, network, seeds, device)
    kept, weights = [], []
    for members, k in parts(ordered, budget, by, quota):
        chosen, served = medoids(g.of(members), k)
        kept.append(order[members[chosen]])
        weights.append(served)
    return Chosen(torch.cat(kept), weights=torch.cat(weights))


def medoids(g: Gradients, budget: int, whole: int = WHOLE, candidates: int = CANDIDATES) -> tuple[Tensor, Tensor]:
    """Greedy k medoids of n gradients and how many each serves: (k,) int64, (k,) float64 with sum n."""
    n, dtype, device = len(g), g.a.dtype, g.a.device
    everything = torch.arange(n, device=device)
    distance: Distances = g.distances
    if n <= whole:
        matrix = torch.empty(n, n, dtype=dtype, device=device)
        for rows in everything.split(CANDIDATES):
            matrix[rows] = g.distances(rows, slice(None))
        distance = lambda rows, columns: matrix[rows, columns]  # noqa: E731
    farthest = torch.full((n,), 2 * float(g.squares.max().sqrt()), dtype=dtype, device=device)

    def gains(tried: Tensor, covered: Tensor) -> Tensor:  # similarities are -d
        return lessened(distance, tried, -covered)

    chosen = most_covering(
        gains=gains,
        similar=lambda new: -distance(everything[new : new + 1], slice(None)).squeeze(0),
        bound=torch.cat([lessened(distance, tried, farthest) for tried in everything.split(candidates)]),
        covered=-farthest,
        budget=budget,
        candidates=candidates,
    )
    return chosen, cluster_sizes(distance, chosen.to(device), n)


def lessened(distance: Distances, tried: Tensor, nearest: Tensor) -> Tensor:
    """By how much each of some candidates would lessen the sum of distances: (B,), (n,) -> (B,)."""
    total = torch.zeros(len(tried), dtype=nearest.dtype, device=nearest.device)
    for start in range(0, len(nearest), ROWS):
        columns = slice(start, start + ROWS)
        total += (nearest[columns] - distance(tried, columns)).clamp_min_(0).sum(dim=1)
    return total


def cluster_sizes(distance: Distances, chosen: Tensor, n: int) -> Tensor:
    """How many of n examples are nearest to each chosen one, of equal ones to the first: (k,) -> (k,) float64.

    A chosen example serves itself, also beside a duplicate.
    """
    width = max(1, CANDIDATES * ROWS // len(chosen))
    blocks = [distance(chosen, slice(start, start + width)).argmin(dim=0) for start in range(0, n, width)]
    server = torch.cat(blocks)
    server[chosen] = torch.arange(len(chosen), device=server.device)
    return torch.bincount(server, minlength=len(chosen)).double().cpu()
