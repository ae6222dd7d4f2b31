"""Accuracy over total cost at one keep ratio: the front is joined, its points are filled, the others are hollow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..views.palette import Look
from ..views.pareto import ParetoPanel, Price
from .curves import MARKERS, accuracy_limits, legend, legend_columns
from .drawing import COLUMN, QUIET, entitle, heading, new_figure, percent, terse_names
from .sheets import Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 12  # methods named beside the baselines and the front
COLUMNS = (
    *("heading", "keep", "method", "baseline", "front", "seeds", "mean", "low", "high"),
    *("seconds", "score_seconds", "select_seconds", "train_seconds"),
)
_BASELINES = {"full": "h", "balanced": "o", "random": "v"}


def sheets(panels: Sequence[ParetoPanel], looks: Mapping[str, Look]) -> list[Sheet]:
    """A figure per panel."""
    return [
        Sheet(f"{p.heading} · keep {percent(p.keep)} %", partial(draw, p, looks), COLUMNS, list(lines(p)))
        for p in panels
    ]


def lines(panel: ParetoPanel) -> Iterator[tuple[Any, ...]]:
    """What is drawn, a line per method."""
    for p in panel.prices:
        a = p.accuracy
        named = panel.heading, p.keep, p.method.name, p.method.baseline, p.front, a.seeds, a.mean, a.low, a.high
        yield *named, p.seconds, p.score_seconds, p.select_seconds, p.train_seconds


def draw(panel: ParetoPanel, looks: Mapping[str, Look]) -> Figure:
    """The figure of one panel."""
    named = _named(panel.prices)
    told = f"{panel.heading} · keep {percent(panel.keep)} %"
    shown, told = terse_names([p.method.name for p in named], told)
    title = heading(told, COLUMN)
    rows = math.ceil((len(named) + 1) / legend_columns(shown))
    figure = new_figure(COLUMN, 2.2 + 0.14 * rows + 0.13 * title.count("\n"))
    axes = figure.subplots()
    front = [p for p in panel.prices if p.front]
    axes.plot(
        [p.seconds for p in front],
        [100 * p.accuracy.mean for p in front],
        color=QUIET,
        linewidth=0.8,
        drawstyle="steps-post",
        zorder=1,
        label="front",
    )
    labels = {id(p): name for p, name in zip(named, shown, strict=True)}
    for price in panel.prices:
        _point(axes, price, looks[price.method.name], labels.get(id(price)))
    seconds_axis(axes, [p.seconds for p in panel.prices])
    axes.set_xlabel("seconds to score, select and train once, nothing shared")
    accuracy_limits(axes, [p.accuracy for p in panel.prices])
    axes.set_ylabel("accuracy, %")
    axes.grid()
    entitle(figure, title)
    legend(figure, axes, shown, len(panel.prices) - len(named))
    return figure


def _named(prices: Sequence[Price]) -> list[Price]:
    """Baselines, the front, and the most accurate of the others."""
    own = sorted((p for p in prices if p.method.baseline is None), key=lambda p: (not p.front, -p.accuracy.mean))
    chosen = {id(p) for p in own[:MOST]}
    return [p for p in prices if p.method.baseline is not None or id(p) in chosen]


def _point(axes: Axes, price: Price, look: Look, name: str | None) -> None:
    value = price.accuracy
    if value.low is not None and value.high is not None:
        ends = [100 * max(0.0, value.low), 100 * min(1.0, value.high)]
        axes.plot([price.seconds] * 2, ends, color=look.colour, linewidth=0.9, alpha=0.3, zorder=2)
    axes.plot(
        price.seconds,
        100 * value.mean,
        color=look.colour,
        marker=MARKERS[look.marker] or _BASELINES[price.method.baseline or "balanced"],
        markersize=4.5,
        markerfacecolor=look.colour if price.front else "white",
        markeredgewidth=1,
        linestyle="none",
        zorder=3,
        label=name,
    )


def seconds_axis(axes: Axes, seconds: Sequence[float]) -> None:
    """Logarithmic where they span a factor of four, numbers as people write them."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    known = [s for s in seconds if s > 0]
    if len(known) == len(seconds) and max(known) / min(known) >= 4:
        axes.set_xscale("log")
        spans = math.log10(max(known) / min(known))
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if spans < 2.5 else (1,), numticks=8))
        axes.set_xlim(min(known) / 1.25, max(known) * 1.25)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.4g}" if value < 1e6 else f"{value:.2g}")
