"""Writing the folder: the first page, a page per method, a page per method and table with
the records, the subset files.

All text passes a template that escapes it (autoescape, and a name that is not there is an error); the pages carry a
content security policy that lets them load their own style sheet, script and pictures and nothing else.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .. import __version__
from ..leaderboard.atlas import Classes
from ..leaderboard.contests import tested_columns, tested_footnote
from ..leaderboard.labels import Labels
from ..leaderboard.ranking import Board
from ..leaderboard.wording import footnote, notes
from ..registry import Registry
from ..store import Store
from . import markup, provenance
from .chart_sets import Charts, charts_of
from .colours import colours_of
from .folder import replaced
from .method_pages import method_pages
from .names import method_file, text
from .overview import Group, compared, failed, groups, sentences, transferred
from .picture_sheets import NOT_ASKED, Sheets, sheets_of
from .record_pages import HASHES, NUMBERS, Subsets, record_page, record_pages

if TYPE_CHECKING:
    from ..leaderboard.stores import Source

_HERE = Path(__file__).parent


def write_page(
    board: Board,
    out: Path,
    registry: Registry,
    stores: Sequence[Source] = (),
    *,
    labels: Labels | None = None,
    data_root: Path | None = None,
    classes: Classes | None = None,
) -> None:
    """The page of a board as a folder; what stood there of an earlier one is replaced, whole or not at all.

    Args:
        out: the folder; made where it is not there.
        registry: where the methods' cards come from.
        stores: stores and bundles, where the subset files and what judged windows are looked for; without any, the page
            has none. Scores and pictures are those of stores alone.
        labels: (kind, canonical text) -> what people read, as of the board.
        data_root: where the data sets of the easiest and hardest pictures lie; None: no picture is read.
        classes: what knows the labels of examples, for the atlas of scores that compare inside a class only.

    Raises:
        UserError: ``out`` holds other files, or cannot be written.
    """
    with replaced(out) as folder:
        colours = colours_of(board)
        found = groups(board, colours)
        drawn = charts_of(board, found, stores, colours, labels, classes)
        sheets = Sheets((), NOT_ASKED)
        if data_root is not None:
            own = [source for source in stores if isinstance(source, Store)]
            sheets = sheets_of(own, data_root, registry, folder, labels)
        methods = [(method_file(page.method), page) for page in method_pages(found, registry)]
        _write(folder / "index.html", "index.html.j2", "", **_first_page(board, found, drawn, sheets), methods=methods)
        if sheets.found:
            _write(folder / "pictures.html", "pictures.html.j2", "", sheets=sheets.found, note=sheets.note)
        for name, page in methods:
            _write(folder / name, "method.html.j2", "../", page=page)
        subsets = Subsets(stores, folder)
        for group in found:
            for name, lines in record_pages(group).items():
                _write(folder / name, "records.html.j2", "../", page=record_page(group, lines, subsets))
        for name in ("page.css", "page.js"):
            shutil.copyfile(_HERE / name, folder / name)


def _first_page(board: Board, found: Sequence[Group], drawn: Charts, sheets: Sheets) -> dict[str, Any]:
    """What the template of the first page is told of one board, beside its methods."""
    return {
        "groups": found,
        "compared": compared(board),
        "notes": [text(note) for note in notes(board)],
        "footnote": sentences(footnote(board)),
        "tested_footnote": sentences(tested_footnote(board)),
        "tested_names": tested_columns(board),
        "failed": failed(board),
        "transfers": transferred(board),
        "charts": drawn.of,
        "across": drawn.across,
        "across_notes": drawn.notes,
        "pictures": sheets.found,
        "pictures_note": sheets.note,
    }


def _write(path: Path, template: str, root: str, **told: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(environment().get_template(template).render(root=root, **told), encoding="utf-8", errors="replace")


@lru_cache
def environment() -> Environment:
    """The templates, with everything escaped."""
    found = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.globals |= {
        "version": __version__,
        "name": text,
        "number_names": NUMBERS,
        "cost_names": provenance.COST_NAMES,
        "hash_names": HASHES,
        "rows": markup.rows,
        "joined": markup.joined,
        "breakable": markup.breakable,
    }
    return found
