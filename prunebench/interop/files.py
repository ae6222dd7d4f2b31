"""Score and selection files: arrays without pickle, beside a ``.json`` card that says what they are."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import read_npy, read_npz, write_npy, write_npz
from ..errors import StoreError, UserError
from ..evidence.scoring import read_scores
from ..evidence.selecting import read_selection
from ..harness.shared import plain_numbers
from ..json_files import read_object
from ..store import canonical, read_record
from ..store.publishing import FULL, replace
from ..types import Cost, Hard, Scores, Selection
from .score_tables import read_table

CARD = 1  # version of the card


def save_scores(scores: Scores, path: str | Path) -> Path:
    """``values`` (and ``keys`` where known) as ``.npz``, beside a ``.json`` card."""
    arrays: dict[str, Any] = {"values": scores.values}
    if scores.keys is not None:
        arrays["keys"] = np.array(scores.keys)
    numbers, extra = plain_numbers(scores.details)
    arrays |= {f"details/{name}": array for name, array in extra.items()}
    card = {
        "kind": "scores",
        **{name: getattr(scores, name) for name in ("scorer", "hard", "comparable", "fingerprint", "label_free", "id")},
        "cost": asdict(scores.cost),
        "details": numbers,
    }
    return _save(Path(path), arrays, card)


def load_scores(path: str | Path, hard: Hard | None = None) -> Scores:
    """Scores from a file of `save_scores`, an ``.npz`` with ``values``, a bare ``.npy``, a ``.csv`` or a store's card.

    Raises:
        UserError: no such file, damaged, a file without a card and no ``hard``, or one whose card says otherwise.
    """
    return scores_of(*_load(Path(path), "scores", "values"), path, hard)


def scores_of(arrays: Mapping[str, Any], card: Mapping[str, Any], path: Any, hard: Hard | None = None) -> Scores:
    """Arrays (``values``, perhaps ``keys``) and a card as `Scores`.

    Raises:
        UserError: they are none, nobody says which end is hard, or ``hard`` is not what the card says.
    """
    if hard is None and "hard" not in card:
        raise UserError(f"{path} has no card that says which end is hard: give hard='high' or 'low' (--hard)")
    if hard is not None and card.get("hard", hard) != hard:
        raise UserError(f"{path}: its card says that {card['hard']} is hard, not {hard}: leave out hard (--hard)")
    values = np.asarray(arrays["values"])
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise UserError(f"{path} must hold (N,) numbers, got {values.dtype} of shape {values.shape}")
    return Scores(
        values=values.astype(np.float64),
        hard=hard or card["hard"],
        scorer=card.get("scorer") or f"file {Path(path).name}",
        comparable=card.get("comparable", "set"),
        keys=_keys(arrays, len(values), path),
        fingerprint=card.get("fingerprint"),
        details=_details(arrays, card),
        cost=Cost(**card["cost"]) if "cost" in card else Cost(),
        label_free=card.get("label_free"),
        id=card.get("id"),
    )


def save_selection(selection: Selection, path: str | Path) -> Path:
    """Sorted int64 positions as ``.npy`` (or ``.npz`` with keys and weights), beside a ``.json`` card."""
    _, extra = plain_numbers(selection.details)
    card = selection_card(selection)
    arrays: dict[str, Any] = {"indices": selection.indices}
    if selection.keys is not None:
        arrays["keys"] = np.array(selection.keys)
    if selection.weights is not None:
        arrays["weights"] = selection.weights
    arrays |= {f"details/{name}": array for name, array in extra.items()}
    return _save(Path(path), arrays, card)


def selection_card(selection: Selection) -> dict[str, Any]:
    """What stands on the card beside a selection in whatever form."""
    names = ("scorer", "selector", "keep", "seed", "size", "fingerprint", "label_free", "id", "oracle")
    card = {"kind": "selection", **{name: getattr(selection, name) for name in names}}
    if selection.keep != selection.keep:  # of a bare index file nobody knows N, nor the keep ratio
        card = {name: value for name, value in card.items() if name not in ("keep", "size")}
    card |= {"cost": asdict(selection.cost), "details": plain_numbers(selection.details)[0]}
    return card if selection.hard is None else card | {"hard": selection.hard}


def load_selection(path: str | Path) -> Selection:
    """A selection from a file of `save_selection`, or from a store's card.

    Raises:
        UserError: no such file, damaged, or positions that are no selection.
    """
    return selection_of(*_load(Path(path), "selection", "indices"), path)


def selection_of(arrays: Mapping[str, Any], card: Mapping[str, Any], path: Any) -> Selection:
    """Arrays (``indices``, perhaps ``keys`` and ``weights``) and a card as `Selection`.

    Raises:
        UserError: they are none.
    """
    indices = np.asarray(arrays["indices"])
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        mask = " (a mask: save numpy.flatnonzero of it)" if indices.dtype.kind == "b" else ""
        raise UserError(f"{path} must hold distinct (k,) integers, got {indices.dtype} of shape {indices.shape}{mask}")
    found, times = np.unique(indices, return_counts=True)
    if len(found) != len(indices):
        raise UserError(
            f"{path} holds the position {found[times > 1][0]} more than once: positions of a subset are distinct"
        )
    if len(indices) and indices.min() < 0:
        raise UserError(f"{path} holds the position {indices.min()}: positions start at 0")
    last, size = int(indices.max()) if len(indices) else -1, card.get("size")
    if last >= np.iinfo(np.int64).max or (size is not None and last >= size):
        raise UserError(f"{path} keeps position {last} of {size or 'a data set of any size'}: select again")
    order = np.argsort(indices)
    weights = _weights(arrays.get("weights"), len(indices), path)
    keys = _keys(arrays, len(indices), path)
    return Selection(
        indices=indices[order].astype(np.int64),
        scorer=card.get("scorer"),
        selector=card.get("selector", "subset"),
        keep=card.get("keep", float("nan")),
        seed=card.get("seed", 0),
        size=last + 1 if size is None else size,
        weights=None if weights is None else weights[order],
        keys=None if keys is None else tuple(keys[i] for i in order),
        fingerprint=card.get("fingerprint"),
        details=_details(arrays, card),
        cost=Cost(**card["cost"]) if "cost" in card else Cost(),
        label_free=card.get("label_free"),
        id=card.get("id"),
        oracle=bool(card.get("oracle", False)),
        hard=card.get("hard"),
    )


def _keys(arrays: Mapping[str, Any], count: int, path: Any) -> tuple[str, ...] | None:
    """As many texts as there are values or positions; None where the file names none."""
    if "keys" not in arrays:
        return None
    found = np.asarray(arrays["keys"])
    if found.shape != (count,):
        raise UserError(f"{path} has keys of shape {found.shape} for {count} examples: one each")
    return tuple(str(key) for key in found)


def _weights(weights: Any, indices: int, path: Any) -> np.ndarray | None:
    """(k,) float64 as they stand in a file."""
    if weights is None:
        return None
    found = np.asarray(weights)
    if found.shape != (indices,) or found.dtype.kind not in "biuf":
        raise UserError(f"{path} has {found.dtype} weights of shape {found.shape} for {indices} positions: one each")
    found = found.astype(np.float64)
    bad = np.flatnonzero(~(np.isfinite(found) & (found >= 0)))
    if len(bad) or not found.sum() > 0:
        told = f"the weight {found[bad[0]]} at place {bad[0]}" if len(bad) else "weights that are all 0"
        raise UserError(f"{path} has {told}: weights must be finite, at least 0, and not all 0")
    return found


def _details(arrays: Mapping[str, Any], card: Mapping[str, Any]) -> dict[str, Any]:
    found = {name.removeprefix("details/"): a for name, a in arrays.items() if name.startswith("details/")}
    return {**card.get("details", {}), **found}


def refuse_unwritable(path: Path) -> None:
    """Refuse, before any work, a path that could not be written after it; nothing is made.

    Raises:
        UserError: no name of a file, another ending than .npy or .npz, a folder, or no place to write.
    """
    if path.name in ("", ".."):
        raise UserError(f"cannot write {path} (it is a folder): give a path that can be written")
    if path.suffix not in ("", ".npy", ".npz"):
        raise UserError(f"{path} would be neither .npy nor .npz: give it one of these endings")
    refuse_unplaceable(path)


def refuse_unplaceable(path: Path) -> None:
    """As `refuse_unwritable`, of a file of any ending.

    Raises:
        UserError: a folder, or no place to write.
    """
    if path.suffix and path.is_dir():
        raise UserError(f"cannot write {path} (it is a folder): give a path that can be written")
    there = next(folder for folder in path.absolute().parents if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(f"cannot write {path} ({there} takes no files): give a path that can be written")


def _save(path: Path, arrays: Mapping[str, Any], card: dict[str, Any]) -> Path:
    main = next(iter(arrays))
    refuse_unwritable(path)
    if path.suffix == ".npy":
        return write_with_card(path, write_npy(arrays[main]), card)
    path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
    return write_with_card(path, write_npz(arrays), card)


def write_with_card(path: Path, content: bytes, card: dict[str, Any]) -> Path:
    """A file, and beside it ``card`` with the SHA-256 of both.

    Raises:
        UserError: it cannot be written there.
        StoreError: there is no room.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, content)
        card["file_sha256"] = hashlib.sha256(content).hexdigest()
        card |= {"card": CARD}
        card["sha256"] = _hash_of(card)
        replace(_card_of(path), (json.dumps(card, indent=1, sort_keys=True) + "\n").encode())
    except OSError as failure:
        if failure.errno in FULL:
            told = f"{failure.strerror}: {len(content) / 2**20:,.1f} MiB are needed"
            raise StoreError(f"cannot write {path} ({told}): free some room there, or give another path") from None
        raise UserError(f"cannot write {path} ({failure.strerror}): give a path that can be written") from None
    return path


