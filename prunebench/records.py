"""What one record is: a card of canonical JSON, sealed by its own SHA-256, and the files that the card names.

A card is written with its keys sorted, the seal last: ``{...,"sha256":"<of the text without the seal>"}``. So the text
itself can be checked, without writing the card anew; only a card that was written otherwise takes that longer way.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from . import arrays as _arrays
from .errors import VerifyError

FORMAT = 1
_CARD_LIMIT = 64 * 2**20  # bytes
_SEAL = b',"sha256":"'
_SEALED = len(_SEAL) + 64 + len(b'"}')


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal identities have equal text."""
    return _ENCODE(value)


_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


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
        return _arrays.read_npz(self.file("arrays.npz")) if "arrays.npz" in self.card["files"] else {}

    @property
    def folder(self) -> Path:
        return self.path.with_suffix("")


def read_record(kind: str, path: Path) -> Record:
    """A card and the files it names, every hash checked.

    Raises:
        VerifyError: torn, altered, or not a record of that kind.
    """
    try:
        content = _content(path)
        card, sound = _as_written(kind, path.stem, content), True
        if card is None:
            card = _DECODER.decode(content.decode("utf-8"))
            sound = card.pop("sha256") == hashlib.sha256(canonical(card).encode()).hexdigest()
            sound = sound and card["id"] == path.stem == identify(kind, card["identity"])
        sound = sound and card["format"] == FORMAT and card["kind"] == kind
        files = card["files"].values()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise VerifyError(f"{path} is torn or is not a prunebench record") from None
    except OSError as failure:
        raise VerifyError(f"{path} cannot be read ({failure.strerror})") from None
    if not sound:
        raise VerifyError(f"{path} was altered after it was written, or is of another format")
    for file in files:
        _verify_file(path.parent, file)
    return Record(kind, card["id"], path, card)


def _content(path: Path) -> bytes:
    with open(path, "rb", buffering=0) as stream:
        if os.fstat(stream.fileno()).st_size > _CARD_LIMIT:
            raise VerifyError(f"{path} is larger than a card can be")
        return stream.read()


def _as_written(kind: str, id: str, content: bytes) -> dict[str, Any] | None:
    """The card of a text that holds what was sealed, byte by byte, and an identity that hashes to ``id`` as it stands.

    None where it does not, or is not laid out as we write it.
    """
    body, seal = content[:-_SEALED], content[-_SEALED:]
    if not seal.startswith(_SEAL) or not seal.endswith(b'"}'):
        return None
    if hashlib.sha256(body + b"}").hexdigest().encode() != seal[len(_SEAL) : -2]:
        return None
    text, opening, middle = body.decode("utf-8"), '{"files":', f',"format":{FORMAT},"id":"{id}","identity":'
    if not text.startswith(opening):
        return None
    files, end = _DECODER.raw_decode(text, len(opening))
    if not text.startswith(middle, end):
        return None
    start = end + len(middle)
    identity, end = _DECODER.raw_decode(text, start)
    if text[end] != "," or hashlib.sha256(f"{kind}\0{text[start:end]}".encode()).hexdigest() != id:
        return None
    rest = _DECODER.decode(f"{{{text[end + 1 :]}}}")
    if rest.keys() != {"kind", "provenance", "result"}:
        return None
    return rest | {"files": files, "format": FORMAT, "id": id, "identity": identity}


def _not_a_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number that a card can hold")


_DECODER = json.JSONDecoder(parse_constant=_not_a_number)


def _verify_file(folder: Path, file: Mapping[str, Any]) -> None:
    path = folder / file["path"]
    try:
        found = path.lstat()
    except OSError:
        found = None
    plain = found is not None and stat.S_ISREG(found.st_mode) and "/" not in file["path"]  # lies where it is named
    if not plain:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise VerifyError(f"{path} lies outside the store")
        if not path.is_file():
            raise VerifyError(f"{path} is missing")
    if path.stat().st_size != file["bytes"] or file_sha256(path) != file["sha256"]:
        raise VerifyError(f"{path} is torn or was altered after it was written")
