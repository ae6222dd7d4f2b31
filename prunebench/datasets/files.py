"""Pictures in files, decoded when asked for by a pool of threads; how many there are never changes a pixel.

Threads, not processes: Pillow and torch release the interpreter lock while they decode and resize. Two threads took as
long as two processes for JPEGs of 500 x 400 (ratios of 1.1 and 1.3 in favour of threads, docs/scale.md), without their
start, their memory and the copy of every batch. For JPEGs of 64 x 64 processes were twice as quick: of those most of
the work holds the lock, and they are decoded once, into memory or a `cache`.
"""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..types import Images
from .archives import Member
from .cache import Cached, find
from .geometry import square
from .memory import rows_of
from .pictures import MAX_BYTES, decode, dimensions
from .threads import default_workers, each

Source = str | Member  # a path, or a member of a zip archive
T = TypeVar("T")

READ_THROUGH = 2 * 2**30  # bytes of all files together
NAMED = 20  # files that cannot be read, in one sentence
SAMPLED = 32  # pictures whose headers decide the default size
FALLBACK_SIZE, LARGEST_DEFAULT = 224, 256


class UnreadableFiles(UserError):
    """``told``: one sentence for each file that cannot be read, of which the message names the first 20."""

    def __init__(self, told: Sequence[str]) -> None:
        self.told = tuple(told)
        more = f"; and {len(told) - NAMED} more" if len(told) > NAMED else ""
        pictures = "1 picture" if len(told) == 1 else f"{len(told)} pictures"
        super().__init__(f"{pictures} cannot be decoded: {'; '.join(told[:NAMED])}{more}")

    def __reduce__(self) -> tuple[type[UnreadableFiles], tuple[tuple[str, ...]]]:  # the message is made from all
        return UnreadableFiles, (self.told,)


class FileImages(Images):
    """Picture files in folders or inside zip archives, one per example, in the order given.

    ``sources`` are paths or archive `Member`s, ``size`` is the side S that `pixels` gives; how a file becomes RGB is
    in `pictures`. Nothing is read before `pixels` or `digest` is called.

    Raises:
        ValueError: size or workers below 1.
        UserError: from `pixels`, naming the file that is missing, truncated, too large or no picture.
        UnreadableFiles: from `digest`, of all files that are missing, too large or empty.
    """

    def __init__(
        self,
        sources: Iterable[str | os.PathLike[str] | Member],
        size: int,
        flip: bool = True,
        workers: int | None = None,
    ) -> None:
        self.sources: tuple[Source, ...] = tuple(s if isinstance(s, Member) else os.fspath(s) for s in sources)
        self.size, self.flip = size, flip
        self.workers = default_workers() if workers is None else workers
        if size < 1 or self.workers < 1:
            raise ValueError(f"size and workers must be at least 1, got {size} and {workers}")
        self.cache: Path | None = None  # where pictures decoded once may lie, see `cache`
        self._resident: dict[int, Tensor] = {}  # filled by `memory.resident`, by size
        self._caches: dict[int, Cached | None] = {}  # looked for, by size
        self._origin: tuple[FileImages, np.ndarray] | None = None  # what it was taken from, and which
        self._known: dict[str, np.ndarray] = {}  # of every file, see `_all`
        self._digest: str | None = None

    def __len__(self) -> int:
        return len(self.sources)

    def take(self, indices: Sequence[int] | np.ndarray | Tensor) -> FileImages:
        rows = rows_of(indices, len(self))
        taken = FileImages([self.sources[i] for i in rows], self.size, self.flip, self.workers)
        taken.cache, taken._origin = self.cache, (self, rows)
        taken._known = {what: of_each[rows] for what, of_each in self._known.items()}
        return taken

    def pixels(self, indices: Sequence[int] | np.ndarray | Tensor, size: int | None = None) -> Tensor:
        rows, side = rows_of(indices, len(self)), size or self.size
        standing = self._standing(rows, side)
        return self.decoded(rows, side) if standing is None else standing

    def decoded(self, rows: np.ndarray, size: int) -> Tensor:
        """(B, 3, S, S) uint8 from the files themselves, whatever lies decoded already."""
        batch = np.empty((len(rows), 3, size, size), dtype=np.uint8)

        def fill(i: int) -> None:
            batch[i] = _square(self.sources[rows[i]], size)

        each(fill, range(len(rows)), self.workers)
        return torch.from_numpy(batch)

    def whole(self, size: int) -> Tensor:
        cached = self._cached(size)
        found = None if cached is None or size in self._resident else cached.whole(self.workers)
        return self.pixels(range(len(self)), size) if found is None else found

    def look_in(self, folder: Path | None) -> None:
        """Let pictures decoded once be found in ``folder``, also those of the set that this one was taken from."""
        self.cache, self._caches = folder, {}
        if self._origin:
            self._origin[0].look_in(folder)

    def _standing(self, rows: np.ndarray, size: int) -> Tensor | None:
        """The pixels where they lie decoded: in memory, in a cache, or with the set that this one was taken from."""
        if size in self._resident:
            return self._resident[size][torch.from_numpy(rows)]
        cached = self._cached(size)
        if cached is not None:
            return cached.pixels(rows, lambda bad: self.decoded(bad, size), self.workers)
        return self._origin[0]._standing(self._origin[1][rows], size) if self._origin else None

    def _cached(self, size: int) -> Cached | None:
        if size not in self._caches:
            self._caches[size] = find(self.cache, self, size) if self.cache and len(self) else None
        return self._caches[size]

    def __getstate__(self) -> dict[str, Any]:  # decoded pictures stay here: another process decodes its own
        return {**self.__dict__, "_resident": {}, "_caches": {}, "_origin": None, "_known": {}}

    def digest(self) -> str:
        """SHA-256 of the byte size of each file, in order (in an archive, unpacked), and of the CRC-32 of its content:
        pictures replaced by others of the same size are other data. Sets above `READ_THROUGH` bytes in all are not read
        through.
        """
        if self._digest is None:
            sizes = self._all(_bytes, "<i8")
            digest = hashlib.sha256(sizes.tobytes())
            if sizes.sum() <= READ_THROUGH:
                digest.update(self._all(_checksum, "<u4").tobytes())
            self._digest = digest.hexdigest()
        return self._digest

    def contents(self) -> str:
        """SHA-256 that tells these files from any others: `digest`, and for sets that it does not read through the
        time when each file last changed (in an archive, the CRC-32 that its directory gives).
        """
        digest = hashlib.sha256(self.digest().encode())
        if self._all(_bytes, "<i8").sum() > READ_THROUGH:
            digest.update(self._all(_stamp, "<i8").tobytes())
        return digest.hexdigest()

    def _all(self, step: Callable[[Source], int], dtype: str) -> np.ndarray:
        """(N,) ``step`` of every file, asked once: what is taken from here inherits the answers."""
        if step.__name__ not in self._known:
            self._known[step.__name__] = np.array(_of_all(step, self.sources, self.workers), dtype=dtype)
        return self._known[step.__name__]


