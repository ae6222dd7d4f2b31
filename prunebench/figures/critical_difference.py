"""Critical-difference diagram (Demsar 2006): average ranks on a line; bars join what cannot be told apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..views.critical_difference import RankDiagram
from ..views.palette import Look
from .drawing import COLUMN, INK, LETTERS, PAGE, QUIET, entitle, heading, new_figure, percent, terse_names
from .sheets import Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ("heading", "keep", "method", "average_rank", "critical_difference", "friedman_p", "like_as_far_as")
_LINE = 0.15  # inches between the names of two methods


def sheets(diagrams: Sequence[RankDiagram], looks: Mapping[str, Look]) -> list[Sheet]:
    """A figure per diagram."""
    return [
        Sheet(f"{d.heading} · keep {percent(d.keep)} %", partial(draw, d, looks), COLUMNS, list(lines(d)))
        for d in diagrams
    ]


def lines(found: RankDiagram) -> Iterator[tuple[Any, ...]]:
    """What is drawn, a line per method; with the last method that each cannot be told apart from."""
    for place, (method, rank) in enumerate(zip(found.methods, found.average, strict=True)):
        last = max((last for first, last in found.cliques if first <= place <= last), default=place)
        named = found.heading, found.keep, method, rank, found.critical, found.p
        yield *named, found.methods[last] if last > place else None


def draw(found: RankDiagram, looks: Mapping[str, Look]) -> Figure:
    """The figure of one diagram: a method per line, the better half left, the other half right."""
    k = len(found.methods)
    half = math.ceil(k / 2)
    width = PAGE if max(map(len, found.methods)) > 14 else COLUMN + 1
    title = f"{found.heading} · keep {percent(found.keep)} % · Friedman p = {found.p:.2g}"
    shown, title = terse_names(found.methods, title, 40)
    title = heading(title, width)
    height = 1.0 + _LINE * (half + 0.8 * len(found.cliques)) + 0.13 * title.count("\n")
    figure = new_figure(width, height)
    axes = figure.subplots()
    axes.set_xlim(1 - 0.02 * k, k + 0.02 * k)
    axes.set_ylim(-(half + 0.8 * len(found.cliques) + 1.2), 1.6)
    axes.spines[:].set_visible(False)
    axes.set_yticks([])
    axes.xaxis.tick_top()
    axes.set_xticks(range(1, k + 1))
    axes.set_xlabel("average rank, 1 is best")
    axes.xaxis.set_label_position("top")
    axes.spines["top"].set_visible(True)
    _ruler(axes, found.critical, k)
    for level, (first, last) in enumerate(found.cliques):
        ends = [found.average[first] - 0.02 * k / 2, found.average[last] + 0.02 * k / 2]
        axes.plot(ends, [-0.6 - 0.8 * level] * 2, color=INK, linewidth=2.4, solid_capstyle="butt")
    below = 0.6 + 0.8 * len(found.cliques)
    for place, (rank, name) in enumerate(zip(found.average, shown, strict=True)):
        left = place < half
        depth = -(below + (place if left else k - 1 - place) + 0.6)
        end = 1 - 0.02 * k if left else k + 0.02 * k
        look = looks.get(found.methods[place], Look(QUIET))
        axes.plot([rank, rank, end], [1.5, depth, depth], color=look.colour, linewidth=0.9, clip_on=False)
        axes.annotate(
            f"{name}  {rank:.2f}" if left else f"{rank:.2f}  {name}",
            (end, depth),
            xytext=(-3 if left else 3, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=LETTERS - 0.5,
            annotation_clip=False,
        )
    entitle(figure, title)
    return figure


def _ruler(axes: Axes, critical: float, k: int) -> None:
    """How far apart two ranks must be to differ."""
    axes.plot([1, min(1 + critical, k)], [0.75, 0.75], color=QUIET, linewidth=1.2, marker="|", markersize=5)
    axes.annotate(
        f"critical difference {critical:.2f}",
        (min(1 + critical, k), 0.75),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=LETTERS - 1,
        color=QUIET,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        zorder=5,
    )
