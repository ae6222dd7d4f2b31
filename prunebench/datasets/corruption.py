"""Pictures made worse on purpose: some of them, chosen by key, with Gaussian noise of a given standard deviation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..seeds import noise
from ..types import Images
from .memory import rows_of


class NoisyImages(Images):
    """x + sigma eps, clipped, where sigma > 0; eps is drawn at the size that is asked for, from the example's seed.

    Args:
        images: the clean pictures.
        sigma: (N,) float, in units of the grey range [0, 1]; 0 leaves a picture as it is, to the bit.
        seeds: (N,) int64, one per example.
    """

    def __init__(self, images: Images, sigma: np.ndarray, seeds: np.ndarray) -> None:
        self.images, self.sigma, self.seeds = images, sigma, seeds
        self.size, self.flip = images.size, images.flip

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Sequence[int] | np.ndarray | Tensor) -> NoisyImages:
        rows = rows_of(indices, len(self))
        return NoisyImages(self.images.take(rows), self.sigma[rows], self.seeds[rows])

    def pixels(self, indices: Sequence[int] | np.ndarray | Tensor, size: int | None = None) -> Tensor:
        rows = rows_of(indices, len(self))
        clean = self.images.pixels(rows, size)
        worse = np.flatnonzero(self.sigma[rows] > 0)
        if len(worse):
            eps = noise(torch.from_numpy(self.seeds[rows[worse]]), 0, clean.shape[1:])
            sigma = torch.from_numpy(self.sigma[rows[worse]]).float().reshape(-1, 1, 1, 1)
            clean = clean.clone()
            clean[worse] = (clean[worse] + 255 * sigma * eps).round().clamp(0, 255).to(torch.uint8)
        return clean

    def digest(self) -> str:
        """Of the clean pictures, and of what is done to them."""
        digest = hashlib.sha256(self.images.digest().encode())
        digest.update(np.ascontiguousarray(self.sigma, dtype="<f8").tobytes())
        digest.update(np.ascontiguousarray(self.seeds, dtype="<i8").tobytes())
        return digest.hexdigest()
