"""Text that others supplied, on its way to a terminal or a log: what is left of it moves no cursor and hides nothing.

Names of classes, files, data sets and methods, and errors that repeat them, come from folders, archives and records
of others. `clean` makes one line of such a text. `inert_streams` stands behind everything that a command prints,
tracebacks and plugins' own commands included.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links, device strings
    r"|\x1b.?"
)
_PLAIN = re.compile(r"[\t\n\x20-\x7e]*")
_OTHER = re.compile(r"[^\t\n\x20-\x7e]+")


def clean(text: str) -> str:
    """One line without terminal sequences, control characters, direction marks or surrogates."""
    kept = (char for char in _ESCAPES.sub("", text) if char.isspace() or unicodedata.category(char)[0] != "C")
    return " ".join("".join(kept).split())


def inert(text: str) -> str:
    """Lines and tabs stay; of carriage returns only one that begins the text, as progress displays write it."""
    if _PLAIN.fullmatch(text):
        return text
    start = "\r" if text.startswith("\r") else ""
    return start + _OTHER.sub(_visible, _ESCAPES.sub("", text))


def _visible(other: re.Match[str]) -> str:
    return "".join(char for char in other[0] if unicodedata.category(char)[0] != "C")


class InertStream:
    """A text stream that writes `inert` text; rich, whose cells are cleaned before, finds the stream behind it."""

    def __init__(self, stream: Any) -> None:
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        stream, shown = self.rich_proxied_file, inert(text)
        try:
            stream.write(shown)
        except UnicodeEncodeError:  # a terminal that knows fewer letters
            stream.write(shown.encode(stream.encoding, "replace").decode(stream.encoding))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # bytes would pass by
            raise AttributeError(name)
        return getattr(self.rich_proxied_file, name)


class UntilClosed:
    """A text stream whose reader may leave: the command goes on and ends as it would have, and nobody reads it."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        try:
            self.stream.write(text)
        except BrokenPipeError:
            self._to_nobody()
        return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except BrokenPipeError:
            self._to_nobody()

    def _to_nobody(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class OneLine(logging.Formatter):
    """A message is a line, whatever the names in it hold."""

    def format(self, record: logging.LogRecord) -> str:
        return clean(super().format(record))


def inert_stream(stream: Any) -> Any:
    """The stream as an `InertStream`; None, which a closed one is, as it is."""
    return stream if stream is None or isinstance(stream, InertStream) else InertStream(UntilClosed(stream))


@contextmanager
def inert_streams() -> Iterator[None]:
    """Standard output and standard error, where there are any, are `InertStream`s for as long as this lasts."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(inert_stream, before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def counted(many: int, one: str) -> str:
    """A number with its noun: 1 trial, 2 trials."""
    return f"{many} {one}{'' if many == 1 else 's'}"
