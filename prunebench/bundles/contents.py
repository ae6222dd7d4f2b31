"""A bundle as it was read: its manifest and its records, every hash, id and field of them checked."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import UserError, VerifyError
from ..evidence.selecting import read_selection
from ..store import Record, file_sha256, read_record
from ..types import Selection
from .containers import FOLDERS, LARGEST_ARRAYS, MANIFEST, list_folder, refuse_directory, refuse_other_kinds, unpack
from .manifests import read_manifest
from .schemas import refuse_unlike
from .verdicts import Verdict


@dataclass(eq=False)
class Bundle:
    """One bundle and what was found of it; what lies in an archive is unpacked for as long as this lives."""

    path: Path  # as given
    root: Path  # where the files lie
    verdict: Verdict
    manifest: dict[str, Any] = field(default_factory=dict)
    found: dict[str, dict[str, Record]] = field(default_factory=lambda: {kind: {} for kind in FOLDERS})
    again: dict[str, dict[str, Any]] = field(default_factory=dict)  # what was trained again, by trial
    unpacked: tempfile.TemporaryDirectory[str] | None = None

    @property
    def trials(self) -> list[Record]:
        """By id."""
        return list(self.found["trials"].values())

    def records(self, kind: str) -> Iterator[Record]:
        """All records of a kind, by id; none of a kind that bundles do not hold."""
        yield from self.found.get(kind, {}).values()

    def by_id(self, kind: str, id: str) -> Record | None:
        """A record by its id; the subset of an index file also by its content, which is what trials name it by."""
        found = self.found.get(kind, {}).get(id)
        return self._by_content.get(id) if found is None and kind == "selections" else found

    def failures(self) -> list[dict[str, Any]]:
        """None: what failed is left at home, and counted in the manifest."""
        return []

    def checked(self, id: str) -> tuple[str, float | None]:
        """Of a trial: "reported", or "reproduced" where a training here agreed; and the accuracy of that training."""
        again = self.again.get(id)
        if again is None:
            return "reported", None
        agreed = again["agreement"] in ("equal", "within")
        return "reproduced" if agreed else "reported", float(again["reproduced"])

    def selection_of(self, trial: Record) -> Record | None:
        """The record of the subset that a trial names: by its id, of an index file by its content."""
        return self.by_id("selections", str(trial.result["selection"]))

    @cached_property
    def _by_content(self) -> dict[str, Record]:
        """Asked for when all records are read."""
        selections = self.found["selections"].values()
        return {record.identity["content"]: record for record in selections if "content" in record.identity}

    def file_of(self, record: Record) -> str:
        """A record's name in the bundle."""
        return f"{record.kind}/{record.id}.json"


def open_bundle(path: Path) -> Bundle:
    """Read a bundle; what is wrong with it stands in its verdict.

    Raises:
        UserError: nothing there, or nothing that could be a bundle.
    """
    try:
        refuse_other_kinds(path)
        bundle = Bundle(path, path, Verdict(str(path)))
        with bundle.verdict.refusing("files", ""):
            if path.is_dir():
                sizes = list_folder(path)
            else:
                bundle.unpacked = tempfile.TemporaryDirectory(prefix="prunebench-bundle-")
                bundle.root = Path(bundle.unpacked.name)
                sizes = unpack(path, bundle.root)
            _read(bundle, sizes)
    except OSError as failure:
        raise UserError(f"{failure.filename or path} cannot be read ({failure.strerror or failure})") from None
    return bundle


def _read(bundle: Bundle, sizes: dict[str, int]) -> None:
    bundle.manifest = read_manifest(bundle.root)
    verdict = bundle.verdict
    verdict.manifest_sha256 = bundle.manifest["sha256"]
    _check_files(bundle, sizes)
    verdict.looked["files"] = f"{len(sizes)} files"
    if not verdict.sound:
        return
    for name in sizes:
        if name != MANIFEST and name.endswith(".json"):
            with verdict.refusing("records", name):
                record = _record(bundle, name, sizes)
                bundle.found[record.kind][record.id] = record
    counts = {kind: len(found) for kind, found in bundle.found.items()}
    verdict.looked["records"] = ", ".join(f"{many} {kind}" for kind, many in counts.items())
    if verdict.sound and counts != bundle.manifest["records"]:
        verdict.refuse("records", MANIFEST, f"it counts {bundle.manifest['records']}, there are {counts}")
    if verdict.sound and not bundle.trials:
        verdict.refuse("records", "", "there is no trial in it: nothing could be on a board")


def _check_files(bundle: Bundle, sizes: dict[str, int]) -> None:
    """Every file that the manifest names, as it says, and no other."""
    verdict, named = bundle.verdict, bundle.manifest["files"]
    for name in sorted(sizes.keys() - named.keys() - {MANIFEST}):
        verdict.refuse("files", name, "the manifest does not name it: it was added afterwards")
    for name, told in named.items():
        if name not in sizes:
            verdict.refuse("files", name, "the manifest names it and it is missing")
        elif sizes[name] != told["bytes"] or file_sha256(bundle.root / name) != told["sha256"]:
            verdict.refuse("files", name, "it was altered after the bundle was made: its hash is not the manifest's")


def _record(bundle: Bundle, name: str, sizes: dict[str, int]) -> Record:
    """The record in a card, whose id is the hash of its identity, whose fields are as the schema says.

    Raises:
        VerifyError: it is not.
    """
    kind = name.partition("/")[0]
    try:
        record = read_record(kind, bundle.root / name, files=False)
        told = {part: value for part, value in record.card.items() if part != "sha256"}
        refuse_unlike(kind, told)
        for file in record.card["files"].values():
            there = f"{kind}/{file['path']}"
            if there in sizes or kind != "scores":  # the numbers of scores may stay at home
                _refuse_arrays(bundle.root / there, sizes.get(there), file)
    except VerifyError as wrong:
        raise VerifyError(_relative(str(wrong), bundle.root)) from None
    return record


def _refuse_arrays(path: Path, size: int | None, told: dict[str, Any]) -> None:
    if size is None:
        raise VerifyError(f"the file {path.name} that it names is missing")
    if size != told["bytes"] or file_sha256(path) != told["sha256"]:
        raise VerifyError(f"the file {path.name} is not the one that it was written with")
    with path.open("rb") as stream:
        try:
            refuse_directory(stream)
            with zipfile.ZipFile(stream) as archive:
                members = archive.infolist()
        except Exception as damaged:  # zipfile raises almost anything
            raise VerifyError(f"{path.name} holds no arrays ({str(damaged)[:80]})") from None
    if any(m.compress_type != zipfile.ZIP_STORED for m in members) or sum(m.file_size for m in members) > size:
        raise VerifyError(f"{path.name} is packed twice, as no record is: it could unpack to anything")
    assert size <= LARGEST_ARRAYS


def subset_of(bundle: Bundle, record: Record) -> Selection:
    """The subset in a record.

    Raises:
        VerifyError: sorted, distinct positions inside the data set is what it does not hold.
    """
    try:
        return read_selection(record)
    except VerifyError:
        raise VerifyError("it holds no sorted, distinct positions of its data set") from None


def _relative(text: str, root: Path) -> str:
    """A message about files of the bundle, without where these lie just now."""
    return text.replace(f"{root}/", "")
