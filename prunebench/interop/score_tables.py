"""Score files of others: a CSV of file names and values, one metric per file, as published for ImageNet-1K.

(https://github.com/rgeirhos/dataset-pruning-metrics, Sorscher et al., NeurIPS 2022: all of them high = worth keeping.)
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import UserError


def read_table(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Names (N,) and values (N,) float64 of a CSV with the columns name, value; text after them is passed over.

    A first line whose value is no number is a heading; a first column that counts 0, 1, 2, ... is passed over.

    Raises:
        UserError: no such table; the line is named.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = [(line, row) for line, row in enumerate(csv.reader(stream), 1) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as damaged:
        raise UserError(f"{path} is not a CSV file of names and values ({damaged})") from None
    first = 1 if _counted(rows) or _counted(rows[1:]) else 0
    if rows and _number(rows[0][1][first + 1 : first + 2]) is None:
        _refuse_several(rows, first, path)
        rows = rows[1:]
    names, values = [], []
    for line, row in rows:
        name, value = row[first : first + 2] if len(row) > first + 1 else ("", "")
        number = _number([value])
        if not name or number is None or not math.isfinite(number):
            raise UserError(f"{path}, line {line}: a name and a number are expected, got {','.join(row)[:80]!r}")
        names.append(name)
        values.append(number)
    if not names:
        raise UserError(f"{path} holds no line with a name and a number")
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise UserError(f"{path} names {twice!r} more than once: each example needs a name of its own")
    return tuple(names), np.array(values, dtype=np.float64)


def _counted(rows: Sequence[tuple[int, list[str]]]) -> bool:
    return bool(rows) and all(len(row) > 2 and row[0] == str(i) for i, (_, row) in enumerate(rows))


def _refuse_several(rows: Sequence[tuple[int, list[str]]], first: int, path: Path) -> None:
    """Raises:
    UserError: below a heading stand several columns of numbers, and nothing says which is the score.
    """
    heading, columns = rows[0][1], range(first + 1, len(rows[0][1]))
    told = [heading[c] for c in columns if all(_number(row[c : c + 1]) is not None for _, row in rows[1:])]
    if len(rows) > 1 and len(told) > 1:
        raise UserError(
            f"{path} has several columns of numbers ({', '.join(told)[:120]}), and one is the score: keep the names "
            "and that one"
        )


def _number(cells: Sequence[str]) -> float | None:
    """Of at most one cell."""
    try:
        return float(*cells) if cells else None
    except ValueError:
        return None
