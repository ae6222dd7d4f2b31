"""A data set of what somebody holds: pictures as an array, or a map-style data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..arrays import as_labels, as_numpy
from ..errors import UserError
from ..types import Dataset, Split
from .memory import MemoryImages

TWICE = 8  # examples at either end of a map-style data set that are read twice
_SIGNED = (torch.int8, torch.int16, torch.int32, torch.int64)  # whose white may be 255 or their highest number
_PICTURE, _LABEL = ("image", "img"), ("label", "labels", "fine_label")  # columns of the sets on the hub


def dataset_of(data: Any, labels: Any, classes: Sequence[str] | None, keys: Sequence[str] | None) -> Dataset:
    """Pictures (N, 3, H, W) or (N, H, W) uint8 with labels, or any map-style data set, as a training split.

    A map-style data set (torchvision's, ``datasets.Dataset``, one's own) gives pairs or dictionaries; where it tells
    the names of its classes, these are taken. Beside ``labels`` it may give pictures alone. Without labels all are of
    one class; ``keys`` default to ``train:i``.

    Raises:
        UserError: no pictures, pictures that are drawn anew when read again, or labels and keys that do not fit them.
    """
    if isinstance(data, Mapping):
        told = ", ".join(map(str, list(data)[:5])) or "nothing"
        raise UserError(f"a dictionary of {told} is no data: give one of its splits, or pictures and labels=...")
    if isinstance(data, (str, Path)):
        raise UserError(f"{data!r} is no data: give a Dataset, uint8 pictures, or a map-style data set")
    if not (hasattr(data, "shape") and hasattr(data, "dtype")):  # a table of rows has a shape, too
        if isinstance(data, torch.utils.data.IterableDataset) or not _is_indexed(data):
            raise UserError(
                f"{type(data).__name__} is no data: give a Dataset, uint8 pictures, or a map-style data set, which "
                "has a length and gives an example by its place"
            )
        classes = _class_names(data) if classes is None and labels is None else classes
        data, labels = _from_items(data, labels)
    pixels = torch.as_tensor(as_numpy(data))
    if pixels.dtype != torch.uint8 or pixels.ndim not in (3, 4):
        raise UserError(
            f"pictures must be (N, 3, H, W) or (N, H, W) uint8, got {pixels.dtype} of shape {tuple(pixels.shape)}"
        )
    if not len(pixels) or (pixels.ndim == 4 and pixels.shape[1] not in (1, 3)):
        raise UserError(
            f"pictures must be (N, 3, H, W) or (N, H, W) uint8 with N >= 1, got shape {tuple(pixels.shape)}"
        )
    images = MemoryImages(pixels)
    y = np.zeros(len(images), dtype=np.int64) if labels is None else as_labels(labels)
    names = tuple(classes) if classes is not None else tuple(str(c) for c in range(int(y.max(initial=0)) + 1))
    own = tuple(keys) if keys is not None else tuple(f"train:{i}" for i in range(len(images)))
    if not len(images) == len(y) == len(own) == len(set(own)):
        raise UserError(
            f"every picture needs one label and one key of its own: {len(images)} pictures, {len(y)} labels, "
            f"{len(set(own))} different keys"
        )
    if y.max(initial=0) >= len(names):
        raise UserError(f"the label {y.max()} is beyond the {len(names)} classes")
    train = Split(images, y, own)
    nothing = Split(images.take([]), y[:0], ())
    return Dataset("arrays", names, train, nothing)


def _from_items(data: Any, labels: Any) -> tuple[Any, Any]:
    """(N, 3, H, W) uint8 and labels of a map-style data set of (picture, label) pairs or of dictionaries."""
    n, pictures, found = len(data), [], []
    for i in range(n):
        picture, label = _example(data, i, labels is not None)
        if i < TWICE or n - TWICE <= i:
            again, other = _example(data, i, labels is not None)
            if not torch.equal(picture, again) or not np.array_equal(label, other):
                raise UserError(
                    f"example {i} was another one when it was read again: take random crops, flips and the like out "
                    "of the data set's transform"
                )
        pictures.append(picture)
        found.append(label)
    if len({p.shape for p in pictures}) > 1:
        raise UserError("the pictures differ in size: resize them to one, or use folder:DIR, which does")
    if not pictures:
        raise UserError("the data set holds no picture: give one with N >= 1")
    if labels is None and any(label is not None for label in found):
        if unlabelled := [i for i, label in enumerate(found) if label is None]:
            raise UserError(f"picture {unlabelled[0]} has no label and others have: give labels=... for all")
        labels = np.asarray([int(y) if hasattr(y, "item") and not np.ndim(y) and int(y) == y else y for y in found])
    return torch.stack(pictures), labels


def _class_names(data: Any) -> tuple[str, ...] | None:
    """As torchvision's data sets (``classes``) and ``datasets.Dataset`` (``features``) tell them."""
    features = getattr(data, "features", None)
    if isinstance(features, Mapping):
        names = next((getattr(features[name], "names", None) for name in _LABEL if name in features), None)
    else:
        names = getattr(data, "classes", None)
    told = isinstance(names, (list, tuple)) and len(names) and all(isinstance(name, str) for name in names)
    return tuple(names) if told and names else None


def _example(data: Any, i: int, alone: bool) -> tuple[torch.Tensor, Any]:
    """(3 or 1, H, W) uint8 and the label; ``alone``: the example may be a picture without one."""
    from torchvision.transforms.v2 import functional as F

    item = data[i]
    bare = alone and (hasattr(item, "convert") or hasattr(item, "dtype"))
    picture, label = (item, None) if bare else _pair(item)
    try:
        picture = F.to_image(picture.convert("RGB") if hasattr(picture, "convert") else picture)
    except (TypeError, ValueError):
        raise UserError(f"example {i} holds {str(picture)[:40]!r}, a {type(picture).__name__}, for a picture") from None
    if picture.ndim != 3 or not picture.numel() or picture.dtype in _SIGNED:
        raise UserError(
            f"picture {i} is {picture.dtype} of shape {tuple(picture.shape)}: give uint8, or floats in [0, 1], of "
            "shape (H, W) or (3, H, W)"
        )
    if picture.is_floating_point() and not (float(picture.min()) >= 0 and float(picture.max()) <= 1):
        raise UserError(f"the float picture {i} leaves [0, 1]: give pictures before they are normalised")
    return F.to_dtype(picture, torch.uint8, scale=True), label


def _is_indexed(data: Any) -> bool:
    return hasattr(data, "__len__") and hasattr(data, "__getitem__")


def _pair(item: Any) -> tuple[Any, Any]:
    if isinstance(item, Mapping):
        found = next((item[name] for name in _PICTURE if item.get(name) is not None), None)
        if found is not None:
            return found, next((item[name] for name in _LABEL if name in item), None)
    elif isinstance(item, (tuple, list)) and len(item) >= 2:
        return item[0], item[1]
    raise UserError("a map-style data set must give (picture, label) pairs, or dictionaries with `image` and `label`")
