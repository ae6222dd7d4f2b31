"""Pictures held in memory as one uint8 tensor, and the tensor of any set of pictures that fits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..types import Images
from .geometry import square

RESIDENT_LIMIT = 2**31  # bytes


def rows_of(indices: Sequence[int] | np.ndarray | Tensor, examples: int) -> np.ndarray:
    """(B,) int64: ``indices`` checked against 0..N-1. Negative ones are refused: they hide mix-ups.

    Raises:
        IndexError: not one-dimensional, not integers, or out of range.
    """
    rows = np.asarray(indices.cpu() if isinstance(indices, Tensor) else indices)
    if rows.size == 0:
        return np.zeros(0, dtype=np.int64)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise IndexError(f"picture indices must be one row of integers, got {rows.dtype} of shape {rows.shape}")
    if rows.min() < 0 or rows.max() >= examples:
        raise IndexError(f"picture indices must lie in 0..{examples - 1}, got {rows.min()}..{rows.max()}")
    return rows.astype(np.int64)


class MemoryImages(Images):
    """Pictures in one tensor: (N, 3, H, W), (N, 1, H, W) or (N, H, W) uint8, torch or NumPy; grey becomes RGB.

    ``size`` defaults to the shorter side. The tensor is shared, not copied, and must not be changed afterwards.

    Raises:
        ValueError: another shape or dtype, or a size below 1.
    """

    def __init__(self, pixels: Tensor | np.ndarray, size: int | None = None, flip: bool = True) -> None:
        if isinstance(pixels, np.ndarray):
            pixels = torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())
        if pixels.ndim == 3:
            pixels = pixels.unsqueeze(1)
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or 0 in pixels.shape[2:]:
            raise ValueError(
                "pictures must be uint8 of shape (N, 3, H, W), (N, 1, H, W) or (N, H, W), "
                f"got {pixels.dtype} of shape {tuple(pixels.shape)}"
            )
        self._pixels = pixels.cpu().contiguous()
        self.size = min(pixels.shape[2:]) if size is None else size
        self.flip = flip
        if self.size < 1:
            raise ValueError(f"the image size must be at least 1 pixel, got {size}")

    def __len__(self) -> int:
        return len(self._pixels)

    def take(self, indices: Sequence[int] | np.ndarray | Tensor) -> MemoryImages:
        rows = torch.from_numpy(rows_of(indices, len(self)))
        whole = len(rows) == len(self) and torch.equal(rows, torch.arange(len(self)))
        return MemoryImages(self._pixels if whole else self._pixels[rows], self.size, self.flip)

    def pixels(self, indices: Sequence[int] | np.ndarray | Tensor, size: int | None = None) -> Tensor:
        picked = self._pixels[torch.from_numpy(rows_of(indices, len(self)))]
        return _rgb(square(picked, size or self.size))

    def digest(self) -> str:
        """SHA-256 of the native pixels, shape included: the size that is asked for plays no part."""
        digest = hashlib.sha256(repr(tuple(self._pixels.shape)).encode())
        digest.update(self._pixels.numpy().data)
        return digest.hexdigest()

    def whole(self, size: int) -> Tensor:
        """(N, 3, S, S) uint8, without a copy where the pictures are that already."""
        return _rgb(square(self._pixels, size))


def _rgb(pixels: Tensor) -> Tensor:  # (B, 1 or 3, S, S) -> (B, 3, S, S)
    return pixels.expand(-1, 3, -1, -1).contiguous()


def resident(images: Images, size: int | None = None, limit: int = RESIDENT_LIMIT) -> Tensor | None:
    """All pictures as one (N, 3, S, S) uint8 tensor on the CPU, or None if that takes more than ``limit`` bytes.

    Made once per size and kept with ``images``; it equals ``images.pixels(range(N), size)`` and must not be changed.
    """
    size = size or images.size
    if len(images) * 3 * size * size > limit:
        return None
    made: dict[int, Tensor] = images.__dict__.setdefault("_resident", {})
    if size not in made:
        made[size] = images.whole(size)
    return made[size]
