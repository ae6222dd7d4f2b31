"""The figures that recipes alone have; letters, sizes and looks are those of `prunebench.figures`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...figures.curves import MARKERS, legend, legend_columns
from ...figures.drawing import PAGE, QUIET, drawable, entitle, heading, names, new_figure, terse_names
from ...figures.heat import DIVERGING, heat
from ...views.palette import COLOURS, Look, look
from .ending import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACROSS = 3  # panels side by side
_PANEL = ("dataset", "setting", "model")
_RANDOM = ("balanced random", "uniform random")


def panels(count: int, title: str, height: float, below: float = 0.0) -> tuple[Figure, list[Axes]]:
    """A page-wide figure of ``count`` panels of so many inches, three at most in a row; ``below`` for a legend."""
    across = min(count, _ACROSS)
    down = math.ceil(count / across)
    width = PAGE if across == _ACROSS else across * PAGE / 2
    figure = new_figure(width, height * down + 0.25 + below)
    grid = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for empty in grid[count:]:
        empty.set_visible(False)
    entitle(figure, heading(title, width))
    return figure, grid[:count]


def parts_of(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by data set, setting and model; the heading names what is not the same everywhere, or the data set."""
    differing = [name for name in _PANEL if len({row.get(name) for row in rows}) > 1] or ["dataset"]
    found: dict[str, list[Row]] = {}
    for row in rows:
        told = ", ".join(str(row.get(name) or "clean labels") for name in differing)
        found.setdefault(told, []).append(row)
    return found


def draw_lines(lines: Sequence[Row], levels: Sequence[Row], title: str, axis: str) -> Figure:
    """Accuracy over ``x``, one line per ``line`` with its 95 % interval; ``levels`` are drawn across.

    A level of name "LINE, ..." has the colour of the line LINE.
    """
    parts = parts_of([*lines, *levels])
    looks = {name: look(i) for i, name in enumerate(sorted({str(row["line"]) for row in lines}))}
    shown = names(sorted({*looks, *(str(row["line"]) for row in levels)}))
    rows = math.ceil(len(shown) / legend_columns(shown))
    figure, grid = panels(len(parts), title, 2.0, 0.14 * rows)
    for axes, (told, own) in zip(grid, parts.items(), strict=True):
        for name in looks:
            if points := [row for row in own if row["line"] == name and "x" in row]:
                _line(axes, points, looks[name], name)
        for row in (row for row in own if "x" not in row):
            name = str(row["line"])
            colour = looks[name.partition(",")[0]].colour if name.partition(",")[0] in looks else QUIET
            dash = "dotted" if name.endswith(_RANDOM) else "dashed"
            axes.axhline(float(row["accuracy"] or 0), color=colour, linewidth=0.9, linestyle=dash, label=drawable(name))
        axes.set_title(drawable(told))
        axes.set_xlabel(drawable(axis))
        axes.set_ylabel("test accuracy, %")
        axes.grid(axis="y")
    legend(figure, grid[0], shown)
    return figure


def _line(axes: Axes, rows: Sequence[Row], style: Look, name: str) -> None:
    ordered = sorted(rows, key=lambda row: float(row["x"] or 0))
    x, y = (np.array([row[column] for row in ordered], dtype=float) for column in ("x", "accuracy"))
    ends = [[math.nan if row[end] is None else row[end] for row in ordered] for end in ("low", "high")]
    low, high = np.clip(np.array(ends, dtype=float), 0, 100)
    axes.fill_between(x, low, high, color=style.colour, alpha=0.12, linewidth=0)
    axes.plot(
        x, y, color=style.colour, marker=MARKERS[style.marker], markersize=3.2, linewidth=1.1, label=drawable(name)
    )


def draw_dots(rows: Sequence[Row], title: str) -> Figure:
    """A panel per data set, setting, model and keep ratio: every method's mean with its interval.

    Diamonds: what was published, where the row has it.
    """
    methods = [row for row in rows if row["selector"] != "full"]
    labels = sorted({str(row["method"]) for row in methods}, key=lambda name: (name in _RANDOM, name))
    parts = {
        f"{told}, keep {keep:g}": [row for row in own if row["keep"] == keep]
        for told, own in parts_of(methods).items()
        for keep in sorted({float(row["keep"] or 0) for row in own})
    }
    shown, title = terse_names(labels, title, 34)
    figure, grid = panels(len(parts), title, 0.65 + 0.15 * len(labels))
    for i, (axes, (told, own)) in enumerate(zip(grid, parts.items(), strict=True)):
        for row in own:
            place, grey = labels.index(str(row["method"])), str(row["method"]) in _RANDOM
            _dot(axes, row, place, QUIET if grey else COLOURS[0])
        axes.set_title(drawable(told))
        axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.set_yticks(range(len(labels)), shown if i % _ACROSS == 0 else [""] * len(labels))
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("test accuracy, %")
        axes.grid(axis="x")
    return figure


