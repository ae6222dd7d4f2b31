"""Arrays as given, and on disk: ``.npy`` and ``.npz`` without pickle, headers checked before anything is allocated."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from .errors import UserError

_NUMBERS = "biufU"  # bool, integers, floats, fixed-width text


def as_numpy(value: Any) -> np.ndarray:
    """Of a tensor, on whatever device and with or without a gradient, or of anything NumPy takes."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def as_labels(values: Any) -> np.ndarray:
    """(N,) int64.

    Raises:
        UserError: not one row of integers from 0 on.
    """
    labels = as_numpy(values)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or (len(labels) and labels.min() < 0):
        raise UserError(f"labels must be (N,) integers from 0 on, got {labels.dtype} of shape {labels.shape}")
    return labels.astype(np.int64)


def write_npz(arrays: Mapping[str, Any]) -> bytes:
    """The bytes of an ``.npz``; equal arrays give equal bytes.

    Raises:
        ValueError: an array holds something other than numbers or text.
    """
    plain = {name: _plain(name, value) for name, value in arrays.items()}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **plain)
    return buffer.getvalue()


def write_npy(array: Any) -> bytes:
    """The bytes of an ``.npy``."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an ``.npz``.

    Raises:
        ValueError: not an ``.npz`` of plain arrays, or a header that claims more than the file holds.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = {}
            for member in archive.infolist():
                if not member.filename.endswith(".npy") or member.compress_type != zipfile.ZIP_STORED:
                    limit = 64 * path.stat().st_size + 2**20
                    if not member.filename.endswith(".npy") or member.file_size > limit:
                        raise ValueError(f"{path} holds {member.filename!r}, which is not a plain array")
                with archive.open(member) as stream:
                    found[member.filename.removesuffix(".npy")] = _read(stream, member.file_size, path)
            return found
    except zipfile.BadZipFile as damaged:
        raise ValueError(f"{path} is not an .npz file ({damaged})") from None


def read_npy(path: Path) -> np.ndarray:
    """One ``.npy`` array.

    Raises:
        ValueError: not a plain array, or a header that claims more than the file holds.
    """
    with path.open("rb") as stream:
        return _read(stream, path.stat().st_size, path)


def map_npy(path: Path) -> np.ndarray:
    """One ``.npy`` array, memory-mapped copy-on-write: whoever writes to it changes nobody's file."""
    with path.open("rb") as stream:
        _header(stream, path.stat().st_size, path)
    return np.load(path, mmap_mode="c", allow_pickle=False)


def _read(stream: IO[bytes], size: int, path: Path) -> np.ndarray:
    shape, fortran, dtype, offset = _header(stream, size, path)
    body = stream.read(size - offset)
    array = np.frombuffer(body, dtype=dtype, count=int(np.prod(shape, dtype=np.int64)))
    return array.reshape(shape, order="F" if fortran else "C").copy()


def _header(stream: IO[bytes], size: int, path: Path) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    counted = _Counted(stream)
    try:
        version = np.lib.format.read_magic(counted)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(counted)
    except ValueError as damaged:
        raise ValueError(f"{path} does not hold a plain array ({damaged})") from None
    if dtype.kind not in _NUMBERS or dtype.hasobject:
        raise ValueError(f"{path} holds {dtype} values, numbers or text are expected")
    claimed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if claimed != size - counted.read_bytes:
        raise ValueError(f"{path} claims {claimed} bytes of values and holds {size - counted.read_bytes}")
    return shape, fortran, dtype, counted.read_bytes


class _Counted:
    """A stream that knows how far it was read; zip members cannot tell."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.read_bytes = stream, 0

    def read(self, count: int = -1) -> bytes:
        found = self.stream.read(count)
        self.read_bytes += len(found)
        return found


def _plain(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in _NUMBERS:
        raise ValueError(f"{name!r} holds {array.dtype} values: numbers or text are expected")
    return np.ascontiguousarray(array)
