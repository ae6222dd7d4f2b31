"""ZCore, zero-shot coreset score (Griffin et al., arXiv 2411.15349): covered and not redundant, without labels.

Many times: two random dimensions of the embeddings, and in each a triangular draw between minimum and maximum with its
mode at the median.

    coverage      the example i nearest to the draw in those dimensions, by L1, gains 1
    redundancy    its n nearest examples j lose w_j / sum w,  w_j = d_ij^-4;  where the nearest is at d = 0 it loses 1

Draws are made in blocks of DRAWS, part of the definition of the stream of numbers. Time O(N * draws), 10 N^2 for
N <= 100 000; memory: the embeddings once more and a few numbers per example.

Differs from the authors by the encoder: theirs are CLIP and ResNet-18 side by side, here any, by default principal
components of the pixels. Differs from the voxel51 port, which leaves out the random start where it runs in one process
(``random_start=False``).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor

from prunebench import Scored, UserError

from .geometry import by_seed
from .uniform import random_score

DRAWS = 32  # drawn at a time


def zcore(
    embeddings: Callable[[str], Tensor],
    seeds: Tensor,
    generator: Generator,
    *,
    encoder: str = "pca",
    draws: int = 1_000_000,
    nearest: int = 1000,
    exponent: float = 4.0,
    random_start: bool = True,
) -> Scored:
    """How much an example covers that others do not.

    Args:
        embeddings: called with ``encoder`` for (N, D >= 2) embeddings.
        seeds: (N,) int64; of equally near examples the smallest seed is the nearest.
        encoder: "pixels", "pca", a local folder or a timm name (the paper: CLIP and ResNet-18 side by side).
        draws: at most; never more than 10 N.
        nearest: n, at most N - 2.
        exponent: of the distance.
        random_start: a uniform number in [0, 1) per example is added, as the authors do; the voxel51 port leaves it
            out where it runs in one process.

    Returns:
        (N,) float64 from 0 to 1, high = kept; details: ``raw``, before the random start and the scaling.

    Raises:
        UserError: an option is out of range, the embeddings are not finite or have fewer than two dimensions.
    """
    if draws < 1 or nearest < 1 or not exponent > 0:
        raise UserError(f"draws, nearest and exponent must be positive, got {draws}, {nearest} and {exponent}")
    e, order = by_seed(embeddings(encoder).cpu(), seeds)
    if e.shape[1] < 2:
        raise UserError("zcore draws two dimensions of the embeddings, and these have one")
    rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
    found = raw_scores(np.ascontiguousarray(e.numpy(), dtype=np.float32), draws, nearest, exponent, rng)
    raw = torch.full((len(e),), torch.nan, dtype=torch.float64)
    raw[order] = torch.from_numpy(found)
    total = raw + random_score(seeds.cpu()) if random_start else raw
    spread = total.max() - total.min()
    return Scored((total - total.min()) / spread if spread > 0 else torch.zeros_like(total), details={"raw": raw})


def raw_scores(e: np.ndarray, draws: int, nearest: int, exponent: float, rng: np.random.Generator) -> np.ndarray:
    """Coverage minus redundancy: (N, D) float32 -> (N,) float64."""
    low, middle, high = e.min(axis=0), np.median(e, axis=0), e.max(axis=0)
    score = np.zeros(len(e))
    draws, nearest = min(draws, 10 * len(e)), min(nearest, len(e) - 2)
    for start in range(0, draws, DRAWS):
        count = min(DRAWS, draws - start)
        dims = two_dimensions(rng.random((count, e.shape[1]), dtype=np.float32))  # (T, 2)
        drawn = triangular(rng, low[dims], middle[dims], high[dims])
        for (a, b), point in zip(dims, drawn, strict=True):
            covers = int((np.abs(e[:, a] - point[0]) + np.abs(e[:, b] - point[1])).argmin())
            score[covers] += 1
            if nearest < 1:
                continue
            gap = np.abs(e[:, a] - e[covers, a]) + np.abs(e[:, b] - e[covers, b])  # (N,)
            gap[covers] = np.inf
            if gap.min() == 0:
                score[gap.argmin()] -= 1
                continue
            near = np.argpartition(gap, nearest)[:nearest]
            weights = penalty(gap[near], exponent)
            score[near] -= weights
    return score


def two_dimensions(keys: np.ndarray) -> np.ndarray:
    """The two lowest of random keys, as the port draws without replacement: (T, D) -> (T, 2) int64."""
    return np.argpartition(keys, min(2, keys.shape[1] - 1), axis=1)[:, :2]


def triangular(rng: np.random.Generator, low: np.ndarray, middle: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(T, 2) float32 draws; a dimension in which all examples agree is a point."""
    flat = low == high
    return np.where(flat, low, rng.triangular(low, middle, np.where(flat, high + 1, high))).astype(np.float32)


def penalty(gap: np.ndarray, exponent: float) -> np.ndarray:
    """(n,) distances > 0 -> (n,) shares that sum to 1, relative to the nearest so that none overflows."""
    weights = (gap.min() / gap.astype(np.float64)) ** exponent
    return weights / weights.sum()
