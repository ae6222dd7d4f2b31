"""Pictures decoded once: all N of a split at one size S, in one memory-mapped file that is checked block by block.

    NAME.npy     (N, 3, S, S) uint8, as `FileImages.decoded` gives them; `np.load(..., mmap_mode="r")` reads it
    NAME.json    the card: what it was made from and by, how many pictures are a block, the SHA-256 of every block

NAME is the SHA-256 of the files' contents in their order, with N and S, so one data set is never taken for another. A
block is hashed when a picture of it is first asked for in a process. Pictures of a block that is torn or altered are
decoded from their files, and the log says so: a cache changes the time a training takes, never a pixel.

Where it lies: ``PRUNEBENCH_CACHE`` if that is set, else ``prunebench-cache/`` in the data root. A cache is as large as
the data and belongs to them, not to one store of results: every store, and everybody who shares the data, finds it
without being told. Reading needs no permission to write.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..json_files import read_object
from ..store import card_hash
from .threads import each

if TYPE_CHECKING:
    from .files import FileImages

FORMAT = 1
BLOCK_BYTES = 2**22  # of a block, about
COMPARED = 8  # pictures decoded anew when a cache is opened
CARD_LIMIT = 64 * 2**20  # bytes
VARIABLE, FOLDER = "PRUNEBENCH_CACHE", "prunebench-cache"
log = logging.getLogger("prunebench.cache")


def cache_folder(root: Path | str) -> Path:
    """Where the caches of a data root are looked for and made."""
    return Path(os.environ.get(VARIABLE) or Path(root) / FOLDER)


def name_of(images: FileImages, size: int) -> str:
    """The name of the cache of exactly these files at this size."""
    return f"{images.contents()[:32]}-{len(images)}x{size}"


class Cached:
    """An opened cache: its card, and the pictures as they lie in the file.

    Raises:
        ValueError: the card or the file is missing, torn, or of another shape.
    """

    def __init__(self, folder: Path, name: str, examples: int, size: int) -> None:
        self.path, self.card = folder / f"{name}.npy", read_card(folder / f"{name}.json")
        try:
            self.pictures = np.lib.format.open_memmap(self.path, mode="c")  # our own copy where somebody writes
        except (OSError, ValueError) as damaged:
            raise ValueError(f"{self.path} is missing or torn ({damaged})") from None
        self.block, self.hashes = int(self.card["block"]), tuple(self.card["hashes"])
        shape = (examples, 3, size, size)
        if self.pictures.shape != shape or self.pictures.dtype != np.uint8:
            raise ValueError(f"{self.path} holds {self.pictures.dtype} of shape {self.pictures.shape}, not {shape}")
        if len(self.hashes) != -(-examples // self.block):
            raise ValueError(f"the card of {self.path} has {len(self.hashes)} hashes for {examples} pictures")
        self._sound: dict[int, bool] = {}  # of the blocks looked at

    def rows(self, block: int) -> range:
        """The pictures of a block."""
        return range(block * self.block, min((block + 1) * self.block, len(self.pictures)))

    def sound(self, block: int) -> bool:
        """Whether a block is what it was when it was made; found once per process."""
        if block not in self._sound:
            rows = self.rows(block)
            found = hashlib.sha256(self.pictures[rows.start : rows.stop].data).hexdigest()
            self._sound[block] = found == self.hashes[block]
            if not self._sound[block]:
                log.warning(
                    "%s: pictures %d to %d are torn or altered and are decoded from their files; "
                    "`prunebench datasets cache` mends it",
                    *(self.path, rows.start, rows.stop - 1),
                )
        return self._sound[block]

    def pixels(self, rows: np.ndarray, decoded: Callable[[np.ndarray], Tensor], workers: int) -> Tensor:
        """(B, 3, S, S) uint8; ``decoded`` gives those whose block is not sound."""
        blocks = rows // self.block
        asked = np.unique(blocks)
        each(self.sound, [block for block in asked.tolist() if block not in self._sound], workers)
        sound = np.array([self._sound[block] for block in asked.tolist()], dtype=bool)
        batch = torch.from_numpy(self.pictures[rows])
        bad = np.flatnonzero(~sound[np.searchsorted(asked, blocks)])
        if len(bad):
            batch[torch.from_numpy(bad)] = decoded(rows[bad])
        return batch

    def whole(self, workers: int) -> Tensor | None:
        """(N, 3, S, S) uint8 without a copy: processes share its memory. None where a block is not sound."""
        sound = all(each(self.sound, range(len(self.hashes)), workers))
        return torch.from_numpy(self.pictures) if sound else None

    def current(self, images: FileImages, size: int) -> bool:
        """Whether this machine decodes some of the pictures, spread evenly, to the same pixels."""
        spread = np.unique(np.linspace(0, len(images) - 1, min(COMPARED, len(images))).astype(np.int64))
        rows = spread[[self.sound(int(row) // self.block) for row in spread]]
        return torch.equal(images.decoded(rows, size), torch.from_numpy(self.pictures[rows]))


def read_card(path: Path) -> dict[str, Any]:
    """Raises:
    ValueError: missing, torn, altered, or of another format.
    """
    try:
        card = read_object(path, CARD_LIMIT)
        told = card.pop("sha256")
        if told != card_hash(card) or card["format"] != FORMAT or card["block"] < 1 or len(card["hashes"]) < 1:
            raise ValueError("altered, or of another format")
        return card
    except OSError as failure:
        raise ValueError(f"{path} cannot be read ({failure.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError) as damaged:
        raise ValueError(f"{path} is torn or no card of a cache ({damaged})") from None


def find(folder: Path, images: FileImages, size: int) -> Cached | None:
    """The cache of these pictures at this size, if there is a usable one; why it is not usable stands in the log."""
    try:
        if not any(folder.glob(f"*-{len(images)}x{size}.json")):
            return None  # before the files are read for their contents
        name = name_of(images, size)
        if not (folder / f"{name}.json").exists():
            return None
        cached = Cached(folder, name, len(images), size)
    except (ValueError, OSError) as damaged:
        log.warning("%s; pictures are decoded from their files, `prunebench datasets cache` makes it again", damaged)
        return None
    if cached.current(images, size):
        return cached
    log.warning(
        "%s was made by another decoder (%s) and is not used; `prunebench datasets cache` makes it again",
        *(cached.path, cached.card.get("versions")),
    )
    return None


def tell_missing(folder: Path) -> None:
    """Say in the log that the folder which `PRUNEBENCH_CACHE` names is not there: on a cluster it may be elsewhere."""
    if os.environ.get(VARIABLE) and not folder.is_dir():
        log.warning("%s names %s, which is no folder: pictures are decoded from their files", VARIABLE, folder)
