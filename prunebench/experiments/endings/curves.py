"""Accuracy over keep ratio, a line per method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..measuring import margin
from ..performing import Found
from ..published import Measured
from .ending import Ending
from .rows import rows_of


def curves(found: Found, options: Mapping[str, Any]) -> Ending:
    """The curves of every data set, and the ``margins`` [scorer, over, selector, keep_up_to] that are asked for."""
    from .drawing import draw_lines

    rows = rows_of(found.board)
    lines = [{**row, "x": row["keep"], "line": row["method"]} for row in rows if row["selector"] != "full"]
    level = [{**row, "line": row["method"]} for row in rows if row["selector"] == "full"]
    figure = draw_lines(lines, level, found.experiment.title, "keep ratio") if lines else None
    return Ending({"": rows}, {"": figure} if figure else {}, _margins(found, options.get("margins", [])))


def _margins(found: Found, wanted: list[list[Any]]) -> list[Measured]:
    registry, measured = found.harnesses[0].registry, []
    for scorer, over, selector, up_to in wanted:
        texts = [
            registry.method(*named).text for named in (("scorer", scorer), ("scorer", over), ("selector", selector))
        ]
        tables = (margin(table, (*texts, up_to)) for table in found.board.tables)
        measured += [one for one in tables if one is not None]
    return measured
