"""`prunebench submit`: the sound, finished trials of a store with all that others need to check them.

A trial travels with the subset that it trained on and with the card of the scores, so that an index file can be traced;
cards are copied byte for byte, as their ids are hashes of what they say. Equal records give equal bytes, whenever and
by whom they are packed. What cannot be checked by others is left out and told.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StoreError, UserError, VerifyError
from ..evidence.selecting import SUBSET, read_selection
from ..harness.shared import hash_array
from ..harness.trials import PLAIN
from ..portable import private_part
from ..store import Record, canonical, read_record
from ..store.publishing import FULL, fsync, prefix
from .containers import LARGEST, LARGEST_ARRAYS, LARGEST_TEXT, MANIFEST, MOST_FILES, refuse_no_store
from .manifests import manifest_of

_WHEN = (1980, 1, 1, 0, 0, 0)  # of every file in an archive: the clock is no part of a bundle
_CHUNK = 2**20


@dataclass(frozen=True)
class Packed:
    """What `submit` wrote."""

    path: Path
    manifest: Mapping[str, Any]
    private: tuple[str, ...] = ()  # what records that are left out tell of this machine

    @property
    def left_out(self) -> Mapping[str, int]:
        """Reason -> how many."""
        return self.manifest["left_out"]


def submit(store: str | Path, out: str | Path, *, scores: bool = False, **submitter: str) -> Packed:
    """Pack the trials of a store into a folder, or into an archive where ``out`` ends in ``.zip``.

    Args:
        store: the folder of a store; nothing in it is changed.
        out: what is written; it must not be there yet.
        scores: also the numbers of the scores, so that selections can be made again from them.
        submitter: ``name``, ``contact`` and ``link`` of whoever submits.

    Raises:
        UserError: no such store, no trial that could be checked, something at ``out``, or a strange submitter.
        StoreError: ``out`` cannot be written.
    """
    root, out = Path(store), Path(out)
    refuse_no_store(root)
    if os.path.lexists(out):
        raise UserError(f"{out} is there already: remove it, or give another --out")
    found = _Chosen.of(root)
    if not found.trials:
        why = "; ".join(f"{many} left out: {reason}" for reason, many in sorted(found.left_out.items()))
        raise UserError(f"there is no trial in {root} that can be submitted ({why or 'run `prunebench run` first'})")
    records = [*found.trials, *found.selections.values(), *found.scores.values()]
    sources = dict(_sources(records, scores))
    files = {name: _told(path) for name, path in sorted(sources.items())}
    _refuse_more_than_a_bundle(files)
    manifest = manifest_of(records, files, dict(sorted(found.left_out.items())), submitter)
    _publish(out, sources, canonical(manifest).encode())
    return Packed(out, manifest, tuple(sorted(found.private)))


class _Chosen:
    """Which records of a store go into a bundle; why others do not."""

    def __init__(self, root: Path) -> None:
        self.left_out: Counter[str] = Counter()
        self.private: set[str] = set()
        self.read = {kind: dict(self._sound(root, kind)) for kind in ("trials", "selections", "scores")}
        self.index_files = {
            record.identity["content"]: record
            for record in self.read["selections"].values()
            if isinstance(record.identity.get("content"), str)
        }
        self.trials: list[Record] = []
        self.selections: dict[str, Record] = {}
        self.scores: dict[str, Record] = {}

    @classmethod
    def of(cls, root: Path) -> _Chosen:
        chosen = cls(root)
        if many := len(list((root / "failures").glob("*.json"))):
            chosen.left_out["cells that failed"] = many
        for trial in chosen.read["trials"].values():
            if reason := chosen._add(trial):
                chosen.left_out[f"trials {reason}"] += 1
        return chosen

    def _sound(self, root: Path, kind: str) -> Iterator[tuple[str, Record]]:
        folder = root / kind
        for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
            try:
                record = read_record(kind, path)
            except VerifyError:
                self.left_out[f"records of {kind} that are damaged"] += 1
                continue
            yield record.id, record

    def _add(self, trial: Record) -> str:
        """Take a trial with what it rests on; the reason where it cannot be taken."""
        result = trial.result
        selection = self.read["selections"].get(result["selection"]) or self.index_files.get(result["selection"])
        wanted = [trial]
        if selection is not None:
            wanted.append(selection)
            scored = selection.identity.get("scores")
            if isinstance(scored, str):
                if scored not in self.read["scores"]:
                    return "whose scores are not in the store"
                wanted.append(self.read["scores"][scored])
        elif not _of_everything(trial):
            same = "of an index file that the store does not hold (give `prunebench train --subset` it again)"
            return same if result["selector"] == SUBSET else "whose selections are not in the store"
        if private := next(filter(None, (private_part(canonical(record.card)) for record in wanted)), ""):
            self.private.add(private)  # told to who submits, and to nobody else
            return "whose records tell of a machine: a path, a user, a host or a secret"
        self.trials.append(trial)
        if selection is not None:
            _refuse_no_selection(selection)
            self.selections[selection.id] = selection
        self.scores |= {record.id: record for record in wanted if record.kind == "scores"}
        return ""


def _refuse_no_selection(record: Record) -> None:
    try:
        read_selection(record)
    except VerifyError as wrong:
        raise UserError(f"{wrong}; move it out of the store to submit the others") from None


def _of_everything(trial: Record) -> bool:
    """Whether it trained on all examples, or drew from them as it went: then there are no positions to tell."""
    whole = trial.result["selector"] == "full"
    if whole and trial.result["policy"] == PLAIN:
        return trial.result["selection"] == hash_array(np.arange(trial.result["examples"]))
    return trial.result["policy"] != PLAIN


def _sources(records: Iterable[Record], scores: bool) -> Iterator[tuple[str, Path]]:
    """Name in the bundle -> where it lies in the store."""
    for record in records:
        yield f"{record.kind}/{record.path.name}", record.path
        if record.kind == "selections" or (record.kind == "scores" and scores):
            for file in record.card["files"].values():
                yield f"{record.kind}/{file['path']}", record.path.parent / file["path"]


def _told(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def _refuse_more_than_a_bundle(files: Mapping[str, Mapping[str, Any]]) -> None:
    for name, told in files.items():
        if told["bytes"] > (LARGEST_TEXT if name.endswith(".json") else LARGEST_ARRAYS):
            raise UserError(f"{name} has {told['bytes']} bytes, more than a file of a bundle may: leave out --scores")
    if len(files) >= MOST_FILES or sum(told["bytes"] for told in files.values()) > LARGEST:
        raise UserError(
            f"these records are more than the {MOST_FILES} files or {LARGEST // 2**30} GiB of a bundle: submit the "
            "stores of single data sets, or leave out --scores"
        )


def _publish(out: Path, sources: Mapping[str, Path], manifest: bytes) -> None:
    """Whole under its name, or not at all."""
    temporary = out.with_name(f"{prefix()}{out.name}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".zip":
            _write_archive(temporary, sources, manifest)
            fsync(temporary)
        else:
            _write_folder(temporary, sources, manifest)
        temporary.rename(out)
    except OSError as failure:
        told = f"cannot write {out} ({failure.strerror or failure})"
        if failure.errno in FULL:
            raise StoreError(f"{told}: free some room there, or give another --out") from None
        raise UserError(f"{told}: give an --out that can be written") from None
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def _write_archive(path: Path, sources: Mapping[str, Path], manifest: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        archive.writestr(_entry(MANIFEST), manifest)
        for name, source in sorted(sources.items()):
            with source.open("rb") as read, archive.open(_entry(name, source.stat().st_size), "w") as written:
                shutil.copyfileobj(read, written, _CHUNK)


def _entry(name: str, size: int = 0) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _WHEN)
    entry.create_system, entry.external_attr, entry.compress_type = 3, 0o100644 << 16, zipfile.ZIP_DEFLATED
    entry.file_size = size
    return entry


def _write_folder(path: Path, sources: Mapping[str, Path], manifest: bytes) -> None:
    path.mkdir()
    for name, source in sorted(sources.items()):
        (path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(source, path / name)
    (path / MANIFEST).write_bytes(manifest)
