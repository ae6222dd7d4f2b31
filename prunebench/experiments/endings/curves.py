"""Accuracy over keep ratio, a line per method."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ...figures.curves import draw
from ...views import curves as panels_of
from ...views.palette import palette
from ..measuring import margin
from ..performing import Found
from ..published import Measured
from .ending import Ending
from .rows import parted, rows_of


def curves(found: Found, options: Mapping[str, Any]) -> Ending:
    """The curves of every data set, and the ``margins`` [scorer, over, selector, keep_up_to] that are asked for."""
    looks = palette(found.board)
    figures = {panel.heading: partial(draw, panel, looks) for panel in panels_of(found.board)}
    return Ending({"": rows_of(found.board)}, parted(figures), _margins(found, options.get("margins", [])))


def _margins(found: Found, wanted: list[list[Any]]) -> list[Measured]:
    registry, measured = found.harnesses[0].registry, []
    for scorer, over, selector, up_to in wanted:
        names = (("scorer", scorer), ("scorer", over), ("selector", selector))
        texts = [registry.method(*named).text for named in names]
        tables = (margin(table, (*texts, up_to)) for table in found.board.tables)
        measured += [one for one in tables if one is not None]
    return measured