def _dot(axes: Axes, row: Row, place: int, colour: str) -> None:
    mean, low, high = float(row["accuracy"] or 0), row["low"], row["high"]
    if low is not None and high is not None:
        ends = [max(0.0, float(low)), min(100.0, float(high))]
        axes.plot(ends, [place, place], color=colour, linewidth=1.4, alpha=0.45, solid_capstyle="butt")
    axes.plot(mean, place, color=colour, marker="o", markersize=4)
    if row.get("published") is not None:
        axes.plot(row["published"], place, color=COLOURS[1], marker="D", markersize=4, markerfacecolor="none")


def draw_starts(chosen: Sequence[Row], judged: Sequence[Row], title: str) -> Figure:
    """A panel per data set and keep ratio: judged accuracy over window start; a tick below for each chosen start."""
    where = [(row["dataset"], row["setting"], row["keep"]) for row in chosen]
    parts = sorted(set(where), key=str)
    looks = {name: look(i) for i, name in enumerate(sorted({str(row["method"]) for row in chosen}))}
    shown, title = terse_names(list(looks), title)
    figure, grid = panels(len(parts), title, 2.0 + 0.06 * len(looks), 0.14 * math.ceil(len(shown) / 3))
    for axes, part in zip(grid, parts, strict=True):
        for level, (name, style) in enumerate(looks.items()):
            own = [r for r in judged if (r["dataset"], r["setting"], r["keep"]) == part and r["method"] == name]
            own = sorted((r for r in own if r["judged_accuracy"] is not None), key=lambda r: float(r["start"] or 0))
            x, y = [r["start"] for r in own], [r["judged_accuracy"] for r in own]
            mark = MARKERS[style.marker]
            axes.plot(x, y, color=style.colour, marker=mark, markersize=3.2, linewidth=1.1, label=shown[level])
            starts = [
                row["start"] for row, at in zip(chosen, where, strict=True) if (at, row["method"]) == (part, name)
            ]
            below, across = [-0.03 - 0.045 * level] * len(starts), axes.get_xaxis_transform()
            axes.plot(starts, below, "|", color=style.colour, markersize=5, transform=across, clip_on=False)
        axes.tick_params(axis="x", pad=2 + 6 * len(looks))
        axes.set_title(drawable(f"{part[0]}{', ' if part[1] else ''}{part[1]}, keep {part[2]:g}"))
        axes.set_xlabel("start, share of easier examples")
        axes.set_ylabel("judged accuracy, %")
        axes.grid(axis="y")
    legend(figure, grid[0], shown)
    return figure


def draw_atlas(pairs: Sequence[Row], labels: Sequence[str], title: str, keep: float) -> Figure:
    """Two heat maps of all pairs: rank correlation, and overlap of the hardest."""
    shown, title = terse_names(labels, title, 24)
    told = {(row["a"], row["b"]): row for row in pairs}
    figure = new_figure(PAGE, 1.2 + min(0.22 * len(labels), 5.0))
    entitle(figure, heading(title, PAGE))
    grid = figure.subplots(1, 2)
    for axes, what in zip(grid, ("spearman", "overlap"), strict=True):
        values: list[list[Any]] = [[told[a, b][what] for b in labels] for a in labels]
        room = len(labels) <= 18
        cells = [[f"{v:.1f}".replace("-0.0", "0.0") for v in line] for line in values] if room else None
        heat(axes, values, cells, shown if what == "spearman" else [""] * len(shown), shown, (-1, 1), DIVERGING)
        axes.set_title(
            "rank correlation within classes" if what == "spearman" else f"overlap of the hardest {keep:.0%}"
        )
    return figure


def draw_strata(points: Sequence[Row], title: str) -> Figure:
    """The points twice: by stratum, and by class."""
    import matplotlib

    figure = new_figure(PAGE, 3.3)
    entitle(figure, heading(title, PAGE))
    x, y = (np.array([point[name] for point in points], dtype=float) for name in ("x", "y"))
    for axes, what in zip(figure.subplots(1, 2), ("stratum", "class"), strict=True):
        found = sorted({str(point[what]) for point in points})
        colours = matplotlib.colormaps["cividis" if what == "stratum" else "tab20"](np.linspace(0, 1, len(found)))
        for name, colour in zip(found, colours, strict=True):
            own = np.array([str(point[what]) == name for point in points])
            axes.scatter(x[own], y[own], s=3, color=colour, linewidths=0, label=drawable(name, 20))
        axes.set_title("fifth of its class, 1 the easiest" if what == "stratum" else "class")
        axes.set_xticks([])
        axes.set_yticks([])
        if len(found) <= 20:
            axes.legend(markerscale=2.5, loc="center left", bbox_to_anchor=(1, 0.5), handlelength=1)
    return figure
