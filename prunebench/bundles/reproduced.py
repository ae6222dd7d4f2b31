"""What `prunebench verify --retrain` found, beside a bundle: ``NAME.reproduced.json``, which leaderboards read.

It is written by whoever verifies and believed by whoever reads it: it has a place in a repository of bundles only where
nobody but the verifier may write it. It counts for the bundle whose manifest it names and for no other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import UserError, VerifyError
from ..json_files import read_object
from ..store import canonical
from ..store.publishing import replace
from .containers import REPRODUCED
from .manifests import seal, sealed_object
from .retraining import Reproduced

VERSION = 1
_LARGEST = 8 * 2**20


def beside(bundle: Path) -> Path:
    """Where it lies."""
    return bundle.with_name(bundle.name + REPRODUCED)


def write_reproduced(bundle: Path, manifest_sha256: str, found: Iterable[Reproduced]) -> Path:
    """Add to what was reproduced of this bundle before; what was trained once more replaces what stood.

    Raises:
        UserError: it cannot be written.
    """
    path = beside(bundle)
    trials = dict(_standing(bundle, manifest_sha256))
    trials |= {r.id: {k: v for k, v in asdict(r).items() if k != "id"} for r in found}
    told = {"prunebench_reproduced": VERSION, "bundle": manifest_sha256, "trials": trials}
    told = json.loads(canonical(told))
    try:
        replace(path, (json.dumps(told | {"sha256": seal(told)}, indent=1, sort_keys=True) + "\n").encode())
    except OSError as failure:
        raise UserError(f"cannot write {path} ({failure.strerror}): what was trained again is lost") from None
    return path


def read_reproduced(bundle: Path, manifest_sha256: str) -> dict[str, dict[str, Any]]:
    """Trial id -> what was found of it; empty where nothing was, or of another bundle of this name.

    Raises:
        VerifyError: the file is damaged or was altered.
    """
    path = beside(bundle)
    if not path.is_file():
        return {}
    try:
        found = read_object(path, _LARGEST)
    except (ValueError, OSError) as wrong:
        raise VerifyError(f"{path} cannot be read ({wrong}): remove it and verify again") from None
    try:
        found = sealed_object(found, "reproduced", "prunebench_reproduced", VERSION)
    except VerifyError as wrong:
        raise VerifyError(f"{path}: {wrong}; remove it and verify again") from None
    return found["trials"] if found["bundle"] == manifest_sha256 else {}


def _standing(bundle: Path, manifest_sha256: str) -> dict[str, dict[str, Any]]:
    try:
        return read_reproduced(bundle, manifest_sha256)
    except VerifyError:
        return {}
