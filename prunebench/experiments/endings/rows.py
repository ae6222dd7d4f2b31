"""The rows of a board as plain columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...leaderboard import Board
from ...leaderboard import Row as BoardRow
from ...spec import Spec, parse
from .ending import Row

_TRUTH = ("mislabelled_share", "corrupted_share", "mislabelled_recall")
_ROUNDED = 4  # digits after the point of per cents and seconds


def rows_of(board: Board) -> list[dict[str, Any]]:
    """A row per method, keep ratio and table: accuracy, difference to class-balanced random, seconds.

    Accuracies and differences in per cent and points; low, high: the ends of a 95 % interval, half: half its width,
    None with one seed.
    """
    found: list[Row] = []
    for table in board.tables:
        for row in table.rows:
            conditions = table.conditions
            found.append(
                {
                    "dataset": conditions["dataset"],
                    "setting": conditions["setting"],
                    "model": conditions["model"],
                    "method": row.label,
                    "scorer": row.scorer or "",
                    "selector": row.selector,
                    "keep": row.keep,
                    "k": row.examples,
                    "seeds": row.accuracy.n,
                    "accuracy": rounded(100 * row.accuracy.mean),
                    "sd": _per_cent(row.accuracy.sd),
                    **{name: _per_cent(getattr(row.accuracy, name)) for name in ("half", "low", "high")},
                    "vs_balanced": _per_cent(row.difference.mean if row.difference else None),
                    "vs_balanced_half": _per_cent(row.difference.half if row.difference else None),
                    **{name: rounded(row.measures[name]) for name in _TRUTH if name in row.measures},
                    "worst_class": _per_cent(row.measures.get("worst_class")),
                    **_seconds(row),
                }
            )
    columns = list(dict.fromkeys(name for row in found for name in row))
    return [{name: row.get(name) for name in columns} for row in found]


def _seconds(row: BoardRow) -> Row:
    spent = {
        "score_seconds": row.score_seconds,
        "select_seconds": row.select_seconds,
        "train_seconds": row.train_seconds,
    }
    return {name: None if value is None else rounded(value) for name, value in spent.items()}


def _per_cent(value: float | None) -> float | None:
    return None if value is None else rounded(100 * value)


def rounded(value: Any) -> float:
    return round(float(value), _ROUNDED)


def parted(figures: Mapping[str, Callable[[], Any]]) -> dict[str, Callable[[], Any]]:
    """Figures by the name of their file: the first is the recipe's own, the others bear their heading."""
    return {"" if i == 0 else name: draw for i, (name, draw) in enumerate(figures.items())}


def option(text: str | None, name: str) -> Any:
    """The value of an option of a method or of one inside it; None where neither has it."""
    return next((spec.options[name] for spec in _nested(parse(text)) if name in spec.options), None) if text else None


def _nested(spec: Spec | None) -> Iterator[Spec]:
    while spec is not None:
        yield spec
        spec = spec.inner
