"""P10, P11: Moderate's distances on 200,000 x 128 in 1000 classes, D2's greedy choice on 1,281,167 nodes.

    .venv/bin/pytest benchmarks/test_geometry_scale.py -s [--record]

The plain Moderate finds each class by a mask, once for its median and once to spread the median over a second array of
the features' size. The plain D2 looks for the largest value among all nodes at every step; both
choose the same nodes in the same order.
"""

import numpy as np
import torch
from prunebench_baselines.d2 import FLOOR, edges_of, forward, greedy, reverse_weights
from prunebench_baselines.moderate import distance_to_median

EXAMPLES, WIDTH, CLASSES = 200_000, 128, 1000
NODES, K, GAMMA = 1_281_167, 5, 0.1
BUDGET = NODES // 10


def plain_moderate(h: np.ndarray, labels: np.ndarray) -> np.ndarray:
    h = h.astype(np.float64)
    centres = np.stack([np.median(h[labels == c], axis=0) for c in range(CLASSES)])
    own = np.zeros_like(h)
    for c in range(CLASSES):
        own[labels == c] = centres[c]
    return np.linalg.norm(h - own, axis=1)


def test_moderate_distance(against):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, EXAMPLES)
    h = rng.standard_normal((EXAMPLES, WIDTH), dtype=np.float32) + labels[:, None] / CLASSES

    def equal(ours: torch.Tensor, plain: np.ndarray) -> None:
        np.testing.assert_allclose(ours.numpy(), plain, rtol=0, atol=2e-6)

    x, y = torch.from_numpy(h.astype(np.float32)), torch.from_numpy(labels)
    size = f"{EXAMPLES:,} x {WIDTH}, {CLASSES} classes"
    ours, plain = (lambda: distance_to_median(x, y)), (lambda: plain_moderate(x.numpy(), labels))
    against("P10 moderate distance", ours, plain, equal, goal=3, size=size)


def neighbours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(N, K) distances and indices as of a k-NN search: near ones of a node lie near in memory, none is itself."""
    indices = (np.arange(NODES)[:, None] + rng.integers(1, 2000, (NODES, K))) % NODES
    return np.sort(rng.gamma(4.0, 0.5, (NODES, K)), axis=1), indices


def plain_greedy(u: np.ndarray, rows: np.ndarray, columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
    u, start = u.copy(), np.searchsorted(rows, np.arange(NODES + 1))
    chosen = np.empty(BUDGET, dtype=np.int64)
    for t in range(BUDGET):
        i = chosen[t] = int(np.argmax(u))
        near = slice(start[i], start[i + 1])
        u[columns[near]] -= weights[near] * u[i]
        u[i] = -np.inf
    return chosen


def same(ours: np.ndarray, plain: np.ndarray) -> None:
    assert np.array_equal(ours, plain)


def test_d2_greedy(against):
    rng = np.random.default_rng(0)
    edges = edges_of(*neighbours(rng))
    u = forward(rng.random(NODES), edges, "paper", 1.0, "sum", FLOOR)
    graph = (edges[0], edges[1], reverse_weights(edges[2], "paper", GAMMA, "weighted"))

    def ours() -> np.ndarray:
        return greedy(u, *graph, np.arange(NODES), BUDGET)

    size = f"{NODES:,} nodes, {len(edges[0]):,} edges, keep 0.1"
    against("P11 d2 greedy", ours, lambda: plain_greedy(u, *graph), same, goal=8, size=size, plain_rounds=1)
