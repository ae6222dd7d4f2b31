"""Cross-evaluation of the parts of a ranking: a row per part trained on, its means with and without itself beside."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from ..views.quintiles import CrossEvaluation
from .drawing import COLUMN, drawable, entitle, heading, new_figure
from .heat import ASCENDING, heat
from .sheets import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("heading", "trained_on", "tested_on", "accuracy")
MEANS = ("mean", "mean of the others")


def sheet(found: CrossEvaluation) -> Sheet:
    """The figure of one matrix."""
    return Sheet(found.heading, partial(draw, found), COLUMNS, list(lines(found)))


def lines(found: CrossEvaluation) -> Iterator[tuple[Any, ...]]:
    """What is drawn, a line per pair of parts, then the means."""
    for i, part in enumerate(found.parts):
        for other, value in zip(found.parts, found.values[i], strict=True):
            yield found.heading, part, other, value
    for means, name in zip((found.means, found.others), MEANS, strict=True):
        for part, value in zip(found.parts, means, strict=True):
            yield found.heading, part, name, value


def draw(found: CrossEvaluation) -> Figure:
    """The figure of one matrix."""
    q = len(found.parts)
    title = heading(found.heading, COLUMN)
    figure = new_figure(COLUMN, 1.0 + 0.3 * q + 0.13 * title.count("\n"))
    matrix, beside = figure.subplots(1, 2, width_ratios=[q, 2], sharey=True)
    values = [[100 * v for v in row] for row in found.values]
    means = [[100 * mean, 100 * other] for mean, other in zip(found.means, found.others, strict=True)]
    known = [v for row in (*values, *means) for v in row]
    limits = min(known), max(max(known), min(known) + 1)
    parts = [drawable(part, 14) for part in found.parts]
    for axes, cells, columns in ((matrix, values, parts), (beside, means, ["mean", "others"])):
        heat(axes, cells, [[f"{v:.1f}" for v in row] for row in cells], parts, columns, limits, ASCENDING)
    matrix.set_xlabel("tested on part")
    matrix.set_ylabel("trained on part")
    beside.tick_params(axis="y", labelleft=False)
    beside.set_xlabel("accuracy, %")
    entitle(figure, title)
    return figure
