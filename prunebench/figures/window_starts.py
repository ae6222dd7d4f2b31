"""Accuracy over where the window starts, a line per keep ratio; ticks below say what each seed's selection chose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..views.palette import MARKERS, Look
from ..views.window_starts import WindowPanel
from .curves import accuracy_limits, legend, line
from .drawing import COLUMN, QUIET, drawable, entitle, heading, new_figure, percent
from .sheets import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = (
    *("heading", "scorer", "selector", "source", "keep", "start_from_hardest", "start_from_easiest"),
    *("seeds", "mean", "low", "high", "chosen_by"),
)
_JUDGED = {"trained": "test accuracy, %", "judged": "judged on the training split, %"}


def sheets(panels: Sequence[WindowPanel]) -> list[Sheet]:
    """A figure per panel."""
    return [Sheet(_title(p), partial(draw, p), COLUMNS, list(lines(p))) for p in panels]


def _title(panel: WindowPanel) -> str:
    selector = panel.selector.removeprefix("prunebench/").partition("(")[0]
    return f"{panel.heading} · {panel.scorer} · {selector}"


def lines(panel: WindowPanel) -> Iterator[tuple[Any, ...]]:
    """What is drawn, a line per keep ratio and start; ``chosen_by`` counts the seeds that chose it."""
    for curve in panel.curves:
        votes = Counter(curve.chosen)
        for start, value in zip(curve.starts, curve.values, strict=True):
            named = panel.heading, panel.scorer, panel.selector, panel.source, curve.keep
            ends = start, round(max(0.0, 1 - curve.keep - start), 10)
            chosen = votes[start] if panel.source == "judged" else None
            yield *named, *ends, value.seeds, value.mean, value.low, value.high, chosen


def draw(panel: WindowPanel) -> Figure:
    """The figure of one panel."""
    title = heading(f"{panel.heading} · {drawable(panel.scorer, 34)} · {_title(panel).rpartition(' · ')[2]}", COLUMN)
    figure = new_figure(COLUMN, 2.4 + 0.14 * (len(panel.curves) // 3) + 0.13 * title.count("\n"))
    axes = figure.subplots()
    shown = [f"keep {percent(curve.keep)} %" for curve in panel.curves]
    looks = [_look(place, len(panel.curves)) for place in range(len(panel.curves))]
    for curve, look, name in zip(panel.curves, looks, shown, strict=True):
        line(axes, [100 * s for s in curve.starts], curve.values, look, name)
    for place, (curve, look) in enumerate(zip(panel.curves, looks, strict=True)):
        for start, votes in Counter(curve.chosen).items():
            axes.plot(
                100 * start,
                0.02 + 0.035 * place,
                color=look.colour,
                marker="|",
                markersize=6,
                markeredgewidth=1 + 0.6 * min(votes, 5),
                transform=axes.get_xaxis_transform(),
                clip_on=False,
                zorder=4,
            )
    accuracy_limits(axes, [v for curve in panel.curves for v in curve.values])
    low, high = axes.get_ylim()
    if any(curve.chosen for curve in panel.curves):
        axes.set_ylim(low - (0.06 + 0.04 * len(panel.curves)) * (high - low), high)
    axes.set_xlabel("examples harder than the window, %  (0: the hardest window)")
    axes.set_ylabel(_JUDGED[panel.source])
    axes.grid(axis="y")
    axes.spines["left"].set_color(QUIET)
    entitle(figure, title)
    legend(figure, axes, shown)
    return figure


def _look(place: int, of: int) -> Look:
    """Dark for small keep ratios, light for large ones."""
    import matplotlib
    from matplotlib.colors import to_hex

    colour = to_hex(matplotlib.colormaps["viridis"](0.85 * place / max(1, of - 1)))
    return Look(colour, MARKERS[place % len(MARKERS)])
