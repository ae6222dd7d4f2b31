"""Folders of pictures, one folder per class: ImageNet and its small relatives, and anybody's own.

Classes are the sorted folder names (wnids for ImageNet), keys are relative paths such as
``train/n02086240/ILSVRC2012_val_00000293.JPEG``, the same whether the set lies in folders or in zip archives, which
are read in place. The test split is ``val/``. Pictures are ordered by class, then by path.

The default image size is 64 for Tiny ImageNet and 224 for ImageNet; elsewhere it is read from the pictures' headers
(`files.native_size`): their common shorter side if there is one of at most 256 pixels, else 224.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..types import Dataset, Split
from . import expects
from .files import FileImages, Source, native_size, read
from .pictures import is_picture
from .places import Files, Pair, Place, pairs
from .subsets import part

# The ten wnids of each, sorted: with the wrong ten classes a data set of another name was found.
IMAGENETTE = "n01440764 n02102040 n02979186 n03000684 n03028079 n03394916 n03417042 n03425413 n03445777 n03888257"
IMAGEWOOF = "n02086240 n02087394 n02088364 n02089973 n02093754 n02096294 n02099601 n02105641 n02111889 n02115641"

Labelled = dict[str, tuple[str, Source]]  # relative name -> class and where to read it


def imagenette(
    root: Path | str,
    *,
    download: bool = False,
    image_size: int | None = None,
    train: int | None = None,
    test: int | None = None,
) -> Dataset:
    """Howard 2019: ten easy ImageNet classes, 9,469 + 3,925; of several copies the smallest pictures are taken."""
    pair = _named("imagenette", Path(root), _sizes("imagenette2"), download)
    return _dataset("imagenette", pair, image_size, train, test, IMAGENETTE.split())


def imagewoof(
    root: Path | str,
    *,
    download: bool = False,
    image_size: int | None = None,
    train: int | None = None,
    test: int | None = None,
) -> Dataset:
    """Howard 2019: ten ImageNet dog breeds, 9,025 + 3,929; of several copies the smallest pictures are taken."""
    pair = _named("imagewoof", Path(root), _sizes("imagewoof2"), download)
    return _dataset("imagewoof", pair, image_size, train, test, IMAGEWOOF.split())


def imagenet(
    root: Path | str,
    *,
    download: bool = False,
    image_size: int | None = None,
    train: int | None = None,
    test: int | None = None,
) -> Dataset:
    """Russakovsky et al. 2015: 1.28 million + 50,000 pictures; val/ sorted into the 1,000 wnid folders."""
    pair = _named("imagenet", Path(root), ("imagenet", "ILSVRC2012", "ILSVRC/Data/CLS-LOC"), download)
    return _dataset("imagenet", pair, image_size or 224, train, test, 1000)


def tiny_imagenet(
    root: Path | str,
    *,
    download: bool = False,
    image_size: int | None = None,
    train: int | None = None,
    test: int | None = None,
) -> Dataset:
    """Stanford CS231n: 200 classes, 100,000 + 10,000, 64x64; val/ is the test split, test/ has no labels."""
    pair = _named("tiny-imagenet", Path(root), ("tiny-imagenet-200", "tiny-imagenet"), download)
    return _dataset("tiny-imagenet", pair, image_size or 64, train, test, 200)


def folder(
    root: Path | str = "",
    *,
    path: str = "",
    test_folder: str | None = None,
    download: bool = False,
    image_size: int | None = None,
    train: int | None = None,
    test: int | None = None,
) -> Dataset:
    """Anybody's pictures: a folder or .zip ``path`` with train/ and val/ (or test/), one folder per class in each.

    ``test_folder`` names the test split's folder; without it val/ is taken, or test/ where there is no val/. A relative
    ``path`` is looked for in the working directory, then in the data root.
    """
    if not path:
        raise UserError("folder needs a path, as in folder:DIR or folder(path='DIR')")
    place = Path(path) if Path(path).exists() else Path(root) / path
    _refuse_options_in(path, place)
    tests = (test_folder,) if test_folder else ("val", "test")
    found = _find("folder", (pair for test in tests for pair in pairs(place, test)), place)
    return _dataset("folder", found, image_size, train, test)


def _refuse_options_in(path: str, place: Path) -> None:
    """``folder:DIR`` takes all that follows for the path, brackets too."""
    match = re.fullmatch(r"(?P<path>.+?)\((?P<options>[^()]*=[^()]*)\)", path)
    if match and not place.exists():
        options = ", ".join(option.strip() for option in match["options"].split(","))
        raise UserError(f"{place} does not exist; options of a folder: folder(path={match['path']!r}, {options})")


def _sizes(name: str) -> tuple[str, ...]:
    return (f"{name}-64", f"{name}-160", f"{name}-320", name, name.removesuffix("2"))


def _named(name: str, root: Path, names: Iterable[str], download: bool) -> Pair:
    bases = [*(root / base for base in names), root]
    candidates = (pair for base in bases for pair in pairs(base, "val", beside=base != root))
    return _find(name, candidates, root, download)


def _find(name: str, candidates: Iterable[Pair], root: Path, download: bool = False) -> Pair:
    """The first place with both splits; else one sentence on what is there and what is missing."""
    half: Pair | None = None
    for pair in candidates:
        if pair.train and pair.test:
            return pair
        half = half or (pair if pair.train or pair.test else None)
    hint = " (prunebench does not download it)" if download else ""
    if half:
        missing = half.test_name if half.train else "train"
        whole = "the data set" if name == "folder" else name
        where = f"half of {whole} is missing: there is {half.train or half.test}, but no {missing} split beside it"
    else:
        where = f"{root} holds no {name} data set" if root.exists() else f"{root} does not exist"
    raise UserError(f"{where}; expected: {expects(name)} Name the folder that holds it with --data-root{hint}")


def _dataset(
    name: str,
    pair: Pair,
    image_size: int | None,
    train: int | None,
    test: int | None,
    expected: int | list[str] | None = None,
) -> Dataset:
    assert pair.train is not None
    assert pair.test is not None
    first, second = _by_class_folder(pair.train), _labelled(pair.test)
    classes = _classes(name, pair, first, second, expected)
    size = image_size or native_size([source for _, source in first.values()])
    return Dataset(
        name=name,
        classes=classes,
        train=part(_split("train", first, classes, size), train, "train", name),
        test=part(_split(pair.test_name, second, classes, size), test, "test", name),
    )


def _classes(
    name: str, pair: Pair, first: Labelled, second: Labelled, expected: int | list[str] | None
) -> tuple[str, ...]:
    classes, others = ({c for c, _ in labelled.values()} for labelled in (first, second))
    if classes != others:
        odd = min(classes ^ others)
        raise UserError(
            f"{pair.train} has {len(classes)} classes and {pair.test} has {len(others)}: {odd!r} is in only one of "
            f"them; both splits of {name} need the same classes, so complete the data set"
        )
    wanted = len(classes) if expected is None else expected if isinstance(expected, int) else len(expected)
    if len(classes) != wanted or (isinstance(expected, list) and classes != set(expected)):
        raise UserError(
            f"{pair.train} has {len(classes)} classes ({min(classes)}, ...) that are not the {wanted} of {name}; name "
            "another place with --data-root, or use folder:DIR for a data set of your own"
        )
    return tuple(sorted(classes))


def _split(prefix: str, labelled: Labelled, classes: tuple[str, ...], size: int) -> Split:
    index = {c: i for i, c in enumerate(classes)}
    names = sorted(labelled, key=lambda name: (labelled[name][0], name))
    labels = np.array([index[labelled[name][0]] for name in names], dtype=np.int64)
    images = FileImages([labelled[name][1] for name in names], size)
    return Split(images, labels, tuple(f"{prefix}/{name}" for name in names))


def _labelled(place: Place) -> Labelled:
    """Tiny ImageNet's published val/ names its classes in a table, all others by folder."""
    files = place.files()
    if "val_annotations.txt" in files and any(name.startswith("images/") and is_picture(name) for name in files):
        return _by_annotations(place, files)
    return _by_class_folder(place, files)


def _by_class_folder(place: Place, files: Files | None = None) -> Labelled:
    files = place.files() if files is None else files
    pictures = {name: source for name, source in files.items() if is_picture(name)}
    labelled = {name: (name.split("/")[0], source) for name, source in pictures.items() if "/" in name}
    if not labelled:
        found = f"{len(pictures)} pictures beside each other" if pictures else "no pictures"
        raise UserError(f"{place} holds {found}; one folder of pictures per class is expected there")
    return labelled


def _by_annotations(place: Place, files: Files) -> Labelled:
    """``val_annotations.txt``: file name, tab, wnid, tab, bounding box."""
    try:
        rows = [line.split("\t") for line in read(files["val_annotations.txt"]).decode().splitlines() if line.strip()]
        labelled = {f"images/{row[0]}": (row[1], files[f"images/{row[0]}"]) for row in rows}
    except (OSError, UnicodeDecodeError, IndexError, KeyError) as error:
        raise UserError(f"{place}/val_annotations.txt does not fit the pictures beside it ({error})") from error
    stray = sum(is_picture(name) and name not in labelled for name in files)
    if stray:
        raise UserError(f"{place}/val_annotations.txt names no class for {stray} of the pictures beside it")
    return labelled
