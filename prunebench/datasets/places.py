"""Where a split lies: a folder, or a folder inside a zip archive. Both list their files by the same relative names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import UserError
from .archives import Archive, Member
from .files import Source

Files = dict[str, Source]  # relative posix name -> where to read it, sorted by name


@dataclass(frozen=True)
class Place:
    """A folder ``path``, or the folder ``inside`` (``""``: all) of an archive."""

    path: Path
    archive: Archive | None = None
    inside: str = ""

    def __str__(self) -> str:
        return str(self.path / self.inside) if self.inside else str(self.path)

    def files(self) -> Files:
        """Every file below, hidden ones left out, links followed.

        Raises:
            UserError: a folder cannot be read, contains itself through a link, or has a name that is not UTF-8.
        """
        found = dict(self._members() if self.archive else _walk(self.path, "", ()))
        try:
            "".join(found).encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{self} has a file whose name is not UTF-8; rename it, names are keys here") from error
        return {name: found[name] for name in sorted(found)}

    def _members(self) -> Iterator[tuple[str, Source]]:
        assert self.archive is not None
        prefix = f"{self.inside}/" if self.inside else ""
        for name in self.archive.sizes:
            relative = name[len(prefix) :]
            if name.startswith(prefix) and not _hidden(relative):
                yield relative, Member(self.archive, name)


def _hidden(relative: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in relative.split("/"))


def _walk(folder: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, Source]]:
    try:
        status = folder.stat()
        here = (status.st_dev, status.st_ino)
        if here in above:
            raise UserError(f"{folder} contains itself through a link; remove that link")
        with os.scandir(folder) as entries:
            for entry in entries:
                if _hidden(entry.name):
                    continue
                if entry.is_dir():
                    yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", (*above, here))
                elif entry.is_file():
                    yield f"{prefix}{entry.name}", entry.path
    except OSError as error:
        raise UserError(f"{error.filename or folder} cannot be read ({error.strerror}); check it") from error


@dataclass(frozen=True)
class Pair:
    """The two splits of an image folder, either of which may be missing."""

    train: Place | None
    test: Place | None
    test_name: str  # folder name of the test split, which is part of its keys


def pairs(base: Path, test: str, beside: bool = True) -> Iterator[Pair]:
    """What is there of train and ``test`` in each form in which a data set may lie at ``base``, preferred form first.

    Folders ``base/train``; archives ``base/train.zip``; folders inside ``base`` where that is a zip file; and
    ``beside`` it, archives ``base_train.zip`` and folders inside ``base.zip``.
    """
    yield Pair(_folder(base / "train"), _folder(base / test), test)
    yield Pair(_zip(base / "train.zip", "train"), _zip(base / f"{test}.zip", test), test)
    wholes = [base]
    if beside and base.name:
        one, other = (base.with_name(f"{base.name}_{split}.zip") for split in ("train", test))
        yield Pair(_zip(one, "train"), _zip(other, test), test)
        wholes.append(base.with_name(f"{base.name}.zip"))
    for whole in wholes:
        if whole.is_file():
            archive = Archive(whole)
            yield Pair(_inside(archive, "train"), _inside(archive, test), test)


def _folder(path: Path) -> Place | None:
    return Place(path) if path.is_dir() else None


def _zip(path: Path | str, split: str) -> Place | None:
    path = Path(path)
    if not path.is_file():
        return None
    archive = Archive(path)
    return Place(path, archive, _wrapper(archive, (split, path.stem, path.stem.removesuffix(f"_{split}"))))


def _inside(archive: Archive | None, split: str) -> Place | None:
    if archive is None:
        return None
    outer = _wrapper(archive, None)
    for inside in (split, f"{outer}/{split}"):
        if any(name.startswith(f"{inside}/") for name in archive.sizes):
            return Place(archive.path, archive, inside)
    return None


def _wrapper(archive: Archive, names: tuple[str, ...] | None) -> str:
    """The one folder around everything in the archive, if there is one and it bears one of ``names``, else ``""``."""
    tops = {PurePosixPath(name).parts[0] for name in archive.sizes if not _hidden(name)}
    if len(tops) != 1:
        return ""
    top = tops.pop()
    return top if (names is None or top in names) and top not in archive.sizes else ""
