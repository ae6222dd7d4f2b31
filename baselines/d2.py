"""D2 pruning: difficult and diverse examples by message passing on a graph (Maharana, Yadav, Bansal, ICLR 2024).

The graph joins an example with its k nearest neighbours in feature space; d: the length of an edge, s: the score.

    forward    u_i = s_i + sum_{j in N(i)} exp(-gamma_f d_ij^2) s_j
    reverse    i = argmax u;  u_j <- u_j - exp(-gamma d_ij^2) u_i  for j in N(i);  k times

Its class mode is `per_class(d2(...), quota=equal)`. Time O(E + k deg log N) after the neighbours; memory: the sparse
graph of E <= 2 N k edges, never N x N.

Differs from the released code, which has exp(-d) forward and exp(-gamma d) in reverse (``kernel="code"``), returns a
set without an order, and takes classes of at most k examples whole, whatever the budget.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from prunebench import UserError

from .ccs import uncut

FLOOR = 1e-7  # the least score an edge carries
END = (math.inf, -1, -1)  # of a queue


def d2(
    hardness: Tensor,
    features: Callable[[], Tensor],
    neighbours: Callable[[Tensor, int], tuple[Tensor, Tensor]],
    score: Callable[[str], Tensor],
    seeds: Tensor,
    budget: int,
    *,
    k: int = 5,
    gamma: float = 0.1,
    forward_gamma: float = 1.0,
    kernel: str = "paper",
    message: str = "sum",
    reverse: str = "weighted",
    graph: str = "symmetric",
    cutoff: float = 0.0,
) -> Tensor:
    """Greedy choice of hard examples that are not each other's neighbours.

    Args:
        hardness: (N,) finite; where some are below 0, the smallest is subtracted from all.
        features: called for the (N, D) penultimate features of the reference network.
        neighbours: called with features and k for distances and indices, each (N, k), self excluded.
        score: called with "accumulated_margin", only when ``cutoff`` > 0.
        seeds: (N,) int64, of equal values the smallest seed wins; which of several neighbours at the same distance is
            the k-th is up to ``neighbours``.
        k: neighbours of an example; in a set of at most k examples, all others.
        gamma: of the reverse pass (the authors' command for CIFAR-10 at 0.1: 0.1).
        forward_gamma: gamma_f, of the paper's kernel only.
        kernel: "paper", exp(-gamma d^2), or "code".
        message: "sum", or the code's "product", s_i times the sum over neighbours.
        reverse: "weighted", or the code's "absolute": u_j <- u_j - u_i.
        graph: "symmetric", or "directed": messages only from an example's own neighbours, and scores are not floored,
            the code's rule for precomputed neighbours.
        cutoff: fraction of lowest accumulated margin that is cut first, as in `ccs` (the code: 0.4 at 10% of CIFAR-10).

    Returns:
        (k,) int64 in the order of selection.

    Raises:
        UserError: an option is none of the above or out of range, or the cut leaves fewer examples than the budget.
    """
    _check(k, gamma, forward_gamma, kernel, message, reverse, graph, cutoff)
    examples = len(hardness)
    rest = torch.arange(examples)
    if cutoff > 0:
        rest = uncut(score("accumulated_margin"), int(cutoff * examples)).cpu().sort().values
        if len(rest) < budget:
            raise UserError(f"cutoff={cutoff} leaves {len(rest)} of {examples} examples, but {budget} are to be kept")
    s = positive(hardness.cpu()[rest].double().numpy())
    if len(rest) == 1:
        return rest[:budget]
    x = features()
    distances, indices = neighbours(x[rest.to(x.device)], min(k, len(rest) - 1))
    edges = edges_of(distances.cpu().double().numpy(), indices.cpu().numpy(), graph)
    u = forward(s, edges, kernel, forward_gamma, message, FLOOR if graph == "symmetric" else None)
    weights = reverse_weights(edges[2], kernel, gamma, reverse)
    first = np.argsort(np.argsort(seeds.cpu().numpy()[rest.numpy()], kind="stable"))
    return rest[torch.from_numpy(greedy(u, edges[0], edges[1], weights, first, budget))]


def _check(
    k: int,
    gamma: float,
    forward_gamma: float,
    kernel: str,
    message: str,
    reverse: str,
    graph: str,
    cutoff: float,
) -> None:
    for name, value, choices in (
        ("kernel", kernel, ("paper", "code")),
        ("message", message, ("sum", "product")),
        ("reverse", reverse, ("weighted", "absolute")),
        ("graph", graph, ("symmetric", "directed")),
    ):
        if value not in choices:
            raise UserError(f"{name} must be {choices[0]!r} or {choices[1]!r}, got {value!r}")
    if k < 1 or not gamma >= 0 or not forward_gamma >= 0 or not 0 <= cutoff < 1:
        raise UserError(
            f"k must be at least 1, gammas at least 0 and cutoff in [0, 1), got k={k}, gamma={gamma}, "
            f"forward_gamma={forward_gamma}, cutoff={cutoff}"
        )


def positive(s: np.ndarray) -> np.ndarray:
    """Scores from 0 on where any is below 0; huge ones scaled down, which changes no order: (N,) -> (N,)."""
    size = np.abs(s).max()
    s = s / size if size > 1e100 else s
    return s - s.min() if s.min() < 0 else s


def edges_of(distances: np.ndarray, indices: np.ndarray, graph: str = "symmetric") -> tuple[np.ndarray, ...]:
    """(N, k) distances and neighbours -> (E,) sources ascending, targets ascending, and lengths, no edge twice."""
    n, k = indices.shape
    rows, columns, lengths = np.repeat(np.arange(n), k), indices.ravel(), distances.ravel()
    if graph == "symmetric":
        rows, columns = np.concatenate([rows, columns]), np.concatenate([columns, rows])
        lengths = np.concatenate([lengths, lengths])
    _, once = np.unique(rows * n + columns, return_index=True)
    return rows[once], columns[once], lengths[once]


def forward(
    s: np.ndarray, edges: tuple[np.ndarray, ...], kernel: str, gamma: float, message: str, floor: float | None
) -> np.ndarray:
    """What each example hears: (N,) scores, (E,) edges -> u (N,) float64."""
    rows, columns, lengths = edges
    weight = np.exp(-gamma * lengths**2) if kernel == "paper" else np.exp(-lengths)
    heard = weight * (s if floor is None else np.maximum(s, floor))[columns]
    total = in_ascending_order(heard, np.bincount(rows, minlength=len(s)))
    return s + total if message == "sum" else s * total


def in_ascending_order(heard: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """The sum of each node's edges, smallest first, so that it does not depend on their order: (E,), (N,) -> (N,)."""
    total, start = np.zeros(len(degrees)), degrees.cumsum() - degrees
    for degree in np.unique(degrees):  # nodes of as many edges are rows of one matrix
        nodes = np.flatnonzero(degrees == degree)
        for column in np.sort(heard[start[nodes][:, None] + np.arange(degree)], axis=1).T:
            total[nodes] += column
    return total


def reverse_weights(lengths: np.ndarray, kernel: str, gamma: float, reverse: str) -> np.ndarray:
    """The share of a chosen example's value that its neighbours lose: (E,) -> (E,) in [0, 1]."""
    if reverse == "absolute":
        return np.ones_like(lengths)
    return np.exp(-gamma * lengths**2) if kernel == "paper" else np.exp(-gamma * lengths)


def greedy(
    u: np.ndarray, rows: np.ndarray, columns: np.ndarray, weights: np.ndarray, first: np.ndarray, budget: int
) -> np.ndarray:
    """The largest u again and again, its neighbours lowered: -> (k,) int64.

    Args:
        u: (N,) float64.
        rows, columns, weights: (E,), rows ascending.
        first: (N,) ranks; of equal values the lowest wins.
    """
    start = np.append(0, np.bincount(rows, minlength=len(u)).cumsum()).tolist()
    value, rank, best = u.tolist(), first.tolist(), np.lexsort((first, -u))
    queue = zip((-u[best]).tolist(), first[best].tolist(), best.tolist(), strict=True)  # as good as it was at first
    lowered: list[tuple[float, int, int]] = []  # a heap of those found to be worse by then: (-value, rank, example)
    ahead = next(queue, END)
    taken = bytearray(len(value))
    chosen = np.empty(budget, dtype=np.int64)
    for t in range(budget):
        while True:  # what stands in a queue bounds the value from above, until it is found to be the value itself
            if ahead is END or (lowered and lowered[0] < ahead):
                bound, _, i = heapq.heappop(lowered)
            else:
                (bound, _, i), ahead = ahead, next(queue, END)
            now = -value[i]
            if now == bound and not taken[i]:
                break
            if now > bound and not taken[i]:
                heapq.heappush(lowered, (now, rank[i], i))
        taken[i], chosen[t] = 1, i
        near = slice(start[i], start[i + 1])
        for j, weight in zip(columns[near].tolist(), weights[near].tolist(), strict=True):
            value[j] += weight * now
            if weight * now > 0 and not taken[j]:  # below 0 a choice raises its neighbours
                heapq.heappush(lowered, (-value[j], rank[j], j))
    return chosen
