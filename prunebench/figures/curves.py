"""Accuracy over keep ratio: a line per method, a band where several seeds tell an interval; grey is random.

Where all is of one keep ratio there is no curve, and the methods stand below each other instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..views.curves import Curve, CurvePanel
from ..views.palette import Look
from ..views.series import Estimate
from .drawing import COLUMN, FAINT, INK, LETTERS, QUIET, entitle, heading, new_figure, percent, terse_names
from .sheets import Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 12  # methods that a column has room to name; the others are thin grey lines, and stand in the CSV
FEW = 6  # bands that can be told apart where they lie over each other
COLUMNS = ("heading", "method", "baseline", "keep", "examples", "seeds", "mean", "low", "high")
MARKERS = {"circle": "o", "square": "s", "triangle": "^", "diamond": "D", "cross": "X", "down": "v"}
MARKERS |= {"plus": "P", "pentagon": "p", "star": "*", "": ""}
_DASHES = {"solid": "-", "dashed": "--", "dashdot": "-.", "dotted": ":"}


def sheets(panels: Sequence[CurvePanel], looks: Mapping[str, Look], what: str = "accuracy, %") -> list[Sheet]:
    """A figure per panel."""
    return [Sheet(p.heading, partial(draw, p, looks, what), COLUMNS, list(lines(p))) for p in panels]


def lines(panel: CurvePanel) -> Iterator[tuple[Any, ...]]:
    """What is drawn, a line per method and keep ratio; the full data last."""
    for curve in panel.curves:
        for keep, k, value in zip(curve.keep, curve.examples, curve.values, strict=True):
            named = panel.heading, curve.method.name, curve.method.baseline
            yield *named, keep, k, value.seeds, value.mean, value.low, value.high
    if panel.full:
        told = panel.full
        yield panel.heading, "full data", "full", 1.0, None, told.seeds, told.mean, told.low, told.high


def draw(panel: CurvePanel, looks: Mapping[str, Look], what: str = "accuracy, %") -> Figure:
    """The figure of one panel."""
    keeps = sorted({keep for curve in panel.curves for keep in curve.keep})
    return _dots(panel, looks, what) if len(keeps) < 2 else _lines(panel, keeps, looks, what)


def _lines(panel: CurvePanel, keeps: Sequence[float], looks: Mapping[str, Look], what: str) -> Figure:
    named, unnamed = _named(panel.curves)
    shown, told = terse_names([c.method.name for c in named], panel.heading)
    rows = math.ceil((len(named) + (panel.full is not None)) / legend_columns(shown))
    title = heading(told, COLUMN)
    figure = new_figure(COLUMN, 2.2 + 0.14 * rows + 0.13 * title.count("\n"))
    axes = figure.subplots()
    for curve in unnamed:
        axes.plot(curve.keep, [100 * v.mean for v in curve.values], color=FAINT, linewidth=0.7, zorder=1)
    for curve, name in zip(named, shown, strict=True):
        line(axes, curve.keep, curve.values, looks[curve.method.name], name, 0.12 if len(named) <= FEW else 0.06)
    if panel.full:
        axes.axhline(100 * panel.full.mean, color=INK, linewidth=0.8, dashes=(6, 2), zorder=1.5, label="full data")
    ratio_axis(axes, keeps)
    axes.set_xlabel("keep ratio, %")
    accuracy_limits(axes, [*(v for c in panel.curves for v in c.values), *([panel.full] if panel.full else [])])
    axes.set_ylabel(what)
    axes.grid(axis="y")
    entitle(figure, title)
    legend(figure, axes, shown, len(unnamed))
    return figure


def line(
    axes: Axes, x: Sequence[float], values: Sequence[Estimate], look: Look, name: str, strength: float = 0.12
) -> None:
    """Means in percent, with the band of those that have an interval."""
    grey = not look.marker
    axes.plot(
        x,
        [100 * v.mean for v in values],
        color=look.colour,
        linestyle=_DASHES[look.dash],
        linewidth=1.1,
        marker=MARKERS[look.marker],
        markersize=3.2,
        markeredgewidth=0,
        zorder=2 if grey else 3,
        label=name,
    )
    low = [math.nan if v.low is None else 100 * max(0.0, v.low) for v in values]
    high = [math.nan if v.high is None else 100 * min(1.0, v.high) for v in values]
    axes.fill_between(x, low, high, color=look.colour, alpha=strength, linewidth=0, zorder=1)


def _named(curves: Sequence[Curve]) -> tuple[list[Curve], list[Curve]]:
    """The curves that are named, the highest at the right end first and baselines last; and the others."""
    own = [c for c in curves if c.method.baseline is None]
    own.sort(key=lambda c: (-c.keep[-1], -c.values[-1].mean, c.method.name))
    return [*own[:MOST], *(c for c in curves if c.method.baseline is not None)], own[MOST:]


def accuracy_limits(axes: Axes, values: Sequence[Estimate]) -> None:
    """All means and their intervals as far as they lie in 0..100, with some air."""
    ends = [100 * end for v in values for end in (v.mean, v.low, v.high) if end is not None]
    low, high = max(0.0, min(ends)), min(100.0, max(ends))
    air = max(0.06 * (high - low), 0.5)
    axes.set_ylim(low - air, high + air)


def ratio_axis(axes: Axes, ratios: Sequence[float]) -> None:
    """An axis of ratios in percent, logarithmic where they span a factor of four, named where there is room."""
    from matplotlib.ticker import FixedLocator, NullLocator

    log = ratios[0] > 0 and ratios[-1] / ratios[0] >= 4
    place = [math.log(r) if log else r for r in ratios]
    axes.set_xscale("log" if log else "linear")
    told, room = [len(ratios) - 1], 0.07 * (place[-1] - place[0])
    for i in reversed(range(len(ratios) - 1)):
        if place[told[-1]] - place[i] >= room:
            told.append(i)
    axes.xaxis.set_major_locator(FixedLocator([ratios[i] for i in told]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: percent(value))


def legend_columns(shown: Sequence[str]) -> int:
    """How many names stand beside each other in a column of a paper."""
    longest = max(map(len, shown), default=0)
    return 3 if longest <= 12 else 2 if longest <= 24 else 1


def legend(figure: Figure, axes: Axes, shown: Sequence[str], others: int = 0) -> None:
    """Below the axes."""
    from matplotlib.lines import Line2D

    handles, labels = axes.get_legend_handles_labels()
    if others:
        handles.append(Line2D([], [], color=FAINT))
        labels.append(f"{others} other{'s' * (others > 1)}")
    figure.legend(handles, labels, loc="outside lower left", ncols=legend_columns(shown), borderpad=0.2)


def _dots(panel: CurvePanel, looks: Mapping[str, Look], what: str) -> Figure:
    """One keep ratio: accuracy across, methods below each other, the best on top."""
    named, unnamed = _named(panel.curves)
    named = sorted(named, key=lambda c: c.values[0].mean)
    shown, told = terse_names([c.method.name for c in named], panel.heading, 34)
    title = heading(told, COLUMN)
    figure = new_figure(COLUMN, 0.85 + 0.15 * max(2, len(named)) + 0.13 * title.count("\n"))
    axes = figure.subplots()
    for place, curve in enumerate(named):
        value, look = curve.values[0], looks[curve.method.name]
        if value.low is not None and value.high is not None:
            ends = [100 * max(0.0, value.low), 100 * min(1.0, value.high)]
            axes.plot(ends, [place, place], color=look.colour, linewidth=1.4, alpha=0.45, solid_capstyle="butt")
        axes.plot(100 * value.mean, place, color=look.colour, marker=MARKERS[look.marker] or "o", markersize=4)
    if panel.full:
        axes.axvline(100 * panel.full.mean, color=INK, linewidth=0.8, dashes=(6, 2), zorder=0)
        axes.annotate(
            "full data",
            (100 * panel.full.mean, 1.0),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=LETTERS - 1,
        )
    axes.set_yticks(range(len(named)), shown)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.7, len(named) - 0.3)
    keep = f" (keep {percent(panel.curves[0].keep[0])} %)" if panel.curves else ""
    more = f"; {len(unnamed)} more methods in the CSV" if unnamed else ""
    axes.set_xlabel(f"{what}{keep}{more}")
    axes.grid(axis="x")
    axes.spines["left"].set_color(QUIET)
    entitle(figure, title)
    return figure
