"""Trained on one fifth of a ranking, tested on each: which part of the data teaches which.

with the diagonal       mean over all test parts, as published (DRD, figure 3)
without the diagonal    mean over the parts that were not trained on, on which alone anything had to be generalised
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CrossEvaluation:
    """Q parts of a ranking; row i was trained on part i, column j is tested on part j."""

    heading: str
    parts: tuple[str, ...]  # (Q,) names
    values: tuple[tuple[float, ...], ...]  # (Q, Q) accuracy, 0..1
    means: tuple[float, ...]  # (Q,) over all test parts
    others: tuple[float, ...]  # (Q,) over the test parts that were not trained on


def cross_evaluation(values: Sequence[Sequence[float]], heading: str, parts: Sequence[str] = ()) -> CrossEvaluation:
    """The means of a matrix of accuracies (Q, Q), Q >= 2, in 0..1; parts are numbered from 1 unless they are named.

    Raises:
        ValueError: the matrix is not square, or names are not as many as parts.
    """
    q = len(values)
    names = tuple(parts) or tuple(str(i + 1) for i in range(q))
    if q < 2 or any(len(row) != q for row in values) or len(names) != q:
        raise ValueError(f"a cross-evaluation is (Q, Q) with Q >= 2 and Q names, got {[len(row) for row in values]}")
    rows = tuple(tuple(float(v) for v in row) for row in values)
    means = tuple(sum(row) / q for row in rows)
    others = tuple((sum(row) - row[i]) / (q - 1) for i, row in enumerate(rows))
    return CrossEvaluation(heading, names, rows, means, others)
