"""Which pictures a score calls easiest, hardest, and neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import VerifyError
from ..store import Record, Store

ENDS = ("easiest", "middle", "hardest")


@dataclass(frozen=True)
class PictureRow:
    """Some examples, from the easier to the harder."""

    end: str  # "easiest", "middle", "hardest"
    positions: tuple[int, ...]  # in the training split
    scores: tuple[float, ...]  # the paper's numbers
    labels: tuple[int, ...] = ()  # as trained on; () where nobody gave them, see `labelled`


@dataclass(frozen=True)
class PictureSheet:
    """The ends and the middle of one score record."""

    record: str  # id
    dataset: str
    fingerprint: str  # of the training split, labels included; what the positions count in
    image_size: int
    scorer: str  # canonical text
    score_seed: int
    examples: int  # N
    hard: str  # which end of the number is hard, "high" or "low"
    rows: tuple[PictureRow, ...]


def pictures(stores: Sequence[Store], count: int = 10) -> tuple[PictureSheet, ...]:
    """A sheet per score record, by data set, scorer and seed; no picture is read, and labels are not known.

    Args:
        count: pictures of each row; of fewer than three times as many examples, rows share some.
    """
    records = {record.id: record for store in stores for record in store.records("scores")}
    sheets = (_sheet(record, count) for record in records.values())
    told = (sheet for sheet in sheets if sheet is not None)
    return tuple(sorted(told, key=lambda s: (s.dataset, s.fingerprint, s.scorer, s.score_seed, s.record)))


def labelled(sheet: PictureSheet, labels: np.ndarray) -> PictureSheet:
    """The sheet with the labels of its examples; ``labels`` (N,) are those of its training split."""
    rows = tuple(replace(row, labels=tuple(int(labels[i]) for i in row.positions)) for row in sheet.rows)
    return replace(sheet, rows=rows)


def picture_rows(hardness: np.ndarray, values: np.ndarray, count: int) -> tuple[PictureRow, ...]:
    """The ``count`` easiest of (N,) hardness, those around the median rank, and the hardest; ties by place."""
    order = np.argsort(hardness, kind="stable")
    count = min(count, len(order))
    first = {"easiest": 0, "middle": (len(order) - count) // 2, "hardest": len(order) - count}
    found = []
    for end in ENDS:
        places = order[first[end] : first[end] + count]
        found.append(PictureRow(end, tuple(map(int, places)), tuple(float(v) for v in values[places])))
    return tuple(found)


def _sheet(record: Record, count: int) -> PictureSheet | None:
    """None where the record tells no number for each example."""
    try:
        values, result, identity = np.asarray(record.arrays["values"]), record.result, record.identity
        hard, data = str(result["hard"]), str(result["fingerprint"])
        if values.ndim != 1 or values.dtype.kind not in "biuf" or not np.isfinite(values).all() or not len(values):
            return None
        if hard not in ("high", "low"):
            return None
        rows = picture_rows(values if hard == "high" else -values, values, count)
        name, size, seed = str(result["dataset"]), int(identity["image_size"]), int(identity["score_seed"])
        scorer = str(identity["method"]["text"])
    except (VerifyError, KeyError, TypeError, ValueError, AttributeError):
        return None
    return PictureSheet(record.id, name, data, size, scorer, seed, len(values), hard, rows)
