"""A tree CLASS/FILE of the kept pictures, for torchvision's ``ImageFolder`` and all who read folders.

The links are relative, so that data set and tree can be moved together. A class that keeps nothing has an empty folder:
without it the classes after it would silently change their numbers.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from pathlib import Path

from ..datasets.archives import Member
from ..datasets.files import FileImages, Source, read
from ..errors import UserError
from ..interop.files import write_with_card
from ..store.publishing import fsync
from ..types import Dataset
from . import Export


def write(export: Export) -> Path:
    return plant(export, "")


def plant(export: Export, below: str) -> Path:
    """The tree, its classes under ``below``; in place whole or not at all."""
    data = export.dataset
    if data is None:
        raise UserError("a tree of pictures needs the data set that they are of: say --dataset")
    places = _places(export, data)
    if os.path.lexists(export.out):
        raise UserError(f"{export.out} is there already: give the name of a new folder")
    temporary = export.out.absolute().with_name(f".{export.out.name}-{secrets.token_hex(4)}")
    try:
        for name in data.classes:
            (temporary / below / name).mkdir(parents=True)
        for place, source in places.items():
            _put(temporary / below / place, export.out.absolute() / below / place, source, export.copy)
        if below:
            _list_classes(temporary, data)
        temporary.rename(export.out)
        fsync(export.out.absolute().parent)
    except OSError as failure:
        what = f"{failure.strerror}: {failure.filename or export.out}"
        raise UserError(f"cannot make {export.out} ({what}): give a place that can be written") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    told = export.card | {"files": len(places)}
    card = export.out.with_name(export.out.name + ".files")
    write_with_card(card, (json.dumps(list(places), indent=0) + "\n").encode(), told)
    return export.out


def _list_classes(folder: Path, data: Dataset) -> None:
    (folder / "class_map.txt").write_text("".join(f"{name}\n" for name in data.classes), encoding="utf-8")


def _places(export: Export, data: Dataset) -> dict[str, Source]:
    """CLASS/FILE -> where the picture is.

    Raises:
        UserError: pictures that are no files, a name that leaves the tree, or two pictures of one name.
    """
    images = data.train.images
    if not isinstance(images, FileImages):
        raise UserError(
            f"{data.name} has no files, its pictures lie in one array: export to npy, csv, torch or hf, "
            "whose positions count in the data set's order"
        )
    for name in data.classes:
        _refuse_leaving(name, "class")
    found: dict[str, Source] = {}
    for position, key in zip(export.positions.tolist(), export.keys, strict=True):
        name = data.classes[data.train.labels[position]]
        place = f"{name}/{_file_name(key, name)}"
        if place in found:
            raise UserError(f"two kept pictures would be {place}: rename one ({key}), or export to txt with --keys")
        source = images.sources[position]
        if isinstance(source, Member) and not export.copy:
            raise UserError(f"{source.name} lies inside {source.archive.path}, where no link can lead: add --copy")
        if not isinstance(source, Member) and not Path(source).is_file():
            raise UserError(f"{source} is not there any more; put the data set back as it was")
        found[place] = source
    return found


def _file_name(key: str, name: str) -> str:
    """The key below its class folder, in one part: readers take the last folder for the class."""
    parts = key.split("/")
    for part in parts:
        _refuse_leaving(part, "key")
    below = parts[parts.index(name) + 1 :] if name in parts[:-1] else parts[-1:]
    return "_".join(below)


def _refuse_leaving(part: str, what: str) -> None:
    if part in ("", ".", "..") or re.search(r"[/\\\0]", part):
        raise UserError(f"the {what} {part!r} cannot be a name in a tree, it would lead out of it: rename it")


def _put(place: Path, final: Path, source: Source, copy: bool) -> None:
    if isinstance(source, Member):
        place.write_bytes(source.read())
    elif copy:
        place.write_bytes(read(source))
    else:
        place.symlink_to(os.path.relpath(os.path.realpath(source), os.path.realpath(final.parent)))
