"""Text that plugins and users supplied, made inert for where it is shown."""

from __future__ import annotations

import re

from ..terminal import clean

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~$!&])")
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def markdown(text: str) -> str:
    """For a cell or a heading: nothing in it is markup, and no cell ends."""
    return _MARKDOWN.sub(r"\\\1", clean(text))


def csv_text(text: str) -> str:
    """For a text cell: no spreadsheet takes it for a formula."""
    found = clean(text)
    return f"'{found}" if found.startswith(_FORMULA) else found
