"""A selection or scores of somewhere else, held against a data set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import UserError
from ..evidence.selecting import refuse_not_finite
from ..matching import places_of
from ..types import Dataset, Scores, Selection


def fitted(given: Selection, dataset: Dataset, whose: str) -> Selection:
    """As a selection of this data set: by the names it holds, else by its positions.

    Raises:
        UserError: it is empty, of another data set or of one of another size, or keeps what this one does not have.
    """
    n = len(dataset.train)
    if not len(given):
        raise UserError(f"{whose} keeps no example")
    if given.keys is not None and given.fingerprint is None:
        given = _renamed(given, dataset)
    if given.keys is None and is_whole(given) and given.size != n:
        raise UserError(f"{whose} is a selection from {given.size} examples, {dataset.name} has {n}: select again")
    if given.indices.max() >= n:
        raise UserError(f"{whose} keeps position {given.indices.max()}, {dataset.name} has positions 0 to {n - 1}")
    _refuse_other_data(given, dataset, whose)
    return given


def _refuse_other_data(given: Selection, dataset: Dataset, whose: str) -> None:
    if given.fingerprint not in (None, dataset.fingerprint, dataset.images_fingerprint):
        raise UserError(
            f"{whose} is a selection of another data set, or its files have changed since (fingerprint "
            f"{given.fingerprint[:12]}, {dataset.name} has {dataset.fingerprint[:12]}): select again"
        )


def _renamed(given: Selection, dataset: Dataset) -> Selection:
    """A selection from a file of names, such as a CSV of scores, at the positions that the data set gives them."""
    assert given.keys is not None
    indices = places_of(given.keys, dataset.train.keys, dataset.name)
    order = np.argsort(indices)
    weights = None if given.weights is None else given.weights[order]
    return replace(given, indices=indices[order], weights=weights, keys=tuple(given.keys[i] for i in order))


def is_whole(selection: Selection) -> bool:
    """Whether its N is known: a file without a card tells neither N nor the keep ratio (NaN)."""
    return selection.keep == selection.keep


def of_the_data(given: Selection, dataset: Dataset, whose: str) -> Selection:
    """A subset as one of this data set, with its keys and its fingerprint; where it holds keys, they say which.

    Raises:
        UserError: as `fitted`, or it was selected from another number of examples.
    """
    _refuse_other_data(given, dataset, whose)
    n, found = len(dataset.train), fitted(replace(given, fingerprint=None), dataset, whose)
    if is_whole(given) and given.size != n:
        raise UserError(f"{whose} is a selection from {given.size} examples, {dataset.name} has {n}: select again")
    keys = tuple(dataset.train.keys[i] for i in found.indices)
    keep = found.keep if is_whole(given) else len(found) / n
    return replace(found, keys=keys, size=n, keep=keep, fingerprint=given.fingerprint or dataset.fingerprint)


def scores_of_the_data(given: Scores, dataset: Dataset, whose: str) -> Scores:
    """Scores as those of this data set, in its order, with its keys and its fingerprint: by the names they hold, else
    by their places.

    Raises:
        UserError: they are of another data set, of another number of examples, or not finite.
    """
    if given.fingerprint not in (None, dataset.fingerprint, dataset.images_fingerprint):
        raise UserError(
            f"{whose} holds scores of another data set, or its files have changed since (fingerprint "
            f"{str(given.fingerprint)[:12]}, {dataset.name} has {dataset.fingerprint[:12]}): score this one"
        )
    if given.keys is not None:
        given = given.take(places_of(dataset.train.keys, given.keys, whose))
    if len(given) != len(dataset.train):
        raise UserError(
            f"{whose} holds {len(given)} scores, {dataset.name} has {len(dataset.train)} examples: is it of another "
            "data set, or of a part?"
        )
    refuse_not_finite(given.values)
    return replace(given, keys=dataset.train.keys, fingerprint=given.fingerprint or dataset.fingerprint)
