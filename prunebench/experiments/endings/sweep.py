"""Accuracy over one option of a method, a line per keep ratio: window starts, or the step a picture is noised to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..performing import Found
from .ending import Ending, Row
from .rows import option, rows_of


def sweep(found: Found, options: Mapping[str, Any]) -> Ending:
    """Options: ``option``, whose values are numbers; ``axis``, its name for people.

    A value that is no number is drawn as a level, and so is class-balanced random.
    """
    from .drawing import draw_lines

    rows, lines, levels = rows_of(found.board), list[Row](), list[Row]()
    for row in rows:
        value = option(str(row["scorer"]), options["option"])
        value = option(str(row["selector"]), options["option"]) if value is None else value
        row["value"] = value if isinstance(value, (int, float)) else None if value is None else str(value)
        named = f"keep {row['keep']:g}"
        if isinstance(value, (int, float)):
            lines.append({**row, "x": value, "line": named})
        elif value is not None or str(row["selector"]).startswith("prunebench/balanced("):
            levels.append({**row, "line": f"{named}, {'balanced random' if value is None else value}"})
    axis = options.get("axis", options["option"])
    return Ending({"": rows}, {"": partial(draw_lines, lines, levels, found.experiment.title, axis)} if lines else {})
