"""``name(train=N)``: a stratified part of a split, the same on every machine and in every order of reading."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..budgets import class_budgets
from ..errors import UserError
from ..seeds import seed_for
from ..types import Split


def stratified_rows(labels: np.ndarray, keys: Sequence[str], count: int, purpose: str) -> np.ndarray:
    """(count,) int64, sorted: per class the largest remainder share of ``count``, inside a class by a hash of the key.

    ``labels`` are (N,) int64 in 0..C-1; another ``purpose`` draws other examples.
    """
    budgets = class_budgets(np.bincount(labels), count)
    hashes = np.array([seed_for(purpose, key) for key in keys], dtype=np.int64)
    order = np.argsort(hashes, kind="stable")
    by_class = (order[labels[order] == c][:budget] for c, budget in enumerate(budgets))
    return np.sort(np.concatenate(list(by_class)))


def part(split: Split, count: int | None, option: str, name: str) -> Split:
    """The stratified part of ``split`` that the option ``train=count`` or ``test=count`` asks for; all for None.

    Raises:
        UserError: the count is no whole number from 1 to N.
    """
    if count is None or (count == len(split) and not isinstance(count, bool)):
        return split
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= len(split):
        raise UserError(
            f"{name}({option}={count!r}): this split has {len(split)} examples; ask for 1 to {len(split)} of them"
        )
    rows = stratified_rows(split.labels, split.keys, count, "subset")
    return Split(split.images.take(rows), split.labels[rows], tuple(split.keys[i] for i in rows))
