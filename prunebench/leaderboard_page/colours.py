"""The look of a method, the same in every table and chart of a page and in the figures of `prunebench report`.

The palette says which colour, marker and dash a method has; here they become classes of the style sheet, which holds
each colour for light and for dark, and the outline of the marker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..leaderboard.ranking import Board
from ..leaderboard.table import Row
from ..views.palette import COLOURS, palette
from ..views.palette import Look as Drawn
from ..views.palette import look as look_at

MARKS = {  # outlines about (0, 0), as large as each other to the eye
    "": "M-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0-6.4 0Z",
    "circle": "M-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0-7.2 0Z",
    "square": "M-3.2-3.2H3.2V3.2H-3.2Z",
    "triangle": "M0-4.3L4 3H-4Z",
    "diamond": "M0-4.6L4 0L0 4.6L-4 0Z",
    "cross": "M-3.6-2L-2-3.6L0-1.6L2-3.6L3.6-2L1.6 0L3.6 2L2 3.6L0 1.6L-2 3.6L-3.6 2L-1.6 0Z",
    "down": "M0 4.3L-4-3H4Z",
    "plus": "M-1.2-4H1.2V-1.2H4V1.2H1.2V4H-1.2V1.2H-4V-1.2H-1.2Z",
    "pentagon": "M0-4.2L4-1.3L2.5 3.4H-2.5L-4-1.3Z",
    "star": "M0-4.6L1.1-1.5L4.4-1.4L1.8 0.6L2.7 3.7L0 1.9L-2.7 3.7L-1.8 0.6L-4.4-1.4L-1.1-1.5Z",
}


SHADES = 5


@dataclass(frozen=True)
class Look:
    """A class for the colour, a class for the dash, the marker's outline."""

    colour: str
    dash: str
    outline: str

    @property
    def classes(self) -> str:
        return f"{self.colour} {self.dash}"


@dataclass(frozen=True)
class Colours:
    """Label of a method -> its look."""

    looks: Mapping[str, Look]

    def of(self, row: Row) -> Look:
        return self.looks[row.label]

    def named(self, label: str, baseline: str | None = None) -> Look:
        return self.looks.get(label) or Look(f"c-{baseline or 'random'}", "d-solid", MARKS[""])

    def numbered(self, place: int) -> Look:
        """For what is no method, the lines of keep ratios: shades of one colour that no method has."""
        return Look(f"s{place % SHADES}", "d-solid", MARKS[look_at(place).marker])


def colours_of(board: Board) -> Colours:
    baselines = {row.label: row.baseline for table in board.tables for row in table.rows if row.baseline}
    return Colours({label: _look(drawn, baselines.get(label, "")) for label, drawn in palette(board).items()})


def _look(drawn: Drawn, baseline: str | None) -> Look:
    colour = f"c-{baseline}" if baseline else f"c{COLOURS.index(drawn.colour)}"
    return Look(colour, f"d-{drawn.dash}", MARKS[drawn.marker])
