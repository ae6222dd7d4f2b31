"""From the trials of one group to a table: one row per method and keep ratio, compared with class-balanced random."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..types import TrialResult
from .comparisons import compared
from .costs import reuses
from .groups import Group, baseline, dynamic, method
from .labels import Labels, labels_for, method_label
from .rows import Row as Row
from .rows import mean_of
from .statistics import summarise
from .verdicts import MARGIN

Variant = Callable[[TrialResult], str]
Apart = tuple[Variant, Variant | None]  # of trials of one seed, and of all; None: nothing tells these apart


@dataclass(frozen=True)
class Table:
    """Rows that can be compared, and the conditions they share."""

    conditions: Mapping[str, Any]
    split: Mapping[str, Any]  # what the reader asked to split by beyond the conditions: keep, scorer, selector, track
    rows: tuple[Row, ...]
    left_out: tuple[TrialResult, ...] = ()  # several for one seed that nothing tells apart

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(sorted({t.seed for row in self.rows for t in row.trials}))

    @property
    def missing(self) -> int:
        """Cells that other rows of this table and the same source have a seed for."""
        sources = [[row for row in self.rows if row.own is own] for own in (True, False)]
        return sum(
            len({t.seed for row in rows for t in row.trials}) - row.accuracy.n for rows in sources for row in rows
        )


def tables(
    found: Sequence[Group],
    split_by: Sequence[str],
    labels: Labels | None,
    apart: Apart,
    rival: str = "balanced",
    margin: float = MARGIN,
) -> list[Table]:
    """The tables of all groups, rows sorted: keep ratio up, accuracy down, full data last, oracles below all.

    ``rival`` is the baseline that rows are compared with, ``margin`` the percentage points that do not matter.
    """
    trials = [t for group in found for t in group.trials]
    scorers = labels_for("scorer", (t.scorer for t in trials if t.scorer), labels)
    selectors = labels_for("selector", (t.selector for t in trials), labels)
    made = []
    for group in found:
        rows, left_out = _rows(group, apart)
        rows = [_labelled(row, scorers, selectors) for row in _kept(rows)]
        for split, members in _split(rows, split_by):
            told = _paid(compared(members, rival, margin), group.conditions["train_budget"])
            made.append(Table(group.conditions, split, tuple(_sorted(told)), left_out))
    return [table for table in made if table.rows]


def _rows(group: Group, apart: Apart) -> tuple[list[Row], tuple[TrialResult, ...]]:
    by_method: dict[Any, list[TrialResult]] = defaultdict(list)
    for trial in group.trials:
        by_method[method(trial)].append(trial)
    rows, left_out = [], []
    for alike in by_method.values():
        for variant, members in _variants(alike, apart).items():
            seeds = Counter(t.seed for t in members)
            one = [t for t in members if seeds[t.seed] == 1]
            left_out += [t for t in members if seeds[t.seed] > 1]
            if one:
                rows.append(_row(sorted(one, key=lambda t: t.seed), variant, group.conditions["scorings"]))
    return rows, tuple(left_out)


def _variants(trials: Sequence[TrialResult], apart: Apart) -> dict[str, list[TrialResult]]:
    """Trials of one row, by definition; those of one more told apart where there are several for one seed."""
    variant_of, definition_of = apart
    defined = _parted(trials, definition_of) if definition_of else {"": list(trials)}
    if len(defined.keys() - {""}) < 2:
        defined = {"": list(trials)}
    found: dict[str, list[TrialResult]] = {}
    for definition, alike in defined.items():
        parts = {definition: alike}
        if len({t.seed for t in alike}) < len(alike):
            parts = _parted(alike, variant_of)
            parts = parts if len(parts) > 1 else {definition: alike}
        found |= parts
    return found


def _parted(trials: Sequence[TrialResult], by: Variant) -> dict[str, list[TrialResult]]:
    found: dict[str, list[TrialResult]] = defaultdict(list)
    for trial in trials:
        found[by(trial)].append(trial)
    return dict(found)


def _row(trials: Sequence[TrialResult], variant: str, scorings: int | None) -> Row:
    first = trials[0]
    ranks, chosen = first.scorer is not None, first.selector not in ("full", "subset") and not dynamic(first)
    row = Row(
        label="",
        scorer=first.scorer,
        selector=first.selector,
        keep=first.keep,
        examples=first.examples,
        baseline=baseline(first),
        variant=variant,
        trials=tuple(trials),
        accuracy=summarise([t.accuracy for t in trials]),
        scorings=scorings,
        score_seconds=mean_of([t.score_cost.alone_seconds for t in trials]) if ranks else None,
        select_seconds=mean_of([t.select_cost.alone_seconds for t in trials]) if chosen else None,
        train_seconds=mean_of([t.train_cost.seconds for t in trials]),
    )
    if row.runs is None:
        return row
    return replace(row, accuracy=summarise(list(row.by_seed.values()), list(row.runs.values())))


def _kept(rows: Sequence[Row]) -> list[Row]:
    """Index files, whose keep ratio is k / N, under that of a method that keeps as many: the nearest of several."""
    told = defaultdict[int, set[float]](set)
    for row in rows:
        if row.selector not in ("full", "subset"):
            told[row.examples].add(row.keep)
    return [
        replace(row, keep=min(sorted(told[row.examples]), key=lambda keep: abs(keep - row.keep)))
        if row.selector == "subset" and told[row.examples]
        else row
        for row in rows
    ]


def _labelled(row: Row, scorers: Mapping[str, str], selectors: Mapping[str, str]) -> Row:
    scorer = scorers[row.scorer] if row.scorer else None
    label = method_label(row.baseline, scorer, selectors[row.selector], row.trials[0].selection)
    label = f"{label} [{row.variant}]" if row.variant else label
    return replace(row, label=label if row.source == "here" else f"{label} ({row.source})")


def _split(rows: Sequence[Row], split_by: Sequence[str]) -> list[tuple[dict[str, Any], list[Row]]]:
    """Rows apart by what the reader asked for; baselines stand in every part they can be compared with."""
    parts: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if row.baseline is None or not split_by:
            parts.setdefault(tuple(_SPLITS[name](row) for name in split_by), []).append(row)
    if not parts:
        return [({}, list(rows))]
    found = []
    for key in sorted(parts, key=lambda key: tuple((isinstance(x, str), x) for x in key)):
        split = dict(zip(split_by, key, strict=True))
        if split_by:
            fitting = [r for r in rows if r.baseline and r.keep == split.get("keep", r.keep)]
            fitting += [r for r in rows if r.baseline == "full" and r not in fitting]
            parts[key] += fitting
        found.append((split, parts[key]))
    return found


_SPLITS: dict[str, Callable[[Row], Any]] = {
    "keep": lambda row: row.keep,
    "scorer": lambda row: row.scorer or "",
    "selector": lambda row: row.selector,
    "track": lambda row: "label-free" if row.label_free else "open",
}
SPLITS = tuple(_SPLITS)


def _paid(rows: Sequence[Row], train_budget: str) -> list[Row]:
    """Each row of a selection with the trainings after which it has paid for itself, where the full data stand: those
    of the same source first."""
    whole = [row for row in rows if row.baseline == "full"]
    told = []
    for row in rows:
        beside = [r.train_seconds for r in whole if r.own == row.own] or [r.train_seconds for r in whole]
        full = mean_of(beside) if beside else None
        selecting = None if row.select_seconds is None else (row.score_seconds or 0.0) + row.select_seconds
        count = None if selecting is None else reuses(selecting, full, row.train_seconds, train_budget)
        told.append(row if count is None else replace(row, reuses=count))
    return told


def _sorted(rows: Iterable[Row]) -> list[Row]:
    return sorted(
        rows, key=lambda r: (r.oracle, r.baseline == "full", r.keep, -r.accuracy.rounded, r.label, r.scorer or "")
    )
