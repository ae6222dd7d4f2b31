"""The pictures that scores call easy and hard, from the data sets that they were computed on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..datasets.loading import load
from ..errors import UserError
from ..registry import installed
from ..store import Store
from ..types import Dataset
from ..views.pictures import PictureSheet, labelled, pictures
from .pictures import sheet
from .sheets import Sheet

COUNT = 10  # pictures in a row


def picture_sheets(stores: Sequence[Store], root: Path) -> tuple[list[Sheet], str]:
    """(figures, why there is none for the others): a data set is loaded once for each picture size.

    A score record whose data set is not here, or is another by its fingerprint, has no figure.
    """
    found, missing = [], set[str]()
    loaded: dict[tuple[str, int], Dataset | str] = {}
    known = pictures(stores, COUNT)
    for each in known:
        key = each.dataset, each.image_size
        if key not in loaded:
            loaded[key] = _loaded(each, root)
        data = loaded[key]
        if isinstance(data, str):
            missing.add(data)
        elif data.fingerprint != each.fingerprint or len(data.train) != each.examples:
            missing.add(f"{each.dataset} is not as it was scored: noise was added to it, or its files have changed")
        else:
            found.append(_sheet(each, data))
    told = "; ".join(sorted(missing)) if known else "there is no score record"
    return found, told


def _loaded(each: PictureSheet, root: Path) -> Dataset | str:
    try:
        return load(installed(), each.dataset, root, image_size=each.image_size, tell=False)
    except UserError as failure:
        return str(failure)


def _sheet(each: PictureSheet, data: Dataset) -> Sheet:
    def pixels(positions: Sequence[int]) -> np.ndarray:
        return data.train.images.pixels(list(positions)).numpy()

    return sheet(labelled(each, data.train.labels), pixels, data.train.keys, data.classes)
