"""The figures, by matplotlib without pyplot; the same rows give the same bytes.

Colours are Okabe and Ito's, which colour-blind readers tell apart; lines differ in marker too. Text is drawn as it is,
never as TeX.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .ending import Row

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7A5195", "#8C564B")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GREY = "#777777"
_WIDTH, _HEIGHT = 3.6, 2.9  # inches of a panel
_ACROSS = 3  # panels side by side
_PANEL = ("dataset", "setting", "model")


def panels(count: int, title: str, width: float = _WIDTH, height: float = _HEIGHT) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels, three at most in a row."""
    across = min(count, _ACROSS)
    down = math.ceil(count / across)
    figure = Figure(figsize=(width * across, height * down + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for empty in grid[count:]:
        empty.set_visible(False)
    figure.suptitle(plain(title), fontsize=10)
    for axes in grid[:count]:
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, grid[:count]


def plain(text: Any) -> str:
    """Text that matplotlib takes for no mathematics, of a length that fits."""
    told = "".join(c if c.isprintable() else "?" for c in str(text)).replace("$", r"\$")
    return told if len(told) <= 70 else told[:69] + "…"


def styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker of every line, the same wherever the same names are drawn; baselines in grey."""
    found: dict[str, dict[str, Any]] = {}
    fresh = cycle(zip(COLOURS, MARKERS, strict=True))
    for name in sorted(set(names)):
        if name.endswith(("balanced random", "uniform random", "full data")):
            dash = {"b": "--", "u": ":", "f": "-."}[name.rpartition(", ")[2][0]]
            found[name] = {"color": GREY, "marker": "", "linestyle": dash}
        else:
            colour, marker = next(fresh)
            found[name] = {"color": colour, "marker": marker, "linestyle": "-"}
    return found


def _parts(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by data set, setting and model; the heading names what is not the same everywhere, or the data set."""
    differing = [name for name in _PANEL if len({row.get(name) for row in rows}) > 1] or ["dataset"]
    found: dict[str, list[Row]] = {}
    for row in rows:
        heading = ", ".join(str(row.get(name) or "clean labels") for name in differing)
        found.setdefault(heading, []).append(row)
    return found


def draw_lines(lines: Sequence[Row], levels: Sequence[Row], title: str, axis: str) -> Figure:
    """Accuracy over ``x``, one line per ``line`` with its 95 % interval; ``levels`` are drawn across."""
    parts, style = _parts([*lines, *levels]), styles([str(row["line"]) for row in (*lines, *levels)])
    figure, grid = panels(len(parts), title)
    drawn: dict[str, Any] = {}
    for axes, (heading, rows) in zip(grid, parts.items(), strict=True):
        for name in style:
            own = sorted((r for r in rows if r["line"] == name and "x" in r), key=lambda r: r["x"])  # type: ignore[arg-type,return-value]
            if own:
                drawn[name] = _line(axes, own, style[name])
            for row in (r for r in rows if r["line"] == name and "x" not in r):
                drawn[name] = axes.axhline(float(row["accuracy"] or 0), lw=1.1, **_across(style[name]))
        axes.set_title(plain(heading), fontsize=8)
        axes.set_xlabel(plain(axis), fontsize=8)
        axes.set_ylabel("test accuracy, %", fontsize=8)
    figure.legend(
        drawn.values(), [plain(name) for name in drawn], loc="outside lower center", ncols=3, fontsize=7, frameon=False
    )
    return figure


def _line(axes: Axes, rows: Sequence[Row], style: Mapping[str, Any]) -> Any:
    x, y = (np.array([row[name] for row in rows], dtype=float) for name in ("x", "accuracy"))
    half = np.array([row["half"] if row["half"] is not None else np.nan for row in rows], dtype=float)
    if not np.isnan(half).all():
        axes.fill_between(x, y - half, y + half, color=style["color"], alpha=0.12, lw=0)
    return axes.plot(x, y, lw=1.2, markersize=3.5, **style)[0]


def _across(style: Mapping[str, Any]) -> dict[str, Any]:
    return {"color": style["color"], "linestyle": "--" if style["linestyle"] == "-" else style["linestyle"]}


def draw_dots(rows: Sequence[Row], title: str) -> Figure:
    """A panel per data set, setting, model and keep ratio: every method's mean with its interval."""
    methods = [row for row in rows if row["selector"] != "full"]
    names = sorted({str(row["method"]) for row in methods}, key=lambda name: (name.endswith("random"), name))
    parts = {
        f"{heading}, keep {keep:g}": [row for row in own if row["keep"] == keep]
        for heading, own in _parts(methods).items()
        for keep in sorted({float(row["keep"] or 0) for row in own})
    }
    figure, grid = panels(len(parts), title, height=0.5 + 0.24 * len(names))
    for i, (axes, (heading, own)) in enumerate(zip(grid, parts.items(), strict=True)):
        for row in own:
            y, grey = names.index(str(row["method"])), str(row["method"]).endswith("random")
            half = float(row["half"] or 0)
            colour = GREY if grey else COLOURS[0]
            axes.errorbar([row["accuracy"]], [y], xerr=[half] if half else None, fmt="o", ms=4, lw=1, color=colour)
            if row.get("published") is not None:
                axes.plot([row["published"]], [y], "D", ms=4, mfc="none", mec=COLOURS[1])
        axes.set_title(plain(heading), fontsize=8)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_yticks(range(len(names)), [plain(name) for name in names] if i % _ACROSS == 0 else [])
        axes.set_xlabel("test accuracy, %", fontsize=8)
        low, high = axes.get_xlim()
        axes.set_xlim(max(low, 0.0), min(high, 101.0))
        axes.grid(axis="x", lw=0.3)
    return figure


def draw_starts(chosen: Sequence[Row], judged: Sequence[Row], title: str) -> Figure:
    """A panel per data set and keep ratio: judged accuracy over window start; a tick below for each chosen start."""
    where = [(row["dataset"], row["setting"], row["keep"]) for row in chosen]
    parts = sorted(set(where), key=str)
    style = styles([str(row["method"]) for row in chosen])
    figure, grid = panels(len(parts), title)
    drawn: dict[str, Any] = {}
    for axes, part in zip(grid, parts, strict=True):
        for name in style:
            own = [r for r in judged if (r["dataset"], r["setting"], r["keep"]) == part and r["method"] == name]
            own = sorted((r for r in own if r["judged_accuracy"] is not None), key=lambda r: float(r["start"] or 0))
            x, y = [r["start"] for r in own], [r["judged_accuracy"] for r in own]
            drawn[name] = axes.plot(x, y, lw=1.2, markersize=3.5, **style[name])[0]
        for level, name in enumerate(style):
            starts = [
                row["start"] for row, at in zip(chosen, where, strict=True) if at == part and row["method"] == name
            ]
            axes.plot(
                starts, [-0.05 - 0.04 * level] * len(starts), "|", ms=7, color=style[name]["color"],
                transform=axes.get_xaxis_transform(), clip_on=False,
            )  # fmt: skip
        axes.tick_params(axis="x", pad=4 + 3 * len(style))
        axes.set_title(plain(f"{part[0]}{', ' if part[1] else ''}{part[1]}, keep {part[2]:g}"), fontsize=8)
        axes.set_xlabel("window start, share of easier examples", fontsize=8)
        axes.set_ylabel("judged accuracy, %", fontsize=8)
    figure.legend(
        drawn.values(), [plain(name) for name in drawn], loc="outside lower center", ncols=3, fontsize=7, frameon=False
    )
    return figure


def draw_pareto(rows: Sequence[Row], title: str) -> Figure:
    """A panel per data set and keep ratio: accuracy over seconds, what nothing beats with a ring and a name."""
    parts = {
        f"{heading}, keep {keep:g}": [row for row in own if row["keep"] == keep or row["selector"] == "full"]
        for heading, own in _parts(rows).items()
        for keep in sorted({float(row["keep"] or 0) for row in own if row["selector"] != "full"})
    }
    style = styles([str(row["method"]) for row in rows])
    figure, grid = panels(len(parts), title)
    drawn: dict[str, Any] = {}
    for axes, (heading, own) in zip(grid, parts.items(), strict=True):
        for row in own:
            name, front = str(row["method"]), bool(row["front"])
            mark = {"color": style[name]["color"], "marker": style[name]["marker"] or _baseline_mark(name)}
            x, y = row["total_seconds"], row["accuracy"]
            drawn[name] = axes.plot([x], [y], ls="", ms=6, mew=1.4 if front else 0, mec="black", **mark)[0]
        axes.set_xscale("log")
        axes.set_title(plain(heading), fontsize=8)
        axes.set_xlabel("seconds: score + select + one training", fontsize=8)
        axes.set_ylabel("test accuracy, %", fontsize=8)
    figure.legend(
        drawn.values(), [plain(name) for name in drawn], loc="outside lower center", ncols=3, fontsize=7, frameon=False
    )
    return figure


def _baseline_mark(name: str) -> str:
    return {"b": "o", "u": "x", "f": "*"}[name[0]]


def draw_matrices(matrices: Mapping[str, np.ndarray], title: str) -> Figure:
    """A heat map for each: trained on a fifth (down), tested on a fifth (across), 1 the easiest."""
    figure, grid = panels(len(matrices), title, height=3.3)
    for axes, (heading, matrix) in zip(grid, matrices.items(), strict=True):
        ticks = [str(i + 1) for i in range(len(matrix))]
        _heat(axes, matrix, ticks, lambda value: f"{value:.1f}")
        axes.set_title(plain(heading), fontsize=8)
        axes.set_xlabel("tested on fifth (1 easiest); diagonal: its own training examples", fontsize=7)
        axes.set_ylabel("trained on fifth", fontsize=8)
    return figure


def draw_atlas(pairs: Sequence[Row], names: Sequence[str], title: str, keep: float) -> Figure:
    """Two heat maps of all pairs: rank correlation, and overlap of the hardest."""
    size = 1.4 + 0.36 * len(names)
    figure, grid = panels(2, title, size + 0.6, size)
    for axes, what in zip(grid, ("spearman", "overlap"), strict=True):
        told = {(row["a"], row["b"]): row[what] for row in pairs}
        matrix = np.array([[told[a, b] for b in names] for a in names], dtype=float)
        _heat(axes, matrix, [plain(name) for name in names], lambda value: f"{value:.2f}", (-1, 1), "RdBu_r")
        heading = "rank correlation within classes" if what == "spearman" else f"overlap of the hardest {keep:.0%}"
        axes.set_title(heading, fontsize=8)
        axes.tick_params(axis="x", rotation=90)
    return figure


def _heat(
    axes: Axes,
    matrix: np.ndarray,
    ticks: Sequence[str],
    told: Callable[[float], str],
    limits: tuple[float, float] | None = None,
    colours: str = "viridis",
) -> None:
    low, high = limits or (float(matrix.min()), float(matrix.max()))
    axes.imshow(matrix, cmap=colours, vmin=low, vmax=high)
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set_yticks(range(len(ticks)), ticks)
    for (i, j), value in np.ndenumerate(matrix):
        red, green, blue, _ = colormaps[colours]((value - low) / (high - low or 1))
        light = 0.3 * red + 0.59 * green + 0.11 * blue > 0.55
        axes.text(j, i, told(float(value)), ha="center", va="center", fontsize=6, color="black" if light else "white")


def draw_strata(points: Sequence[Row], title: str) -> Figure:
    """The points twice: by stratum, and by class."""
    figure, grid = panels(2, title, 4.4, 3.9)
    x, y = (np.array([point[name] for point in points], dtype=float) for name in ("x", "y"))
    for axes, what in zip(grid, ("stratum", "class"), strict=True):
        names = sorted({point[what] for point in points}, key=str)
        colours = colormaps["viridis" if what == "stratum" else "tab20"](np.linspace(0, 1, len(names)))
        for name, colour in zip(names, colours, strict=True):
            own = np.array([point[what] == name for point in points])
            axes.scatter(x[own], y[own], s=5, color=colour, label=plain(name), lw=0)
        axes.set_title("fifth of its class, 1 the easiest" if what == "stratum" else "class", fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
        if len(names) <= 20:
            axes.legend(fontsize=6, frameon=False, markerscale=2, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
