"""Accuracy over what it cost: scoring, selecting and one training, as if nothing had been shared.

A point is on the front of its keep ratio where no other of that ratio, the full data included, is as accurate for less
time, or more accurate for as little. Oracles, which are no contenders, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..leaderboard.ranking import Board
from ..leaderboard.table import Row
from ..leaderboard.wording import headings
from .series import Estimate, Method, estimate, method_of


@dataclass(frozen=True)
class Price:
    """One row: its accuracy, and the seconds it took."""

    method: Method
    keep: float
    seconds: float  # score + select + train
    score_seconds: float
    select_seconds: float
    train_seconds: float
    accuracy: Estimate  # 0..1
    front: bool = False


@dataclass(frozen=True)
class ParetoPanel:
    """One keep ratio of one table, the full data beside it."""

    heading: str
    keep: float
    prices: tuple[Price, ...]  # by seconds


def pareto(board: Board) -> tuple[ParetoPanel, ...]:
    """A panel per table and keep ratio."""
    found = []
    for heading, table in zip(headings(board), board.tables, strict=True):
        rows = [row for row in table.rows if not row.oracle]
        full = [row for row in rows if row.baseline == "full"]
        for keep in sorted({row.keep for row in rows if row.baseline != "full"}):
            prices = [price(row) for row in rows if row.keep == keep and row.baseline != "full"]
            found.append(ParetoPanel(heading, keep, with_front([*prices, *map(price, full)])))
    return tuple(found)


def price(row: Row) -> Price:
    """What a row says of accuracy and time."""
    spent = row.score_seconds or 0.0, row.select_seconds or 0.0, row.train_seconds
    return Price(method_of(row), row.keep, sum(spent), *spent, estimate(row.accuracy))


def with_front(prices: Sequence[Price]) -> tuple[Price, ...]:
    """By seconds, those on the front marked."""
    best, found = -1.0, []
    for each in sorted(prices, key=lambda p: (p.seconds, -p.accuracy.mean, p.method.name)):
        found.append(replace(each, front=each.accuracy.mean > best))
        best = max(best, each.accuracy.mean)
    return tuple(found)
