"""Texts and file names of the page: texts are one line without control characters, names are hashes of what they name.

Nothing that a record says becomes a file name, an address or markup: names are hexadecimal, and the templates escape
all that they print.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable
from functools import lru_cache
from typing import Any

from ..leaderboard.table import Row, Table
from ..terminal import clean

LONGEST = 2000  # characters of one text on a page

Method = tuple[str, str, str]  # scorer, selector, index file; "" for none


@lru_cache(maxsize=65536)
def text(value: Hashable) -> str:
    """For people: one line, inert, not longer than a page can show."""
    found = clean(str(value))
    return found if len(found) <= LONGEST else found[: LONGEST - 1] + "…"


def method_of(row: Row) -> Method:
    """What a method page is about: scorer and selector with their options; an index file counts by its content."""
    return row.scorer or "", row.selector, row.trials[0].selection if row.selector == "subset" else ""


def method_file(method: Method) -> str:
    return f"methods/{_hash(method)}.html"


def records_file(row: Row, table: Table) -> str:
    """The page of all records of a row's method in its table."""
    return f"records/{_hash([*method_of(row), row.variant, dict(table.conditions), dict(table.split)])}.html"


def _hash(told: Any) -> str:
    text = json.dumps(told, sort_keys=True, default=str)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:20]
