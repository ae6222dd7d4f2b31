"""Methods by networks: does what one network's scores chose serve another network?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..leaderboard.ranking import Board
from ..leaderboard.rows import Row
from ..leaderboard.table import Table
from ..leaderboard.wording import headings
from .series import Method, method_of

Measure = Literal["accuracy", "difference"]
_OWN = ("model", "recipe", "steps")  # conditions in which the tables of several networks differ


@dataclass(frozen=True)
class TransferMap:
    """One keep ratio. Rows of ``values`` are methods, columns are networks."""

    heading: str  # of the first of the tables, without its network
    measure: Measure  # "accuracy" in 0..1, or "difference" to the board's random rival, in 0..1
    reference: str | None  # the network that scored
    keep: float
    models: tuple[str, ...]
    methods: tuple[Method, ...]
    values: tuple[tuple[float | None, ...], ...]  # (methods, models); None where it was not trained
    halves: tuple[tuple[float | None, ...], ...]  # half widths of the 95 % intervals; None for one seed
    seeds: tuple[tuple[int, ...], ...]


def transfer_map(board: Board, measure: Measure = "difference") -> tuple[TransferMap, ...]:
    """A map per keep ratio of every set of tables that differ by nothing but the network and its recipe.

    There is none of tables that have one network only. Under "difference" the rival itself and the full data have no
    row; the network that scored is the first column where it was trained too.
    """
    alike: dict[str, list[tuple[str, Table]]] = defaultdict(list)
    for heading, table in zip(headings(board), board.tables, strict=True):
        alike[_shared(table)].append((heading, table))
    found = []
    for members in alike.values():
        tables = [table for _, table in members]
        keeps = sorted({row.keep for table in tables for row in table.rows if row.baseline != "full"})
        heading = members[0][0].replace(f" · {tables[0].conditions['model']} · ", " · ", 1)
        found += [_map(heading, tables, keep, measure) for keep in keeps]
    return tuple(each for each in found if each.methods and len(each.models) > 1)


def _shared(table: Table) -> str:
    kept: dict[str, Any] = {k: v for k, v in table.conditions.items() if k not in _OWN}
    return repr(sorted((kept | {f"split {k}": v for k, v in table.split.items()}).items()))


def _map(heading: str, tables: Sequence[Table], keep: float, measure: Measure) -> TransferMap:
    reference = tables[0].conditions["reference"]
    columns: dict[str, Table] = {}
    for table in sorted(tables, key=lambda t: (t.conditions["model"] != reference, t.conditions["model"])):
        name = table.conditions["model"]
        if name in columns:  # of the same network under another recipe or in another number of steps
            name = f"{name} ({'-'.join(map(str, table.conditions['steps']))} steps)"
        if name not in columns and any(_told(row, measure) and row.keep == keep for row in table.rows):
            columns[name] = table
    rows = [{method_of(r): r for r in t.rows if r.keep == keep and _told(r, measure)} for t in columns.values()]
    methods = sorted({m for own in rows for m in own}, key=lambda m: _place(m, rows, measure))
    cells = [[_cell(own.get(method), measure) for own in rows] for method in methods]
    return TransferMap(
        *(heading, measure, reference, keep, tuple(columns), tuple(methods)),
        values=tuple(tuple(value for value, _, _ in line) for line in cells),
        halves=tuple(tuple(half for _, half, _ in line) for line in cells),
        seeds=tuple(tuple(n for _, _, n in line) for line in cells),
    )


def _told(row: Row, measure: Measure) -> bool:
    if row.baseline == "full" or row.oracle:
        return False
    return measure == "accuracy" or row.difference is not None


def _place(method: Method, rows: Sequence[dict[Method, Row]], measure: Measure) -> tuple[Any, ...]:
    """By the value in the first column that has one, highest first; baselines below."""
    values = [_cell(own[method], measure)[0] for own in rows if method in own]
    return method.baseline is not None, -(values[0] or 0.0), method.name


def _cell(row: Row | None, measure: Measure) -> tuple[float | None, float | None, int]:
    if row is None:
        return None, None, 0
    if measure == "accuracy":
        return row.accuracy.mean, row.accuracy.half, row.accuracy.n
    assert row.difference is not None
    return row.difference.mean, row.difference.half, row.difference.n
