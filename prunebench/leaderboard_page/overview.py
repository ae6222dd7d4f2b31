"""What the first page says: what is compared, a table per group, what failed; plain values for the templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ..leaderboard.contests import rank_tables, tally_tables, tested_cells
from ..leaderboard.ranking import RIVALS, Board
from ..leaderboard.statistics import Difference
from ..leaderboard.table import Row, Table
from ..leaderboard.wording import cells, columns, headings, transfer_tables
from .bars import Scale, scale_of
from .colours import Colours, Look
from .markup import cells_with_bars
from .names import Method, method_file, method_of, records_file, text


@dataclass(frozen=True)
class Line:
    """One row of a table."""

    label: str
    method: str  # file of its method's page
    page: str  # file of its records
    look: Look
    row: Row
    cells: Markup  # those after the method's name
    ends: bool  # a section ends with it


@dataclass(frozen=True)
class Group:
    """A table with its heading."""

    id: str
    heading: str
    table: Table
    names: tuple[str, ...]
    lines: tuple[Line, ...]
    tested: tuple[tuple[str, ...], ...]  # the tests of every row that has any, in the order of `tested_columns`


@dataclass(frozen=True)
class Compared:
    """What stands on the board, as the first lines of the page say it."""

    facts: tuple[tuple[str, str], ...]
    filters: Mapping[str, tuple[str, ...]]  # data set, model, keep -> the values there are


def groups(board: Board, colours: Colours) -> tuple[Group, ...]:
    """Every table as the terminal shows it, with bars for its intervals."""
    shown = columns(board)
    found = []
    for i, (heading, table) in enumerate(zip(headings(board), board.tables, strict=True)):
        names = _names(shown, table)
        scales = scale_of([row.accuracy for row in table.rows], 0.0, 1.0), scale_of(_differences(table.rows))
        lines = [_line(row, after, table, names, scales, colours) for row, after in _followed(table.rows)]
        tested = tuple(tuple(map(text, tested_cells(row))) for row in table.rows if row.difference or row.best_other)
        found.append(Group(f"table-{i + 1}", text(heading), table, names, tuple(lines), tested))
    return tuple(found)


def _names(shown: Sequence[str], table: Table) -> tuple[str, ...]:
    """The columns of the terminal and all seconds, without those that say nothing in any row of this table."""
    names = (*(name for name in shown if name not in _SECONDS), *_SECONDS)
    said = zip(*(cells(row, names) for row in table.rows), strict=True)
    return tuple(name for name, column in zip(names, said, strict=True) if set(column) != {"-"})


_SECONDS = ("score s", "select s", "train s")


def _followed(rows: Sequence[Row]) -> Iterable[tuple[Row, Row | None]]:
    return zip(rows, (*rows[1:], None), strict=True)


def _differences(rows: Sequence[Row]) -> list[Difference]:
    return [row.difference for row in rows if row.difference]


def _line(
    row: Row, after: Row | None, table: Table, names: Sequence[str], scales: tuple[Scale, Scale], colours: Colours
) -> Line:
    accuracy, difference = scales
    bars = {"accuracy %": accuracy.bar(row.accuracy)}
    if row.difference:
        bars |= dict.fromkeys(("vs balanced", "vs random"), difference.bar(row.difference))
    said = cells(row, names)
    return Line(
        label=text(said[0]),
        method=method_file(method_of(row)),
        page=records_file(row, table),
        look=colours.of(row),
        row=row,
        cells=cells_with_bars((s, bars.get(n)) for n, s in zip(names[1:], said[1:], strict=True)),
        ends=after is not None and (after.keep, after.oracle) != (row.keep, row.oracle),
    )


def compared(board: Board) -> Compared:
    """Counts and names of what the tables hold, and what they do not."""
    rows = [row for table in board.tables for row in table.rows]
    trials = {t.id for row in rows for t in row.trials}
    models = _listed(table.conditions["model"] for table in board.tables)
    sets = _listed(table.conditions["dataset"] for table in board.tables)
    keeps = tuple(f"{keep:.4g}" for keep in sorted({row.keep for row in rows}))
    methods: set[Method] = {method_of(row) for row in rows if row.baseline is None}
    alone = sum(row.accuracy.n == 1 for row in rows)
    facts = [
        ("data", _shortened(sets)),
        ("networks", _shortened(models)),
        ("methods", f"{len(methods)} beside the baselines"),
        ("keep ratios", _shortened(keeps)),
        ("trained networks", str(len(trials))),
        ("compared with", f"{RIVALS[board.track].replace('random', 'uniform')} random"),
        ("failed cells", str(len(board.failures))),
        ("missing cells", str(board.missing)),
        ("rows with one seed", f"{alone} (no interval is drawn)" if alone else "0"),
    ]
    if board.track != "open":
        facts.insert(0, ("track", board.track))
    return Compared(tuple(facts), {"dataset": sets, "model": models, "keep": keeps})


def _listed(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({text(value) for value in values}))


def _shortened(values: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(values[:most])
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"


def failed(board: Board) -> list[dict[str, str]]:
    """Every failed cell, as its note tells it."""
    names = ("dataset", "model", "scorer", "selector", "keep", "seed", "error")
    return [{name: text(_plain(note.get(name))) for name in names} for note in board.failures]


def _plain(value: Any) -> str:
    return "-" if value is None else str(value)


def transferred(board: Board) -> list[tuple[str, tuple[str, ...], list[list[str]]]]:
    """(heading, column names, rows) of the tables of transfer, of verdicts, and of ranks over data sets."""
    shown = [*transfer_tables(board), *tally_tables(board), *rank_tables(board)]
    return [(text(h), names, [[text(c) for c in line] for line in lines]) for h, names, lines in shown]


def sentences(lines: Iterable[str]) -> list[str]:
    """The lines below a table as paragraphs: a line whose sentence goes on is joined with the next."""
    found: list[str] = []
    for line in map(text, lines):
        if found and not found[-1].endswith("."):
            found[-1] += f" {line}"
        else:
            found.append(line)
    return found
