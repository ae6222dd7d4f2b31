"""Accuracy over keep ratio, method by method: the form of the field's figure, with the interval that it leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..leaderboard.ranking import Board
from ..leaderboard.rows import Row
from ..leaderboard.table import Table
from ..leaderboard.wording import headings
from .series import Estimate, Method, estimate, method_of


@dataclass(frozen=True)
class Curve:
    """One method over the keep ratios it was trained at, ascending."""

    method: Method
    keep: tuple[float, ...]
    examples: tuple[int, ...]  # k of each
    values: tuple[Estimate, ...]  # 0..1


@dataclass(frozen=True)
class CurvePanel:
    """The curves of one table: what was trained under the same conditions."""

    heading: str
    curves: tuple[Curve, ...]  # methods first, then the baselines that are drawn from less than all
    full: Estimate | None  # trained on all examples, here rather than elsewhere


def curves(board: Board) -> tuple[CurvePanel, ...]:
    """A panel per table of the board: mean accuracy over keep ratio and its interval."""
    return tuple(
        panel(heading, table, [estimate(row.accuracy) for row in table.rows])
        for heading, table in zip(headings(board), board.tables, strict=True)
    )


def panel(heading: str, table: Table, values: Sequence[Estimate | None]) -> CurvePanel:
    """The panel of any number that the rows of a table have; None for a row that has it not."""
    rows = [(row, value) for row, value in zip(table.rows, values, strict=True) if value is not None]
    whole = sorted((pair for pair in rows if pair[0].baseline == "full"), key=lambda pair: not pair[0].own)
    full = whole[0][1] if whole else None
    drawn: dict[Method, list[tuple[Row, Estimate]]] = {}
    for row, value in sorted(rows, key=lambda pair: (pair[0].keep, pair[0].examples)):
        if row.baseline != "full":
            drawn.setdefault(method_of(row), []).append((row, value))
    found = [
        Curve(method, tuple(r.keep for r, _ in own), tuple(r.examples for r, _ in own), tuple(v for _, v in own))
        for method, own in drawn.items()
    ]
    return CurvePanel(heading, tuple(sorted(found, key=lambda c: _place(c.method))), full)


def _place(method: Method) -> tuple[bool, bool, str]:
    return method.baseline is not None, method.oracle, method.name
