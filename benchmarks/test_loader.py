"""P13: batches of augmented pictures, the loader alone, against a DataLoader with PIL; a cache against its files.

    .venv/bin/pytest benchmarks/test_loader.py -s [--record]

The plain loader is what the released codes use: a map-style data set that makes a PIL picture of each example, pads it
by 4, crops 32 x 32, flips, converts and normalises it, in two worker processes (and in none). Ours is the loop of
`training.train` without its network: positions from `Plan`, one gather from one uint8 tensor, one batched shift and
flip, one normalisation. Two workers count in seconds on the clock with two threads on our side, all else in CPU
seconds of one thread.

Equal are the distributions of shifts and flips (a chi-squared test of all 162 combinations), and the pixels that both
take from the picture; the border is zeros there and reflected here.

A cache is compared with decoding the same JPEGs of 500 x 400 to 224 px, to the bit: in the first epoch of a process,
which opens it, decodes eight pictures for comparison and hashes every block, and in a later one.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import chi2
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from prunebench.datasets.cache_making import make
from prunebench.datasets.files import FileImages
from prunebench.datasets.memory import MemoryImages
from prunebench.harness.shared import silent
from prunebench.training.augment import augment
from prunebench.training.batches import Plan
from prunebench.training.evaluation import pixels_of

N, S, BATCH, SHIFT, EPOCHS = 10_000, 32, 128, 4, 2
FILES, SIDE = 512, 224
MEAN, STD = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2470, 0.2435, 0.2616])
Run = Callable[[], Any]
SIZE = f"{N:,} pictures of {S} px, {EPOCHS} epochs, batches of {BATCH}"


def traceable() -> np.ndarray:
    """(N, 3, S, S): the first channel tells a pixel's row, the second its column, the third is the picture's own."""
    pixels = np.random.default_rng(0).integers(0, 256, (N, 3, S, S), dtype=np.uint8)
    pixels[:, 0], pixels[:, 1] = 8 * np.arange(S)[:, None], 8 * np.arange(S)
    return pixels


class Pictures(Dataset):
    def __init__(self, pixels: np.ndarray, transform: transforms.Compose) -> None:
        self.pixels, self.transform = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)), transform

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[i])), i


def plain_loader(pixels: np.ndarray, workers: int) -> DataLoader:
    steps = (transforms.RandomCrop(S, padding=SHIFT), transforms.RandomHorizontalFlip(), transforms.ToTensor())
    transform = transforms.Compose([*steps, transforms.Normalize(MEAN.tolist(), STD.tolist())])
    torch.manual_seed(0)
    return DataLoader(Pictures(pixels, transform), BATCH, shuffle=True, num_workers=workers)


def our_batches(images: MemoryImages):
    """(pictures (B, 3, S, S) float32, which (B,)) of every batch."""
    draws, source = torch.Generator().manual_seed(0), pixels_of(images, torch.device("cpu"))
    mean, std = MEAN.view(3, 1, 1), STD.view(3, 1, 1)
    for positions, _ in Plan(N, BATCH, epochs=EPOCHS).batches(torch.Generator().manual_seed(1)):
        x = augment(source(positions), draws, shift=SHIFT, flip=True)
        yield (x / 255).sub_(mean).div_(std), positions


def plain_batches(loader: DataLoader):
    for _ in range(EPOCHS):
        yield from loader


def consumed(batches) -> tuple[Tensor, Tensor]:
    """The last batch; every other one is made and let go, as by a network."""
    for batch in batches:
        last = batch
    return last


def drawn(pixels: np.ndarray, batches) -> np.ndarray:
    """(9, 9, 2) counts of (down, right, mirrored), after checking that every picture is what these say it is."""
    counts, place = np.zeros((9, 9, 2), dtype=int), torch.arange(S)
    whole = torch.from_numpy(pixels)
    for x, which in batches:
        back = (x * STD.view(3, 1, 1) + MEAN.view(3, 1, 1)) * 255
        found = back.round().to(torch.uint8)
        assert (back - found).abs().max() < 1e-3
        middle = found[:, :, S // 2, S // 2 - 1 : S // 2 + 1].long() // 8  # row and column of two neighbours
        mirrored = middle[:, 1, 1] < middle[:, 1, 0]
        down = middle[:, 0, 1] - S // 2
        right = torch.where(mirrored, middle[:, 1, 1] - (S // 2 - 1), middle[:, 1, 1] - S // 2)
        straight = torch.where(mirrored[:, None, None, None], found.flip(3), found)
        inner = place[2 * SHIFT : -2 * SHIFT]
        for i in range(len(x)):
            expected = whole[which[i]][:, inner[:, None] + down[i], inner + right[i]]
            assert torch.equal(straight[i][:, inner[:, None], inner], expected)
        np.add.at(counts, (down.numpy() + SHIFT, right.numpy() + SHIFT, mirrored.long().numpy()), 1)
    return counts


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    found = traceable()
    for batches in (our_batches(MemoryImages(found)), plain_batches(plain_loader(found, 0))):
        counts = drawn(found, batches)
        expected = EPOCHS * N / counts.size
        assert counts.sum() == EPOCHS * N
        assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-3, counts.size - 1)
    return found


def same_shape(ours, plain) -> None:  # what they hold is checked by `pixels`
    assert ours[0].shape[1:] == plain[0].shape[1:] and ours[0].dtype == plain[0].dtype == torch.float32


def test_loader(against, pixels):
    images, loader = MemoryImages(pixels), plain_loader(pixels, 0)
    ours, plain = (lambda: consumed(our_batches(images))), (lambda: consumed(plain_batches(loader)))
    against("P13 loader, no workers", ours, plain, same_shape, goal=None, size=SIZE)


def test_loader_of_two_workers(against_by_the_clock, pixels):
    images, loader = MemoryImages(pixels), plain_loader(pixels, 2)
    ours, plain = (lambda: consumed(our_batches(images))), (lambda: consumed(plain_batches(loader)))
    against_by_the_clock("P13 loader, two workers", ours, plain, same_shape, goal=8, size=SIZE, rounds=8)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> FileImages:
    """JPEGs of 500 x 400, about 90 kB each, and their cache."""
    images = FileImages(saved(tmp_path_factory.mktemp("photographs"), FILES, 500, 400), SIDE, workers=1)
    make(images, SIDE, cache_of(images), {}, silent)
    return images


def saved(folder: Path, files: int, width: int, height: int) -> list[Path]:
    """JPEGs of coarse colours with fine noise."""
    rng, paths = np.random.default_rng(0), [folder / f"{i:04}.jpg" for i in range(files)]
    for path in paths:
        coarse = Image.fromarray(rng.integers(0, 256, (25, 32, 3), dtype=np.uint8)).resize((width, height))
        fine = np.asarray(coarse).astype(int) + rng.integers(-20, 21, (height, width, 3))
        Image.fromarray(fine.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return paths


def cache_of(images: FileImages) -> Path:
    return Path(str(images.sources[0])).parent / "cache"


def epoch(images: FileImages) -> list[Tensor]:
    order = torch.randperm(FILES, generator=torch.Generator().manual_seed(0))
    return [images.pixels(rows) for rows in order.split(64)]


def opened(images: FileImages) -> FileImages:
    """The same pictures as another process finds them, with their cache."""
    cached = FileImages(images.sources, SIDE, workers=1)
    cached.look_in(cache_of(images))
    return cached


def same_bits(ours: list[Tensor], plain: list[Tensor]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(ours, plain, strict=True))


def test_cache_in_the_first_epoch(against, photographs):
    size = f"{FILES} JPEGs of 500 x 400, {SIDE} px"
    ours, plain = (lambda: epoch(opened(photographs))), (lambda: epoch(photographs))
    against("cache, first epoch of a process", ours, plain, same_bits, goal=None, size=size)


def test_cache_in_later_epochs(against, photographs):
    cached, size = opened(photographs), f"{FILES} JPEGs of 500 x 400, {SIDE} px"
    epoch(cached)
    against("cache, later epochs", lambda: epoch(cached), lambda: epoch(photographs), same_bits, goal=None, size=size)


@pytest.mark.parametrize(
    ("files", "width", "height", "size"), [(2000, 64, 64, 64), (128, 500, 400, 224), (256, 500, 400, 64)]
)
def test_threads_against_processes(against_by_the_clock, tmp_path, files, width, height, size):
    """Two of either, the processes started and warm; a batch of theirs travels through shared memory."""
    paths = saved(tmp_path, files, width, height)
    threads, alone = FileImages(paths, size, workers=2), FileImages(paths, size, workers=1)
    parts = [part.numpy() for part in torch.arange(files).split(32)]
    with ProcessPoolExecutor(2, mp_context=get_context("forkserver")) as pool:

        def by_processes() -> Tensor:
            return torch.cat(list(pool.map(alone.decoded, parts, [size] * len(parts))))

        def by_threads() -> Tensor:
            return threads.decoded(np.arange(files), size)

        told = f"{files:,} JPEGs of {width} x {height}, {size} px"
        name = f"threads against processes, {width} to {size} px"
        against_by_the_clock(
            name, by_threads, by_processes, lambda a, b: same_bits([a], [b]), goal=None, size=told, rounds=10
        )
