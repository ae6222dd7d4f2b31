"""The built-in data sets: which there are, and which files each expects. Loaders are named lazily, read when asked for.

A loader is ``fn(root, *, download=False, image_size=None, **options) -> Dataset``; ``train=N`` and ``test=N`` keep a
stratified part of a split, the same part on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..hookspecs import DatasetEntry, hookimpl


def _entry(name: str, module: str, expects: str) -> DatasetEntry:
    return DatasetEntry(name=name, fn=f"prunebench.datasets.{module}:{name.replace('-', '_')}", expects=expects)


CATALOGUE = (
    _entry("digits", "digits", "Nothing: the 1,797 scans come with scikit-learn."),
    _entry("planted", "planted", "Nothing: the pictures are generated, with known truth in `Dataset.details`."),
    _entry(
        "fashion-mnist",
        "torchvision_sets",
        "FashionMNIST/raw/{train,t10k}-images-idx3-ubyte and -labels-idx1-ubyte, unzipped or as .gz.",
    ),
    _entry("cifar10", "torchvision_sets", "cifar-10-batches-py/ with data_batch_1..5, test_batch and batches.meta."),
    _entry("cifar100", "torchvision_sets", "cifar-100-python/ with train, test and meta."),
    _entry("svhn", "torchvision_sets", "train_32x32.mat and test_32x32.mat."),
    _entry("stl10", "torchvision_sets", "stl10_binary/ with train_X.bin, train_y.bin, test_X.bin and test_y.bin."),
    _entry(
        "tiny-imagenet",
        "image_folders",
        "tiny-imagenet-200/ or tiny-imagenet-200.zip with train/ and val/, val/ as published (images and "
        "val_annotations.txt) or sorted into wnid folders.",
    ),
    _entry(
        "imagenette",
        "image_folders",
        "imagenette2-64, -160, -320 or imagenette2 with train/ and val/ of wnid folders, or NAME_train.zip and "
        "NAME_val.zip.",
    ),
    _entry(
        "imagewoof",
        "image_folders",
        "imagewoof2-64, -160, -320 or imagewoof2 with train/ and val/ of wnid folders, or NAME_train.zip and "
        "NAME_val.zip.",
    ),
    _entry(
        "imagenet",
        "image_folders",
        "imagenet/, ILSVRC2012/ or the data root itself with train/ and val/, both of 1,000 wnid folders.",
    ),
    _entry(
        "folder",
        "image_folders",
        "folder(path=DIR): a folder or .zip with train/ and val/ (or test/), one folder of pictures per class in each.",
    ),
)


def expects(name: str) -> str:
    """The sentence that says which files the data set ``name`` expects under the data root."""
    return next(entry.expects for entry in CATALOGUE if entry.name == name)


@hookimpl
def prunebench_datasets() -> Iterable[DatasetEntry]:
    return CATALOGUE
