"""How many examples of each class a selection keeps: the balance that one ranking of all classes brings with it."""

from __future__ import annotations

from dataclasses import dataclass

from ..leaderboard.ranking import Board
from ..leaderboard.rows import Row
from ..leaderboard.table import Table
from ..leaderboard.wording import headings
from .series import Method, method_of


@dataclass(frozen=True)
class QuotaPanel:
    """One keep ratio of one table."""

    heading: str
    keep: float
    methods: tuple[Method, ...]  # methods first, then baselines
    shares: tuple[tuple[float, ...], ...]  # (methods, C) of the kept examples, mean over seeds; each row adds up to 1
    whole: tuple[float, ...] | None  # (C,) of all examples, where a full-data row tells it


def quotas(board: Board) -> tuple[QuotaPanel, ...]:
    """A panel per table and keep ratio whose records tell the class counts; classes are numbered as in the labels."""
    found = []
    for heading, table in zip(headings(board), board.tables, strict=True):
        whole = next((shares(row) for row in table.rows if row.baseline == "full"), ())
        for keep in sorted({row.keep for row in table.rows if row.baseline != "full"}):
            classes = len(whole) or _classes(table, keep)
            rows = [r for r in table.rows if r.keep == keep and r.baseline != "full" and len(shares(r)) == classes > 0]
            rows.sort(key=lambda r: (r.baseline is not None, r.label))
            if rows:
                methods, told = tuple(map(method_of, rows)), tuple(map(shares, rows))
                found.append(QuotaPanel(heading, keep, methods, told, whole or None))
    return tuple(found)


def shares(row: Row) -> tuple[float, ...]:
    """(C,) share of each class in what a row keeps, mean over its trials; () where a record does not tell it."""
    counts = row.class_counts
    total = sum(counts)
    return tuple(count / total for count in counts) if total > 0 else ()


def _classes(table: Table, keep: float) -> int:
    """How many the rows of a keep ratio tell."""
    return max((len(shares(row)) for row in table.rows if row.keep == keep), default=0)
