"""Writing the folder: the first page, a page per method, a page per row with its records, the subset files.

All text passes a template that escapes it (autoescape, and a name that is not there is an error); the pages carry a
content security policy that lets them load their own style sheet, script and pictures and nothing else.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .. import __version__
from ..leaderboard.ranking import Board
from ..leaderboard.wording import footnote, notes
from ..registry import Registry
from ..store import Store
from . import provenance
from .colours import colours_of
from .folder import replaced
from .method_pages import method_pages
from .names import method_file, text
from .overview import compared, failed, groups, transferred
from .row_pages import NUMBERS, Subsets, row_page

_HERE = Path(__file__).parent
MOST_CLASSES = 50  # in the view of a row, those with the lowest recall


def write_page(board: Board, out: Path, registry: Registry, stores: Sequence[Store] = ()) -> None:
    """The page of a board as a folder; what stood there of an earlier one is replaced, whole or not at all.

    Args:
        out: the folder; made where it is not there.
        registry: where the methods' cards come from.
        stores: where the subset files are looked for; without any, the page has none.

    Raises:
        UserError: ``out`` holds other files, or cannot be written.
    """
    with replaced(out) as folder:
        colours = colours_of(board)
        found = groups(board, colours)
        methods = [(method_file(page.method), page) for page in method_pages(found, registry)]
        _write(
            folder / "index.html",
            *("index.html.j2", ""),
            groups=found,
            compared=compared(board),
            notes=[text(note) for note in notes(board)],
            footnote=[text(line) for line in footnote(board)],
            failed=failed(board),
            transfers=transferred(board),
            methods=methods,
            charts={group.id: () for group in found},
            across=(),
            pictures_note="",
        )
        for name, page in methods:
            _write(folder / name, "method.html.j2", "../", page=page)
        subsets = Subsets(stores, folder)
        for group in found:
            for line in group.lines:
                row = row_page(group, line, subsets)
                _write(folder / line.page, "row.html.j2", "../", page=row, has_subsets=any(r.subset for r in row.records))
        for name in ("page.css", "page.js"):
            shutil.copyfile(_HERE / name, folder / name)


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
        "numbers": NUMBERS,
        "cost_names": provenance.COST_NAMES,
        "most_classes": MOST_CLASSES,
        "lowest": _lowest,
        "largest_share": _largest_share,
    }
    return found


Classes = Sequence[tuple[float | None, float | None]]


def _lowest(classes: Classes) -> list[tuple[int, float | None, float | None]]:
    """(class, recall, share), in order; of many classes only those with the lowest recall."""
    found = [(c, recall, share) for c, (recall, share) in enumerate(classes)]
    if len(found) <= MOST_CLASSES:
        return found
    return sorted(found, key=lambda told: (told[1] is None, told[1] or 0.0, told[0]))[:MOST_CLASSES]


def _largest_share(classes: Classes) -> float:
    return max((share for _, share in classes if share is not None), default=1.0)
