"""From records to a board: a pure function of the results, whatever their order and wherever they lie."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import UserError
from ..spec import near
from ..types import TrialResult
from .failed import unfinished
from .friedman import AverageRanks, average_ranks
from .groups import TRAINED, Group, groups, on_track, unscored
from .labels import Labels, labels_for, method_label
from .table import SPLITS, Table, Variant, tables
from .transfer import Transfer, transfers
from .verdicts import MARGIN, Tally, tallies

RIVALS = {"open": "balanced", "label-free": "random"}  # track -> the baseline that its rows are compared with

# what tables are ordered by; they are apart by all conditions whatever is named here
_ORDERS: dict[str, tuple[str, ...]] = {
    "dataset": ("dataset", "setting", "image_size", "fingerprint"),
    "budget": ("train_budget", "steps"),
    "model": ("model", "pretrained"),
    "reference": ("reference", "reference_epochs", "scorings"),
    "precision": ("precision", "threads"),
}


@dataclass(frozen=True)
class Board:
    """Tables, and what is not in them."""

    tables: tuple[Table, ...]
    group_by: tuple[str, ...]
    failures: tuple[Mapping[str, Any], ...] = ()
    failed_methods: tuple[tuple[str, int], ...] = ()  # label, number of failed cells
    left_out: int = 0  # records that cannot be ranked
    track: str = "open"  # "label-free": rows that saw no labels but those of the selected examples
    transfers: tuple[Transfer, ...] = ()  # of methods that were trained on the network that scored and on others
    margin: float = MARGIN  # percentage points within which a method counts as good as the rival
    tallies: tuple[Tally, ...] = ()  # wins, ties and losses of each method over all tables
    ranks: tuple[AverageRanks, ...] = ()  # over data sets, where there are enough of them
    disagreeing: tuple[str, ...] = ()  # trials that several stores or bundles tell other accuracies of

    @property
    def missing(self) -> int:
        return sum(table.missing for table in self.tables)

    def render(self, form: str = "table", columns: str = "results") -> str:
        """As "table" (terminal, 100 columns), "md", "csv" or "json"; tables show "results", "tests" or "cost"."""
        from .formats import render

        return render(self, form, columns)

    def __str__(self) -> str:
        return self.render()


def board(
    results: Iterable[TrialResult],
    failures: Iterable[Mapping[str, Any]] = (),
    *,
    group_by: Sequence[str] = ("dataset", "budget", "model"),
    labels: Labels | None = None,
    variant_of: Variant | None = None,
    definition_of: Variant | None = None,
    track: str = "open",
    margin: float = MARGIN,
) -> Board:
    """The board of these results: a function of them alone, whatever their order.

    ``failures`` are counted, never numbers, and not where one of ``results`` finished the cell, or where the method
    has no place on the track. ``variant_of`` tells apart records of one method and one seed, by default by the versions
    of the packages that made them; ``definition_of`` those of a method that was defined anew, whatever their seeds (""
    where nothing tells it). On the ``track`` "label-free" stand the rows whose scorer and selector saw no labels,
    compared with uniform random at as many revealed labels (k: those of the selected examples).
    ``margin``: percentage points within which a method counts as good as what it is compared with, see `verdicts`.

    Raises:
        UserError: an unknown name in ``group_by``, an unknown track, or a margin that is no number from 0 to 100.
    """
    if track not in RIVALS:
        raise UserError(f"there is no track {track!r}{near(track, RIVALS)} (known: {', '.join(RIVALS)})")
    if not 0 <= margin <= 100:
        raise UserError(f"--margin is in percentage points, from 0 to 100, not {margin:g}")
    order, split_by = _grouping(group_by)
    told_of = {_identity(t): t for t in results}.values()
    given = _once(t for t in told_of if on_track(t, track))
    usable = [t for t in given if math.isfinite(t.accuracy) and 0 <= t.accuracy <= 1]
    found = sorted(groups(usable), key=lambda g: _place(g, order))
    made = tables(found, split_by, labels, (variant_of or versions, definition_of), RIVALS[track], margin)
    hidden = _left_out(given, usable, made)
    failed = unfinished(failures, (t for t in told_of if math.isfinite(t.accuracy)), track)
    moved = tuple(transfers(made, RIVALS[track]))
    told = Board(tuple(made), tuple(group_by), failed, _failed_methods(failed, labels), hidden, track, moved, margin)
    counted = tallies(row for table in made for row in table.rows)
    return replace(told, tallies=tuple(counted), ranks=tuple(average_ranks(made)))


def _once(trials: Iterable[TrialResult]) -> list[TrialResult]:
    """Each once; of a trial with and without a look at its best epoch, which is one training, that with it. What others
    report takes no place of one's own."""
    named = (
        *TRAINED,
        *("steps", "reference", "reference_epochs", "score_seed", "seed", "selection", "selector", "keep"),
    )
    made: dict[Any, list[TrialResult]] = {}
    for trial in sorted(trials, key=_identity):
        key = (trial.source == "here", *(getattr(trial, name) for name in named))
        made.setdefault(key, []).append(trial)
    looked = {key: [t for t in alike if t.best_accuracy is not None] for key, alike in made.items()}
    return sorted((t for key, alike in made.items() for t in looked[key] or alike), key=_identity)