def _hash_of(card: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()


def _card_of(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _load(path: Path, kind: str, main: str) -> tuple[dict[str, Any], dict[str, Any]]:
    if path.suffix == ".json":
        return _from_store(path, kind)
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    if path.suffix == ".csv" and kind == "scores":
        names, values = read_table(path)
        return {"values": values, "keys": np.array(names)}, {}
    try:
        arrays = {main: read_npy(path)} if path.suffix == ".npy" else read_npz(path)
    except (ValueError, OSError) as damaged:
        raise UserError(f"{path} cannot be read: {damaged}") from None
    if main not in arrays:
        raise UserError(f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}: an array named {main!r} is expected")
    return arrays, card_beside(path, kind)


def card_beside(path: Path, kind: str) -> dict[str, Any]:
    """The card of a file of ``kind``; empty where there is none.

    Raises:
        UserError: it is of another kind or another file, or was altered.
    """
    if not _card_of(path).is_file():
        return {}
    card = _read_card(_card_of(path))
    told = card.get("file_sha256")
    if card.get("kind") != kind:
        raise UserError(f"{_card_of(path)} is the card of {card.get('kind', 'something else')}, not of {kind}")
    if told and told != hashlib.sha256(path.read_bytes()).hexdigest():
        raise UserError(f"{path} is not the file that its card {_card_of(path).name} was written for")
    return card


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = read_object(path)
    except (ValueError, OSError) as wrong:
        raise UserError(f"{path} is not a readable card ({wrong}): write the file again, or leave it out") from None
    if "sha256" in card and card.pop("sha256") != _hash_of(card):
        raise UserError(
            f"{path} was altered after it was written: write it again, or leave the card out and say --hard"
        )
    return _checked_card(card, path)


def _checked_card(card: dict[str, Any], path: Path) -> dict[str, Any]:
    for name, value in card.items():
        if not isinstance(value, _FIELDS.get(name, object)) or value not in _CHOICES.get(name, (value,)):
            raise UserError(f"{path} says {name} = {str(value)[:40]!r}, which no such card can: write the file again")
    cost = card.get("cost", {})
    known = {field.name: str if isinstance(field.default, str) else (int, float) for field in fields(Cost)}
    if wrong_cost := [name for name, value in cost.items() if not isinstance(value, known.get(name, ()))]:
        raise UserError(f"{path} has a cost with a strange {wrong_cost[0]!r}: write the file again")
    return card


_TEXT = (str, type(None))
_FIELDS: dict[str, Any] = {
    **dict.fromkeys(("scorer", "fingerprint", "id"), _TEXT),
    **dict.fromkeys(("selector", "kind", "hard", "comparable"), str),
    **dict.fromkeys(("seed", "size"), int),
    **dict.fromkeys(("details", "cost"), dict),
    **{"keep": (int, float), "oracle": bool, "label_free": (bool, type(None)), "file_sha256": _TEXT},
}
_CHOICES: dict[str, tuple[Any, ...]] = {"hard": ("high", "low"), "comparable": ("set", "class")}


def _from_store(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    folder = {"scores": "scores", "selection": "selections"}[kind]
    record = read_record(folder, path)
    found: Any = read_scores(record) if kind == "scores" else read_selection(record)
    card = {name: getattr(found, name) for name in found.__dataclass_fields__ if name != "details"}
    card = {name: value for name, value in card.items() if name != "hard" or value is not None}
    card |= {"cost": asdict(found.cost), "details": record.result["details"]}
    plain = json.loads(canonical({k: v for k, v in card.items() if _is_plain(v)}))
    return dict(record.arrays), _checked_card(plain, path)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str, dict))
