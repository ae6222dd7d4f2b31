"""Generated pictures with known truth: which labels are wrong, which pictures are copies, which are rare or hard.

Class c is a stripe direction (0, 45, 90 or 135 degrees) of period 4 or 6 at a random phase, in two random colours.
With difficulty d in [0, 1] the contrast of the stripes falls from 1 to 1/4 and the noise grows from 8 to 40 grey
levels. The rare mode of a class shows one solid shape instead: a square, a disc, a cross or a frame.

Only integers are computed, from raw Philox words, so the pictures are the same on every machine and NumPy release.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import UserError
from ..types import Dataset, Split
from .memory import MemoryImages

CLASSES = ("horizontal", "rising", "vertical", "falling")
SHARES = (4, 3, 2, 1)  # of the class sizes
SIDE = 16
LEVELS = 256  # of difficulty


def planted(
    root: Path | str = "",
    *,
    download: bool = False,
    image_size: int | None = None,
    train: int = 600,
    test: int = 300,
    seed: int = 0,
    mislabelled: float = 0.05,
    duplicates: float = 0.05,
    rare: float = 0.05,
) -> Dataset:
    """``train`` + ``test`` RGB pictures of 16x16, four classes of sizes 4:3:2:1, never flipped (45 becomes 135 degrees).

    ``mislabelled``, ``duplicates`` and ``rare`` are shares of each class; an example is at most one of them. The test
    split has rare pictures in the same share, no wrong labels and no copies. ``root`` and ``download`` are not needed.

    `Dataset.details`, all (N,) over the training split: ``mislabelled`` bool; ``duplicate_of`` int64, the position of
    the picture this one is a copy of, or -1; ``rare_mode`` bool; ``difficulty`` float64 in [0, 1].

    Raises:
        UserError: fewer than 10 examples in a split, or a share outside 0..0.25.
    """
    if min(train, test) < 10 or not all(0 <= share <= 0.25 for share in (mislabelled, duplicates, rare)):
        raise UserError("planted needs train and test of at least 10, and shares of at most 0.25 for each oddity")
    shown, pixels, labels, truth = _split(f"train {seed}", train, mislabelled, duplicates, rare)
    _, test_pixels, test_labels, _ = _split(f"test {seed}", test, 0.0, 0.0, rare)
    return Dataset(
        name="planted",
        classes=CLASSES,
        train=_named("train", pixels, labels, image_size),
        test=_named("test", test_pixels, test_labels, image_size),
        details=truth,
    )


def _named(text: str, pixels: np.ndarray, labels: np.ndarray, image_size: int | None) -> Split:
    return Split(
        MemoryImages(pixels, image_size, flip=False), labels, tuple(f"{text}:{i}" for i in range(len(labels)))
    )
