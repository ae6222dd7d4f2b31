"""Score files of others: a CSV of file names and values, one metric per file, as published for ImageNet-1K.

(https://github.com/rgeirhos/dataset-pruning-metrics, Sorscher et al., NeurIPS 2022: all of them high = worth keeping.)
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from pathlib import Path

import numpy as np

from ..errors import UserError


def read_table(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Names (N,) and values (N,) float64 of a CSV with the columns name, value; others after them are passed over.

    A first line whose value is no number is a heading; a first column that counts 0, 1, 2, ... is passed over.

    Raises:
        UserError: no such table; the line is named.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = [(line, row) for line, row in enumerate(csv.reader(stream), 1) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as damaged:
        raise UserError(f"{path} is not a CSV file of names and values ({damaged})") from None
    if rows and _value(rows[0][1][-1]) is None:
        rows = rows[1:]
    counted = bool(rows) and all(len(row) > 2 and row[0] == str(i) for i, (_, row) in enumerate(rows))
    names, values = [], []
    for line, row in rows:
        name, value = (row[1:] if counted else row)[:2] if len(row) > 1 else ("", "")
        number = _value(value)
        if not name or number is None:
            raise UserError(f"{path}, line {line}: a name and a number are expected, got {','.join(row)[:80]!r}")
        names.append(name)
        values.append(number)
    if not names:
        raise UserError(f"{path} holds no line with a name and a number")
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise UserError(f"{path} names {twice!r} more than once: each example needs a name of its own")
    return tuple(names), np.array(values, dtype=np.float64)


def _value(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
