"""A folder that is written whole or not at all, and that never takes the place of anybody else's files.

The pages are written beside the folder under a name of their own, then the two change places by renaming: whoever looks
sees the old pages or the new ones. A list of all files stands in the folder; what is not on it is not ours, and a
folder that holds such a file is left as it is.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError
from ..json_files import read_object

LIST = "prunebench-page.json"
_MADE_BY = "prunebench leaderboard --format html"


@contextmanager
def replaced(out: Path) -> Iterator[Path]:
    """A new empty folder to write into, which takes the place of ``out`` when the block ends without an error.

    Raises:
        UserError: ``out`` is a file or holds other files than such a folder of before, or cannot be written.
    """
    target = Path(os.path.realpath(out))
    refuse_others(out)
    new = target.with_name(f".{target.name}.{secrets.token_hex(4)}.new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        new.mkdir()
        yield new
        _list(new)
        refuse_others(out)  # what was put there in the meantime
        _swap(new, target)
    except OSError as failure:
        raise UserError(f"cannot write {out} ({failure.strerror or failure}): name another folder with --out") from None
    finally:
        shutil.rmtree(new, ignore_errors=True)


def refuse_others(out: Path) -> None:
    """Nothing where ``out`` is not there, is empty, or holds only what was written by us.

    Raises:
        UserError: it is a file, or holds something else; the message names one of them.
    """
    try:
        if not out.exists():
            return
        if not out.is_dir():
            raise UserError(f"{out} is a file: --out names the folder that the pages go into")
        known = _known(out)
        for path in sorted(out.rglob("*")):
            name = path.relative_to(out).as_posix()
            if name not in known and not (path.is_dir() and not path.is_symlink() and any(path.iterdir())):
                raise UserError(f"{out} holds {name}, which is no page of ours: name a new folder with --out")
    except OSError as failure:
        raise UserError(f"cannot read {out} ({failure.strerror}): name another folder with --out") from None


def _known(out: Path) -> set[str]:
    """The files that the folder's list names, and the list; of a folder without a list of ours, none."""
    try:
        told = read_object(out / LIST)
    except (OSError, ValueError):
        return set()
    if told.get("made_by") != _MADE_BY or not isinstance(told.get("files"), list):
        return set()
    return {LIST, *(name for name in told["files"] if isinstance(name, str))}


def _list(folder: Path) -> None:
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    (folder / LIST).write_text(json.dumps({"made_by": _MADE_BY, "files": files}, indent=1) + "\n", encoding="utf-8")


def _swap(new: Path, target: Path) -> None:
    """``new`` becomes ``target``; what stood there goes, or comes back if that fails."""
    if not target.exists():
        new.rename(target)
        return
    old = new.with_suffix(".old")
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
