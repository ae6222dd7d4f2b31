"""Recall of the worst class over keep ratio: what a mean accuracy hides."""

from __future__ import annotations

from ..leaderboard.ranking import Board
from ..leaderboard.rows import Row
from ..leaderboard.wording import headings
from .curves import CurvePanel, panel
from .series import Estimate, estimate_of


def worst_class(board: Board) -> tuple[CurvePanel, ...]:
    """A panel per table whose trials tell the recall of each class: the lowest of them, mean over seeds, in 0..1."""
    found = [
        panel(heading, table, [lowest_recall(row) for row in table.rows])
        for heading, table in zip(headings(board), board.tables, strict=True)
    ]
    return tuple(each for each in found if each.curves or each.full)


def lowest_recall(row: Row) -> Estimate | None:
    """Over the trials of a row; None where one of them does not tell it for at least two classes."""
    recalls = [t.class_accuracy for t in row.trials]
    if any(len(of) < 2 for of in recalls):
        return None
    return estimate_of([min(of) for of in recalls], row)
