"""The store: one immutable file per record, named by the SHA-256 of its canonical identity.

A record is a card (``<id>.json``) and the files it names, each with its size and SHA-256. Files are written to a
temporary name, fsynced, published without replacing, and the folder fsynced; the card comes last, so a thing is
acknowledged when its card stands. What is torn or altered is set aside and computed again. Many processes may use one
store; there is no ledger and no database.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from errno import EACCES
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .. import arrays as _arrays
from ..errors import StoreError, VerifyError
from . import failures as failure_notes
from . import publishing
from .publishing import explained, fsync, fsync_tree, prefix, publish, room, write
from .records import Record, file_sha256, identify, look, read_record, sealed
from .sweeping import sweep

RECORDS = ("evidence", "scores", "selections", "trials", "models")
KINDS = (*RECORDS, "failures")  # notes of failures are no records
PATIENCE = 60.0  # seconds of waiting for another process before a word is said of it
_ID = re.compile("[0-9a-f]{64}")
log = logging.getLogger("prunebench.store")


class Store:
    """One directory: ``evidence/ scores/ selections/ trials/ models/ failures/``.

    Args:
        writes: False for one that is only read: no folder is made, nothing is swept or set aside.

    Raises:
        StoreError: the directory cannot be made or written.
    """

    def __init__(self, root: str | Path, *, writes: bool = True) -> None:
        self.root, self.writes = Path(root), writes
        self._verified: dict[str, Record] = {}
        with explained(self.root):
            for kind in (*KINDS, ".locks") if writes else ():
                publishing.make_folder(self.root / kind)
            if writes:
                sweep(self.root)

    # -- reading ------------------------------------------------------------------------------------------------------

    def get(self, kind: str, identity: Mapping[str, Any]) -> Record | None:
        """The record of that identity, verified; None where it is missing or was damaged and is now set aside.

        Raises:
            StoreError: it stands and cannot be read here: no permission, or another version's format.
        """
        return self.by_id(kind, identify(kind, identity))

    def by_id(self, kind: str, id: str) -> Record | None:
        """As `get`."""
        if id in self._verified:
            return self._verified[id]
        if not _ID.fullmatch(id):  # records of others name ids: none may lead to a file outside
            return None
        path = self.card(kind, id)
        record, wrong = look(kind, path)
        if wrong and self.writes:
            record = self._set_aside(kind, path)
        elif wrong:
            log.warning("%s is damaged: the next run sets it aside and computes it again", path)
        if record is not None:
            self._verified[id] = record
        return record

    def card_alone(self, kind: str, id: str) -> Record | None:
        """As `by_id`, without the files that the card names: neither read nor verified. None where it is damaged."""
        if id in self._verified:
            return self._verified[id]
        if not _ID.fullmatch(id):
            return None
        try:
            return read_record(kind, self.card(kind, id), files=False)
        except VerifyError:
            return None

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
        for kind in RECORDS:
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
        content = _arrays.write_npz(arrays) if arrays else b""
        with explained(folder, len(content)):
            named = {}
            if arrays:
                named["arrays.npz"] = self._publish_bytes(folder, id, ".npz", content)
            for name, source in (files or {}).items():
                named[name] = self._publish_file(folder, id, source)
            return self._publish_card(kind, identity, result, named, provenance)

    def _publish_card(self, kind: str, identity: Mapping[str, Any], *told: Any) -> Record:
        """``told`` is what `sealed` takes further: result, files, provenance."""
        card, content = sealed(kind, identity, *told)
        path = self.card(kind, card["id"])
        temporary = self._temporary(path.parent)
        write(temporary, content)
        if not publish(temporary, path):
            self._verified.pop(card["id"], None)
            return self.by_id(kind, card["id"]) or self._publish_card(kind, identity, *told)
        record = Record(kind, card["id"], path, card)
        self._verified[card["id"]] = record
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
        if (folder / name).is_dir() and not (folder / name).is_symlink():  # no file can be renamed onto it
            aside = (folder / name).with_suffix(f".damaged-{secrets.token_hex(4)}")
            log.warning("%s is a directory, not a file: set aside as %s", folder / name, aside.name)
            (folder / name).replace(aside)
        temporary.replace(folder / name)
        fsync(folder)
        return {"path": name, "bytes": size, "sha256": sha}

    def make_folder(
        self, identity: Mapping[str, Any], make: Callable[[Path], Any], provenance: Mapping[str, Any] | None = None
    ) -> Record:
        """A folder in ``models/``, made by ``make(folder)`` where it does not stand.

        The folder that ``make`` works in survives a kill, so ``make`` can go on from its own checkpoints; it is
        published when ``make`` returns, and what was made is never made again; a dictionary that ``make`` returns goes
        into the record's result. One process makes it, the others wait.
        """
        id = identify("models", identity)
        with self.lock(id):
            record = self.by_id("models", id) or self._publish_made(id)
            if record is not None:
                return record
            started = time.perf_counter()
            with self.working(self._making(id)) as working:
                told = make(working)
            result = {"seconds": time.perf_counter() - started}  # of the last sitting, where it was interrupted
            result |= told if isinstance(told, dict) else {}
            with explained(working):
                files = {}
                for path in fsync_tree(working):
                    name = path.relative_to(working).as_posix()
                    size = path.stat().st_size
                    files[name] = {"path": f"{id}/{name}", "bytes": size, "sha256": file_sha256(path)}
                _, content = sealed("models", identity, result, files, provenance)
                publishing.replace(self._made(id), content)
            record = self._publish_made(id)
            if record is None:
                raise StoreError(f"{working} was altered while it was published: run the same command again")
            return record

    def _publish_made(self, id: str) -> Record | None:
        """Give a folder and its card, which are on the disk, their final names; None where nothing is finished."""
        working, made, final = self._making(id), self._made(id), self.root / "models" / id
        with explained(final):
            if not made.exists():
                return None
            if working.exists():
                publishing.remove(final)  # without a card nobody knows what it is
                working.rename(final)
            fsync(final.parent)
            publish(made, self.card("models", id))
        return self.by_id("models", id)

    @contextmanager
    def lock(self, id: str) -> Iterator[None]:
        """Held by one process at a time; released by the system when its holder dies.

        Raises:
            StoreError: the store cannot be written, told before anybody computes under this lock.
        """
        with explained(self.root):
            for kind in KINDS:
                if not os.access(self.root / kind, os.W_OK | os.X_OK):
                    raise PermissionError(EACCES, os.strerror(EACCES), str(self.root / kind))
            lock = FileLock(self.root / ".locks" / f"{id}.lock")
            try:
                lock.acquire(timeout=PATIENCE)
            except Timeout:
                log.warning("waiting for another process, which holds %s (paused, or still at work)", lock.lock_file)
                lock.acquire(timeout=-1)
        try:
            yield
        finally:
            lock.release()

    def note_failure(self, id: str, failure: Mapping[str, Any]) -> None:
        """Say why a cell has no number; replaced by the next failure, removed when the cell stands."""
        path = self.card("failures", id)
        with explained(path):
            publishing.replace(path, failure_notes.content(failure))

    def forget_failure(self, id: str) -> None:
        with explained(self.card("failures", id)):
            self.card("failures", id).unlink(missing_ok=True)

    def failed(self) -> set[str]:
        """Ids of the cells that a failure is noted of."""
        return {path.stem for path in (self.root / "failures").glob("*.json")}

    def failures(self) -> list[dict[str, Any]]:
        """What `note_failure` noted and nothing has mended since."""
        return failure_notes.read_notes(self.root / "failures")

    # -- the small print ----------------------------------------------------------------------------------------------

    @contextmanager
    def scratch(self, name: str, need: int = 0) -> Iterator[Path]:
        """A folder for ``need`` bytes of work in progress on the store's own file system; gone when the work is.

        Raises:
            StoreError: no room there.
        """
        path = self.root / "evidence" / f"{prefix()}{name}-{secrets.token_hex(4)}"
        try:
            with self.working(path, need):
                yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def working(self, folder: Path, need: int = 0) -> Iterator[Path]:
        """A folder of the store for ``need`` bytes of work in progress, made where it is missing; it stays.

        Raises:
            StoreError: no room there.
        """
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with room(folder, need):
            yield folder

    def card(self, kind: str, id: str) -> Path:
        """Where a record's card is, or would be."""
        return self.root / kind / f"{id}.json"

    def _making(self, id: str) -> Path:
        return self.root / "models" / f".making-{id}"

    def _made(self, id: str) -> Path:
        """The card of a folder that is made and not published yet."""
        return self.root / "models" / f".making-{id}.card"

    def _cards(self, kind: str) -> list[Path]:
        """By id; a folder of ten thousand is listed in milliseconds."""
        folder = self.root / kind
        try:
            return [folder / name for name in sorted(os.listdir(folder)) if name.endswith(".json")]
        except FileNotFoundError:
            return []
        except OSError as failure:
            raise StoreError(f"{folder} cannot be read ({failure.strerror}): make it readable") from None

    def _temporary(self, folder: Path) -> Path:
        return folder / f"{prefix()}{secrets.token_hex(8)}"

    def _set_aside(self, kind: str, path: Path) -> Record | None:
        """Rename what is damaged; the record where another process has mended it by now.

        One process at a time looks again and renames, so that nobody moves away what another has just mended.
        """
        with self.lock(f"aside-{path.stem}"), explained(path):
            record, wrong = look(kind, path)
            if wrong:
                aside = path.with_suffix(f".damaged-{secrets.token_hex(4)}")
                log.warning("%s: set aside as %s, computed again", wrong, aside.name)
                folder = path.with_suffix("")
                if folder.is_dir():  # first, or a kill would leave it without the card that tells it is damaged
                    folder.replace(aside.with_name(aside.name + ".files"))
                path.replace(aside)
                fsync(path.parent)
            return record
