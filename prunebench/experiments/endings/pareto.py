"""What each method costs, and the accuracy it buys."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ...figures.pareto import draw
from ...views import pareto as panels_of
from ...views.palette import palette
from ..performing import Found
from .ending import Ending, Row
from .rows import rounded, rows_of


def pareto(found: Found, options: Mapping[str, Any]) -> Ending:
    """Seconds as if alone: scoring, selecting and one training; the front of each keep ratio is marked."""
    looks, panels = palette(found.board), panels_of(found.board)
    figures = {f"{panel.heading} keep {panel.keep:g}": partial(draw, panel, looks) for panel in panels}
    front: list[Row] = [
        {
            "table": panel.heading,
            "keep": panel.keep,
            "method": price.method.name,
            "seconds": rounded(price.seconds),
            "accuracy": rounded(100 * price.accuracy.mean),
            "front": price.front,
        }
        for panel in panels
        for price in panel.prices
    ]
    several = len({panel.heading for panel in panels}) > 1
    named = {name if several else f"keep {p.keep:g}": d for (name, d), p in zip(figures.items(), panels, strict=True)}
    return Ending({"": rows_of(found.board), "front": front}, named)
