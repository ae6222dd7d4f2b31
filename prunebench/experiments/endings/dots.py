"""A table of methods and keep ratios, drawn as means with their intervals, published ones beside them.

A published number is drawn where it can be compared, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..measuring import accuracies, comparisons
from ..performing import Found
from .ending import Ending
from .rows import rows_of


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
    return Ending({"": rows}, {"": partial(draw_dots, rows, found.experiment.title)} if rows else {})
