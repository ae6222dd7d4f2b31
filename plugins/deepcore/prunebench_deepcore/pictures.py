"""The pictures behind a data set of DeepCore, which yields (tensor, label) after its transforms.

    x = (p / 255 - mean) / std        p = round(255 (x std + mean)),  mean and std those of the data set's `Normalize`

Files and arrays of torchvision's own data sets are read as they are; everything else is read through its transforms,
which must then give the same tensor twice. What was read is remembered: between two of its experiments DeepCore's main
program puts random crops and flips in front of the transforms.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor
from torchvision.datasets import DatasetFolder, VisionDataset

from prunebench import Dataset, FileImages, Images, MemoryImages, Split, UserError

UPRIGHT = ("MNIST", "permutedMNIST", "QMNIST", "SVHN")  # a mirrored digit is another sign, or none
TWICE = 8  # examples that are read twice
_KEEP_PIXELS = ("ToTensor", "PILToTensor", "ToImage", "ToDtype", "Normalize", "RandomCrop", "RandomHorizontalFlip")
_read: WeakKeyDictionary[Any, Images] = WeakKeyDictionary()


def dataset_of(dst_train: Any, args: Any) -> Dataset:
    """The training split of ``dst_train`` as prunebench's, its keys ``train:i``; there is no test split.

    Raises:
        UserError: pictures or labels that cannot be used.
    """
    name = str(getattr(args, "dataset", type(dst_train).__name__))
    images = pictures_of(dst_train, args)
    labels = labels_of(dst_train)
    classes = tuple(_named(c) for c in getattr(dst_train, "wnids", None) or dst_train.classes)
    if labels.shape != (len(images),) or labels.min() < 0 or labels.max() >= len(classes):
        raise UserError(
            f"the data set {name} has {len(images)} pictures, targets of shape {labels.shape} and {len(classes)} "
            f"classes: every picture needs one of the targets 0..{len(classes) - 1}"
        )
    train = Split(images, labels, tuple(f"train:{i}" for i in range(len(labels))))
    return Dataset(name, classes, train, Split(images.take([]), labels[:0], ()))


def pictures_of(dst_train: Any, args: Any = None) -> Images:
    """The N pictures, from files, arrays or through the transforms, in the data set's order.

    Raises:
        UserError: transforms that draw, tensors that are no pictures, or pictures of several sizes.
    """
    if not len(dst_train):
        raise UserError("DeepCore's training set is empty: there is nothing to select from")
    if dst_train not in _read:
        flip = getattr(args, "dataset", "") not in UPRIGHT
        _read[dst_train] = _from_files(dst_train, args, flip) or MemoryImages(_pixels(dst_train), flip=flip)
    return _read[dst_train]


def labels_of(dst_train: Any) -> np.ndarray:
    """(N,) int64 of ``targets``, which every data set of DeepCore has, else of what it yields."""
    found = getattr(dst_train, "targets", None)
    if found is None:
        found = [int(dst_train[i][1]) for i in range(len(dst_train))]
    return torch.as_tensor(found).cpu().numpy().astype(np.int64)


def _from_files(dst_train: Any, args: Any, flip: bool) -> Images | None:
    """Picture files in folders, decoded when asked for, at the side that DeepCore trains on."""
    if not isinstance(dst_train, DatasetFolder) or not getattr(args, "im_size", None):
        return None
    return FileImages([path for path, _ in dst_train.samples], min(args.im_size), flip)


def _pixels(dst_train: Any) -> Tensor:
    """(N, C, H, W) uint8."""
    stages = list(_stages(getattr(dst_train, "transform", None)))
    held = _held(dst_train)
    if held is not None and all(type(stage).__name__ in _KEEP_PIXELS for stage in stages):
        return held
    mean, std = _normalisation(dst_train, stages)
    pixels: list[Tensor] = []
    for i in range(len(dst_train)):
        x = _tensor(dst_train, i)
        if len(dst_train) - TWICE <= i or i < TWICE:
            _refuse_drawn(x, _tensor(dst_train, i), i)
        pixels.append(_to_uint8(x, mean, std, i))
        if pixels[-1].shape != pixels[0].shape:
            raise UserError(
                f"picture {i} of DeepCore's training set is {_size(pixels[-1])}, picture 0 {_size(pixels[0])}: give "
                f"the data set a transform that crops all to one size"
            )
    return torch.stack(pixels)


def _stages(transform: Any) -> Iterator[Any]:
    """The transforms one after the other, those in a `Compose` included."""
    inside = getattr(transform, "transforms", None)
    if isinstance(inside, (list, tuple)):
        for stage in inside:
            yield from _stages(stage)
    elif transform is not None:
        yield transform


def _held(dst_train: Any) -> Tensor | None:
    """The uint8 array of a torchvision data set (CIFAR, MNIST, SVHN and their like), channels first."""
    data = getattr(dst_train, "data", None)
    if not isinstance(dst_train, VisionDataset) or not isinstance(data, (np.ndarray, Tensor)):
        return None
    pixels = torch.as_tensor(data)
    if pixels.ndim == 4 and pixels.shape[1] not in (1, 3) and pixels.shape[3] in (1, 3):
        pixels = pixels.permute(0, 3, 1, 2)
    fits = pixels.dtype == torch.uint8 and pixels.ndim in (3, 4) and len(pixels) == len(dst_train)
    return pixels.contiguous() if fits else None


def _normalisation(dst_train: Any, stages: list[Any]) -> tuple[Tensor, Tensor]:
    """(C, 1, 1) mean and std of the one `Normalize`, else of the data set's attributes, else 0 and 1."""
    found = [stage for stage in stages if hasattr(stage, "mean") and hasattr(stage, "std")]
    if len(found) > 1:
        raise UserError(f"DeepCore's training set normalises {len(found)} times: one Normalize can be undone")
    place = found[0] if found else dst_train
    values = (getattr(place, "mean", 0.0), getattr(place, "std", 1.0))
    mean, std = (torch.as_tensor(value, dtype=torch.float64).reshape(-1, 1, 1) for value in values)
    return mean, std


