"""The 1,797 real 8x8 scans of hand-written digits that come with scikit-learn (UCI Optical Recognition, 1998)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..types import Dataset, Split
from .memory import MemoryImages
from .subsets import part, stratified_rows

TEST = 360


def digits(
    root: Path | str = "",
    *,
    download: bool = False,
    image_size: int | None = None,
    train: int | None = None,
    test: int | None = None,
) -> Dataset:
    """1,437 training and 360 test scans, split stratified by a hash of the key ``digits:<original index>``.

    A scan's 17 grey levels v become round(v * 255 / 16) in three equal channels. ``root`` and ``download`` are not
    needed. Never flipped: a mirrored 2 is no 2.
    """
    from sklearn.datasets import load_digits

    scans = load_digits()
    pixels = np.rint(scans.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8)
    labels = scans.target.astype(np.int64)
    keys = tuple(f"digits:{i}" for i in range(len(labels)))
    held = stratified_rows(labels, keys, TEST, "digits test split")
    kept = np.setdiff1d(np.arange(len(labels)), held)

    def split(rows: np.ndarray) -> Split:
        images = MemoryImages(pixels[rows], image_size, flip=False)
        return Split(images, labels[rows], tuple(keys[i] for i in rows))

    return Dataset(
        name="digits",
        classes=tuple("0123456789"),
        train=part(split(kept), train, "train", "digits"),
        test=part(split(held), test, "test", "digits"),
    )
