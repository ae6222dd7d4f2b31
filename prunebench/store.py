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
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from . import arrays as _arrays
from .errors import StoreError, VerifyError
from .publishing import HOST, alive, fsync, prefix, publish, write
from .records import FORMAT
from .records import Record as Record
from .records import canonical as canonical
from .records import file_sha256 as file_sha256
from .records import identify as identify
from .records import read_record as read_record

KINDS = ("evidence", "scores", "selections", "trials", "models", "failures")
log = logging.getLogger("prunebench.store")


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
            self._sweep()

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
        for path in self._cards(kind):
            try:
                yield read_record(kind, path)
            except VerifyError as damaged:
                log.warning("left out: %s", damaged)

    def verify(self) -> tuple[int, list[str]]:
        """(number of sound records, one sentence per damaged one)."""
        sound, problems = 0, []
        for kind in KINDS:
            for path in self._cards(kind):
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
        published when ``make`` returns; a dictionary that it returns goes into the record's result. One process makes
        it, the others wait.
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
            told = make(working)
            result = {"seconds": time.perf_counter() - started}  # of the last sitting, where it was interrupted
            result |= told if isinstance(told, dict) else {}
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
        path = self.root / "evidence" / f"{prefix()}{name}-{secrets.token_hex(4)}"
        with self._explained(path):
            path.mkdir(parents=True)
        return path

    def _card(self, kind: str, id: str) -> Path:
        return self.root / kind / f"{id}.json"

    def _cards(self, kind: str) -> list[Path]:
        """By id; a folder of ten thousand is listed in milliseconds."""
        folder = self.root / kind
        return [folder / name for name in sorted(os.listdir(folder)) if name.endswith(".json")]

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

    def _sweep(self) -> None:
        """Remove what processes of this machine left behind when they were killed."""
        mine = f".tmp-{HOST}-"
        folders = [folder for folder in self.root.iterdir() if folder.is_dir()]
        for path in [folder / name for folder in folders for name in os.listdir(folder) if name.startswith(mine)]:
            pid = path.name.split("-")[2]
            if pid.isdigit() and not alive(int(pid)):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

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
