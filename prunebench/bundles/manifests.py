"""The manifest of a bundle: who submits, what was it made with, every file with its hash, and a hash of all that.

    sha256 = SHA-256 of the canonical JSON (sorted keys, no spaces) of everything else in it

It names the bundle: equal bundles have equal manifests, and whoever changes a file, or a word, has another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import UserError, VerifyError
from ..json_files import read_object
from ..store import Record, canonical
from .containers import FOLDERS, LARGEST_MANIFEST, MANIFEST
from .schemas import refuse_unlike

VERSION = 1
LONGEST = {"name": 100, "contact": 200, "link": 500}  # characters of what submitters say of themselves
_LINKS = ("https://", "http://")


def manifest_of(
    records: Iterable[Record],
    files: Mapping[str, Mapping[str, Any]],
    left_out: Mapping[str, int],
    submitter: Mapping[str, str],
) -> dict[str, Any]:
    """The manifest of these records and ``files`` (name -> bytes, sha256), sealed.

    Raises:
        UserError: a name, contact or link that is too long, or a link of another kind than http(s).
    """
    _refuse_submitter(submitter)
    given = list(records)
    trials = [record for record in given if record.kind == "trials"]
    told = ("dataset", "setting", "image_size", "fingerprint", "test_fingerprint")
    found = {
        "prunebench_bundle": VERSION,
        **{name: submitter.get(name, "") for name in LONGEST},
        "prunebench": __version__,
        "environments": _each_once(record.card["provenance"] for record in given),
        "data": _each_once({name: trial.result[name] for name in told} for trial in trials),
        "records": {kind: sum(record.kind == kind for record in given) for kind in FOLDERS},
        "left_out": dict(left_out),
        "files": dict(files),
    }
    return json.loads(canonical(found | {"sha256": seal(found)}))


def seal(found: Mapping[str, Any]) -> str:
    """The SHA-256 of everything but the seal."""
    return hashlib.sha256(canonical({k: v for k, v in found.items() if k != "sha256"}).encode()).hexdigest()


def read_manifest(root: Path) -> dict[str, Any]:
    """The manifest of a bundle that lies in a folder.

    Raises:
        VerifyError: none, torn, altered, of another version, or not as its schema says.
    """
    path = root / MANIFEST
    if not path.is_file():
        raise VerifyError(f"there is no {MANIFEST}: this is no bundle of `prunebench submit`")
    try:
        found = read_object(path, LARGEST_MANIFEST)
    except ValueError as wrong:
        raise VerifyError(f"{MANIFEST} cannot be read: {wrong}") from None
    return sealed_object(found, "manifest", "prunebench_bundle", VERSION)


def sealed_object(found: dict[str, Any], name: str, kind: str, version: int) -> dict[str, Any]:
    """An object that says by ``kind`` what it is and in which version, checked by its schema and its seal.

    Raises:
        VerifyError: it is something else, or was altered.
    """
    if kind not in found:
        raise VerifyError(f"{name}.json says nothing of {kind}: it is something else")
    if found[kind] != version:
        raise VerifyError(
            f"{name}.json is of version {str(found[kind])[:20]!r}, this prunebench reads version {version}: use the "
            "prunebench that wrote it, or submit again"
        )
    refuse_unlike(name, found)
    try:
        sound = seal(found) == found["sha256"]
    except ValueError:  # text that no encoding knows, numbers beyond all
        sound = False
    if not sound:
        raise VerifyError(f"{name}.json was altered after it was written: its own hash is another")
    return found


def _each_once(values: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    found = {canonical(value): value for value in values}
    return [found[text] for text in sorted(found)]


def _refuse_submitter(submitter: Mapping[str, str]) -> None:
    for name, value in submitter.items():
        if len(value) > LONGEST[name] or not value.isprintable():
            raise UserError(f"--{name} must be one line of at most {LONGEST[name]} characters")
    link = submitter.get("link", "")
    if link and not link.startswith(_LINKS):
        raise UserError(f"--link must begin with {' or '.join(_LINKS)}, got {link[:40]!r}")
