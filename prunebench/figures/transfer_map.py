"""Methods by networks: points above the random rival on the network that scored, and on those that did not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..views.transfer_map import TransferMap
from .drawing import COLUMN, PAGE, drawable, entitle, heading, new_figure, percent, terse_names
from .heat import ASCENDING, DIVERGING, bar, heat
from .sheets import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 24  # methods of one figure; all stand in the CSV
COLUMNS = ("heading", "keep", "method", "baseline", "scored_with", "trained", "measure", "seeds", "mean", "half")


def sheets(maps: Sequence[TransferMap]) -> list[Sheet]:
    """A figure per map."""
    return [Sheet(f"{m.heading} · keep {percent(m.keep)} %", partial(draw, m), COLUMNS, list(lines(m))) for m in maps]


def lines(found: TransferMap) -> Iterator[tuple[Any, ...]]:
    """What is drawn, a line per cell."""
    for i, method in enumerate(found.methods):
        for j, model in enumerate(found.models):
            named = found.heading, found.keep, method.name, method.baseline, found.reference, model, found.measure
            yield *named, found.seeds[i][j], found.values[i][j], found.halves[i][j]


def draw(found: TransferMap) -> Figure:
    """The figure of one map; the network that scored is marked."""
    shown = min(MOST, len(found.methods))
    title = f"{found.heading} · keep {percent(found.keep)} %"
    rows, title = terse_names([m.name for m in found.methods], title, 34)
    columns = [drawable(m, 22) + (" (scored)" if m == found.reference else "") for m in found.models]
    width = min(PAGE, max(COLUMN, 2.2 + 0.75 * len(columns)))
    title = heading(title, width)
    figure = new_figure(width, 1.1 + 0.19 * shown + 0.13 * title.count("\n"))
    axes = figure.subplots()
    values = [[None if v is None else 100 * v for v in line] for line in found.values[:shown]]
    pairs = zip(found.values, found.halves, strict=True)
    told = [[_told(v, h, found) for v, h in zip(means, halves, strict=True)] for means, halves in pairs]
    limits, colours = _limits(values, found.measure), DIVERGING if found.measure == "difference" else ASCENDING
    image = heat(axes, values, told[:shown] if len(columns) <= 5 else None, rows[:shown], columns, limits, colours)
    bar(axes, image, "accuracy, %" if found.measure == "accuracy" else "points above random")
    entitle(figure, title)
    return figure


def _told(value: float | None, half: float | None, found: TransferMap) -> str:
    if value is None:
        return "–"
    sign = "+" if found.measure == "difference" else ""
    return f"{100 * value:{sign}.1f}" + ("" if half is None else f" ± {100 * half:.1f}")


def _limits(values: Sequence[Sequence[float | None]], measure: str) -> tuple[float, float]:
    """Of differences the same on both sides of nothing."""
    known = [v for line in values for v in line if v is not None]
    if measure == "difference":
        most = max(1.0, max(map(abs, known)))
        return -most, most
    return min(known), max(max(known), min(known) + 1)
