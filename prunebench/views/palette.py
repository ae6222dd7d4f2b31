"""One look per method, the same in every figure of a board."""

from __future__ import annotations

from dataclasses import dataclass

from ..leaderboard.ranking import Board
from .series import Method, method_of

# Okabe and Ito (2008) without black and without the yellow that white paper swallows, then wine and indigo
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#332288")
MARKERS = ("circle", "square", "triangle", "diamond", "cross", "down", "plus", "pentagon", "star")
DASHES = ("solid", "dashed", "dashdot")
BASELINES = {"full": "#333333", "balanced": "#595959", "random": "#8C8C8C"}


@dataclass(frozen=True)
class Look:
    """Colour, marker and line: any two methods of 72 differ in colour or in marker."""

    colour: str
    marker: str = ""
    dash: str = "solid"


def palette(board: Board) -> dict[str, Look]:
    """Method name -> look: in the order in which the board first shows it; baselines are grey."""
    names: dict[str, Method] = {}
    for table in board.tables:
        for row in table.rows:
            names.setdefault(row.label, method_of(row))
    own = [name for name, method in names.items() if method.baseline is None]
    looks = {name: look(place) for place, name in enumerate(own)}
    greys = {"full": "dashed", "balanced": "solid", "random": "dotted"}
    for name, method in names.items():
        if method.baseline is not None:
            looks[name] = Look(BASELINES[method.baseline], dash=greys[method.baseline])
    return looks


def look(place: int) -> Look:
    """The look of the method at a place, counted from 0."""
    colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
    return Look(colour, marker, DASHES[place // len(COLOURS) % len(DASHES)])