def native_size(sources: Sequence[Source]) -> int:
    """The default side S of a set of files: the common shorter side, if they have one of at most 256 pixels, else 224.

    Decided from the headers of up to 32 files spread evenly over ``sources``, so it is the same on every machine.

    Raises:
        UnreadableFiles: some of these files have no header of a picture; all of ``sources`` that have none are told.
    """
    spread = np.unique(np.linspace(0, len(sources) - 1, min(SAMPLED, len(sources))).astype(np.int64))
    try:
        sides = {min(_dimensions(sources[i])) for i in spread}
    except UserError:
        _of_all(_dimensions, sources, default_workers())
        raise
    side = sides.pop() if len(sides) == 1 else FALLBACK_SIZE
    return side if side <= LARGEST_DEFAULT else FALLBACK_SIZE


def read(source: Source) -> bytes:
    """The bytes of one file, at most `MAX_BYTES`."""
    size = _bytes(source)
    if size > MAX_BYTES:
        raise ValueError(f"{size} bytes are more than the {MAX_BYTES} allowed")
    return source.read() if isinstance(source, Member) else Path(source).read_bytes()


def _of_all(step: Callable[[Source], T], sources: Sequence[Source], workers: int) -> list[T]:
    """[step(source) for source in sources]; files that cannot be read are told all at once."""

    def tried(source: Source) -> T | UserError:
        try:
            return step(source)
        except UserError as failure:
            return failure

    done, results, told = each(tried, sources, workers), list[T](), list[str]()
    for result in done:
        if isinstance(result, UserError):
            told.append(str(result))
        else:
            results.append(result)
    if told:
        raise UnreadableFiles(told)
    return results


def _dimensions(source: Source) -> tuple[int, int]:
    return _explained(lambda source: dimensions(_content(source)), source)


def _bytes(source: Source) -> int:
    return source.size if isinstance(source, Member) else _explained(lambda path: os.path.getsize(str(path)), source)


def _stamp(source: Source) -> int:
    if isinstance(source, Member):
        return source.archive.checksum(source.name)
    return _explained(lambda path: os.stat(str(path)).st_mtime_ns, source)


def _checksum(source: Source) -> int:
    return _explained(lambda source: zlib.crc32(_content(source)), source)


def _content(source: Source) -> bytes:
    content = read(source)
    if not content:
        raise ValueError("the file is empty")
    return content


def _square(source: Source, size: int) -> np.ndarray:  # -> (3, S, S) uint8
    def picture(source: Source) -> np.ndarray:
        pixels = decode(_content(source), size).transpose(2, 0, 1)
        if pixels.shape[1:] == (size, size):
            return pixels
        return square(torch.from_numpy(np.ascontiguousarray(pixels)).unsqueeze(0), size)[0].numpy()

    return _explained(picture, source)


def _explained(step: Callable[[Source], T], source: Source) -> T:
    """``step(source)``, whatever goes wrong told with the name of the file: decoders raise almost anything."""
    try:
        return step(source)
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{source} is not there any more; put the data set back as it was") from error
    except Exception as error:
        reason = re.sub(r" ?<[^<>]* object at 0x[0-9a-f]+>", "", str(error)) or type(error).__name__
        raise UserError(f"{source} cannot be read as a picture ({reason}); replace or remove this file") from error
