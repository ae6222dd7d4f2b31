"""Fashion-MNIST, CIFAR-10 and -100, SVHN and STL-10 where torchvision keeps them; keys are ``train:17``, ``test:3``.

Nothing is downloaded unless ``download`` is set, and then as `downloads` says. CIFAR and SVHN are read by torchvision,
after it has compared each file with its published checksum; the raw binary formats of Fashion-MNIST and STL-10 are read
here, so that gzipped Fashion-MNIST files and an STL-10 without its 2.7 GB of unlabelled pictures will do.
"""

from __future__ import annotations

import gzip
import http.client
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torchvision import datasets as published

from ..errors import UserError
from ..types import Dataset, Split
from . import downloads, expects
from .memory import MemoryImages
from .subsets import part

Arrays = tuple[np.ndarray, np.ndarray]  # pictures (N, H, W) or (N, 3, H, W) uint8, labels (N,)
MAX_BYTES = 2**31  # of one file, unzipped

DIGITS = tuple("0123456789")
FASHION = tuple(published.FashionMNIST.classes)
STL10 = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


def fashion_mnist(
    root: Path | str,
    *,
    download: bool = False,
    image_size: int | None = None,
    train: int | None = None,
    test: int | None = None,
) -> Dataset:
    """Xiao et al. 2017: 60,000 + 10,000 grey pictures of clothes, 28x28, 10 classes."""
    folder = Path(root) / "FashionMNIST" / "raw"
    names = [f"{split}-{what}-ubyte" for split in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
    fetch = _fetch("fashion-mnist", download, Path(root))
    files = _present("fashion-mnist", [(folder / name, folder / f"{name}.gz") for name in names], fetch)
    arrays = [_read("fashion-mnist", _idx, file) for file in files]
    return _dataset("fashion-mnist", FASHION, arrays[:2], arrays[2:], True, image_size, train, test)


def cifar10(
    root: Path | str,
    *,
    download: bool = False,
    image_size: int | None = None,
    train: int | None = None,
    test: int | None = None,
) -> Dataset:
    """Krizhevsky 2009: 50,000 + 10,000 pictures, 32x32, 10 classes, in the published order."""
    return _cifar("cifar10", published.CIFAR10, Path(root), download, image_size, train, test)


def cifar100(
    root: Path | str,
    *,
    download: bool = False,
    image_size: int | None = None,
    train: int | None = None,
    test: int | None = None,
) -> Dataset:
    """Krizhevsky 2009: 50,000 + 10,000 pictures, 32x32, 100 fine classes, in the published order."""
    return _cifar("cifar100", published.CIFAR100, Path(root), download, image_size, train, test)


def svhn(
    root: Path | str,
    *,
    download: bool = False,
    image_size: int | None = None,
    train: int | None = None,
    test: int | None = None,
) -> Dataset:
    """Netzer et al. 2011: 73,257 + 26,032 house numbers, 32x32, 10 classes. Never flipped."""
    files = [(Path(root) / f"{split}_32x32.mat",) for split in ("train", "test")]
    fetch = _fetch("svhn", download, Path(root))
    found = _present("svhn", files, fetch)

    def arrays(file: Path) -> Arrays:
        data = published.SVHN(str(root), file.name.split("_")[0])
        return np.ascontiguousarray(data.data), data.labels

    first, second = (_read("svhn", arrays, file) for file in found)
    return _dataset("svhn", DIGITS, first, second, False, image_size, train, test)


def stl10(
    root: Path | str,
    *,
    download: bool = False,
    image_size: int | None = None,
    train: int | None = None,
    test: int | None = None,
) -> Dataset:
    """Coates et al. 2011: 5,000 + 8,000 labelled pictures, 96x96, 10 classes."""
    folder = Path(root) / "stl10_binary"
    files = [(folder / f"{split}_{what}.bin",) for split in ("train", "test") for what in "Xy"]
    fetch = _fetch("stl10", download, Path(root), lambda: published.STL10(str(root), download=True))
    found = _present("stl10", files, fetch)
    arrays = [_read("stl10", _stl10_pictures if i % 2 == 0 else _stl10_labels, file) for i, file in enumerate(found)]
    return _dataset("stl10", STL10, arrays[:2], arrays[2:], True, image_size, train, test)


def _cifar(
    name: str, source: Any, root: Path, download: bool, image_size: int | None, train: int | None, test: int | None
) -> Dataset:
    folder = root / source.base_folder
    files = [(folder / file,) for file, _ in [*source.train_list, *source.test_list, [source.meta["filename"], ""]]]
    _present(name, files, _fetch(name, download, root, lambda: source(str(root), download=True)))
    first = _read(name, lambda _: source(str(root), train=True), folder)
    second = _read(name, lambda _: source(str(root), train=False), folder)
    pictures = [np.ascontiguousarray(data.data.transpose(0, 3, 1, 2)) for data in (first, second)]
    splits = [(pixels, np.array(data.targets)) for pixels, data in zip(pictures, (first, second), strict=True)]
    return _dataset(name, tuple(first.classes), splits[0], splits[1], True, image_size, train, test)


def _fetch(name: str, download: bool, root: Path, unpack: Callable[[], Any] | None = None) -> Callable[[], None] | None:
    def fetch() -> None:
        try:
            for wanted in downloads.DOWNLOADS[name]:
                downloads.fetch(wanted, root)
            if unpack is not None:
                unpack()  # its archive is there, so torchvision fetches nothing
        except (OSError, http.client.HTTPException, RuntimeError, ValueError) as error:
            raise UserError(
                f"{name} could not be downloaded ({error}); check the network, or fetch it elsewhere and name its "
                "folder with --data-root"
            ) from error

    return fetch if download else None


def _present(name: str, files: Sequence[tuple[Path, ...]], fetch: Callable[[], None] | None) -> list[Path]:
    """Of each tuple of alternatives the first file that exists; downloads first if some are missing."""
    missing = [alternatives[0] for alternatives in files if not any(path.is_file() for path in alternatives)]
    if missing and fetch:
        fetch()
        return _present(name, files, None)
    if missing:
        more = f" and {len(missing) - 1} more files are" if len(missing) > 1 else " is"
        raise UserError(
            f"{name} is incomplete: {missing[0]}{more} missing; expected under the data root: {expects(name)} "
            "Name another place with --data-root, or fetch it with --download"
        )
    return [next(path for path in alternatives if path.is_file()) for alternatives in files]


def _read(name: str, step: Callable[[Path], Any], path: Path) -> Any:
    try:
        return step(path)
    except (OSError, EOFError, RuntimeError, ValueError, zlib.error) as error:
        raise UserError(
            f"{path} does not hold {name} as published ({error}); remove it and fetch it again with --download"
        ) from error


def _dataset(
    name: str,
    classes: tuple[str, ...],
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    flip: bool,
    image_size: int | None,
    train: int | None,
    test: int | None,
) -> Dataset:
    def split(text: str, pixels: np.ndarray, labels: np.ndarray) -> Split:
        labels = labels.astype(np.int64)
        if len(pixels) != len(labels) or not len(labels) or labels.min() < 0 or labels.max() >= len(classes):
            raise UserError(
                f"{name}: the {text} split has {len(pixels)} pictures and {len(labels)} labels that do not fit its "
                f"{len(classes)} classes; fetch it again"
            )
        keys = tuple(f"{text}:{i}" for i in range(len(labels)))
        return Split(MemoryImages(pixels, image_size, flip), labels, keys)

    return Dataset(
        name=name,
        classes=classes,
        train=part(split("train", *first), train, "train", name),
        test=part(split("test", *second), test, "test", name),
    )


def _idx(path: Path) -> np.ndarray:
    """LeCun's IDX format: 0, 0, type 8 = uint8, number of axes, big-endian lengths, then the bytes."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        head = file.read(4)
        if len(head) < 4 or head[:3] != b"\0\0\x08" or not 1 <= head[3] <= 3:
            raise ValueError("no IDX file of bytes")
        shape = np.frombuffer(file.read(4 * head[3]), dtype=">u4").astype(int).tolist()
        length = int(np.prod(shape, dtype=object))
        if length > MAX_BYTES:
            raise ValueError(f"{length} bytes are more than the {MAX_BYTES} allowed")
        data = file.read(length + 1)
    if len(data) != length:
        raise ValueError(f"its header promises {length} bytes, it holds {'more' if len(data) > length else len(data)}")
    return np.frombuffer(bytearray(data), dtype=np.uint8).reshape(shape)


def _stl10_pictures(path: Path) -> np.ndarray:  # column-major planes -> (N, 3, 96, 96)
    return np.ascontiguousarray(np.fromfile(path, dtype=np.uint8).reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2))


def _stl10_labels(path: Path) -> np.ndarray:  # 1..10 -> 0..9
    return np.fromfile(path, dtype=np.uint8).astype(np.int64) - 1
