"""What each method costs, and the accuracy it buys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..performing import Found
from .ending import Ending
from .rows import rows_of


def pareto(found: Found, options: Mapping[str, Any]) -> Ending:
    """Seconds as if alone: scoring, selecting and one training; marked is what nothing beats at its keep ratio."""
    from .drawing import draw_pareto

    rows = rows_of(found.board)
    for row in rows:
        row["total_seconds"] = sum(row[name] or 0.0 for name in ("score_seconds", "select_seconds", "train_seconds"))
    for row in rows:
        alike = [
            other
            for other in rows
            if all(other[name] == row[name] for name in ("dataset", "setting", "model"))
            and (other["keep"] == row["keep"] or other["selector"] == "full")
        ]
        row["front"] = not any(_beats(other, row) for other in alike)
    return Ending({"": rows}, {"": draw_pareto(rows, found.experiment.title)} if rows else {})


def _beats(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """No less accurate and no slower, and better in one of both."""
    better = one["accuracy"] >= other["accuracy"] and one["total_seconds"] <= other["total_seconds"]
    return better and (one["accuracy"], one["total_seconds"]) != (other["accuracy"], other["total_seconds"])
