"""The files of a recipe: figures as PNG and SVG, rows as CSV, and a JSON record of what they were made from."""

from __future__ import annotations

import csv
import json
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..json_files import read_object
from ..leaderboard.escaping import csv_text
from .endings.ending import Ending, Row
from .performing import Found
from .published import Comparison
from .telling import arguments, compared

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VERSION = 1  # of the JSON record


def write(
    found: Found, ending: Ending, comparisons: Sequence[Comparison], out: Path, command: Sequence[str]
) -> list[Path]:
    """All files of a recipe in the folder ``out``; those of an earlier run of it are replaced.

    Raises:
        UserError: the folder cannot be written, or the record there is of something else.
    """
    name, written = found.experiment.name, list[Path]()
    refuse_foreign(out, name)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for part, rows in ending.rows.items():
            written.append(_text(out / f"{_file(name, part)}.csv", table(rows)))
        for part, draw in ending.figures.items():
            written += _drawn(draw, out / _file(name, part), found.experiment.title)
        record = _record(found, ending, comparisons, command, [path.name for path in written])
        written.append(_text(out / f"{name}.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n"))
    except OSError as failure:
        raise UserError(f"cannot write {failure.filename or out} ({failure.strerror}): give another --out") from None
    return written


def refuse_foreign(out: Path, name: str) -> None:
    """Raises:
    UserError: the folder cannot be written, or ``NAME.json`` there is no record of this recipe.
    """
    record = out / f"{name}.json"
    there = next(folder for folder in (out, *out.absolute().parents) if os.path.lexists(folder))
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(f"cannot write {out} ({there} takes no files): give another --out")
    if record.exists():
        try:
            known = read_object(record).get("recipe") == name
        except (ValueError, OSError):
            known = False
        if not known:
            raise UserError(f"{record} is no record of the recipe {name}: move it, or give another --out")


def _file(name: str, part: str) -> str:
    """A file name from a recipe's and a part's, which may be a data set's text."""
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in part).strip("-")
    return f"{name}-{safe[:60]}" if safe else name


def _text(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def table(rows: Sequence[Row]) -> str:
    """Rows as CSV, columns in the order of the first; no text is one that a spreadsheet takes for a formula."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        cells = [row.get(column) for column in columns]
        writer.writerow([csv_text(cell) if isinstance(cell, str) else cell for cell in cells])
    return stream.getvalue()


def _drawn(draw: Callable[[], Figure], stem: Path, title: str) -> list[Path]:
    from ..figures.drawing import arranged, drawing, written

    paths = []
    with drawing():
        figure = arranged(draw())
        for form in ("png", "svg"):
            path = stem.with_name(f"{stem.name}.{form}")
            path.write_bytes(written(figure, form, title))
            paths.append(path)
    return paths


def _record(
    found: Found, ending: Ending, comparisons: Sequence[Comparison], command: Sequence[str], files: Sequence[str]
) -> dict[str, Any]:
    experiment = found.experiment
    return {
        "recipe": experiment.name,
        "version": VERSION,
        "title": experiment.title,
        "paper": experiment.paper,
        "place": experiment.place,
        "command": shlex.join(command),
        "profile": found.profile,
        "runs": [" ".join(["prunebench run", *arguments(plan)]) for plan in found.plans],
        "files": list(files),
        "trials": sorted(t.id for t in found.results),
        "failed": [
            {name: f.get(name) for name in ("scorer", "selector", "keep", "model", "seed", "error")}
            for f in found.failures
        ],
        "told": list(ending.told),
        "compared": [_told(c) for c in comparisons],
        "compared_text": compared(comparisons),
        "provenance": found.harnesses[0].provenance(),
    }


def _told(c: Comparison) -> dict[str, Any]:
    return {
        "published": asdict(c.published),
        "measured": None if c.measured is None else asdict(c.measured),
        "on": c.on,
        "difference": c.difference,
        "standard_errors": c.standard_errors,
        "at_least": c.at_least,
        "why_not": c.why,
    }
