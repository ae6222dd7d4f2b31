"""A board as text: for the terminal, as Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from ..errors import UserError
from ..spec import near
from .contests import (
    rank_notes,
    rank_tables,
    tally_tables,
    tested_cells,
    tested_columns,
    tested_footnote,
    told_difference,
    told_ranks,
    told_tally,
)
from .costs import COUNTED
from .costs import told as told_reuses
from .escaping import clean, csv_text, markdown
from .groups import TRAINED
from .ranking import RIVALS, Board, plugin_versions
from .rows import MEASURES, Row
from .table import Table
from .transfer import Transfer
from .wording import (
    COST_COLUMNS,
    COST_FOOTNOTE,
    cells,
    columns,
    cost_cells,
    footnote,
    headings,
    notes,
    transfer_tables,
)

WIDTH = 100  # columns of the terminal table
_NARROWEST = 12  # columns of the methods
VERSION = 1  # of the JSON form


def render(board: Board, form: str = "table", shown: str = "results") -> str:
    """The board as "table", "md", "csv" or "json"; the first two show "results", "tests" or "cost", the others all.

    Raises:
        UserError: another form, or other columns.
    """
    if form not in FORMATS:
        raise UserError(f"there is no format {form!r}{near(form, FORMATS)} (known: {', '.join(FORMATS)})")
    if shown not in SHOWN:
        raise UserError(f"there are no columns {shown!r}{near(shown, SHOWN)} (known: {', '.join(SHOWN)})")
    return FORMATS[form](board, shown)


def as_table(board: Board, shown: str = "results") -> str:
    """For a terminal of 100 columns, without colours."""
    stream = io.StringIO()
    console = _console(stream)
    for heading, grid in _grids(board, shown):
        console.print(Text(clean(heading)))
        plain = _plain(grid)
        stream.write(plain) if plain else console.print(_rich(grid))
    for line in _below(board, shown):
        console.print(Text(clean(line)))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def _console(stream: io.StringIO) -> Console:
    return Console(
        file=stream, width=WIDTH, color_system=None, force_terminal=False, force_jupyter=False, legacy_windows=False
    )


@dataclass(frozen=True)
class _Grid:
    """Column names, the text of each row, and whether a section ends with it."""

    names: tuple[str, ...]
    lines: list[tuple[str, ...]]
    ends: list[bool]


def _grids(board: Board, shown: str) -> Iterator[tuple[str, _Grid]]:
    """Heading and cells of every table, and of what is shown of transfer below them."""
    names = {"results": columns, "tests": tested_columns}.get(shown, lambda _: COST_COLUMNS)(board)
    told = {"tests": tested_cells, "cost": cost_cells}.get(shown, lambda row: cells(row, names))
    for heading, table in zip(headings(board), board.tables, strict=True):
        lines = [told(row) for row in table.rows]
        following = (*table.rows[1:], None)
        ends = [
            after is not None and (after.keep, after.oracle) != (row.keep, row.oracle)
            for row, after in zip(table.rows, following, strict=True)
        ]
        yield heading, _Grid(names, lines, ends)
    more = {"results": (transfer_tables, rank_tables), "tests": (tally_tables, rank_tables)}.get(shown, ())
    for found in (shown_below for tables in more for shown_below in tables(board)):
        heading, names, lines = found
        yield heading, _Grid(names, lines, [False] * len(lines))


def _below(board: Board, shown: str) -> list[str]:
    said = {"results": footnote, "tests": tested_footnote}.get(shown, lambda _: COST_FOOTNOTE)(board)
    ranked = rank_notes(board) if shown != "cost" else []
    return notes(board, shown) + ([*ranked, *said] if board.tables else [])


def _plain(grid: _Grid) -> str:
    """What `_rich` gives, in a fraction of its time; "" where more than the first column must be narrowed."""
    lines = [grid.names, *(tuple(map(clean, line)) for line in grid.lines)]
    sizes = [[cell_len(cell) for cell in line] for line in lines]
    widths = [max(column) for column in zip(*sizes, strict=True)]
    rest = sum(widths[1:]) + 2 * len(widths)  # two spaces before each column but the first, one at either edge
    widths[0] = min(max(widths[0], _NARROWEST), WIDTH - rest)
    if widths[0] < _NARROWEST:
        return ""
    shown = []
    for line, taken, ends in zip(lines, sizes, (False, *grid.ends), strict=True):
        first, *more = _folded(line[0], widths[0]) if taken[0] > widths[0] else [line[0]]
        padded = [" " * (width - size) + cell for cell, size, width in zip(line, taken, widths, strict=True)]
        padded[0] = first + " " * (widths[0] - cell_len(first))
        shown += [" " + "  ".join(padded), *(f" {part}" for part in more), *[""] * ends]
    shown.insert(1, " " + "─" * (sum(widths) + 2 * (len(widths) - 1)))
    return "\n".join(["", *shown, "", ""])


@lru_cache(maxsize=4096)
def _folded(cell: str, width: int) -> list[str]:
    """The lines of a cell that is wider than its column."""
    return [line.plain for line in Text(cell).wrap(_console(io.StringIO()), width, overflow="fold")]


def _rich(grid: _Grid) -> RichTable:
    shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column(grid.names[0], overflow="fold", min_width=_NARROWEST)
    for name in grid.names[1:]:
        shown.add_column(name, justify="right", no_wrap=True, overflow="fold")
    for line, ends in zip(grid.lines, grid.ends, strict=True):
        shown.add_row(*(Text(clean(cell)) for cell in line), end_section=ends)
    return shown


def as_markdown(board: Board, shown: str = "results") -> str:
    """A heading and a table per group, and footnotes."""
    lines = []
    for heading, grid in _grids(board, shown):
        lines += [f"### {markdown(heading)}", "", _piped(grid.names)]
        lines += [_piped([":---", *["---:"] * (len(grid.names) - 1)])]
        lines += [_piped([markdown(cell) for cell in line]) for line in grid.lines]
        lines.append("")
    for line in _below(board, shown):
        lines += [markdown(line), ""]
    return "\n".join(lines).rstrip()


def _piped(parts: Any) -> str:
    return f"| {' | '.join(parts)} |"


def as_csv(board: Board, shown: str = "everything") -> str:
    """One line per row of every table, whatever is ``shown``; accuracies and differences in 0..1."""
    stream, rival = io.StringIO(), f"vs_{RIVALS[board.track]}_"
    names = [name.replace("vs_balanced_", rival) for name in CSV_COLUMNS]
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    moved = {id(transfer.row): transfer for transfer in board.transfers}
    for number, table in enumerate(board.tables, 1):
        for row in table.rows:
            line = {
                k.replace("vs_balanced_", rival): v for k, v in _line(number, row, table, moved.get(id(row))).items()
            }
            writer.writerow({k: csv_text(v) if isinstance(v, str) else v for k, v in line.items()})
    return stream.getvalue().rstrip("\n")


_CONDITIONS = (*TRAINED, "steps", "reference", "reference_epochs", "scorings")
_NAMED = ("method", "baseline", "scorer", "selector", "variant", "keep", "examples", "label_free", "oracle")
_SECONDS = ("score_seconds", "select_seconds", "train_seconds")
_ACCURACY = ("mean", "sd", "half")
_AGAINST = ("n", "mean", "half", "p", "p_holm")
_ENDS = ("interval", "low", "high")
_RESAMPLED = (*_ENDS, "permutation", "permutation_holm", "flips")
_GAP = ("gap", "gap_half")
STEPS = ("score", "select", "train")
CSV_COLUMNS = (
    *("table", *_CONDITIONS, *_NAMED, "seeds"),
    *(f"accuracy_{name}" for name in _ACCURACY),
    *(f"vs_balanced_{name}" for name in _AGAINST),
    *MEASURES,
    *_SECONDS,
    *(f"{step}_{name}" for step in STEPS for name in ("seconds_here", *COUNTED)),
    "reuses",
    *(f"transfer_{name}" for name in ("seeds", "on_others", *_GAP)),
    *(f"accuracy_{name}" for name in _ENDS),
    *(f"vs_balanced_{name}" for name in _RESAMPLED),
    *("verdict", "best_other"),
    *(f"vs_best_other_{name}" for name in (*_AGAINST, *_RESAMPLED)),
    *("total_seconds", "pareto"),
    *("source", "reproduced_seeds", "reproduced_mean"),
)


def _line(number: int, row: Row, table: Table, transfer: Transfer | None) -> dict[str, Any]:
    costs = {step: cost or {} for step, cost in row.costs.items()}
    line = {"table": number, **_flat(row, table), "reuses": told_reuses(row.reuses)}
    for step, cost in costs.items():
        line |= {f"{step}_seconds_here": cost.get("seconds"), **{f"{step}_{n}": cost.get(n) for n in COUNTED}}
    if transfer:
        line |= {"transfer_seeds": transfer.gap.n, "transfer_on_others": transfer.on_others.mean}
        line |= dict(zip((f"transfer_{n}" for n in _GAP), (transfer.gap.mean, transfer.gap.half), strict=True))
    return line


def _flat(row: Row, table: Table) -> dict[str, Any]:
    told, against, best, again = _row(row), row.difference, row.best_other, row.reproduced
    return {
        **{k: "-".join(map(str, v)) if isinstance(v, list) else v for k, v in table.conditions.items()},
        **{name: told[name] for name in (*_NAMED, *_SECONDS)},
        **{name: row.measures.get(name) for name in MEASURES},
        "seeds": row.accuracy.n,
        **{f"accuracy_{name}": told["accuracy"][name] for name in (*_ACCURACY, *_ENDS)},
        **{f"vs_balanced_{n}": getattr(against, n) if against else None for n in (*_AGAINST, *_RESAMPLED)},
        **{f"vs_best_other_{n}": getattr(best, n) if best else None for n in (*_AGAINST, *_RESAMPLED)},
        **{name: told[name] for name in ("verdict", "best_other", "total_seconds", "pareto", "source")},
        **{f"reproduced_{n}": v for n, v in (("seeds", again and again.n), ("mean", again and again.mean))},
    }


def as_json(board: Board, shown: str = "everything") -> str:
    """Everything, for programs: conditions, rows, accuracies by seed, trial ids, failed cells."""
    told = {
        "prunebench_leaderboard": VERSION,
        "group_by": board.group_by,
        "track": board.track,
        "compared_with": RIVALS[board.track],
        "protocol": footnote(board),
        "groups": [
            {
                "heading": clean(heading),
                "conditions": table.conditions,
                "split": table.split,
                "seeds": table.seeds,
                "missing": table.missing,
                "rows": [_told(row, board) for row in table.rows],
                "left_out": [t.id for t in table.left_out],
            }
            for heading, table in zip(headings(board), board.tables, strict=True)
        ],
        "margin": board.margin,
        "tallies": [told_tally(tally) for tally in board.tallies],
        "ranks": [told_ranks(found) for found in board.ranks],
        "transfer": [_told_transfer(transfer, board) for transfer in board.transfers],
        "failed": board.failures,
        "left_out": board.left_out,
    }
    return json.dumps(told, indent=1, default=str)  # ASCII: control characters are escaped


def _told(row: Row, board: Board) -> dict[str, Any]:
    """A row with its difference under the name of what it is compared with."""
    told = _row(row)
    told[f"vs_{RIVALS[board.track]}"] = told.pop("vs_balanced")
    return told | ({"labels_revealed": row.examples} if board.track == "label-free" else {})


def _told_transfer(transfer: Transfer, board: Board) -> dict[str, Any]:
    row = transfer.row
    within = (i for i, table in enumerate(board.tables) if any(found is row for found in table.rows))
    return {
        "group": next(within),
        **{"method": clean(row.label), "scorer": row.scorer, "selector": row.selector, "variant": row.variant},
        **{"keep": row.keep, "reference": transfer.reference, "others": transfer.others},
        **{name: told_difference(getattr(transfer, name)) for name in ("on_reference", "on_others", "gap")},
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "method": clean(row.label),
        "baseline": row.baseline,
        "scorer": row.scorer,
        "selector": row.selector,
        "variant": row.variant,
        "keep": row.keep,
        "examples": row.examples,
        "label_free": row.label_free,
        "oracle": row.oracle,
        "source": row.source,
        "reproduced": asdict(row.reproduced) if row.reproduced else None,
        "accuracy": asdict(row.accuracy),
        "vs_balanced": told_difference(row.difference),
        "verdict": row.verdict,
        "vs_best_other": told_difference(row.best_other),
        "best_other": None if row.best_other_label is None else clean(row.best_other_label),
        "pareto": row.pareto,
        "measures": row.measures,
        "score_seconds": row.score_seconds,
        "select_seconds": row.select_seconds,
        "train_seconds": row.train_seconds,
        "total_seconds": row.total_seconds,
        "costs": row.costs,
        "reuses": told_reuses(row.reuses),
        "class_counts": row.class_counts,
        "trials": [
            {"id": t.id, "seed": t.seed, "score_seed": t.score_seed, "selection": t.selection, "accuracy": t.accuracy}
            for t in row.trials
        ],
        "versions": _versions(row),
    }


def _versions(row: Row) -> dict[str, list[str]]:
    """Distribution -> versions that the row's records tell."""
    found: dict[str, set[str]] = {}
    for trial in row.trials:
        for name, version in plugin_versions(trial).items():
            found.setdefault(name, set()).add(version)
    return {name: sorted(versions) for name, versions in sorted(found.items())}


SHOWN = ("results", "cost", "tests")
FORMATS: dict[str, Callable[[Board, str], str]] = {"table": as_table, "md": as_markdown, "csv": as_csv, "json": as_json}
