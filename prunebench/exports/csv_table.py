"""``.csv``: the columns position, key (where keys are known) and weight (where there are weights); UTF-8."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from ..interop.files import write_with_card
from . import Export


def columns(export: Export) -> dict[str, list[Any]]:
    """By heading; each of k rows."""
    found: dict[str, list[Any]] = {"position": export.positions.tolist()}
    if export.selection.keys is not None:
        found["key"] = list(export.keys)
    if export.selection.weights is not None:
        found["weight"] = export.selection.weights.tolist()
    return found


def write(export: Export) -> Path:
    found, text = columns(export), io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(found)
    table.writerows(zip(*found.values(), strict=True))
    return write_with_card(export.out, text.getvalue().encode(), export.card)
