"""A matrix as coloured cells, the numbers written in them where there is room."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .drawing import FAINT, INK, LETTERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOM = 0.36  # inches: the narrowest cell that holds a number
DIVERGING, ASCENDING = "RdBu", "cividis"  # both safe for colour-blind readers


def heat(
    axes: Axes,
    values: Sequence[Sequence[float | None]],
    told: Sequence[Sequence[str]] | None,
    rows: Sequence[str],
    columns: Sequence[str],
    limits: tuple[float, float],
    colours: str = DIVERGING,
) -> Any:
    """Cells of (rows, columns); None and NaN are left grey. Returns what a colour bar is made of."""
    import matplotlib
    from matplotlib.colors import Normalize

    matrix = np.array([[math.nan if v is None else v for v in line] for line in values], dtype=float)
    found = axes.imshow(
        np.ma.masked_invalid(matrix),
        cmap=matplotlib.colormaps[colours].with_extremes(bad=FAINT),
        norm=Normalize(*limits),
        aspect="auto",
        interpolation="nearest",
    )
    axes.set_xticks(range(len(columns)), columns)
    if max(map(len, columns), default=0) * len(columns) > 40:
        axes.tick_params(axis="x", rotation=60)
        for tick in axes.get_xticklabels():
            tick.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if told is not None:
        _write(axes, found, matrix, told)
    return found


def _write(axes: Axes, image: Any, matrix: np.ndarray, told: Sequence[Sequence[str]]) -> None:
    for i, line in enumerate(told):
        for j, text in enumerate(line):
            value = matrix[i, j]
            dark = not math.isnan(value) and _luminance(image.cmap(image.norm(value))) < 0.45
            axes.text(j, i, text, ha="center", va="center", fontsize=LETTERS - 1.5, color="white" if dark else INK)


def _luminance(colour: Sequence[float]) -> float:
    """Relative luminance of an RGB colour in 0..1, as sRGB weighs its parts."""
    red, green, blue = ((c / 12.92) if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3])
    return math.sqrt(0.2126 * red + 0.7152 * green + 0.0722 * blue)


def bar(axes: Axes, image: Any, name: str) -> None:
    """The colour bar, named, beside its axes."""
    found = axes.figure.colorbar(image, ax=axes, shrink=0.9, pad=0.02, aspect=25)
    found.outline.set_visible(False)
    found.ax.tick_params(labelsize=LETTERS - 1, length=2)
    found.set_label(name, fontsize=LETTERS - 0.5)
