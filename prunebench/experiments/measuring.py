"""Numbers of a board in the form in which papers print them, and published ones under the names that records bear."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..leaderboard import Board, Row, Table
from ..registry import Registry
from .published import Comparison, Measured, Published, compare, published


def canonical(registry: Registry, entry: Published) -> Published:
    """The entry with the canonical texts of its methods.

    Raises:
        UserError: a method that is not installed here.
    """

    def text(kind: str, name: str | None) -> str | None:
        return name if name in (None, "full") else registry.method(kind, str(name)).text

    if entry.quantity == "accuracy":
        scorer, selector, keep = entry.which
        return replace(entry, which=(text("scorer", scorer), text("selector", selector), keep))
    if entry.quantity == "margin":
        scorer, over, selector, up_to = entry.which
        texts = text("scorer", scorer), text("scorer", over), text("selector", selector)
        return replace(entry, which=(*texts, up_to))
    return entry


def accuracies(board: Board) -> Iterator[Measured]:
    """Of every row, in per cent."""
    for table in board.tables:
        for row in table.rows:
            best = [t.best_accuracy for t in row.trials if t.best_accuracy is not None]
            yield Measured(
                "accuracy",
                (row.scorer, row.selector, row.keep),
                **_shared(table, [row]),
                values=tuple(100 * t.accuracy for t in row.trials),
                best=tuple(100 * value for value in best) if len(best) == len(row.trials) else (),
                runs=None if row.runs is None else tuple(row.runs.values()),
            )


def margin(table: Table, which: tuple[Any, ...]) -> Measured | None:
    """Points of one scorer over another under one selector, mean over the keep ratios up to one, seed by seed.

    None where the table has no keep ratio at which both were trained with the same seeds.
    """
    scorer, over, selector, up_to = which
    ours, theirs = (
        {r.keep: r for r in table.rows if (r.scorer, r.selector) == (name, selector) and r.keep <= up_to}
        for name in (scorer, over)
    )
    keeps = sorted(ours.keys() & theirs.keys())
    seeds = [set(rows[keep].by_seed) for rows in (ours, theirs) for keep in keeps]
    common = sorted(set.intersection(*seeds)) if seeds else []
    if not common:
        return None
    points = [[100 * (ours[keep].by_seed[seed] - theirs[keep].by_seed[seed]) for keep in keeps] for seed in common]
    shared = _shared(table, [rows[keep] for rows in (ours, theirs) for keep in keeps])
    run = {t.seed: t.score_seed for t in ours[keeps[0]].trials}
    values = tuple(sum(p) / len(p) for p in points)
    return Measured("margin", which, **shared, values=values, runs=tuple(run[seed] for seed in common))


def _shared(table: Table, rows: Sequence[Row]) -> dict[str, Any]:
    conditions = table.conditions
    return {
        "dataset": conditions["dataset"],
        "setting": conditions["setting"],
        "network": conditions["model"],
        "image_size": conditions["image_size"],
        "budget": conditions["train_budget"],
        "steps": tuple(t.steps for row in rows for t in row.trials),
    }


def comparisons(registry: Registry, references: Sequence[str], measured: Sequence[Measured]) -> list[Comparison]:
    """Every published number of some files beside what was measured, in the files' order.

    Raises:
        UserError: no such file, or a method in it that is not installed here.
    """
    entries = [canonical(registry, entry) for name in references for entry in published(name)]
    return [compare(entry, measured) for entry in entries]
