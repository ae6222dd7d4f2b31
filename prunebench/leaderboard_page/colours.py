"""The colour and the marker of a method, the same in every table and chart of a page.

Baselines are grey. Methods take the palette in the order in which the board first shows them; where there are more of
them than colours, the same colours come again with another marker and another dash. The colours themselves, for light
and for dark, stand in ``page.css``.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..leaderboard.ranking import Board
from ..leaderboard.table import Row

COLOURS = 10
MARKERS = ("circle", "square", "triangle", "diamond")


@dataclass(frozen=True)
class Colours:
    """Label of a method -> its place among all of the board."""

    places: dict[str, int]

    def of(self, row: Row) -> str:
        return self.named(row.label, row.baseline)

    def named(self, label: str, baseline: str | None = None) -> str:
        """Classes of the style sheet: colour, marker, dash."""
        if baseline:
            return f"c-{baseline} k-circle"
        place = self.places.get(label, 0)
        turn = place // COLOURS % len(MARKERS)
        return f"c{place % COLOURS} k-{MARKERS[turn]}" + (f" d{turn}" if turn else "")


def colours_of(board: Board) -> Colours:
    """By first appearance, so that what leads the first table has the first colours."""
    labels = (row.label for table in board.tables for row in table.rows if row.baseline is None)
    return Colours({label: i for i, label in enumerate(dict.fromkeys(labels))})
