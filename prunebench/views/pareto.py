"""Accuracy over what it cost: scoring, selecting and one training, as if nothing had been shared.

The front is that of the leaderboard: rows that no other with as many examples beats in one and equals in the other. The
full data stand beside it, and oracles, which are no contenders, are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..leaderboard.ranking import Board
from ..leaderboard.rows import Row
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
    front: bool  # no other of as many examples is at least as accurate for at most as much, and better in one of both


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
            alike = [row for row in rows if row.keep == keep and row.baseline != "full"]
            prices = sorted(map(price, [*alike, *full]), key=lambda p: (p.seconds, -p.accuracy.mean, p.method.name))
            found.append(ParetoPanel(heading, keep, tuple(prices)))
    return tuple(found)


def price(row: Row) -> Price:
    """What a row says of accuracy and time."""
    spent = row.score_seconds or 0.0, row.select_seconds or 0.0, row.train_seconds
    return Price(method_of(row), row.keep, row.total_seconds, *spent, estimate(row.accuracy), bool(row.pareto))
