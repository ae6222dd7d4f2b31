"""What killed runs left in a store and nobody can use any more: removed when the store is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from .publishing import HOST, alive, prefix, remove

ABANDONED = 7 * 86400.0  # seconds after which what a process of another machine left is taken for left behind


def sweep(root: Path) -> None:
    """Temporary files; what was worked on for a record that stands; what is kept of a training without a checkpoint.

    What can be gone on with stays.
    """
    sweep_temporaries(root, root.glob("*/.tmp-*"))
    for path in root.glob("models/.making-*"):
        _sweep_idle(root, path, path.name.removeprefix(".making-").removesuffix(".card"), _made)
    for path in root.glob("*/.training-*"):
        _sweep_idle(root, path, path.name.removeprefix(".training-"), _trained)


def _made(path: Path, id: str) -> bool:
    return (path.parent / f"{id}.json").exists()


def _trained(path: Path, id: str) -> bool:
    return _made(path, id) or not any(path.glob("at-*"))


def _sweep_idle(root: Path, path: Path, id: str, useless: Callable[[Path, str], bool]) -> None:
    if not useless(path, id):
        return
    try:
        with FileLock(root / ".locks" / f"{id}.lock", timeout=0):
            if useless(path, id):
                remove(path)
    except (Timeout, OSError):
        return  # somebody is at it


def sweep_temporaries(root: Path, found: Iterable[Path]) -> None:
    """Remove, of temporary files below ``root``, what processes left behind when they were killed.

    Of a process of this machine it is known whether it is gone; of one of another, what has not changed for a week is
    taken for left behind, by the file system's own clock, whatever the clocks of the machines say.
    """
    others = []
    for path in found:
        host, pid, started = [*path.name.split("-"), "", ""][1:4]
        if host != HOST or not pid.isdigit():
            others.append(path)
        elif not alive(int(pid), started):
            remove(path)
    with suppress(OSError):
        for path, age in ages(root, others):
            if age > ABANDONED:
                remove(path)


def ages(root: Path, paths: list[Path]) -> Iterator[tuple[Path, float]]:
    """Seconds since anything in each of them changed, before a file that is written now."""
    if paths:
        clock = root / f"{prefix()}clock"
        clock.touch()
        now = clock.stat().st_mtime
        clock.unlink()
        for path in paths:
            yield path, now - max(p.stat().st_mtime for p in (path, *path.rglob("*")))
