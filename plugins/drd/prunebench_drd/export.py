"""A trained model as a folder of the user's own, which appears whole or not at all."""

from __future__ import annotations

import glob
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from prunebench import UserError

from .configs import read_json

PARTS = {"card.json", "model_index.json", "scheduler", "transformer", "samples.png", "reconstructions.png"}


def refuse_taken(place: Path, fingerprint: str | None = None) -> None:
    """A folder that holds anything but a model of ours, and one of other data, are not written over.

    Args:
        fingerprint: of the data, where it is known already.

    Raises:
        UserError: naming the folder.
    """
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return
    data = card_data(place)
    if data is None or {entry.name for entry in place.iterdir()} - PARTS:
        raise UserError(f"{place} is there and holds no model of ours, or more than one: give another --out")
    if fingerprint is not None and data["fingerprint"] != fingerprint:
        raise UserError(f"{place} holds a model of other data: give another --out")


def card_data(place: Path) -> dict[str, Any] | None:
    """Name and fingerprint of the data, from the card that `exported` wrote; None without one."""
    try:
        card = read_json(place / "card.json")
    except UserError:
        return None
    data = card.get("data")
    ours = isinstance(card.get("recipe"), dict) and isinstance(data, dict) and isinstance(data.get("fingerprint"), str)
    return data if ours else None


def exported(
    model: Path, place: Path, data: dict[str, str], sheets: Callable[[Path], list[Path]]
) -> tuple[dict[str, Any], list[Path]]:
    """Copy a model of the store to ``place``, with the data in its card and sheets beside it; (card, sheets).

    All is written to a folder beside, which then takes the name: a copy that was interrupted is in nobody's way. Of
    several processes that write to one place, one does at a time.

    Args:
        sheets: draws into a folder, and tells which files.

    Raises:
        UserError: the folder cannot be written, or another process left a model of other data there.
    """
    whole = place.resolve()
    try:
        with alone(whole), tempfile.TemporaryDirectory(prefix=f".{whole.name}.part-", dir=whole.parent) as beside:
            refuse_taken(place, data["fingerprint"])  # what stands there now
            part, old = Path(beside, "new"), Path(beside, "old")
            shutil.copytree(model, part)
            card = json.loads((part / "card.json").read_text()) | {"data": data}
            (part / "card.json").write_text(json.dumps(card, indent=2) + "\n")
            drawn = [place / sheet.name for sheet in sheets(part)]
            if whole.exists():
                os.replace(whole, old)
            try:
                os.replace(part, whole)
            except OSError:
                if old.exists():
                    os.replace(old, whole)
                raise
    except OSError as error:
        raise UserError(f"{place} cannot be written to ({error.strerror}): give another --out") from error
    return card, drawn


@contextmanager
def alone(place: Path) -> Iterator[None]:
    """Held by one process at a time, which first removes what killed ones left beside ``place``."""
    marker = place.with_name(f".{place.name}.lock")
    with FileLock(marker):
        for left in place.parent.glob(f".{glob.escape(place.name)}.part-*"):
            shutil.rmtree(left, ignore_errors=True)
        try:
            yield
        finally:
            marker.unlink(missing_ok=True)
