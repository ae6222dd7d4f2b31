"""What the rows of a table are set against: the rival, the best other method, and accuracy against cost.

Everything is among rows with as many examples. Methods are rows that are neither baselines nor oracles. The best other
method of a row is the one with the highest mean accuracy beside it. It was found on the seeds that it is compared on,
so it leads by a little too much.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from .rows import Row
from .statistics import Difference, adjusted, paired
from .verdicts import verdict


def compared(rows: Sequence[Row], rival: str, margin: float) -> list[Row]:
    """Each row with its differences, Holm over all rows that have a p value, its verdict and its place on the front.

    ``rival`` is a baseline, ``margin`` in percentage points.
    """
    others = best_others(rows)
    to_rival = adjusted([_against(row, partner(row, rows, rival)) for row in rows])
    to_best = adjusted([_against(row, other) for row, other in zip(rows, others, strict=True)])
    front = pareto(rows)
    told = []
    for place, row in enumerate(rows):
        other, difference, best = others[place], to_rival[place], to_best[place]
        changed = replace(
            row,
            difference=difference,
            verdict=verdict(difference, margin),
            best_other=best,
            best_other_label=other.label if other and best else None,
            pareto=None if _apart(row) else place in front,
        )
        told.append(changed)
    return told


def partner(row: Row, rows: Sequence[Row], rival: str) -> Row | None:
    """The rival's row with as many examples, of the same keep ratio where there are several; none for an oracle."""
    if row.baseline in ("full", rival) or row.oracle:
        return None
    found = [r for r in rows if r.baseline == rival and r.examples == row.examples]
    own = row.source == "here"

    def distance(r: Row) -> tuple[bool, bool, bool, str]:
        return r.keep != row.keep, (r.source == "here") != own, r.variant != row.variant, r.variant

    return min(found, key=distance, default=None)


def best_others(rows: Sequence[Row]) -> list[Row | None]:
    """Of each row the best other method with as many examples: the second best for the best itself, none for baselines
    and oracles. Of equal means the one whose label comes first."""
    best: dict[int, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda r: (-r.accuracy.mean, r.label, r.scorer or "", r.selector)):
        if not row.baseline and not row.oracle and len(best[row.examples]) < 2:
            best[row.examples].append(row)
    return [
        None if row.baseline or row.oracle else next((r for r in best[row.examples] if r is not row), None)
        for row in rows
    ]


def pareto(rows: Sequence[Row]) -> set[int]:
    """The places of the rows on the front of mean accuracy and total cost, among rows with as many examples.

    A row is on it if no other is at least as accurate and at most as costly, and better in one of the two. The cost is
    `Row.total_seconds`. The full data and oracles are on no front.
    """
    alike: dict[int, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        if not _apart(row):
            alike[row.examples].append(place)
    front: set[int] = set()
    for places in alike.values():
        cheapest = float("inf")  # of those more accurate than the row at hand
        tops: list[int] = []  # of equal accuracy the cheapest
        for place in sorted(places, key=lambda i: (-rows[i].accuracy.mean, rows[i].total_seconds)):
            row = rows[place]
            same = bool(tops) and row.accuracy.mean == rows[tops[-1]].accuracy.mean
            if row.total_seconds < cheapest or (same and row.total_seconds == cheapest):
                tops.append(place)
                cheapest = row.total_seconds
        front |= set(tops)
    return front


def _apart(row: Row) -> bool:
    return row.oracle or row.baseline == "full"


def _against(row: Row, other: Row | None) -> Difference | None:
    """Paired by seed; scoring runs are those of the row, or of the other where the row has none."""
    return paired(row.by_seed, other.by_seed, row.runs or other.runs) if other else None
