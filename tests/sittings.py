"""Sittings of `publisher` in processes of their own, forked so that a hundred of them take seconds.

What must hold after each: what has its final name verifies (I1), what was acknowledged is there (I2), nothing is left
that has to be removed by hand (I6). That a store which is finished at last has the bytes of an undisturbed one (I3) is
for the tests to compare.
"""

from __future__ import annotations

import os
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from publisher import publish

from prunebench import StoreError
from prunebench.store import Store


@dataclass
class Sitting:
    """A driver at work on a store."""

    pid: int
    pipe: int
    told: bytes = b""
    status: int | None = None  # as of waitpid
    lines: list[str] = field(default_factory=list)

    def read(self, seconds: float) -> bool:
        """What it says within so many seconds; whether it is still there after them."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([self.pipe], [], [], left)[0]:
                more = os.read(self.pipe, 65536)
                if not more:
                    return False
                self.told += more
        return True

    def end(self) -> Sitting:
        """Wait for its end and everything it said."""
        while more := os.read(self.pipe, 65536):
            self.told += more
        os.close(self.pipe)
        _, self.status = os.waitpid(self.pid, 0)
        self.lines = self.told.decode().split("\n")[:-1]  # a line that is cut short was not said
        return self

    def kill(self) -> Sitting:
        os.kill(self.pid, signal.SIGKILL)
        return self.end()

    @property
    def killed(self) -> bool:
        assert self.status is not None
        return os.WIFSIGNALED(self.status)

    def those(self, word: str) -> list[str]:
        """Ids of the lines that begin with a word."""
        return [line.split()[2] for line in self.lines if line.startswith(word)]

    @property
    def errors(self) -> list[str]:
        return [line for line in self.lines if line.startswith(("error", "Traceback"))]


BEGUN: list[Sitting] = []


def leave_none() -> None:
    """End every sitting that a test which failed has left, paused ones too."""
    while BEGUN:
        sitting = BEGUN.pop()
        if sitting.status is None:
            sitting.kill()


def begin(root: Path, seed: int = 0, prepare: Callable[[], Any] = lambda: None, **more: Any) -> Sitting:
    """A driver; ``prepare`` is called in its process first. An error of ours is a line ``error CODE TEXT``."""
    theirs, ours = os.pipe()
    pid = os.fork()
    if pid:
        os.close(ours)
        BEGUN.append(Sitting(pid, theirs))
        return BEGUN[-1]
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    def say(line: str) -> None:
        os.write(ours, f"{line}\n".encode())

    try:
        prepare()
        publish(root, say, seed, **more)
    except StoreError as failure:
        say(f"error {failure.exit_code} {failure}")
    except BaseException:
        say(traceback.format_exc())
    finally:
        os._exit(0)


def check(root: Path, acknowledged: Iterable[str], last: str = "") -> None:
    """I1, I2 and I6; ``last`` is the last line that was said."""
    store = Store(root)
    sound, problems = store.verify()
    standing = {path.stem for path in root.glob("*/*.json")}
    assert problems == [] and sound >= len(set(acknowledged))
    assert standing >= set(acknowledged)
    if last.startswith("noted"):
        assert last.split()[2] in {failure["id"] for failure in store.failures()}
    left = [path.name for path in root.rglob("*") if path.name.startswith(".tmp-")]
    assert left == [], "what a dead process left is swept when the store is opened"


def train(plan: Any, connection: Any) -> None:
    """A run in a process of its own; the ids of its trials are sent as they are done."""
    import prunebench

    for result in prunebench.run(plan):
        connection.send(result.id)
