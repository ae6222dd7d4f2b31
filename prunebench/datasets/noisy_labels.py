"""Wrong labels on purpose: drawn, or read from a file of labels that people or a script gave.

    sym:p    of every class a share p, one of the other C - 1 classes at random        (the true one is not drawn again)
    asym:p   of every class a share p, to one other class: on CIFAR-10 the look-alikes of Patrini et al. (CVPR 2017),
             truck -> automobile, bird -> airplane, deer -> horse, cat <-> dog; elsewhere the next class, c + 1 mod C
    file:F   the labels of a file: a CSV of names and labels, or one label per training example

Which examples and which labels are drawn depends on their keys alone, so a part of a data set has the same ones.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import as_numpy, read_npy, read_pt
from ..budgets import class_budgets
from ..errors import UserError
from ..matching import places_of
from ..seeds import seed_for
from ..types import Split

MAX_BYTES = 2**28  # of a table, unzipped
LOOK_ALIKES = {"truck": "automobile", "bird": "airplane", "deer": "horse", "cat": "dog", "dog": "cat"}


def drawn(split: Split, kind: str, share: float, classes: Sequence[str]) -> np.ndarray:
    """(N,) int64 labels, round(share * n) of them wrong, in every class that can be mistaken its part.

    Raises:
        UserError: there is but one class.
    """
    if len(classes) < 2:
        raise UserError("label noise needs at least two classes")
    targets = {c: c for c in range(len(classes))} if kind == "sym" else mistaken_for(classes)
    labels = split.labels.copy()
    counts = np.bincount(labels, minlength=len(classes)) * np.array([c in targets for c in range(len(classes))])
    quotas = class_budgets(counts, int(share * counts.sum() + 0.5))
    for c, target in targets.items():
        members = np.flatnonzero(split.labels == c)
        order = sorted(members, key=lambda i: seed_for("label noise", kind, split.keys[i]))
        for i in order[: quotas[c]]:
            step = 1 + seed_for("wrong label", split.keys[i]) % (len(classes) - 1)
            labels[i] = (c + step) % len(classes) if kind == "sym" else target
    return labels


def mistaken_for(classes: Sequence[str]) -> dict[int, int]:
    """Class -> the class it is mistaken for."""
    if set(LOOK_ALIKES) <= set(classes) and len(classes) == 10:
        return {classes.index(a): classes.index(b) for a, b in LOOK_ALIKES.items()}
    return {c: (c + 1) % len(classes) for c in range(len(classes))}


def from_file(split: Split, path: Path, column: str | None, classes: Sequence[str]) -> np.ndarray:
    """(N,) int64 labels as a file gives them.

    A ``.csv`` or ``.csv.gz`` has names in its first column (matched to the keys, see `matching`) and class names or
    numbers in ``column``, which may be left out where there is only one other; an ``.npy``, or a ``.pt`` of arrays as
    CIFAR-N is published, one number per training example in the data set's order.

    Raises:
        UserError: no such file or column, an example without a label, or a label that is no class.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    if path.suffix in (".npy", ".pt"):
        found = _row(_numbers(path) if path.suffix == ".npy" else _column(_tensors(path), column, path), path)
        if len(found) != len(split):
            raise UserError(f"{path} holds {len(found)} labels, the training split has {len(split)} examples")
        told = [str(label) for label in found.tolist()]
    else:
        table = _table(path)
        names, *_ = table.values()
        wanted = _column(dict(list(table.items())[1:]), column, path)
        told = [wanted[place] for place in places_of(split.keys, names, str(path))]
    number = {name: c for c, name in enumerate(classes)} | {str(c): c for c in range(len(classes))}
    strange = next((label for label in told if label not in number), None)
    if strange is not None:
        raise UserError(f"{path} gives the label {strange!r}, which is no class of this data set")
    return np.array([number[label] for label in told], dtype=np.int64)


def _row(found: Any, path: Path) -> np.ndarray:
    """(N,) numbers or names."""
    try:
        row = as_numpy(found)
    except Exception:  # whatever a tensor file may hold
        row = np.empty((), dtype=object)
    if row.ndim != 1 or row.dtype.kind not in "biufU":
        raise UserError(f"{path} holds {row.dtype} of shape {row.shape}: one label per training example is expected")
    return row


def _numbers(path: Path) -> np.ndarray:
    try:
        return read_npy(path)
    except (ValueError, OSError) as damaged:
        raise UserError(f"{path} cannot be read: {damaged}") from None


def _table(path: Path) -> dict[str, list[str]]:
    """Heading -> column."""
    opened: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        rows = [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")) if row]
    except (OSError, EOFError, ValueError, zlib.error, csv.Error) as damaged:
        raise UserError(f"{path} is no CSV file of names and labels ({damaged})") from None
    if len(rows) < 2 or len(rows[0]) < 2 or any(len(row) != len(rows[0]) for row in rows):
        raise UserError(f"{path} must have a heading and as many columns in every line: names, then labels")
    return {heading: [row[i] for row in rows[1:]] for i, heading in enumerate(rows[0])}


def _tensors(path: Path) -> Mapping[str, Any]:
    """The arrays of a ``.pt`` file; nothing in it is run."""
    try:
        found = read_pt(path)
    except ValueError as damaged:
        raise UserError(f"{path} cannot be read as arrays of labels ({damaged})") from None
    return found if isinstance(found, dict) else {"labels": found}


def _column(columns: Mapping[str, Any], column: str | None, path: Path) -> Any:
    """The labels that are asked for, or the only ones."""
    if column is None and len(columns) == 1:
        return next(iter(columns.values()))
    if column is None or column not in columns:
        missing = "names several labels" if column is None else f"has no labels {column!r}"
        raise UserError(f"{path} {missing}: choose by file:{path.name}:COLUMN from {', '.join(map(str, columns))}")
    return columns[column]
