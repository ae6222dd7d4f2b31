"""Arrays as given, and on disk: ``.npy`` and ``.npz`` without pickle, headers checked before anything is allocated."""

from __future__ import annotations

import codecs
import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from .errors import UserError

_NUMBERS = "biufU"  # bool, integers, floats, fixed-width text
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what NumPy writes
_HEADER = 2**16  # bytes
_CLASSES = 2**20  # more than any data set has


def as_numpy(value: Any) -> np.ndarray:
    """Of a tensor, on whatever device and with or without a gradient, or of anything NumPy takes."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def npy_header(shape: tuple[int, ...], descr: str) -> bytes:
    """What a ``.npy`` file begins with, for one that is written piece by piece; ``descr`` as in ``"<f4"``."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def as_labels(values: Any) -> np.ndarray:
    """(N,) int64.

    Raises:
        UserError: not one row of integers from 0 on, or one that no class can have.
    """
    labels = as_numpy(values)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or (len(labels) and labels.min() < 0):
        raise UserError(f"labels must be (N,) integers from 0 on, got {labels.dtype} of shape {labels.shape}")
    if len(labels) and labels.max() >= _CLASSES:
        raise UserError(f"labels must be numbers of classes, below {_CLASSES}, got {labels.max()}")
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
        ValueError: not an ``.npz`` of plain arrays, a header that claims more than the file holds, or members that
            unpack to more than 64 times the file.
        OSError: the file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _refuse_bomb(members, path)
            found = {}
            for member in members:
                with archive.open(member) as stream:
                    found[member.filename.removesuffix(".npy")] = _read(stream, member.file_size, path)
            return found
    except (ValueError, OSError):
        raise
    except Exception as damaged:  # zipfile and its decompressors raise almost anything
        raise ValueError(f"{path} is not an .npz file ({damaged or type(damaged).__name__})") from None


def _refuse_bomb(members: Sequence[zipfile.ZipInfo], path: Path) -> None:
    limit, seen = 64 * path.stat().st_size + 2**20, set[str]()
    for member in members:
        name = member.filename
        if not name.endswith(".npy") or member.flag_bits & 1 or member.compress_type not in _PACKED:
            raise ValueError(f"{path} holds {name!r}, which is not a plain array")
        if name in seen:
            raise ValueError(f"{path} holds {name!r} twice")
        seen.add(name)
    if sum(member.file_size for member in members) > limit:
        raise ValueError(f"{path} unpacks to more than 64 times its size")


def read_npy(path: Path) -> np.ndarray:
    """One ``.npy`` array.

    Raises:
        ValueError: not a plain array, or a header that claims more than the file holds.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        return _read(stream, path.stat().st_size, path)


def read_pt(path: Path) -> Any:
    """What a file of ``torch.save`` holds: tensors, NumPy arrays, numbers, text, lists and dictionaries of these.

    Nothing in it is run: ``weights_only``, with NumPy's own way to rebuild an array as the only thing added.

    Raises:
        ValueError: it holds something else, or is no such file.
    """
    import torch

    rebuild = np.empty(0).__reduce__()[0]  # under its names in NumPy 1 and 2
    allowed: list[Any] = [(rebuild, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")]
    kinds = (np.dtypes.Int64DType, np.dtypes.Int32DType, np.dtypes.Float64DType, np.dtypes.Float32DType)
    allowed += [np.ndarray, np.dtype, codecs.encode, *kinds]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as damaged:  # its reader raises almost anything
        raise ValueError(f"not plain arrays and dictionaries of them: {type(damaged).__name__}") from None


def map_npy(path: Path) -> np.ndarray:
    """One ``.npy`` array, memory-mapped copy-on-write: whoever writes to it changes nobody's file."""
    with path.open("rb") as stream:
        _header(stream, path.stat().st_size, path)
    return np.load(path, mmap_mode="c", allow_pickle=False)


def _read(stream: IO[bytes], size: int, path: Path) -> np.ndarray:
    """In this machine's byte order."""
    shape, fortran, dtype, offset = _header(stream, size, path)
    body = stream.read(size - offset)
    try:
        array = np.frombuffer(body, dtype=dtype, count=math.prod(shape)).reshape(shape, order="F" if fortran else "C")
    except (ValueError, OverflowError) as damaged:
        raise ValueError(f"{path} does not hold the array it claims ({damaged})") from None
    return array.astype(dtype.newbyteorder("="), order="K")


def _header(stream: IO[bytes], size: int, path: Path) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    counted = _Counted(stream)
    try:
        version = np.lib.format.read_magic(counted)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(counted)
    except Exception as damaged:  # a header is Python text: its reader raises almost anything
        told = str(damaged).splitlines()[0] if str(damaged) else type(damaged).__name__
        raise ValueError(f"{path} does not hold a plain array ({told})") from None
    if dtype.kind not in _NUMBERS or dtype.hasobject:
        raise ValueError(f"{path} holds {dtype} values, numbers or text are expected")
    claimed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or max(shape, default=0) >= 2**63 or dtype.itemsize == 0:
        raise ValueError(f"{path} claims the shape {str(shape)[:80]} of {dtype}, which no array has")
    if claimed != size - counted.read_bytes:
        raise ValueError(f"{path} claims {claimed} bytes of values and holds {size - counted.read_bytes}")
    return shape, fortran, dtype, counted.read_bytes


class _Counted:
    """A stream that knows how far it was read; zip members cannot tell."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.read_bytes = stream, 0

    def read(self, count: int = -1) -> bytes:
        if count > _HEADER:  # the header says how long it is: what is asked for would be allocated
            raise ValueError(f"a header of {count} bytes")
        found = self.stream.read(count)
        self.read_bytes += len(found)
        return found


def _plain(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in _NUMBERS:
        raise ValueError(f"{name!r} holds {array.dtype} values: numbers or text are expected")
    return np.ascontiguousarray(array)
