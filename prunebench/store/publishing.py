"""Files that appear whole or not at all: temporary name, sync, a final name that nobody else has, folder synced."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from ..errors import StoreError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no room, for whatever reason
UNLINKABLE = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


def _pid_namespace() -> str:
    """Tells containers apart that share a host's name: a process id means something in its own namespace only."""
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""


def _started(pid: int) -> str:
    """When a process began, in ticks since the machine did: ids are given again, an id and its beginning are not."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return "0"


HOST = hashlib.sha256(f"{socket.gethostname()}{_pid_namespace()}".encode()).hexdigest()[:8]


def prefix() -> str:
    """Of temporary names: says whose they are, so that what a dead process left can be swept."""
    return f".tmp-{HOST}-{os.getpid()}-{_started(os.getpid())}-"


def alive(pid: int, started: str) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _started(pid) == started


def remove(path: Path) -> None:
    """A file or a folder, where it is there and may be removed."""
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def write(path: Path, content: bytes) -> None:
    """A new file, on the disk when this returns; none is left where that fails."""
    try:
        with path.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def replace(path: Path, content: bytes) -> None:
    """A file with that content and name, on the disk when this returns; until then what stood there stands."""
    if path.name in ("", ".."):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = path.with_name(f"{prefix()}{secrets.token_hex(8)}")
    write(temporary, content)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    fsync(path.parent)


def fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_tree(folder: Path) -> list[Path]:
    """Every file below ``folder`` and every folder that names one, on the disk; the files, sorted."""
    found = sorted(folder.rglob("*"))
    for path in (*found, folder):
        fsync(path)
    return [path for path in found if path.is_file()]


def make_folder(path: Path) -> None:
    """A folder, and its own name on the disk, with those above it that were missing."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        fsync(folder.parent)


def publish(temporary: Path, final: Path) -> bool:
    """Give ``temporary`` its final name unless that is taken; whether this call did it."""
    try:
        os.link(temporary, final)
        published = True
    except FileExistsError:
        published = False
    except OSError as failure:
        if failure.errno not in UNLINKABLE:
            raise
        published = _without_links(temporary, final)
    temporary.unlink(missing_ok=True)
    if published:
        fsync(final.parent)
    return published


def _without_links(temporary: Path, final: Path) -> bool:
    """For file systems without hard links: a rename by whoever holds the folder's one lock, which stays there."""
    with FileLock(final.parent / ".publishing.lock"):
        if final.exists():
            return False
        temporary.replace(final)
    return True


def refusal(failure: OSError, path: Path) -> str:
    """Why nothing can be written at ``path``, also where a read-only file system is told as a lack of permission."""
    if failure.errno in (errno.EACCES, errno.EPERM) and hasattr(os, "statvfs"):
        with suppress(OSError, StopIteration):
            there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
            if os.statvfs(there).f_flag & os.ST_RDONLY:
                return os.strerror(errno.EROFS)
    return str(failure.strerror)


def no_room(path: Path, told: str, need: int = 0) -> StoreError:
    """``need``: bytes that were to be written, where that is known."""
    there = next(folder for folder in path.absolute().parents if folder.exists())
    free = f"{shutil.disk_usage(there).free / 2**20:,.1f} MiB are free"
    needs = f"{need / 2**20:,.1f} MiB are needed at once, " if need else ""
    return StoreError(
        f"cannot write {path} ({told}: {needs}{free}): free some room there, or give another --store; "
        "what stands is kept and not computed again"
    )


@contextmanager
def room(path: Path, need: int = 0) -> Iterator[None]:
    """A full disk, however whoever writes there tells of it; every other failure is left as it is."""
    try:
        yield
    except StoreError:
        raise
    except Exception as failure:
        for told in map(os.strerror, FULL):
            if told in str(failure):
                raise no_room(path, told, need) from failure
        raise


@contextmanager
def explained(path: Path, need: int = 0) -> Iterator[None]:
    """A failure of the system in one sentence; ``need``: bytes that are about to be written, where that is known.

    Raises:
        StoreError: no room, no permission.
    """
    try:
        yield
    except OSError as failure:
        where = failure.filename or path
        if failure.errno in FULL:
            raise no_room(Path(where), str(failure.strerror), need) from failure
        told = f"cannot write {where} ({refusal(failure, Path(where))})"
        raise StoreError(f"{told}: give a --store that can be written") from failure


def second_name(path: Path) -> Path:
    """The same file once more, to be moved to where it is published; a copy where there are no hard links."""
    second = path.with_name(f"published-{path.name}")
    second.unlink(missing_ok=True)
    try:
        os.link(path, second)
    except OSError:
        shutil.copyfile(path, second)
    return second
