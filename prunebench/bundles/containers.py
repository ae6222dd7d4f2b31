"""What may be a bundle: a folder or a zip archive with files of known names, plain, few and of bounded size.

    manifest.json
    trials/ID.json   selections/ID.json   selections/ID.HASH.npz   scores/ID.json   [scores/ID.HASH.npz]

Every other name is refused, and with it every path that leads elsewhere, every nested archive and every file that is
not ours; links, devices and pipes are refused as such. An archive is looked at before it is unpacked, and unpacked no
further than it says.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ..errors import UserError, VerifyError

MANIFEST = "manifest.json"
REPRODUCED = ".reproduced.json"  # after the name of a bundle, beside it: what was trained again
FOLDERS = ("trials", "selections", "scores")
MOST_FILES = 60_000
LARGEST_TEXT = 4 * 2**20  # bytes of a card
LARGEST_MANIFEST = 32 * 2**20
LARGEST_ARRAYS = 2**30
LARGEST = 4 * 2**30  # bytes of all files
RATIO = 200  # an archive unpacks to at most so many times its size, and 1 MiB
_NAME = re.compile(
    r"(?:(trials|selections|scores)/[0-9a-f]{64}\.json|(selections|scores)/[0-9a-f]{64}\.[0-9a-f]{16}\.npz)"
)
_END = 22  # bytes of the end of a zip archive's directory, without a comment
_DIRECTORY = 16 * 2**20  # bytes of that directory: of `MOST_FILES` entries it has a half
_CHUNK = 2**20


def is_bundle(path: Path) -> bool:
    """A zip archive, or a folder with a manifest; no other file is opened."""
    if path.is_dir():
        return os.path.lexists(path / MANIFEST)
    return path.is_file() and (path.suffix == ".zip" or _begins(path, b"PK\x03\x04"))


def bundles_in(folder: Path) -> list[Path]:
    """The bundles that lie in a folder, by name: archives, and folders with a manifest."""
    found = sorted(folder.iterdir())
    return [path for path in found if path.suffix == ".zip" or (path.is_dir() and is_bundle(path))]


def refuse_other_kinds(path: Path) -> None:
    """Raises:
    UserError: there is nothing, or nothing that could be a bundle.
    """
    if not os.path.lexists(path):
        raise UserError(f"there is no store or bundle at {path}: give what `prunebench submit` or `run` wrote")
    if path.is_dir() or is_bundle(path):
        return
    if not path.is_file():
        raise UserError(f"{path} is a pipe, a device or a broken link, not a bundle: give a folder or a .zip")
    tar = _begins(path, b"ustar", 257) or any(_begins(path, magic) for magic in (b"\x1f\x8b", b"BZh", b"\xfd7zXZ"))
    kind = "a tar archive or a compressed file" if tar else "no bundle"
    raise UserError(f"{path} is {kind}: a bundle is a folder or a .zip, as `prunebench submit` writes it")


def holds_bundles(path: Path) -> bool:
    """Whether it is a bundle, or a folder in which bundles lie; a store is neither.

    Raises:
        UserError: there is nothing, or nothing that could be a bundle.
    """
    try:
        refuse_other_kinds(path)
        return is_bundle(path) or (path.is_dir() and not (path / "trials").is_dir() and bool(bundles_in(path)))
    except OSError as failure:
        raise UserError(f"{failure.filename or path} cannot be read ({failure.strerror or failure})") from None


def refuse_no_store(path: Path) -> None:
    """Raises:
    UserError: no folder there, a bundle, or a folder in which nothing is a store's.
    """
    from ..store.directory import KINDS  # numpy: not for those who only look

    try:
        if not path.is_dir():
            raise UserError(f"there is no store at {path}: run `prunebench run` first, or name another folder")
        if is_bundle(path):
            raise UserError(
                f"{path} is a bundle, which `prunebench leaderboard` and `verify` read, and not a store: give the "
                "folder that `prunebench run` wrote"
            )
        if not any((path / kind).is_dir() for kind in KINDS):
            raise UserError(f"{path} holds no store of prunebench: give the folder that `prunebench run` wrote")
    except OSError as failure:
        raise UserError(f"{failure.filename or path} cannot be read ({failure.strerror or failure})") from None


def list_folder(root: Path) -> dict[str, int]:
    """Name -> bytes of every file of a bundle in a folder.

    Raises:
        VerifyError: anything but the files of a bundle.
    """
    listed = _Listed()
    for name, entry in _walked(root):
        told = entry.stat(follow_symlinks=False)
        if entry.is_symlink() or not stat.S_ISREG(told.st_mode):
            what = "a link" if entry.is_symlink() else "no file (a folder, a pipe, a socket or a device)"
            raise VerifyError(f"{name!r} is {what}: a bundle holds plain files only")
        listed.add(name, told.st_size)
    return listed.sizes


def _walked(root: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name in FOLDERS and entry.is_dir(follow_symlinks=False):
                with os.scandir(entry.path) as inside:
                    yield from ((f"{entry.name}/{deeper.name}", deeper) for deeper in inside)
            else:
                yield entry.name, entry


def unpack(archive: Path, into: Path) -> dict[str, int]:
    """Name -> bytes of every file of a bundle in a zip archive, which then lies under ``into``.

    Raises:
        VerifyError: no sound archive, anything but the files of a bundle in it, or a bomb.
    """
    try:
        with archive.open("rb") as stream:
            refuse_directory(stream)
            with zipfile.ZipFile(stream) as opened:
                members = opened.infolist()
                sizes = _checked(members, archive.stat().st_size)
                for member in members:
                    _write(opened, member, into / member.filename)
    except VerifyError:
        raise
    except Exception as damaged:  # zipfile and its decompressors raise almost anything
        raise VerifyError(f"no sound zip archive ({str(damaged)[:100] or type(damaged).__name__})") from None
    return sizes


def refuse_directory(stream: IO[bytes]) -> None:
    """Refuse a zip archive by the end of its directory, before anybody reads that.

    Raises:
        VerifyError: a directory larger than that of a bundle, or one that does not end the file.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _END - 20))
    tail = stream.read()
    stream.seek(0)
    end = tail[-_END:]
    if len(end) < _END or not end.startswith(b"PK\x05\x06") or end[-2:] != b"\0\0":
        raise VerifyError("no zip archive, or one that is cut short or has something after its end")
    if tail[:-_END].startswith(b"PK\x06\x07") or int.from_bytes(end[12:16], "little") > _DIRECTORY:
        raise VerifyError(f"a zip archive with a directory of more than {_DIRECTORY // 2**20} MiB, or of 64 bits")


