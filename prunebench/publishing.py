"""Files that appear whole or not at all: temporary name, sync, a final name that nobody else has, folder synced."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
from pathlib import Path

from filelock import FileLock, Timeout

HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def prefix() -> str:
    """Of temporary names: says whose they are, so that what a dead process left can be swept."""
    return f".tmp-{HOST}-{os.getpid()}-"


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write(path: Path, content: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def publish(temporary: Path, final: Path) -> bool:
    """Give ``temporary`` its final name unless that is taken; whether this call did it."""
    try:
        os.link(temporary, final)
        published = True
    except FileExistsError:
        published = False
    except OSError as failure:
        if failure.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
            raise
        published = _without_links(temporary, final)
    temporary.unlink(missing_ok=True)
    if published:
        fsync(final.parent)
    return published


def _without_links(temporary: Path, final: Path) -> bool:
    """For file systems without hard links: a marker that only one process can make, then a rename."""
    marker = final.with_name(f"{final.name}.publishing")
    with FileLock(marker):
        if final.exists():
            return False
        temporary.replace(final)
    marker.unlink(missing_ok=True)
    return True


def second_name(path: Path) -> Path:
    """The same file once more, to be moved to where it is published; a copy where there are no hard links."""
    second = path.with_name(f"published-{path.name}")
    second.unlink(missing_ok=True)
    try:
        os.link(path, second)
    except OSError:
        shutil.copyfile(path, second)
    return second


def sweep(root: Path) -> None:
    """Remove what killed processes left in a store and nobody can use: temporary files of this machine, and what is
    kept of a training that has its record, or no checkpoint."""
    for path in root.glob("*/.t*"):
        if path.name.startswith(f".tmp-{HOST}-"):
            pid = path.name.split("-")[2]
            if pid.isdigit() and not alive(int(pid)):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        elif path.name.startswith(".training-"):
            _sweep_training(root, path, path.name.removeprefix(".training-"))


def _sweep_training(root: Path, folder: Path, id: str) -> None:
    try:
        with FileLock(root / ".locks" / f"{id}.lock", timeout=0):  # else it is going on
            if (folder.parent / f"{id}.json").exists() or not any(folder.glob("at-*")):
                shutil.rmtree(folder, ignore_errors=True)
    except (Timeout, OSError):
        return
