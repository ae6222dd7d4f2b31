"""The store: one immutable file per record, named by the SHA-256 of its canonical identity.

A record is a card (``<id>.json``) and the files it names, each with its size and SHA-256. Files are written to a
temporary name, fsynced, published without replacing, and the folder fsynced; the card comes last, so a thing is
acknowledged when its card stands. What is torn or altered is set aside and computed again. Many processes may use one
store; there is no ledger and no database.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from . import arrays as _arrays
from .errors import StoreError, VerifyError
from .publishing import fsync, prefix, publish, sweep, write

FORMAT = 1
KINDS = ("evidence", "scores", "selections", "trials", "models", "failures")
_CARD_LIMIT = 64 * 2**20  # bytes
log = logging.getLogger("prunebench.store")


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
        if path.stat().st_size > _CARD_LIMIT:
            raise VerifyError(f"{path} is larger than a card can be")
        card = json.loads(path.read_text(encoding="utf-8"))
        told = card.pop("sha256")
        sound = told == hashlib.sha256(canonical(card).encode()).hexdigest()
        sound = sound and card["format"] == FORMAT and card["kind"] == kind
        sound = sound and card["id"] == path.stem == identify(kind, card["identity"])
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


class Store:
    """One directory: ``evidence/ scores/ selections/ trials/ models/ failures/``.

    Raises:
        StoreError: the directory cannot be made or written.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._verified: dict[str, Record] = {}
        with self._explained(self.root):
            for kind in KINDS:
                (self.root / kind).mkdir(parents=True, exist_ok=True)
            (self.root / ".locks").mkdir(exist_ok=True)
            sweep(self.root)

    # -- reading ------------------------------------------------------------------------------------------------------

    def get(self, kind: str, identity: Mapping[str, Any]) -> Record | None:
        """The record of that identity, verified; None where it is missing or was damaged and is now set aside."""
        return self.by_id(kind, identify(kind, identity))

    def by_id(self, kind: str, id: str) -> Record | None:
        if id in self._verified:
            return self._verified[id]
        path = self._card(kind, id)
        if not path.exists():
            return None
        try:
            record = read_record(kind, path)
        except VerifyError as damaged:
            self._set_aside(path, str(damaged))
            return None
        self._verified[id] = record
        return record

    def records(self, kind: str) -> Iterator[Record]:
        """All sound records of a kind, by id; damaged ones are told in the log and left out."""
        for path in sorted((self.root / kind).glob("*.json")):
            try:
                yield read_record(kind, path)
            except VerifyError as damaged:
                log.warning("left out: %s", damaged)

    def verify(self) -> tuple[int, list[str]]:
        """(number of sound records, one sentence per damaged one)."""
        sound, problems = 0, []
        for kind in KINDS:
            for path in sorted((self.root / kind).glob("*.json")):
                try:
                    read_record(kind, path)
                    sound += 1
                except VerifyError as damaged:
                    problems.append(str(damaged))
        return sound, problems

    # -- writing ------------------------------------------------------------------------------------------------------

    def put(
        self,
        kind: str,
        identity: Mapping[str, Any],
        result: Mapping[str, Any],
        *,
        arrays: Mapping[str, Any] | None = None,
        files: Mapping[str, Path] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> Record:
        """Publish a record; where another process was first, theirs stands.

        ``files`` are moved in from where they lie. ``arrays`` become one ``.npz``.

        Raises:
            StoreError: no room, no permission.
        """
        id = identify(kind, identity)
        folder = self.root / kind
        with self._explained(folder):
            named = {}
            if arrays:
                named["arrays.npz"] = self._publish_bytes(folder, id, ".npz", _arrays.write_npz(arrays))
            for name, source in (files or {}).items():
                named[name] = self._publish_file(folder, id, source)
            return self._publish_card(kind, identity, result, named, provenance)

    def _publish_card(
        self,
        kind: str,
        identity: Mapping[str, Any],
        result: Mapping[str, Any],
        files: Mapping[str, Mapping[str, Any]],
        provenance: Mapping[str, Any] | None,
    ) -> Record:
        id = identify(kind, identity)
        card = {"format": FORMAT, "kind": kind, "id": id, "identity": identity, "result": result}
        card |= {"files": files, "provenance": provenance or {}}
        card = json.loads(canonical(card))  # what is read back is what was hashed
        text = canonical(card | {"sha256": hashlib.sha256(canonical(card).encode()).hexdigest()})
        path = self._card(kind, id)
        temporary = self._temporary(path.parent)
        write(temporary, text.encode())
        if not publish(temporary, path):
            self._verified.pop(id, None)
            standing = self.by_id(kind, id)
            return standing or self._publish_card(kind, identity, result, files, provenance)
        record = Record(kind, id, path, card)
        self._verified[id] = record
        return record

    def _publish_bytes(self, folder: Path, id: str, suffix: str, content: bytes) -> dict[str, Any]:
        temporary = self._temporary(folder)
        write(temporary, content)
        return self._publish_named(folder, id, suffix, temporary, hashlib.sha256(content).hexdigest())

    def _publish_file(self, folder: Path, id: str, source: Path) -> dict[str, Any]:
        temporary = self._temporary(folder)
        shutil.move(source, temporary)
        fsync(temporary)
        return self._publish_named(folder, id, source.suffix, temporary, file_sha256(temporary))

    def _publish_named(self, folder: Path, id: str, suffix: str, temporary: Path, sha: str) -> dict[str, Any]:
        name = f"{id}.{sha[:16]}{suffix}"  # content in the name: replacing can only mend a damaged file
        size = temporary.stat().st_size
        temporary.replace(folder / name)
        fsync(folder)
        return {"path": name, "bytes": size, "sha256": sha}

    def make_folder(
        self, identity: Mapping[str, Any], make: Callable[[Path], Any], provenance: Mapping[str, Any] | None = None
    ) -> Record:
        """A folder in ``models/``, made by ``make(folder)`` where it does not stand.

        The folder that ``make`` works in survives a kill, so ``make`` can go on from its own checkpoints; it is
        published when ``make`` returns. One process makes it, the others wait.
        """
        id = identify("models", identity)
        with self.lock(id):
            if (record := self.by_id("models", id)) is not None:
                return record
            final = self.root / "models" / id
            working = self.root / "models" / f".making-{id}"
            with self._explained(working):
                if final.exists():  # published by a run that was killed before its card
                    shutil.rmtree(final)
                working.mkdir(exist_ok=True)
            started = time.perf_counter()
            make(working)
            result = {"seconds": time.perf_counter() - started}  # of the last sitting, where it was interrupted
            with self._explained(final):
                files = {}
                for path in sorted(p for p in working.rglob("*") if p.is_file()):
                    fsync(path)
                    name = path.relative_to(working).as_posix()
                    size = path.stat().st_size
                    files[name] = {"path": f"{id}/{name}", "bytes": size, "sha256": file_sha256(path)}
                working.rename(final)
                fsync(final.parent)
                return self._publish_card("models", identity, result, files, provenance)

    @contextmanager
    def lock(self, id: str) -> Iterator[None]:
        """Held by one process at a time; released by the system when its holder dies."""
        with self._explained(self.root):
            lock = FileLock(self.root / ".locks" / f"{id}.lock")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def note_failure(self, id: str, failure: Mapping[str, Any]) -> None:
        """Say why a cell has no number; replaced by the next failure, removed when the cell stands."""
        path = self._card("failures", id)
        with self._explained(path):
            temporary = self._temporary(path.parent)
            write(temporary, canonical(failure).encode())
            temporary.replace(path)

    def forget_failure(self, id: str) -> None:
        self._card("failures", id).unlink(missing_ok=True)

    def failures(self) -> list[dict[str, Any]]:
        """What `note_failure` noted and nothing has mended since."""
        found = []
        for path in sorted((self.root / "failures").glob("*.json")):
            try:
                found.append({"id": path.stem, **json.loads(path.read_text(encoding="utf-8"))})
            except (ValueError, TypeError):
                log.warning("left out: %s is torn", path)
        return found

    # -- the small print ----------------------------------------------------------------------------------------------

    def scratch(self, name: str) -> Path:
        """A folder for work in progress on the store's own file system."""
        return self.made(self.root / "evidence" / f"{prefix()}{name}-{secrets.token_hex(4)}")

    def made(self, folder: Path) -> Path:
        """A folder of the store, made where it is missing."""
        with self._explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _card(self, kind: str, id: str) -> Path:
        return self.root / kind / f"{id}.json"

    def _temporary(self, folder: Path) -> Path:
        return folder / f"{prefix()}{secrets.token_hex(8)}"

    def _set_aside(self, path: Path, why: str) -> None:
        aside = path.with_suffix(f".damaged-{secrets.token_hex(4)}")
        log.warning("%s: set aside as %s, computed again", why, aside.name)
        with self._explained(path):
            path.replace(aside)
            folder = path.with_suffix("")
            if folder.is_dir():
                folder.replace(aside.with_name(aside.name + ".files"))

    @contextmanager
    def _explained(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as failure:
            if failure.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                way_out = "free some room there, or give another --store; what stands is kept and not computed again"
            else:
                way_out = "give a --store that can be written"
            where = failure.filename or path
            raise StoreError(f"cannot write {where} ({failure.strerror}): {way_out}") from failure


def _verify_file(folder: Path, file: Mapping[str, Any]) -> None:
    path = folder / file["path"]
    if not path.resolve().is_relative_to(folder.resolve()):
        raise VerifyError(f"{path} lies outside the store")
    if not path.is_file():
        raise VerifyError(f"{path} is missing")
    if path.stat().st_size != file["bytes"] or file_sha256(path) != file["sha256"]:
        raise VerifyError(f"{path} is torn or was altered after it was written")
