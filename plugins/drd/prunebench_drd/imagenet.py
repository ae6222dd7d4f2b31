"""Which class of the model is which class of the data set: WordNet ids, label names, and their order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from prunebench import UserError

from .configs import read_json
from .hub import WAY_OUT

IMAGENET = 1000  # classes of ILSVRC 2012


def class_ids(folder: Path, classes: Sequence[str], known: int) -> Tensor:
    """(C,) int64: the model's id of each class of the data set.

    By the names in ``card.json`` (models trained by this plugin), by ImageNet wnid for a model of 1000 classes, by
    position where the numbers of classes agree and nothing names them.

    Raises:
        UserError: the model does not know some class, or its labels are in another order than ImageNet's.
    """
    labels = folder_labels(folder, known)
    names: Sequence[str] = card_classes(folder, known)
    if not names and known == IMAGENET and are_wnids(classes):
        check_label_order(folder, labels)
        names = imagenet_wnids()
    if names:
        strangers = [name for name in classes if name not in set(names)]
        if strangers:
            raise UserError(
                f"drd: the model in {folder} does not know the class {strangers[0]!r}; use a model that does, {WAY_OUT}"
            )
        return torch.tensor([names.index(name) for name in classes])
    if known == IMAGENET and labels:  # an ImageNet model, so the order of other names would be a guess
        stranger = next(name for name in classes if not are_wnids([name]))
        raise UserError(
            f"drd: the model in {folder} has ImageNet's 1000 classes, and the class {stranger!r} is not a WordNet id "
            f"such as n01440764; name the classes by their ids, {WAY_OUT}"
        )
    if known != len(classes):
        hint = " (a model of 1000 classes takes ImageNet's WordNet ids, such as n01440764)" if known == IMAGENET else ""
        raise UserError(
            f"drd: the model in {folder} has {known} classes, the data set {len(classes)}, and no names match them up"
            f"{hint}; use a model of these classes, {WAY_OUT}"
        )
    return torch.arange(known)


def card_classes(folder: Path, known: int) -> list[str]:
    """The classes in the card of a model trained by this plugin, in the model's order; [] without one.

    Raises:
        UserError: the card is damaged, or names another number of classes than the model knows.
    """
    path = folder / "card.json"
    names = read_json(path).get("classes", []) if path.is_file() else []
    right = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not right or len(names) not in (0, known):
        found = f"{len(names)} names" if right else f"{names!r:.60}"
        raise UserError(
            f"drd: classes in {path} must be a list of the model's {known} class names, got {found}; put the model's "
            f"own card there, {WAY_OUT}"
        )
    return names


def folder_labels(folder: Path, known: int) -> dict[int, str]:
    """``id2label`` of the folder's ``model_index.json``, {} where it has none.

    Raises:
        UserError: it has another number of labels than the model has classes, or they are not numbered from 0.
    """
    path = folder / "model_index.json"
    labels = read_json(path).get("id2label") if path.is_file() else None
    if not labels:
        return {}
    if not isinstance(labels, dict) or set(labels) != {str(k) for k in range(known)}:
        raise UserError(
            f"drd: id2label in {path} must number the model's {known} classes from 0, it has {len(labels)} labels; "
            f"use the model_index.json that belongs to these weights, {WAY_OUT}"
        )
    return {int(k): str(name) for k, name in labels.items()}


def check_label_order(folder: Path, labels: Mapping[int, str]) -> None:
    """Refuse labels that are not in ImageNet's order.

    Spellings differ between lists, so a label disagrees only where it shares a name with another class of ImageNet and
    none with its own.

    Raises:
        UserError: naming the first that disagrees.
    """
    if not labels:
        return
    owners, descriptions = owners_of_names(), imagenet_descriptions()
    for k, label in sorted(labels.items()):
        classes: set[int] = set().union(*(owners.get(name, frozenset()) for name in synonyms(label)))
        if classes and k not in classes:
            raise UserError(
                f"drd: the labels of the model in {folder} are not in ImageNet's order: its class {k} is {label!r}, "
                f"ImageNet's is {descriptions[k]!r}; use a model in ImageNet's order, {WAY_OUT}"
            )


@cache
def owners_of_names() -> dict[str, frozenset[int]]:
    """Every synonym of ImageNet's class names -> the classes it names ('crane' names two)."""
    owners: dict[str, frozenset[int]] = {}
    for k, text in enumerate(imagenet_descriptions()):
        for name in synonyms(text):
            owners[name] = owners.get(name, frozenset()) | {k}
    return owners


def synonyms(label: str) -> set[str]:
    """'tench, Tinca tinca' -> {'tench', 'tinca tinca'}."""
    return {part.strip().lower() for part in label.split(",") if part.strip()}


def are_wnids(classes: Sequence[str]) -> bool:
    """Whether all class names look like WordNet ids (n01440764)."""
    return len(classes) > 0 and all(re.fullmatch(r"n\d{8}", name) for name in classes)


@cache
def imagenet_wnids() -> tuple[str, ...]:
    """The 1000 wnids of ILSVRC 2012 in class-id order."""
    from timm.data import ImageNetInfo

    return tuple(ImageNetInfo("imagenet-1k").label_names())


@cache
def imagenet_descriptions() -> tuple[str, ...]:
    """The names of the 1000 classes of ILSVRC 2012 in class-id order, synonyms between commas."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    return tuple(str(info.index_to_description(k)) for k in range(IMAGENET))
