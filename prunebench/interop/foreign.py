"""Score arrays and index lists as others write them; nothing in them is ever run.

Scores: ``.npy``, ``.npz``, ``.pt`` (an array, or a dictionary of them as CCS and TDDS keep), ``.csv`` of names and
values, ``.txt`` of numbers. Subsets: ``.npy``, ``.npz``, ``.pt`` (a tensor, or DeepCore's {"indices", "weights"}),
``.txt`` and ``.csv`` of positions or names, ``.parquet``, ``.json`` {"indices": [..]}. A card beside the file is read.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import as_numpy, read_npz, read_pt
from ..errors import UserError
from ..types import Hard, Scores, Selection
from .files import card_beside, load_scores, load_selection, scores_of, selection_of

MAX_BYTES = 2**30  # of a table or a list
_POSITION = ("position", "index", "indices", "idx")  # headings, in small letters
_UNNAMED = ""  # heading of a table of one column that has none
_NAME = ("key", "name", "filename", "file", "path")


def read_scores(path: Path, hard: Hard | None = None, array: str | None = None) -> Scores:
    """Scores from a file of somebody else's.

    Args:
        array: which one, where the file holds several.

    Raises:
        UserError: no such file, another kind of file, or nobody says which end is hard.
    """
    _refuse_unreadable(path)
    if path.suffix in (".pt", ".pth"):
        return scores_of({"values": _one(_tensors(path), array, path)}, card_beside(path, "scores"), path, hard)
    if path.suffix == ".txt":
        values = [_number(line, path, i) for i, line in enumerate(_lines(path), 1)]
        return scores_of({"values": np.array(values, dtype=np.float64)}, card_beside(path, "scores"), path, hard)
    if path.suffix == ".npz":
        arrays = _npz(path)
        if array is not None or "values" not in arrays:
            found = {"values": _one(arrays, array, path)} | {k: v for k, v in arrays.items() if k == "keys"}
            return scores_of(found, card_beside(path, "scores"), path, hard)
    if array is not None:
        raise UserError(f"{path} holds one array without a name: leave out --array")
    if path.suffix == ".json" and not _is_record(_json(path)):
        raise UserError(f"{path} is no record of scores in a store: save the numbers as .npy, .csv or .txt")
    return load_scores(path, hard)


def read_selection(path: Path, array: str | None = None) -> Selection:
    """A subset from a file of somebody else's; of a list of names, the positions are those of the list.

    Raises:
        UserError: no such file, another kind of file, or no subset.
    """
    _refuse_unreadable(path)
    if array is not None and path.suffix not in (".pt", ".pth", ".npz"):
        raise UserError(f"{path} holds one array without a name: leave out --array")
    if path.suffix == ".npz" and (array is not None or "indices" not in _npz(path)):
        arrays: Mapping[str, Any] = {"indices": _one(_npz(path), array, path)}
    elif path.suffix in (".pt", ".pth"):
        found = _tensors(path)
        found = found["subset"] if isinstance(found.get("subset"), Mapping) else found  # a checkpoint of DeepCore
        arrays = {name: as_numpy(found[name]) for name in ("indices", "weights") if name in found}
        arrays = arrays if "indices" in arrays and array is None else {"indices": _one(found, array, path)}
    elif path.suffix == ".txt":
        arrays = _listed(_lines(path))
    elif path.suffix == ".csv":
        arrays = _columns(_table(path), path)
    elif path.suffix == ".parquet":
        arrays = _columns(_parquet(path), path)
    elif path.suffix == ".json" and (listed := _json_indices(path)) is not None:
        arrays = listed
    else:
        return load_selection(path)
    return selection_of(arrays, card_beside(path, "selection"), path)


def _refuse_unreadable(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    if path.suffix in (".pickle", ".pkl", ".joblib"):
        raise UserError(
            f"{path} is a pickle, which can run code when it is read: where it was made, save its array with "
            "numpy.save, and import that"
        )
    if path.stat().st_size > MAX_BYTES and path.suffix in (".txt", ".csv", ".json"):
        raise UserError(f"{path} has more than {MAX_BYTES} bytes: save it as .npy")


def _tensors(path: Path) -> Mapping[str, Any]:
    try:
        found = read_pt(path)
    except ValueError as damaged:
        raise UserError(
            f"{path} cannot be read ({damaged}): save its array or {{'indices': ...}} alone with torch.save"
        ) from None
    return {str(name): value for name, value in found.items()} if isinstance(found, dict) else {"array": found}


def _npz(path: Path) -> dict[str, np.ndarray]:
    try:
        return read_npz(path)
    except (ValueError, OSError) as damaged:
        raise UserError(f"{path} cannot be read: {damaged}") from None


def _one(arrays: Mapping[str, Any], name: str | None, path: Path) -> np.ndarray:
    """The array that is asked for, or the only one of a single row."""
    rows = {k: v for k, v in arrays.items() if np.ndim(v) == 1 and k != "keys" and as_numpy(v).dtype.kind in "biuf"}
    if name is None and len(rows) == 1:
        return as_numpy(next(iter(rows.values())))
    if name is None or name not in rows:
        told = f"no row of numbers named {name!r}" if name else f"{len(rows) or 'no'} rows of numbers"
        raise UserError(f"{path} holds {told}: choose by --array from {', '.join(rows) or 'nothing'}")
    return as_numpy(rows[name])


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as damaged:
        raise UserError(f"{path} is no text ({damaged})") from None


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in _text(path).splitlines() if line.strip()]


def _number(text: str, path: Path, line: int) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{path}, line {line}: a number is expected, got {text[:80]!r}") from None


def _listed(entries: list[str]) -> dict[str, Any]:
    """Positions where all are whole numbers, else names."""
    if all(entry.removeprefix("-").isascii() and entry.removeprefix("-").isdigit() for entry in entries):
        try:
            return {"indices": np.array([int(entry) for entry in entries], dtype=np.int64)}
        except OverflowError:
            raise UserError(f"the position {max(entries, key=len)[:40]} is beyond any data set") from None
    return {"indices": np.arange(len(entries)), "keys": np.array(entries)}


def _table(path: Path) -> dict[str, list[str]]:
    """Heading -> column; a table of one column may have no heading."""
    try:
        rows = [row for row in csv.reader(_text(path).splitlines()) if row]
    except csv.Error as damaged:
        raise UserError(f"{path} is no CSV file ({damaged})") from None
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise UserError(f"{path} must have as many columns in every line")
    known = {heading.strip().lower() for heading in rows[0]} & {*_POSITION, *_NAME}
    if not known and len(rows[0]) == 1:
        return {_UNNAMED: [row[0] for row in rows]}
    return {heading.strip().lower(): [row[i] for row in rows[1:]] for i, heading in enumerate(rows[0])}


def _parquet(path: Path) -> dict[str, list[str]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError("parquet needs pyarrow: pip install 'prunebench[parquet]', or save it as csv") from None
    try:
        table = pyarrow.parquet.read_table(path)
        return {name.lower(): [str(v) for v in table.column(name).to_pylist()] for name in table.column_names}
    except (pyarrow.ArrowException, OSError) as damaged:
        raise UserError(f"{path} is no parquet file ({str(damaged)[:120]})") from None


def _columns(table: Mapping[str, list[str]], path: Path) -> dict[str, Any]:
    """Positions, else names; with weights where there is a column of them."""
    position = next((table[name] for name in _POSITION if name in table), None)
    name = next((table[name] for name in (*_NAME, _UNNAMED) if name in table), None)
    if position is None and name is None:
        raise UserError(f"{path} has the columns {', '.join(table)}: one named position, or key, is expected")
    if position is None and _UNNAMED not in table:
        arrays = {"indices": np.arange(len(name or ())), "keys": np.array(name)}
    else:
        arrays = _listed(position if position is not None else name or [])
    if position is not None and "keys" in arrays:
        raise UserError(f"{path} has a position that is no whole number")
    if position is not None and name is not None:
        arrays["keys"] = np.array(name)
    if "weight" in table:
        arrays["weights"] = np.array([_number(w, path, i) for i, w in enumerate(table["weight"], 2)])
    return arrays


def _json_indices(path: Path) -> dict[str, Any] | None:
    """Of ``{"indices": [..]}`` or a list; None for a record's card."""
    found = _json(path)
    if _is_record(found):
        return None
    listed = found.get("indices") if isinstance(found, dict) else found
    if not isinstance(listed, list):
        raise UserError(f"{path} must hold a list of whole numbers, by itself or under `indices`")
    if not all(isinstance(i, int) and not isinstance(i, bool) and abs(i) < 2**62 for i in listed):
        raise UserError(f"{path} must list whole numbers under `indices`")
    return {"indices": np.array(listed, dtype=np.int64)}


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError):
        raise UserError(f"{path} is no JSON") from None


def _is_record(found: Any) -> bool:
    return isinstance(found, dict) and not found.keys().isdisjoint(("identity", "sha256"))
