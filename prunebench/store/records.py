"""Records as they lie on disk: a card (``<id>.json``) and the files it names, each with its size and SHA-256.

The id is the SHA-256 of the kind and the canonical identity. A card is written with its keys sorted and sealed by the
SHA-256 of its own text, the seal last: ``{...,"sha256":"<of the text without the seal>"}``. So what is torn or altered,
wherever and by however little, is found when it is read, and the text itself can be checked, without writing the card
anew; only one that was written otherwise takes that longer way.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .. import arrays as _arrays
from ..errors import StoreError, VerifyError
from ..json_files import DECODER, parsed, plain_bytes, refuse_deep

FORMAT = 1
_PARTS = ("identity", "result", "files", "provenance")
_SEAL = b',"sha256":"'
_SEALED = len(_SEAL) + 64 + len(b'"}')
_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


class UnreadableError(VerifyError):
    """Not damaged as far as anybody can tell, but not to be read here and now: no reason to compute it again."""


class OtherFormatError(UnreadableError):
    """A sound card of another version's format."""


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal identities have equal text."""
    return _ENCODE(value)


def identify(kind: str, identity: Mapping[str, Any]) -> str:
    """The id of a record: SHA-256 of its kind and canonical identity."""
    return hashlib.sha256(f"{kind}\0{canonical(identity)}".encode()).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_as_it_stands(path: Path) -> str:
    """Of a large file that many ask for: read again when its size or time of change is another."""
    now = path.stat()
    return _sha256_of(path.absolute(), now.st_size, now.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256_of(path: Path, size: int, changed: int) -> str:
    return file_sha256(path)


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


def sealed(
    kind: str,
    identity: Mapping[str, Any],
    result: Mapping[str, Any],
    files: Mapping[str, Mapping[str, Any]],
    provenance: Mapping[str, Any] | None,
) -> tuple[dict[str, Any], bytes]:
    """A card, and the bytes of its file, which hold its own SHA-256."""
    card = {"format": FORMAT, "kind": kind, "id": identify(kind, identity), "identity": identity, "result": result}
    card |= {"files": files, "provenance": provenance or {}}
    card = json.loads(canonical(card))  # what is read back is what was hashed
    return card, canonical(card | {"sha256": card_hash(card)}).encode()


def card_hash(card: Any) -> str:
    """SHA-256 of a card's text, which it then holds itself."""
    return hashlib.sha256(canonical(card).encode()).hexdigest()


def read_record(kind: str, path: Path, *, files: bool = True) -> Record:
    """A card and the files it names, every hash checked; without ``files`` the card alone.

    Raises:
        VerifyError: torn, altered, or not a record of that kind.
        UnreadableError: of another version's format, or refused by the file system.
    """
    try:
        card = _read_card(kind, path)
        for file in card["files"].values() if files else ():
            _verify_file(path.parent, file)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise VerifyError(f"{path} is torn or is not a prunebench record") from None
    except FileNotFoundError as missing:
        raise VerifyError(f"{missing.filename or path} is missing") from None
    except IsADirectoryError:
        raise VerifyError(f"{path} is a directory, not a record") from None
    except OSError as failure:
        raise UnreadableError(f"{failure.filename or path} cannot be read ({failure.strerror})") from None
    return Record(kind, card["id"], path, card)


def look(kind: str, path: Path) -> tuple[Record | None, str]:
    """The record, or what is wrong with it; neither where there is none.

    Raises:
        StoreError: it cannot be read here.
    """
    try:
        return read_record(kind, path), ""
    except UnreadableError as failure:
        raise StoreError(f"{failure}: make it readable, or give another --store; it was left as it is") from None
    except VerifyError as damaged:
        return None, str(damaged) if path.exists() else ""


def _read_card(kind: str, path: Path) -> dict[str, Any]:
    content = _content(path)
    card = _as_written(kind, path.stem, content)
    if card is None:
        card = parsed(content)
        sound = card.pop("sha256") == card_hash(card)
        if sound and card["format"] != FORMAT:
            raise OtherFormatError(
                f"{path} is of format {card['format']}, this version of prunebench reads format {FORMAT}"
            )
        sound = sound and card["id"] == path.stem == identify(kind, card["identity"])
        if not sound:
            raise VerifyError(f"{path} was altered after it was written")
    if card["kind"] != kind or not all(isinstance(card[part], dict) for part in _PARTS):
        raise VerifyError(f"{path} was altered after it was written")
    return card


def _content(path: Path) -> bytes:
    try:
        return plain_bytes(path)
    except ValueError as wrong:
        raise VerifyError(f"{path} is no card: {wrong}") from None


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
    files, end = DECODER.raw_decode(text, len(opening))
    if not text.startswith(middle, end):
        return None
    start = end + len(middle)
    identity, end = DECODER.raw_decode(text, start)
    if text[end] != "," or hashlib.sha256(f"{kind}\0{text[start:end]}".encode()).hexdigest() != id:
        return None
    rest = DECODER.decode(f"{{{text[end + 1 :]}}}")
    if rest.keys() != {"kind", "provenance", "result"}:
        return None
    card = rest | {"files": files, "format": FORMAT, "id": id, "identity": identity}
    refuse_deep(card)
    return card


@contextmanager
def reading(record: Record) -> Iterator[None]:
    """Whatever a record lacks or holds of another kind is one VerifyError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise VerifyError(
            f"{record.path} is not a record of {record.kind} that this version can read: compute it again"
        ) from None


def _verify_file(folder: Path, file: Mapping[str, Any]) -> None:
    name, size, sha = file["path"], file["bytes"], file["sha256"]
    try:
        path = folder / name
        if not _lies_in(path, name) and not path.resolve().is_relative_to(folder.resolve()):
            raise VerifyError(f"{path} lies outside the store")
        if path.is_dir():
            raise VerifyError(f"{path} is a directory, not a file")
        if not path.is_file():
            what = "a pipe, a socket or a device, not a plain file" if path.exists() else "missing"
            raise VerifyError(f"{path} is {what}")
        if path.stat().st_size != size or file_sha256(path) != sha:
            raise VerifyError(f"{path} is torn or was altered after it was written")
    except PermissionError:
        raise
    except (OSError, ValueError, TypeError, RuntimeError) as odd:  # a name that no file system takes, circular links
        raise VerifyError(f"{str(name)[:200]!r} in {folder} cannot be read ({type(odd).__name__})") from None


def _lies_in(path: Path, name: str) -> bool:
    """Whether it is a file under its own name, and no link, so that nothing has to be resolved."""
    try:
        return "/" not in name and stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False
