"""What the rows of a table are set against: the rival, the best other method, and accuracy against cost.

Everything is among rows with as many examples. Methods are rows that are neither baselines nor oracles; another method
has another scorer, selector or index file. The best other method of a row is the one with the highest mean accuracy on
the row's seeds, of those that have all of them; else of those that have several, else one. It was found on the seeds
that it is compared on, so it leads by a little too much.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .groups import content
from .rows import Row, mean_of
from .statistics import DIGITS, Difference, adjusted, paired
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

    def distance(r: Row) -> tuple[bool, bool, bool, str]:
        return r.keep != row.keep, r.own != row.own, r.variant != row.variant, r.variant

    return min(found, key=distance, default=None)


def best_others(rows: Sequence[Row]) -> list[Row | None]:
    """Of each row the best other method with as many examples: the second best for the best itself, none for baselines
    and oracles. Of equal means the one whose label comes first."""
    methods: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        if not row.baseline and not row.oracle:
            methods[row.examples].append(row)
    ordered: dict[tuple[int, frozenset[int]], list[Row]] = {}
    found: list[Row | None] = []
    for row in rows:
        if row.baseline or row.oracle:
            found.append(None)
            continue
        key = row.examples, frozenset(row.by_seed)
        if key not in ordered:
            ordered[key] = _on_seeds(methods[row.examples], key[1])
        found.append(next((other for other in ordered[key] if _method(other) != _method(row)), None))
    return found


def _on_seeds(rows: Sequence[Row], seeds: frozenset[int]) -> list[Row]:
    """Those that have any of the ``seeds``: that have all, several, one; the best on them first."""

    def place(row: Row) -> tuple[Any, ...]:
        shared = [accuracy for seed, accuracy in row.by_seed.items() if seed in seeds]
        several = len(seeds) if len(shared) == len(seeds) else min(len(shared), 2)
        mean = round(mean_of(shared), DIGITS) if shared else 0.0
        return -several, -mean, row.label, row.scorer or "", row.selector

    placed = sorted(((place(row), i) for i, row in enumerate(rows)), key=lambda pair: pair[0])
    return [rows[i] for told, i in placed if told[0]]


def _method(row: Row) -> tuple[str | None, str, str]:
    return row.scorer, row.selector, content(row.trials[0])


def pareto(rows: Sequence[Row]) -> set[int]:
    """The places of the rows on the front of mean accuracy and total cost, among rows with as many examples.

    A row is on it if no other is at least as accurate and at most as costly, and better in one of the two. The cost is
    `Row.total_seconds`. The full data and oracles are on no front. What others report has a front of its own: its
    seconds are of other machines.
    """
    alike: dict[tuple[int, bool], list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        if not _apart(row):
            alike[row.examples, row.own].append(place)
    front: set[int] = set()
    for places in alike.values():
        cheapest = float("inf")  # of those more accurate than the row at hand
        tops: list[int] = []  # of equal accuracy the cheapest
        for place in sorted(places, key=lambda i: (-rows[i].accuracy.rounded, rows[i].total_seconds)):
            row = rows[place]
            same = bool(tops) and row.accuracy.rounded == rows[tops[-1]].accuracy.rounded
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
