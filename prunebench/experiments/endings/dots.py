"""A table of methods and keep ratios, drawn as means with their intervals, published ones beside them.

A published number is drawn where it can be compared, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ...leaderboard import Board
from ..measuring import accuracies, comparisons
from ..performing import Found
from .ending import Ending, Row
from .rows import rounded, rows_of


def dots(found: Found, options: Mapping[str, Any]) -> Ending:
    """A panel per data set, setting, model and keep ratio."""
    from .drawing import draw_dots

    rows = rows_of(found.board)
    told = comparisons(found.harnesses[0].registry, found.experiment.references, list(accuracies(found.board)))
    comparable = {
        (c.published.dataset, c.published.setting, c.published.network, *c.published.which): c.published.mean
        for c in told
        if c.difference is not None and c.published.quantity == "accuracy"
    }
    for row in rows if comparable else ():
        which = (row["dataset"], row["setting"], row["model"], row["scorer"] or None, row["selector"], row["keep"])
        row["published"] = comparable.get(which)
    tables = {"": rows} | ({"transfer": transfer} if (transfer := _transfers(found.board)) else {})
    return Ending(tables, {"": partial(draw_dots, rows, found.experiment.title)} if rows else {})


def _transfers(board: Board) -> list[Row]:
    """Of methods trained on the network that scored and on others: gains over class-balanced random, in points."""
    return [
        {
            "dataset": moved.row.trials[0].dataset,
            "method": moved.row.label,
            "keep": moved.row.keep,
            "scored_by": moved.reference,
            "others": ", ".join(moved.others),
            "seeds": moved.gap.n,
            **{
                f"{name}{part}": None if value is None else rounded(100 * value)
                for name in ("on_reference", "on_others", "gap")
                for part, value in (("", getattr(moved, name).mean), ("_half", getattr(moved, name).half))
            },
        }
        for moved in board.transfers
    ]
