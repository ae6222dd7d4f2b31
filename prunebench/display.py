"""How far a long step is: a bar on a terminal, a line now and then in a log. Always on standard error."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .terminal import clean

Text = str | Callable[[], str]  # what a step does; a function is asked anew, so it may tell a loss
SECONDS = 10.0  # between two lines of one step in a log


def tell(text: str, stream: Any) -> None:
    """A line to a log or terminal; where nobody is at its other end, or any more, work goes on and nothing is told."""
    if stream is None:  # closed before we began
        return
    try:
        print(text, file=stream, flush=True)
    except OSError as gone:
        if gone.errno not in (errno.EPIPE, errno.EIO):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def progress_display(stream: Any = None) -> Any:
    """A ``progress(iterable, total, text)`` for this terminal or log."""
    stream = stream or sys.stderr
    return Bars(stream) if stream is not None and stream.isatty() else Lines(stream)


class Lines:
    """One line per epoch's worth of waiting: every ten seconds, and at the end of a step that took that long."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __call__(self, iterable: Iterable[Any], total: int | None = None, text: Text = "") -> Iterator[Any]:
        total = total if total is not None else getattr(iterable, "__len__", lambda: None)()
        started = told = time.monotonic()
        done = 0
        for done, item in enumerate(iterable, 1):
            yield item
            now = time.monotonic()
            if now - told >= SECONDS or (done == total and told > started):
                told = now
                share = f"{done}/{total}" if total else str(done)
                tell(f"  {_said(text)}: {share} ({now - started:.0f} s)", self.stream)


class InWorker:
    """The display of a worker process, which inherits standard error; found when it is first used there."""

    def __init__(self, alone: bool) -> None:
        self.alone = alone  # several workers would draw their bars over each other
        self.display: Any = None

    def __call__(self, iterable: Iterable[Any], total: int | None = None, text: Text = "") -> Iterator[Any]:
        if self.display is None:
            self.display = progress_display() if self.alone else Lines(sys.stderr)
        return self.display(iterable, total, text)

    def __getstate__(self) -> dict[str, Any]:
        return {"alone": self.alone, "display": None}


class Bars:
    """One bar per step that is under way."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.open = stream, 0
        self.bars: Any = None

    def __call__(self, iterable: Iterable[Any], total: int | None = None, text: Text = "") -> Iterator[Any]:
        total = total if total is not None else getattr(iterable, "__len__", lambda: None)()
        bars = self._begin()
        task = bars.add_task(_said(text), total=total)
        try:
            for item in iterable:
                yield item
                bars.update(task, advance=1, description=_said(text))
        finally:
            bars.remove_task(task)
            self._end()

    def _begin(self) -> Any:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        if self.bars is None:
            columns = (
                TextColumn("  {task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            self.bars = Progress(*columns, console=Console(file=self.stream), transient=True)
            self.bars.start()
        self.open += 1
        return self.bars

    def _end(self) -> None:
        self.open -= 1
        if self.open == 0 and self.bars is not None:
            self.bars.stop()
            self.bars = None


def _said(text: Text) -> str:
    return clean(text if isinstance(text, str) else text())
