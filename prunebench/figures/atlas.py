"""The score atlas: a coloured cell for every pair of scorers, like beside like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..views.atlas import ScoreMap
from .drawing import COLUMN, PAGE, entitle, heading, new_figure, percent, terse_names
from .heat import DIVERGING, bar, heat
from .sheets import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ANNOTATED = 14  # scorers whose numbers have room
MOST = 60  # scorers whose names have room
COLUMNS = ("heading", "measure", "keep", "scorer", "other", "value")


def sheets(maps: Sequence[ScoreMap]) -> list[Sheet]:
    """A figure per map."""
    return [Sheet(f"{m.heading} · {_measure(m)}", partial(draw, m), COLUMNS, list(lines(m))) for m in maps]


def _measure(found: ScoreMap) -> str:
    if found.keep is None:
        return "Spearman's rank correlation"
    return f"overlap of the hardest {percent(found.keep)} % beyond chance"


def lines(found: ScoreMap) -> Iterator[tuple[Any, ...]]:
    """What is drawn, a line per pair."""
    for scorer, values in zip(found.scorers, found.values, strict=True):
        for other, value in zip(found.scorers, values, strict=True):
            yield found.heading, found.measure, found.keep, scorer, other, value


def draw(found: ScoreMap) -> Figure:
    """The figure of one map."""
    s = len(found.scorers)
    width = min(PAGE, max(COLUMN, 2.3 + 0.34 * s))
    shown, title = terse_names(found.scorers, f"{found.heading} · {_measure(found)}", 26)
    title = heading(title, width)
    figure = new_figure(width, max(2.2, min(PAGE, 0.72 * width)) + 0.13 * title.count("\n"))
    axes = figure.subplots()
    shown = shown if s <= MOST else [""] * s
    told = [["–" if v is None else f"{v:.2f}" for v in line] for line in found.values]
    image = heat(axes, found.values, told if s <= ANNOTATED else None, shown, shown, (-1, 1), DIVERGING)
    bar(axes, image, found.measure)
    entitle(figure, title)
    return figure
