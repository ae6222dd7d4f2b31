"""From the trials of one group to a table: one row per method and keep ratio, compared with class-balanced random."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..types import TrialResult
from .costs import mean_cost, reuses
from .groups import Group, baseline, dynamic, method, unscored
from .labels import Labels, labels_for, method_label
from .statistics import Difference, Summary, holm, paired, summarise

Variant = Callable[[TrialResult], str]


TRUTH = tuple(f"{noise}_{what}" for noise in ("mislabelled", "corrupted") for what in ("share", "precision", "recall"))
CLASSES = ("smallest_class_share", "largest_class_share")
MEASURES = ("worst_class", "worst_tenth", "recall_spread", "ece", *TRUTH, *CLASSES, "best_accuracy", "best_step")


def measured(trial: TrialResult) -> dict[str, float]:
    """Recall of the worst class, mean recall of the worst tenth of the classes (at least one), the largest less the
    smallest recall, expected calibration error, what is known of the noise in the subset, and the shares that the class
    with fewest and the class with most examples have of the subset; all in 0..1. Where the test split was looked at
    along the way, the best accuracy, and after how many steps it was."""
    recalls = sorted(trial.class_accuracy)
    told = {} if trial.ece is None else {"ece": trial.ece}
    if recalls:
        worst = recalls[: math.ceil(len(recalls) / 10)]
        told |= {"worst_class": recalls[0], "worst_tenth": _mean(worst), "recall_spread": recalls[-1] - recalls[0]}
    if trial.best_accuracy is not None and trial.best_step is not None:
        told |= {"best_accuracy": trial.best_accuracy, "best_step": float(trial.best_step)}
    told |= {name: value for name, value in trial.truth.items() if name in TRUTH}
    if counts := trial.class_counts:
        told |= dict(zip(CLASSES, (min(counts) / sum(counts), max(counts) / sum(counts)), strict=True))
    return told


@dataclass(frozen=True)
class Row:
    """One method at one keep ratio: its trials, one per seed, and what they say."""

    label: str
    scorer: str | None
    selector: str
    keep: float
    examples: int  # k
    baseline: str | None  # "full", "balanced", "random", or None for methods and index files
    variant: str  # "" unless records of one method must be told apart
    trials: tuple[TrialResult, ...]  # by seed
    accuracy: Summary
    difference: Difference | None = None  # to class-balanced (label-free: uniform) random with as many examples
    score_seconds: float | None = None  # as if alone
    select_seconds: float | None = None  # as if alone
    train_seconds: float = 0.0
    reuses: float | None = None  # trainings after which the selection has paid for itself, see `costs`
    best_other: Difference | None = None  # to the best other method of the same table with as many examples
    best_other_label: str | None = None  # which that is; None where there is no other
    verdict: str | None = (
        None  # of `difference`: "win", "tie", "loss", "open", see `verdicts`; None without an interval
    )
    pareto: bool | None = None  # on the front of accuracy and total cost; None for the full data and oracles

    @property
    def by_seed(self) -> dict[int, float]:
        return {t.seed: t.accuracy for t in self.trials}

    @property
    def total_seconds(self) -> float:
        """Scoring, selecting and one training, as if alone."""
        return (self.score_seconds or 0.0) + (self.select_seconds or 0.0) + self.train_seconds

    @property
    def runs(self) -> dict[int, int] | None:
        """Seed -> scoring run, where several had a part; None where a scoring had none, or all seeds share one."""
        found = {t.seed: t.score_seed for t in self.trials}
        return None if unscored(self.trials[0]) or len(set(found.values())) == 1 else found

    @property
    def class_counts(self) -> list[float]:
        """(C,) kept examples of each class, mean over the trials; empty where a record does not tell them."""
        told = [t.class_counts for t in self.trials]
        return [_mean(counts) for counts in zip(*told, strict=True)] if len(set(map(len, told))) == 1 else []

    @property
    def costs(self) -> dict[str, dict[str, Any] | None]:
        """Of scoring, selecting and training, means over the trials; None for a step that there was not."""
        return {
            "score": None if self.score_seconds is None else mean_cost([t.score_cost for t in self.trials]),
            "select": None if self.select_seconds is None else mean_cost([t.select_cost for t in self.trials]),
            "train": mean_cost([t.train_cost for t in self.trials]),
        }

    @cached_property
    def measures(self) -> dict[str, float]:
        """What else the trials tell, mean over them; only what every one of them tells."""
        told = [measured(t) for t in self.trials]
        return {name: _mean([t[name] for t in told]) for name in MEASURES if all(name in t for t in told)}

    @property
    def label_free(self) -> bool:
        return all(t.label_free for t in self.trials)

    @property
    def oracle(self) -> bool:
        """Shown below all others and compared with nothing: it looked at what no contender may see."""
        return any(t.oracle for t in self.trials)


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
        """Cells that other rows of this table have a seed for."""
        seeds = len(self.seeds)
        return sum(seeds - row.accuracy.n for row in self.rows)


def tables(
    found: Sequence[Group], split_by: Sequence[str], labels: Labels | None, variant_of: Variant, rival: str = "balanced"
) -> list[Table]:
    """The tables of all groups, rows sorted: keep ratio up, accuracy down, full data last, oracles below all.

    ``rival`` is the baseline that rows are compared with.
    """
    trials = [t for group in found for t in group.trials]
    scorers = labels_for("scorer", (t.scorer for t in trials if t.scorer), labels)
    selectors = labels_for("selector", (t.selector for t in trials), labels)
    made = []
    for group in found:
        rows, left_out = _rows(group.trials, variant_of)
        rows = [_labelled(row, scorers, selectors) for row in rows]
        for split, members in _split(rows, split_by):
            told = _paid(_compared(members, rival), group.conditions["train_budget"])
            made.append(Table(group.conditions, split, tuple(_sorted(told)), left_out))
    return [table for table in made if table.rows]


def _rows(trials: Iterable[TrialResult], variant_of: Variant) -> tuple[list[Row], tuple[TrialResult, ...]]:
    by_method: dict[Any, list[TrialResult]] = defaultdict(list)
    for trial in trials:
        by_method[method(trial)].append(trial)
    rows, left_out = [], []
    for alike in by_method.values():
        for variant, members in _variants(alike, variant_of).items():
            seeds = Counter(t.seed for t in members)
            one = [t for t in members if seeds[t.seed] == 1]
            left_out += [t for t in members if seeds[t.seed] > 1]
            if one:
                rows.append(_row(sorted(one, key=lambda t: t.seed), variant))
    return rows, tuple(left_out)


def _variants(trials: Sequence[TrialResult], variant_of: Variant) -> dict[str, list[TrialResult]]:
    """Trials of one row; told apart only where there are several for one seed (the method changed in between)."""
    if len({t.seed for t in trials}) == len(trials):
        return {"": list(trials)}
    found: dict[str, list[TrialResult]] = defaultdict(list)
    for trial in trials:
        found[variant_of(trial)].append(trial)
    return dict(found) if len(found) > 1 else {"": list(trials)}


def _row(trials: Sequence[TrialResult], variant: str) -> Row:
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
        score_seconds=_mean([t.score_cost.alone_seconds for t in trials]) if ranks else None,
        select_seconds=_mean([t.select_cost.alone_seconds for t in trials]) if chosen else None,
        train_seconds=_mean([t.train_cost.seconds for t in trials]),
    )
    if row.runs is None:
        return row
    return replace(row, accuracy=summarise(list(row.by_seed.values()), list(row.runs.values())))


def _labelled(row: Row, scorers: Mapping[str, str], selectors: Mapping[str, str]) -> Row:
    scorer = scorers[row.scorer] if row.scorer else None
    label = method_label(row.baseline, scorer, selectors[row.selector], row.trials[0].selection)
    return replace(row, label=f"{label} [{row.variant}]" if row.variant else label)


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


def _compared(rows: Sequence[Row], rival: str) -> list[Row]:
    """Each row with its paired difference to the rival; Holm over all rows that have a p value."""
    compared = []
    for row in rows:
        other = partner(row, rows, rival)
        found = paired(row.by_seed, other.by_seed, row.runs) if other else None
        compared.append(replace(row, difference=found) if found else row)
    tested = [row.difference for row in compared if row.difference and row.difference.p is not None]
    adjusted = dict(zip(map(id, tested), holm([d.p for d in tested if d.p is not None]), strict=True))
    return [
        replace(row, difference=replace(row.difference, p_holm=adjusted.get(id(row.difference))))
        if row.difference
        else row
        for row in compared
    ]


def partner(row: Row, rows: Sequence[Row], rival: str) -> Row | None:
    """The rival's row with as many examples, of the same keep ratio where there are several; none for an oracle."""
    if row.baseline in ("full", rival) or row.oracle:
        return None
    found = [r for r in rows if r.baseline == rival and r.examples == row.examples]
    return min(found, key=lambda r: (r.keep != row.keep, r.variant != row.variant, r.variant), default=None)


def _paid(rows: Sequence[Row], train_budget: str) -> list[Row]:
    """Each row of a selection with the trainings after which it has paid for itself, where the full data stand."""
    whole = [row.train_seconds for row in rows if row.baseline == "full"]
    full, told = _mean(whole) if whole else None, []
    for row in rows:
        selecting = None if row.select_seconds is None else (row.score_seconds or 0.0) + row.select_seconds
        count = None if selecting is None else reuses(selecting, full, row.train_seconds, train_budget)
        told.append(row if count is None else replace(row, reuses=count))
    return told


def _sorted(rows: Iterable[Row]) -> list[Row]:
    return sorted(
        rows, key=lambda r: (r.oracle, r.baseline == "full", r.keep, -r.accuracy.mean, r.label, r.scorer or "")
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
