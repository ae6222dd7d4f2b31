"""The easiest, the middle and the hardest pictures of a score, with their labels and numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..views.pictures import PictureSheet
from .drawing import INK, LETTERS, PAGE, QUIET, drawable, entitle, heading, new_figure
from .sheets import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("dataset", "scorer", "score_seed", "hard", "row", "position", "key", "label", "class", "score")
Pixels = Callable[[Sequence[int]], np.ndarray]  # positions (B,) -> (B, 3, S, S) uint8


def sheet(found: PictureSheet, pixels: Pixels, keys: Sequence[str], classes: Sequence[str]) -> Sheet:
    """The figure of one score record. ``keys`` (N,) and ``classes`` (C,) are the data set's."""
    told = list(lines(found, keys, classes))
    return Sheet(_title(found), partial(draw, found, pixels, classes), COLUMNS, told)


def _title(found: PictureSheet) -> str:
    seed = f" · scoring {found.score_seed}" if found.score_seed else ""
    return f"{found.dataset} · {found.scorer.removeprefix('prunebench/')}{seed} · {found.hard} is hard"


def lines(found: PictureSheet, keys: Sequence[str], classes: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """What is drawn, a line per picture."""
    for row in found.rows:
        for position, score, label in zip(row.positions, row.scores, row.labels, strict=True):
            named = found.dataset, found.scorer, found.score_seed, found.hard, row.end
            yield *named, position, keys[position], label, classes[label], score


def draw(found: PictureSheet, pixels: Pixels, classes: Sequence[str]) -> Figure:
    """The figure of one score record."""
    across = max(len(row.positions) for row in found.rows)
    title = heading(_title(found), PAGE)
    side = (PAGE - 0.7) / max(across, 6)
    figure = new_figure(PAGE, len(found.rows) * (side + 0.32) + 0.4 + 0.13 * title.count("\n"))
    grid = figure.subplots(len(found.rows), max(across, 6), squeeze=False)
    letters = max(8, int(side * 72 / (0.6 * (LETTERS - 1.5))))
    for row, line in zip(found.rows, grid, strict=True):
        shown = pixels(row.positions)
        for axes in line[len(row.positions) :]:
            axes.set_axis_off()
        for axes, picture, label, score in zip(line, shown, row.labels, row.scores, strict=False):
            axes.imshow(np.moveaxis(np.asarray(picture), 0, -1), interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(True)
            axes.spines[:].set_color(QUIET)
            axes.set_title(drawable(classes[label], letters), fontsize=LETTERS - 1, pad=2, color=INK)
            axes.set_xlabel(f"{score:.4g}", fontsize=LETTERS - 1.5, labelpad=2)
        line[0].set_ylabel(row.end, fontsize=LETTERS)
    entitle(figure, title)
    return figure