def _left_out(given: Sequence[TrialResult], usable: Sequence[TrialResult], made: Sequence[Table]) -> int:
    """Records that no table shows; not those of a baseline that stands there by the records of another scoring."""
    shown = {_identity(t) for table in made for row in table.rows for t in row.trials}
    refused = {_identity(t) for table in made for t in table.left_out}
    stands = {_identity(t) for t in usable if unscored(t)} - refused
    accounted = shown | stands
    return sum(_identity(t) not in accounted for t in given)


def _grouping(group_by: Sequence[str]) -> tuple[list[str], list[str]]:
    for name in group_by:
        if name not in _ORDERS and name not in SPLITS:
            known = ", ".join((*_ORDERS, *SPLITS))
            raise UserError(f"--group-by does not know {name!r}{near(name, (*_ORDERS, *SPLITS))} (known: {known})")
    return [n for n in group_by if n in _ORDERS], [n for n in group_by if n in SPLITS]


def _place(group: Group, order: Sequence[str]) -> tuple[Any, ...]:
    """Where a group stands: by what was asked for, then by everything, so that the order is always the same."""
    named = [field for name in order for field in _ORDERS[name]]
    rest = [field for field in group.conditions if field not in named]
    return tuple(_comparable(group.conditions[field]) for field in (*named, *rest))


def _comparable(value: Any) -> tuple[bool, Any]:
    """None first, a range by its upper end."""
    return value is not None, max(value) if isinstance(value, list) else (0 if value is None else value)


def _identity(trial: TrialResult) -> str:
    """The record's id; results that were never stored are told apart by what they say."""
    return trial.id or json.dumps(vars(trial), sort_keys=True, default=vars)


def _failed_methods(failures: Iterable[Mapping[str, Any]], labels: Labels | None) -> tuple[tuple[str, int], ...]:
    cells = [(f.get("scorer") or None, str(f.get("selector") or "?")) for f in failures]
    scorers = labels_for("scorer", (str(scorer) for scorer, _ in cells if scorer), labels)
    selectors = labels_for("selector", (selector for _, selector in cells), labels)
    names = [
        method_label("full" if selector == "full" else None, scorer and scorers[str(scorer)], selectors[selector], "")
        for scorer, selector in cells
    ]
    return tuple(sorted(Counter(names).items()))


def versions(trial: TrialResult) -> str:
    """The versions of the packages whose methods a trial used, as its record tells them."""
    told = plugin_versions(trial)
    texts = (trial.scorer or "", trial.selector)
    packages = sorted({text.partition("/")[0] for text in texts if "/" in text.partition("(")[0]})
    return ", ".join(f"{package} {told.get(package, '?')}" for package in packages)


def plugin_versions(trial: TrialResult) -> dict[str, str]:
    """Distribution -> version, as the record tells them."""
    told = trial.provenance.get("plugins")
    return {str(k): str(v) for k, v in told.items()} if isinstance(told, Mapping) else {}