def _checked(members: list[zipfile.ZipInfo], packed: int) -> dict[str, int]:
    listed = _Listed()
    for member in members:
        name, kind = member.orig_filename, stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise VerifyError(f"{name!r} is a link, a device or a pipe: a bundle holds plain files only")
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise VerifyError(f"{name!r} is encrypted, or packed in a way that no bundle is")
        listed.add(name, member.file_size)
    if listed.total > RATIO * packed + 2**20:
        raise VerifyError(f"it unpacks to more than {RATIO} times its size")
    return listed.sizes


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """What the member says it holds and not a byte more."""
    path.parent.mkdir(exist_ok=True)
    left = member.file_size
    with archive.open(member) as source, path.open("xb") as target:
        while chunk := source.read(min(_CHUNK, max(left, 1))):
            left -= len(chunk)
            if left < 0:
                break
            target.write(chunk)
    if left:
        raise VerifyError(f"{member.filename!r} does not unpack to the {member.file_size} bytes that it claims")


@dataclass
class _Listed:
    """Files so far; a name, a size or an amount that no bundle has is refused as soon as it is met."""

    sizes: dict[str, int] = field(default_factory=dict)
    total: int = 0

    def add(self, name: str, size: int) -> None:
        if name != MANIFEST and not _NAME.fullmatch(name):
            raise VerifyError(f"{name[:100]!r} is no file of a bundle: leave it out")
        if name in self.sizes:
            raise VerifyError(f"{name!r} is there twice")
        most = LARGEST_MANIFEST if name == MANIFEST else LARGEST_TEXT if name.endswith(".json") else LARGEST_ARRAYS
        if size > most:
            raise VerifyError(f"{name!r} has {size} bytes, {most} are allowed")
        self.sizes[name] = size
        self.total += size
        if len(self.sizes) > MOST_FILES or self.total > LARGEST:
            raise VerifyError(f"it holds more than {MOST_FILES} files or {LARGEST // 2**30} GiB: submit it in parts")


def _begins(path: Path, magic: bytes, at: int = 0) -> bool:
    with path.open("rb") as stream:
        stream.seek(at)
        return stream.read(len(magic)) == magic
