"""Making and mending the pictures decoded once: block by block, each kept when it is done, published whole.

Work goes on in ``.making-NAME.npy``, with a line in ``.making-NAME.blocks`` for every block that is written: its number
and its SHA-256. After a kill, blocks that hash to their line are kept and the others decoded. A standing cache is
mended in the same way, its card in place of the lines: blocks that do not hash to it are decoded again. What was begun
for data that have changed since has a name that never comes back: left alone for a week, it is removed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from ..arrays import npy_header
from ..errors import StoreError, UserError
from ..store import canonical, card_hash
from ..store.publishing import FULL, fsync, refusal, remove, replace
from ..store.sweeping import ABANDONED, ages
from .cache import BLOCK_BYTES, FORMAT, Cached, name_of, read_card
from .files import FileImages, UnreadableFiles

NAME = r"[0-9a-f]{32}-\d+x\d+"  # see `name_of`
Progress = Callable[..., Iterable[Any]]  # (iterable, total, text) -> iterable
log = logging.getLogger("prunebench.cache")


@dataclass(frozen=True)
class Made:
    """A cache that stands."""

    path: Path
    bytes: int
    blocks: int
    decoded: int  # blocks that were not there or not sound


def make(images: FileImages, size: int, folder: Path, about: Mapping[str, Any], progress: Progress) -> Made:
    """The cache of ``images`` at ``size``, with every block checked: what is there is kept, the rest decoded.

    One process makes it, others wait for it. ``about`` is kept in the card and plays no other part.

    Raises:
        UnreadableFiles: files that cannot be read, all of them.
        UserError: a place that cannot be written or has no room.
        StoreError: the place has become full.
    """
    name = name_of(images, size)
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder, name)
        with FileLock(folder / f".{name}.lock"):
            return _Making(images, size, folder, name, progress).made(about)


def sweep(folder: Path, own: str = "") -> dict[str, int]:
    """Remove what makings other than ``own`` left and nobody has touched for a week; bytes of the younger, by name."""
    left: dict[str, int] = {}
    found = (re.fullmatch(rf"\.making-({NAME})\.(?:npy|blocks)", path.name) for path in folder.glob(".making-*"))
    for name in sorted({match[1] for match in found if match} - {own}):
        with suppress(Timeout, OSError), FileLock(folder / f".{name}.lock", timeout=0):
            paths = [
                path for path in (folder / f".making-{name}.npy", folder / f".making-{name}.blocks") if path.exists()
            ]
            if all(age > ABANDONED for _, age in ages(folder, paths)):
                for path in paths:
                    remove(path)
            else:
                left[name] = sum(path.stat().st_blocks * 512 for path in paths)
    return left


def tell_left(folder: Path) -> None:
    """Say in the log how much was begun in ``folder`` and is neither finished nor worked at."""
    left = sweep(folder)
    if left:
        log.warning(
            "%s holds %.1f MB begun and not finished: the same command as then goes on with it; where the data have "
            "changed since, it is of no use, and is removed when it is a week old (%s)",
            *(folder, sum(left.values()) / 1e6, ", ".join(f".making-{name}.npy" for name in left)),
        )


class _Making:
    """One cache under its lock."""

    def __init__(self, images: FileImages, size: int, folder: Path, name: str, progress: Progress) -> None:
        self.images, self.size, self.folder, self.name, self.progress = images, size, folder, name, progress
        self.final, self.card = folder / f"{name}.npy", folder / f"{name}.json"
        self.working, self.lines = folder / f".making-{name}.npy", folder / f".making-{name}.blocks"
        self.shape = (len(images), 3, size, size)
        self.block = 0  # pictures: of a standing cache, as its card says
        self.header = npy_header(self.shape, "|u1")
        self.bytes = len(self.header) + int(np.prod(self.shape, dtype=object))
        self.decoded = 0

    def made(self, about: Mapping[str, Any]) -> Made:
        hashes = self._mended()
        if hashes is None:
            hashes = self._made_anew()
            self.final.unlink(missing_ok=True)
            self.working.rename(self.final)
            self._publish_card(hashes, about)
        for path in (self.working, self.lines):
            path.unlink(missing_ok=True)
        return Made(self.final, self.bytes, len(hashes), self.decoded)

    def _mended(self) -> list[str] | None:
        """The hashes of a standing cache, its bad blocks decoded again; None where there is none to mend."""
        try:
            card = read_card(self.card)
            self.block, known = int(card["block"]), list(card["hashes"])
            laid_out = self.final.exists() and len(known) == -(-self.shape[0] // self.block)
        except (ValueError, KeyError, TypeError) as damaged:
            if self.card.exists():
                log.warning("%s; the cache is made again", damaged)
            laid_out, known = False, []
        if laid_out:
            self._lay_out(self.final)
            same = self._filled(self.final, dict(enumerate(known)), "check", lambda *_: None) == known
            if same and Cached(self.folder, self.name, self.shape[0], self.size).current(self.images, self.size):
                return known
            log.warning("%s was made by another decoder and is made again", self.final)
            self.lines.unlink(missing_ok=True)
            self.final.unlink()
        self.card.unlink(missing_ok=True)
        return None

    def _made_anew(self) -> list[str]:
        self.block = max(1, BLOCK_BYTES // (3 * self.size * self.size))
        if self.final.exists() and not self.working.exists():  # killed between the last block and the card
            self.final.rename(self.working)
        self._refuse_full()
        self._lay_out(self.working)
        kept = self.lines.read_text(encoding="ascii", errors="replace") if self.lines.exists() else ""
        known = {int(b): told for b, told in re.findall(r"^(\d{1,12}) ([0-9a-f]{64})$", kept, re.MULTILINE)}
        with self.lines.open("a", encoding="ascii") as stream:
            stream.write("\n")  # after a line that a kill has cut short

            def keep(block: int, told: str) -> None:
                stream.write(f"{block} {told}\n")
                stream.flush()

            hashes = self._filled(self.working, known, "decode", keep)
        fsync(self.working)
        return hashes

    def _lay_out(self, path: Path) -> None:
        """The header, and room for every picture; what stands stays."""
        with path.open("r+b" if path.exists() else "x+b") as stream:
            if stream.read(len(self.header)) != self.header:
                stream.seek(0)
                stream.write(self.header)
            stream.truncate(self.bytes)

    def _filled(self, path: Path, known: Mapping[int, str], text: str, keep: Callable[[int, str], Any]) -> list[str]:
        """The SHA-256 of every block of ``path``, those that do not hash to what is known decoded and written."""
        hashes, unreadable, N, picture = [], list[str](), self.shape[0], 3 * self.size * self.size
        with path.open("r+b") as stream:
            for b in self.progress(range(-(-N // self.block)), None, f"{text} {N} pictures"):
                rows = np.arange(b * self.block, min((b + 1) * self.block, N))
                start, length = len(self.header) + b * self.block * picture, len(rows) * picture
                told = known.get(b)
                if told is None or hashlib.sha256(os.pread(stream.fileno(), length, start)).hexdigest() != told:
                    content = self._content(rows, unreadable)
                    if unreadable:
                        continue
                    told = self._write(stream.fileno(), content, start)
                    keep(b, told)
                hashes.append(told)
            os.fsync(stream.fileno())
        if unreadable:
            raise UnreadableFiles(unreadable)
        return hashes

    def _content(self, rows: np.ndarray, unreadable: list[str]) -> bytes:
        try:
            return self.images.decoded(rows, self.size).numpy().tobytes()
        except UserError:
            for row in rows:
                try:
                    self.images.decoded(row[None], self.size)
                except UserError as told:
                    unreadable.append(str(told))
            return b""

    def _write(self, handle: int, content: bytes, start: int) -> str:
        self.decoded += 1
        view = memoryview(content)
        while view:
            done = os.pwrite(handle, view, start)
            view, start = view[done:], start + done
        return hashlib.sha256(content).hexdigest()

    def _refuse_full(self) -> None:
        there = self.working.stat().st_blocks * 512 if self.working.exists() else 0
        state = os.statvfs(self.folder)
        free, missing = state.f_bavail * state.f_frsize, self.bytes - there
        if missing > free:
            raise UserError(
                f"{self.folder} has {free / 1e9:.2f} GB free and {missing / 1e9:.2f} GB are needed: free some room, or "
                "give another --out"
            )

    def _publish_card(self, hashes: list[str], about: Mapping[str, Any]) -> None:
        card = {"format": FORMAT, "name": self.name, "contents": self.images.contents(), "shape": list(self.shape)}
        card |= {"block": self.block, "hashes": hashes, "versions": versions(), "about": dict(about)}
        fsync(self.folder)
        replace(self.card, canonical(card | {"sha256": card_hash(card)}).encode())


def versions() -> dict[str, str]:
    """Of what decodes and resizes."""
    import PIL
    import torch
    from PIL import features

    return {"pillow": PIL.__version__, "jpeg": str(features.version("jpg")), "torch": torch.__version__}


def damaged(images: FileImages, size: int, folder: Path) -> tuple[Cached, list[range]]:
    """(the cache, the pictures of every block that is torn or altered) of ``images`` at ``size``.

    Raises:
        UserError: there is none.
        ValueError: it cannot be opened, or was made by another decoder.
    """
    name = name_of(images, size)
    if not (folder / f"{name}.json").exists():
        raise UserError(f"{folder} holds no cache of these pictures at {size} px: `prunebench datasets cache` makes it")
    cached = Cached(folder, name, len(images), size)
    bad = [cached.rows(b) for b in range(len(cached.hashes)) if not cached.sound(b)]
    if not cached.current(images, size):
        raise ValueError(f"{cached.path} was made by another decoder ({cached.card.get('versions')})")
    return cached, bad


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        if failure.errno in FULL:
            raise StoreError(
                f"cannot write {failure.filename or folder} ({failure.strerror}): free some room there and go on with "
                "the same command, or give another --out"
            ) from failure
        raise UserError(
            f"cannot write {failure.filename or folder} ({refusal(failure, folder)}): give another place with "
            "--out DIR, and PRUNEBENCH_CACHE=DIR to the commands that are to use it"
        ) from failure
