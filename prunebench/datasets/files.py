"""Pictures in files, decoded when asked for by a pool of threads; how many there are never changes a pixel."""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..types import Images
from .archives import Member
from .geometry import square
from .memory import rows_of
from .pictures import MAX_BYTES, decode, dimensions

Source = str | Member  # a path, or a member of a zip archive
T = TypeVar("T")

BLOCK = 64  # files that one thread does at a time
READ_THROUGH = 2 * 2**30  # bytes of all files together
SAMPLED = 32  # pictures whose headers decide the default size
FALLBACK_SIZE, LARGEST_DEFAULT = 224, 256


def default_workers() -> int:
    """As many threads as there are cores for this process, at most 8: decoding releases the interpreter lock."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores)


class FileImages(Images):
    """Picture files in folders or inside zip archives, one per example, in the order given.

    ``sources`` are paths or archive `Member`s, ``size`` is the side S that `pixels` gives; how a file becomes RGB is
    in `pictures`. Nothing is read before `pixels` or `digest` is called.

    Raises:
        ValueError: size or workers below 1.
        UserError: from `pixels` and `digest`, naming the file that is missing, truncated, too large or no picture.
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
        self._resident: dict[int, Tensor] = {}  # filled by `memory.resident`, by size
        self._origin: tuple[dict[int, Tensor], np.ndarray] | None = None  # what it was taken from, and which

    def __len__(self) -> int:
        return len(self.sources)

    def take(self, indices: Sequence[int] | np.ndarray | Tensor) -> FileImages:
        rows = rows_of(indices, len(self))
        taken = FileImages([self.sources[i] for i in rows], self.size, self.flip, self.workers)
        if self._origin and not self._resident:
            taken._origin = self._origin[0], self._origin[1][rows]
        else:
            taken._origin = self._resident, rows
        return taken

    def pixels(self, indices: Sequence[int] | np.ndarray | Tensor, size: int | None = None) -> Tensor:
        rows, side = rows_of(indices, len(self)), size or self.size
        if side in self._resident:
            return self._resident[side][torch.from_numpy(rows)]
        if self._origin and side in self._origin[0]:
            made, place = self._origin
            return made[side][torch.from_numpy(place[rows])]
        batch = np.empty((len(rows), 3, side, side), dtype=np.uint8)

        def fill(i: int) -> None:
            batch[i] = _square(self.sources[rows[i]], side)

        _each(fill, range(len(rows)), self.workers)
        return torch.from_numpy(batch)

    def __getstate__(self) -> dict[str, Any]:  # decoded pictures stay here: another process decodes its own
        return {**self.__dict__, "_resident": {}, "_origin": None}

    def digest(self) -> str:
        """SHA-256 of the byte size of each file, in order (in an archive, unpacked), and of the CRC-32 of its content:
        pictures replaced by others of the same size are other data. Sets above `READ_THROUGH` bytes in all are not read
        through.
        """
        sizes = np.array(_each(_bytes, self.sources, self.workers), dtype="<i8")
        digest = hashlib.sha256(sizes.tobytes())
        if sizes.sum() <= READ_THROUGH:
            digest.update(np.array(_each(_checksum, self.sources, self.workers), dtype="<u4").tobytes())
        return digest.hexdigest()


def native_size(sources: Sequence[Source]) -> int:
    """The default side S of a set of files: the common shorter side, if they have one of at most 256 pixels, else 224.

    Decided from the headers of up to 32 files spread evenly over ``sources``, so it is the same on every machine.

    Raises:
        UserError: one of these files cannot be read as a picture.
    """
    spread = np.unique(np.linspace(0, len(sources) - 1, min(SAMPLED, len(sources))).astype(np.int64))
    sides = {min(_explained(lambda s: dimensions(read(s)), sources[i])) for i in spread}
    side = sides.pop() if len(sides) == 1 else FALLBACK_SIZE
    return side if side <= LARGEST_DEFAULT else FALLBACK_SIZE


def read(source: Source) -> bytes:
    """The bytes of one file, at most `MAX_BYTES`."""
    size = _bytes(source)
    if size > MAX_BYTES:
        raise ValueError(f"{size} bytes are more than the {MAX_BYTES} allowed")
    return source.read() if isinstance(source, Member) else Path(source).read_bytes()


def _bytes(source: Source) -> int:
    return source.size if isinstance(source, Member) else _explained(lambda path: os.path.getsize(str(path)), source)


def _checksum(source: Source) -> int:
    def crc(source: Source) -> int:
        content = read(source)
        if not content:
            raise ValueError("the file is empty")
        return zlib.crc32(content)

    return _explained(crc, source)


def _square(source: Source, size: int) -> np.ndarray:  # -> (3, S, S) uint8
    def picture(source: Source) -> np.ndarray:
        pixels = decode(read(source)).transpose(2, 0, 1)
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


def _each(step: Callable[[Any], T], items: Sequence[Any], workers: int) -> list[T]:
    """[step(item) for item in items] on ``workers`` threads; the first failing item raises, whatever the timing."""
    rows = min(BLOCK, -(-len(items) // (4 * workers)))
    blocks = [items[i : i + rows] for i in range(0, len(items), max(1, rows))]
    if workers == 1 or len(blocks) < 2:
        return [step(item) for item in items]
    with ThreadPoolExecutor(min(workers, len(blocks))) as pool:
        try:
            done = list(pool.map(lambda block: [step(item) for item in block], blocks))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [result for block in done for result in block]
