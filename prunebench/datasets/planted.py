"""Generated pictures with known truth: which labels are wrong, which pictures are copies, which are rare or hard.

Class c is a stripe direction (0, 45, 90 or 135 degrees) of period 6 or 8 at a random phase, bright on a ground of
random colour. With difficulty d in [0, 1] the contrast of the stripes falls from 128 to 32 grey levels and the noise
grows from 4 to 28. The rare mode of a class shows one solid shape instead: a square, a disc, a cross or a frame.

Only integers are computed, from raw Philox words, so the pictures are the same on every machine and NumPy release.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..budgets import class_budgets
from ..errors import UserError
from ..seeds import seed_for
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
    """``train`` + ``test`` RGB pictures of 16x16, class sizes 4:3:2:1; never flipped: 45 would be 135 degrees.

    ``mislabelled``, ``duplicates`` and ``rare`` are shares of each class; an example is at most one of them. The test
    split has rare pictures in the same share, no wrong labels and no copies. ``root`` and ``download`` are not needed.

    `Dataset.details`, all (N,) over the training split: ``mislabelled`` bool; ``duplicate_of`` int64, the position of
    the picture this one is a copy of, or -1; ``rare_mode`` bool; ``difficulty`` float64 in [0, 1].

    Raises:
        UserError: fewer than 10 examples in a split, or a share outside 0..0.2.
    """
    if min(train, test) < 10 or not all(0 <= share <= 0.2 for share in (mislabelled, duplicates, rare)):
        raise UserError("planted needs train and test of at least 10, and shares of 0 to 0.2 for each oddity")
    first, truth = _split("train", train, seed, image_size, (rare, mislabelled, duplicates))
    second, _ = _split("test", test, seed, image_size, (rare, 0.0, 0.0))
    return Dataset(name="planted", classes=CLASSES, train=first, test=second, details=truth)


def _split(
    part: str, examples: int, seed: int, image_size: int | None, shares: tuple[float, float, float]
) -> tuple[Split, dict[str, np.ndarray]]:
    def words(what: str, *shape: int) -> np.ndarray:  # -> shape, int64 in 0..2^31-1
        raw = np.random.Philox(key=seed_for("planted", part, seed, what)).random_raw(int(np.prod(shape)))
        return (raw >> np.uint64(33)).astype(np.int64).reshape(shape)

    counts = class_budgets(np.array(SHARES) * examples, examples)
    shown = np.repeat(np.arange(len(CLASSES)), counts)[np.argsort(words("order", examples), kind="stable")]
    rare, wrong, copy_of = _roles(shown, np.argsort(words("roles", examples), kind="stable"), shares)
    hard = words("difficulty", examples) % LEVELS
    mask = _patterns(shown, rare, words("place", 3, examples))
    pixels = _painted(mask, hard, words("colour", examples, 3) % 128, words("noise", examples, 3, SIDE, SIDE, 4) % 256)
    labels = np.where(wrong, (shown + 1 + words("label", examples) % 3) % 4, shown)
    source = np.where(copy_of < 0, np.arange(examples), copy_of)
    images = MemoryImages(pixels[source], image_size, flip=False)
    truth = {
        "mislabelled": wrong,
        "duplicate_of": copy_of,
        "rare_mode": rare,
        "difficulty": hard[source] / (LEVELS - 1),
    }
    return Split(images, labels, tuple(f"{part}:{i}" for i in range(examples))), truth


def _roles(shown: np.ndarray, order: np.ndarray, shares: tuple[float, float, float]) -> tuple[np.ndarray, ...]:
    """Rare (N,) bool, mislabelled (N,) bool and duplicate_of (N,) int64: disjoint, each its share of each class."""
    rare, wrong = np.zeros(len(shown), dtype=bool), np.zeros(len(shown), dtype=bool)
    copy_of = np.full(len(shown), -1, dtype=np.int64)
    for c in range(len(CLASSES)):
        members = order[shown[order] == c]
        n_rare, n_wrong, n_copies = (int(share * len(members) + 0.5) for share in shares)
        n_rare = max(n_rare, int(shares[0] > 0))
        rare[members[:n_rare]] = True
        wrong[members[n_rare : n_rare + n_wrong]] = True
        rest = members[n_rare + n_wrong :][::-1]  # from the end, so that other shares leave the copies as they are
        n_copies = min(n_copies, len(rest) // 2)
        copy_of[rest[:n_copies]] = rest[n_copies : 2 * n_copies]
    return rare, wrong, copy_of


def _patterns(shown: np.ndarray, rare: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(N, 16, 16) int64 of 0 and 1: the stripes of each class, or its solid shape where ``rare``."""
    y, x = np.mgrid[:SIDE, :SIDE]
    along = np.stack([y, x + y, x, x - y])[shown]  # (N, 16, 16)
    period = 6 + 2 * (place[0] % 2)[:, None, None]
    stripes = (along + place[1][:, None, None]) % period < period // 2
    dx = np.abs(x - 6 - place[1][:, None, None] % 4)
    dy = np.abs(y - 6 - place[2][:, None, None] % 4)
    far, near = np.maximum(dx, dy), np.minimum(dx, dy)
    shapes = np.stack([far <= 4, dx * dx + dy * dy <= 20, near <= 1, (far == 4) | (far == 5)])
    solid = shapes[shown, np.arange(len(shown))]
    return np.where(rare[:, None, None], solid, stripes).astype(np.int64)


def _painted(mask: np.ndarray, hard: np.ndarray, ground: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """(N, 3, 16, 16) uint8 = ground + mask * contrast + noise; stripes are 128 levels brighter at difficulty 0."""
    hard = hard[:, None, None, None]
    ground = ground[:, :, None, None]
    step = 128 * (4 * LEVELS - 3 * hard) // (4 * LEVELS)
    deviation = 4 + 24 * hard // LEVELS  # the sum of four bytes has mean 510 and deviation 148
    grain = (noise.sum(axis=-1) - 510) * deviation // 148
    return np.clip(ground + mask[:, None] * step + grain, 0, 255).astype(np.uint8)
