"""A board as text: for the terminal, as Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from ..errors import UserError
from ..spec import near
from .escaping import clean, csv_text, markdown
from .groups import TRAINED
from .ranking import RIVALS, Board, plugin_versions
from .table import MEASURES, Row, Table
from .wording import cells, columns, footnote, headings, notes

WIDTH = 100  # columns of the terminal table
_NARROWEST = 12  # columns of the methods
VERSION = 1  # of the JSON form


def render(board: Board, form: str = "table") -> str:
    """The board as "table", "md", "csv" or "json".

    Raises:
        UserError: another form.
    """
    if form not in FORMATS:
        raise UserError(f"there is no format {form!r}{near(form, FORMATS)} (known: {', '.join(FORMATS)})")
    return FORMATS[form](board)


def as_table(board: Board) -> str:
    """For a terminal of 100 columns, without colours."""
    stream = io.StringIO()
    console = Console(
        file=stream, width=WIDTH, color_system=None, force_terminal=False, force_jupyter=False, legacy_windows=False
    )
    for heading, table in zip(headings(board), board.tables, strict=True):
        console.print(Text(clean(heading)))
        plain = _plain(table, columns(board))
        stream.write(plain) if plain else console.print(_rich(table, columns(board)))
    for line in notes(board) + (list(footnote(board)) if board.tables else []):
        console.print(Text(clean(line)))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def _plain(table: Table, names: tuple[str, ...]) -> str:
    """What `_rich` gives where no cell must be folded, in a hundredth of the time; "" where one must."""
    lines = [names, *(tuple(clean(cell) for cell in cells(row, names)) for row in table.rows)]
    sizes = [[cell_len(cell) for cell in line] for line in lines]
    widths = [max(column) for column in zip(*sizes, strict=True)]
    widths[0] = max(widths[0], _NARROWEST)
    total = sum(widths) + 2 * (len(widths) - 1)
    if total + 2 > WIDTH:
        return ""
    shown = []
    for line, taken in zip(lines, sizes, strict=True):
        padded = [" " * (width - size) + cell for cell, size, width in zip(line, taken, widths, strict=True)]
        padded[0] = line[0] + " " * (widths[0] - taken[0])
        shown.append(" " + "  ".join(padded))
    shown.insert(1, " " + "─" * total)
    parted = [part for line, ends in zip(shown, (0, 0, *_ends(table)), strict=True) for part in (line, "")[: 1 + ends]]
    return "\n".join(["", *parted, "", ""])


def _ends(table: Table) -> list[bool]:
    """Whether a section ends with a row: another keep ratio follows, or the oracles do."""
    following = (*table.rows[1:], None)
    return [
        after is not None and (after.keep, after.oracle) != (row.keep, row.oracle)
        for row, after in zip(table.rows, following, strict=True)
    ]


def _rich(table: Table, names: tuple[str, ...]) -> RichTable:
    shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column(names[0], overflow="fold", min_width=_NARROWEST)
    for name in names[1:]:
        shown.add_column(name, justify="right", no_wrap=True, overflow="fold")
    for row, ends in zip(table.rows, _ends(table), strict=True):
        shown.add_row(*(Text(clean(cell)) for cell in cells(row, names)), end_section=ends)
    return shown


def as_markdown(board: Board) -> str:
    """A heading and a table per group, and footnotes."""
    lines = []
    for heading, table in zip(headings(board), board.tables, strict=True):
        names = columns(board)
        lines += [f"### {markdown(heading)}", "", _piped(names), _piped([":---", *["---:"] * (len(names) - 1)])]
        lines += [_piped([markdown(cell) for cell in cells(row, names)]) for row in table.rows]
        lines.append("")
    for line in notes(board) + (list(footnote(board)) if board.tables else []):
        lines += [markdown(line), ""]
    return "\n".join(lines).rstrip()


def _piped(parts: Any) -> str:
    return f"| {' | '.join(parts)} |"


def as_csv(board: Board) -> str:
    """One line per row of every table; accuracies and differences in 0..1."""
    stream, rival = io.StringIO(), f"vs_{RIVALS[board.track]}_"
    names = [name.replace("vs_balanced_", rival) for name in CSV_COLUMNS]
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    for number, table in enumerate(board.tables, 1):
        for row in table.rows:
            line = {k.replace("vs_balanced_", rival): v for k, v in {"table": number, **_flat(row, table)}.items()}
            writer.writerow({k: csv_text(v) if isinstance(v, str) else v for k, v in line.items()})
    return stream.getvalue().rstrip("\n")


_CONDITIONS = (*TRAINED, "steps", "reference", "reference_epochs", "scorings")
_NAMED = ("method", "baseline", "scorer", "selector", "variant", "keep", "examples", "label_free", "oracle")
_SECONDS = ("score_seconds", "select_seconds", "train_seconds")
_ACCURACY = ("mean", "sd", "half")
_AGAINST = ("n", "mean", "half", "p", "p_holm")
CSV_COLUMNS = (
    *("table", *_CONDITIONS, *_NAMED, "seeds"),
    *(f"accuracy_{name}" for name in _ACCURACY),
    *(f"vs_balanced_{name}" for name in _AGAINST),
    *MEASURES,
    *_SECONDS,
)


def _flat(row: Row, table: Table) -> dict[str, Any]:
    told, against = _row(row), row.difference
    return {
        **{k: "-".join(map(str, v)) if isinstance(v, list) else v for k, v in table.conditions.items()},
        **{name: told[name] for name in (*_NAMED, *_SECONDS)},
        **{name: row.measures.get(name) for name in MEASURES},
        "seeds": row.accuracy.n,
        **{f"accuracy_{name}": told["accuracy"][name] for name in _ACCURACY},
        **{f"vs_balanced_{name}": getattr(against, name) if against else None for name in _AGAINST},
    }


def as_json(board: Board) -> str:
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
        "failed": board.failures,
        "left_out": board.left_out,
    }
    return json.dumps(told, indent=1, default=str)  # ASCII: control characters are escaped


def _told(row: Row, board: Board) -> dict[str, Any]:
    """A row with its difference under the name of what it is compared with."""
    told = _row(row)
    told[f"vs_{RIVALS[board.track]}"] = told.pop("vs_balanced")
    return told | ({"labels_revealed": row.examples} if board.track == "label-free" else {})


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
        "accuracy": asdict(row.accuracy),
        "vs_balanced": asdict(row.difference) if row.difference else None,
        "measures": row.measures,
        "score_seconds": row.score_seconds,
        "select_seconds": row.select_seconds,
        "train_seconds": row.train_seconds,
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


FORMATS: dict[str, Callable[[Board], str]] = {"table": as_table, "md": as_markdown, "csv": as_csv, "json": as_json}
