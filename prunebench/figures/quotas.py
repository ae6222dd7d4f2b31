"""Class shares of every selection: white is as in all the data, red less of the class, blue more of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..views.quotas import QuotaPanel
from .drawing import COLUMN, PAGE, entitle, heading, new_figure, percent, terse_names
from .heat import ROOM, bar, heat
from .sheets import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 24  # methods of one figure; all stand in the CSV
NUMBERED = 40  # classes whose numbers have room
COLUMNS = ("heading", "keep", "method", "baseline", "class", "share", "share_of_all")


def sheets(panels: Sequence[QuotaPanel]) -> list[Sheet]:
    """A figure per panel."""
    return [Sheet(f"{p.heading} · keep {percent(p.keep)} %", partial(draw, p), COLUMNS, list(lines(p))) for p in panels]


def lines(panel: QuotaPanel) -> Iterator[tuple[Any, ...]]:
    """What is drawn, a line per method and class."""
    for method, shares in zip(panel.methods, panel.shares, strict=True):
        for c, share in enumerate(shares):
            whole = panel.whole[c] if panel.whole else None
            yield panel.heading, panel.keep, method.name, method.baseline, c, share, whole


def draw(panel: QuotaPanel) -> Figure:
    """The figure of one panel. Without a full-data row shares are compared with those of equal classes."""
    shown, classes = min(MOST, len(panel.methods)), len(panel.shares[0])
    whole = panel.whole or tuple([1 / classes] * classes)
    ratios = [
        [share / all_ if all_ else None for share, all_ in zip(shares, whole, strict=True)]
        for shares in panel.shares[:shown]
    ]
    told = [[f"{100 * share:.1f}" for share in shares] for shares in panel.shares[:shown]]
    width = min(PAGE, max(COLUMN, 2.6 + ROOM * classes))
    title = f"{panel.heading} · keep {percent(panel.keep)} %"
    rows, title = terse_names([m.name for m in panel.methods], title, 34)
    title = heading(title, width)
    figure = new_figure(width, 1.1 + 0.19 * shown + 0.13 * title.count("\n"))
    axes = figure.subplots()
    ticks = [str(c) for c in range(classes)]
    room = (width - 2.6) / classes >= 0.8 * ROOM
    image = heat(axes, ratios, told if room else None, rows[:shown], ticks if classes <= NUMBERED else [], (0, 2))
    axes.tick_params(axis="x", rotation=0)
    axes.set_xlabel("class; numbers: its share of the kept examples, %" if room else f"{classes} classes")
    bar(axes, image, "share over that in all data" if panel.whole else "share over an equal share")
    entitle(figure, title)
    return figure
