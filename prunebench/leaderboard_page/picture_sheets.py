"""The easiest, the middle and the hardest pictures of every score, as PNG files beside the page.

They are read from the data sets where the page is asked for them and the data set is the one that was scored, by its
fingerprint. A picture has one file, whichever scores show it: it is named by what it holds.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..leaderboard.labels import Labels
from ..registry import Registry
from ..store import Store
from ..types import Dataset
from ..views.pictures import PictureRow, PictureSheet, labelled, pictures
from .names import text

FOLDER = "pictures"
COUNT = 10  # of each row
MOST = 60  # sheets
NOT_ASKED = "No pictures: they are read from the data set only where --pictures (and --data-root) asks for them."

Load = Callable[[PictureSheet], Dataset]


@dataclass(frozen=True)
class Shown:
    """One picture: its file, and what is known of it."""

    file: str
    label: str  # name of its class
    score: str
    key: str


@dataclass(frozen=True)
class Sheet:
    """A score's easiest, middle and hardest pictures."""

    title: str
    caption: str
    rows: tuple[tuple[str, tuple[Shown, ...]], ...]  # end, pictures


@dataclass(frozen=True)
class Sheets:
    """What can be shown, and one sentence on what cannot."""

    found: tuple[Sheet, ...]
    note: str


def sheets_of(stores: Sequence[Store], root: Path, registry: Registry, folder: Path, labels: Labels | None) -> Sheets:
    """The sheets of all score records whose data set can be read below ``root``; their pictures go into ``folder``."""
    found: list[Sheet] = []
    missing: dict[str, None] = {}
    loaded: dict[tuple[str, int], Dataset | str] = {}
    known = pictures(stores, COUNT)
    for each in known[:MOST]:
        key = each.dataset, each.image_size
        if key not in loaded:
            loaded[key] = _loaded(each, root, registry)
        data = loaded[key]
        if isinstance(data, str):
            missing[text(f"No pictures of {each.dataset}: {data}.")] = None
        elif data.fingerprint != each.fingerprint or len(data.train) != each.examples:
            said = "it is not as it was scored (noise was added to it, or its files have changed)"
            missing[text(f"No pictures of {each.dataset}: {said}.")] = None
        else:
            found.append(_sheet(labelled(each, data.train.labels), data, folder, labels))
    if len(known) > MOST:
        missing[f"Pictures of the first {MOST} of {len(known)} scores only: name fewer stores."] = None
    if not known:
        missing["No pictures: these stores hold no scores."] = None
    return Sheets(tuple(found), " ".join(missing))


def _loaded(each: PictureSheet, root: Path, registry: Registry) -> Dataset | str:
    from ..datasets.loading import load

    try:
        return load(registry, each.dataset, root, image_size=each.image_size, tell=False)
    except UserError as failure:
        return str(failure).rstrip(".")


def _sheet(each: PictureSheet, data: Dataset, folder: Path, labels: Labels | None) -> Sheet:
    scorer = labels("scorer", each.scorer) if labels else each.scorer
    run = f", scoring run {each.score_seed}" if each.score_seed else ""
    return Sheet(
        title=text(f"{scorer} on {each.dataset}"),
        caption=text(f"{each.examples} training examples{run}; {each.hard} is hard. Below each picture: class, score."),
        rows=tuple((row.end, tuple(_shown(row, data, folder))) for row in each.rows),
    )


def _shown(row: PictureRow, data: Dataset, folder: Path) -> list[Shown]:
    pixels = data.train.images.pixels(list(row.positions)).numpy()  # (B, 3, S, S)
    return [
        Shown(_written(picture, folder), text(data.classes[label]), f"{score:.4g}", text(data.train.keys[position]))
        for picture, label, score, position in zip(pixels, row.labels, row.scores, row.positions, strict=True)
    ]


def _written(picture: np.ndarray, folder: Path) -> str:
    """The file of a (3, S, S) uint8 picture."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.moveaxis(picture, 0, -1))).save(stream, "PNG")
    name = f"{FOLDER}/{hashlib.sha256(stream.getvalue()).hexdigest()[:20]}.png"
    (folder / FOLDER).mkdir(exist_ok=True)
    (folder / name).write_bytes(stream.getvalue())
    return name
