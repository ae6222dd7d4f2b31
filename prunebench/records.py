"""Records: a card, and the files it names, each with its size and SHA-256; read back only where every hash is right.

A card is JSON: what it is (``kind``, ``id``, ``identity``), what came out (``result``), its ``files`` and where it
comes from (``provenance``), with a SHA-256 over all of that. The id is the SHA-256 of kind and identity.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from . import arrays as _arrays
from .errors import VerifyError
from .json_files import read_object

FORMAT = 1
_PARTS = ("identity", "result", "files", "provenance")


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal identities have equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def identify(kind: str, identity: Mapping[str, Any]) -> str:
    """The id of a record: SHA-256 of its kind and canonical identity."""
    return hashlib.sha256(f"{kind}\0{canonical(identity)}".encode()).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class Record:
    """A verified record."""

    kind: str
    id: str
    path: Path  # the card
    card: Mapping[str, Any]

    @property
    def identity(self) -> Mapping[str, Any]:
        return self.card["identity"]

    @property
    def result(self) -> Mapping[str, Any]:
        return self.card["result"]

    def file(self, name: str) -> Path:
        return self.path.parent / self.card["files"][name]["path"]

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        try:
            return _arrays.read_npz(self.file("arrays.npz")) if "arrays.npz" in self.card["files"] else {}
        except ValueError as wrong:
            raise VerifyError(str(wrong)) from None

    @property
    def folder(self) -> Path:
        return self.path.with_suffix("")


def read_record(kind: str, path: Path) -> Record:
    """A card and the files it names, every hash checked.

    Raises:
        VerifyError: torn, altered, or not a record of that kind.
    """
    try:
        card = read_object(path)
        told = card.pop("sha256")
        sound = told == hashlib.sha256(canonical(card).encode()).hexdigest()
        sound = sound and card["format"] == FORMAT and card["kind"] == kind
        sound = sound and card["id"] == path.stem == identify(kind, card["identity"])
        sound = sound and all(isinstance(card[part], dict) for part in _PARTS)
        files = [(file["path"], file["bytes"], file["sha256"]) for file in card["files"].values()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise VerifyError(f"{path} is torn or is not a prunebench record") from None
    except OSError as failure:
        raise VerifyError(f"{path} cannot be read ({failure.strerror})") from None
    if not sound:
        raise VerifyError(f"{path} was altered after it was written, or is of another format")
    for name, size, sha in files:
        _verify_file(path.parent, name, size, sha)
    return Record(kind, card["id"], path, card)


@contextmanager
def reading(record: Record) -> Iterator[None]:
    """Whatever a record lacks or holds of another kind is one VerifyError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise VerifyError(
            f"{record.path} is not a record of {record.kind} that this version can read: compute it again"
        ) from None


def _verify_file(folder: Path, name: str, size: int, sha: str) -> None:
    try:
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise VerifyError(f"{path} lies outside the store")
        if not path.is_file():
            raise VerifyError(f"{path} is missing")
        if path.stat().st_size != size or file_sha256(path) != sha:
            raise VerifyError(f"{path} is torn or was altered after it was written")
    except (OSError, ValueError, TypeError, RuntimeError) as odd:  # a name that no file system takes, circular links
        raise VerifyError(f"{str(name)[:200]!r} in {folder} cannot be read ({type(odd).__name__})") from None
