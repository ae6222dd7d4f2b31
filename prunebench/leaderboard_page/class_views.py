"""Class by class, for the records of one method: recall on the test split, and share of what is kept."""

from __future__ import annotations

from collections.abc import Sequence

from ..leaderboard.table import Row
from ..views.quotas import shares
from .charts import Box, HeatMap

MOST = 40  # classes; of more, those with the lowest recall


def class_maps(rows: Sequence[Row]) -> tuple[HeatMap, ...]:
    """Recall and share, keep ratios by classes; only what the records tell of at least two classes."""
    recalls = {row.keep: recall(row) for row in rows}
    kept = {row.keep: shares(row) for row in rows}
    first = next((values for values in recalls.values() if values), ())
    lowest = sorted(range(len(first)), key=lambda c: (first[c], c))[:MOST]
    found = [
        _map("Recall on the test split, %", recalls, sorted(lowest), len(first), 1.0),
        _map("Share of the kept examples, %", kept, list(range(MOST)), max(map(len, kept.values()), default=0), None),
    ]
    return tuple(each for each in found if each)


def recall(row: Row) -> tuple[float, ...]:
    """(C,) mean over the trials; () where they do not all tell as many classes."""
    told = [t.class_accuracy for t in row.trials]
    if len(set(map(len, told))) != 1:
        return ()
    return tuple(sum(values) / len(told) for values in zip(*told, strict=True))


def _map(
    title: str, told: dict[float, tuple[float, ...]], columns: Sequence[int], classes: int, most: float | None
) -> HeatMap | None:
    rows = [(keep, values) for keep, values in told.items() if len(values) == classes]
    if classes < 2 or not rows:
        return None
    columns = [c for c in columns if c < classes]
    top = most or max(max(values) for _, values in rows) or 1.0
    drawn = tuple(
        (f"keep {keep:.4g}", None, tuple(_box(values[c], top, f"keep {keep:.4g}, class {c}") for c in columns))
        for keep, values in rows
    )
    of = f"; {len(columns)} of {classes} classes" if len(columns) < classes else ""
    return HeatMap(
        title, f"Means over the seeds, classes as numbered in the labels{of}.", tuple(map(str, columns)), drawn
    )


def _box(value: float, top: float, name: str) -> Box:
    return Box(f"{100 * value:.1f}", f"{name}: {100 * value:.2f} %", round(4 * value / top))
