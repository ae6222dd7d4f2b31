"""Text that plugins and users supplied, made inert for where it is shown."""

from __future__ import annotations

import re
import unicodedata

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links, device strings
    r"|\x1b.?"
)
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~$!&])")
_FORMULA = ("=", "+", "-", "@")


def clean(text: str) -> str:
    """One line without terminal sequences, control characters, direction marks or surrogates."""
    if text.isprintable():  # nothing of what is taken away below
        return " ".join(text.split())
    spaced = " ".join(_ESCAPES.sub("", text).split())
    return "".join(char for char in spaced if unicodedata.category(char)[0] != "C")


def markdown(text: str) -> str:
    """For a cell or a heading: nothing in it is markup, and no cell ends."""
    return _MARKDOWN.sub(r"\\\1", clean(text))


def csv_text(text: str) -> str:
    """For a text cell: no spreadsheet takes it for a formula."""
    found = clean(text)
    return f"'{found}" if found.startswith(_FORMULA) else found