def _tensor(dst_train: Any, i: int) -> Tensor:
    x = dst_train[i][0]
    if not isinstance(x, Tensor) or x.ndim != 3 or x.shape[0] not in (1, 3):
        shape = f"a tensor of shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise UserError(
            f"example {i} of DeepCore's training set is {shape}: a (1, H, W) or (3, H, W) tensor is expected"
        )
    return x


def _refuse_drawn(first: Tensor, second: Tensor, i: int) -> None:
    if first.shape != second.shape or not torch.equal(first, second):
        raise UserError(
            f"example {i} of DeepCore's training set was another picture when it was read again: take random crops and "
            f"flips out of its transform, or select before they are put in"
        )


def _to_uint8(x: Tensor, mean: Tensor, std: Tensor, i: int) -> Tensor:
    if x.dtype == torch.uint8:
        return x
    level = (x.double() * std + mean) * 255
    pixels = level.round()
    if not torch.isfinite(level).all() or pixels.min() < 0 or pixels.max() > 255:
        raise UserError(
            f"example {i} of DeepCore's training set is no picture in [0, 1] once its Normalize is undone: it reaches "
            f"from {float(level.min()) / 255:.3g} to {float(level.max()) / 255:.3g}; give the data set `mean` and "
            f"`std`, or a Normalize in its transform"
        )
    return pixels.to(torch.uint8)


def _size(pixels: Tensor) -> str:
    return f"{pixels.shape[-1]} x {pixels.shape[-2]}"


def _named(name: Any) -> str:
    """Of a class: its name, or its names, which torchvision's ImageNet gives as a tuple."""
    return ", ".join(map(str, name)) if isinstance(name, (tuple, list)) else str(name)
