"""What an ending leaves, and the ending of each name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..performing import Found
from ..published import Measured

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, Any]  # of a CSV file, by column: text, numbers, true or false, None


@dataclass(frozen=True, eq=False)
class Ending:
    """Rows by the name of their file ("" is the recipe's own), how figures are drawn, and what else was measured."""

    rows: Mapping[str, Sequence[Row]]
    figures: Mapping[str, Callable[[], Figure]]  # to be called inside `prunebench.figures.drawing`
    measured: Sequence[Measured] = ()  # beside the accuracies of the board
    told: Sequence[str] = field(default=())  # sentences on what stands there, or does not


def ending_of(found: Found) -> Ending:
    """The ending that the recipe names."""
    function: Callable[[Found, Mapping[str, Any]], Ending]
    name = found.experiment.ending
    function = getattr(import_module(f"{__package__}.{name}"), name)
    return function(found, found.experiment.options)
