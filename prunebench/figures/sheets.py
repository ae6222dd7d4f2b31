"""A figure to be: how it is drawn, and its numbers as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..leaderboard.escaping import csv_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Sheet:
    """One figure."""

    title: str  # what it is of, as records name it
    draw: Callable[[], Figure]  # inside `drawing`
    columns: tuple[str, ...]
    lines: Sequence[tuple[Any, ...]]  # what is drawn, number by number; None where there is none

    def csv(self) -> bytes:
        """The numbers as CSV: ratios in 0..1, texts that no spreadsheet takes for a formula."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(self.columns)
        for line in self.lines:
            writer.writerow([csv_text(cell) if isinstance(cell, str) else cell for cell in line])
        return stream.getvalue().encode()


@dataclass(frozen=True)
class Kind:
    """The figures of one kind, or why there is none."""

    name: str  # of the files
    sentence: str  # what each of them shows
    sheets: Sequence[Sheet] = ()
    missing: str = ""  # why there is none, where there is none
    others: str = ""  # why there are no more
