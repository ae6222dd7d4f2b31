"""A folder of files that were written before and may be written again, and of files of others, which are never touched.

Which files are ours stands in ``report.json`` with the SHA-256 of each. A file of the same name that is not listed, or
that was changed since, is somebody's: nothing is written then. While files are replaced the list holds the hashes
before and after, so that whoever is interrupted can go on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..json_files import read_object
from ..store.publishing import replace

LIST = "report.json"
FORMAT = 1


def write_own(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """Write ``files`` (name -> content) into a folder that is made where it is missing; the names that changed.

    Files of an earlier time that are none of these are removed unless somebody changed them since.

    Raises:
        UserError: a file of that name is not ours or was changed, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = _known(folder)
        wanted = {name: _hash(content) for name, content in files.items()}
        for name, sha in sorted(wanted.items()):
            _refuse_foreign(folder / name, [sha, *known.get(name, [])])
        changed = [name for name in files if _found(folder / name) != wanted[name]]
        gone = [name for name in known if name not in files and _found(folder / name) in known[name]]
        if changed or gone:
            _note(folder, known | {name: sorted({sha, *known.get(name, [])}) for name, sha in wanted.items()})
            for name in changed:
                replace(folder / name, files[name])
            for name in gone:
                (folder / name).unlink()
        if changed or gone or known != {name: [sha] for name, sha in wanted.items()}:
            _note(folder, {name: [sha] for name, sha in wanted.items()})
    except OSError as failure:
        where = failure.filename or folder
        raise UserError(f"cannot write {where} ({failure.strerror}): give an --out that can be written") from None
    return changed


def _known(folder: Path) -> dict[str, list[str]]:
    """Name -> hashes of the files that were written here before."""
    path = folder / LIST
    if not path.exists() and not path.is_symlink():
        return {}
    try:
        told: dict[str, Any] = read_object(path)
        files = told["files"]
        if told["prunebench_report"] != FORMAT or not all(_is_name(name) for name in files):
            raise ValueError
        return {name: [str(sha) for sha in shas] for name, shas in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError, UserError):
        raise UserError(f"{path} is not a list of ours: remove it, or give another --out") from None


def _is_name(name: str) -> bool:
    """Whether it can be a file that we wrote into the folder itself."""
    return Path(name).name == name and name.endswith((".png", ".svg", ".csv", ".md"))


def _refuse_foreign(path: Path, own: list[str]) -> None:
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise UserError(f"{path} is in the way and no file of ours: nothing was written; give another --out")
    if path.exists() and _found(path) not in own:
        raise UserError(
            f"{path} was not written by `prunebench report`, or was changed since: nothing was written; move it away, "
            "or give another --out"
        )


def _found(path: Path) -> str:
    """The hash of what stands there, "" where there is no file."""
    return _hash(path.read_bytes()) if path.is_file() and not path.is_symlink() else ""


def _note(folder: Path, files: Mapping[str, list[str]]) -> None:
    told = {"prunebench_report": FORMAT, "files": files}
    replace(folder / LIST, (json.dumps(told, indent=1, sort_keys=True) + "\n").encode())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
