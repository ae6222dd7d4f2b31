"""Zip archives read in place: nothing is unpacked, names that could leave the archive's folder are refused."""

from __future__ import annotations

import os
import stat
import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError

MAX_MEMBERS = 2**22


class Archive:
    """A zip archive whose members can be read from several threads and processes.

    Raises:
        UserError: the file cannot be read as a zip archive, or one of its members has an absolute, escaping or
            repeated name, is encrypted, or is a link or a device.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._open()
        self.sizes = {info.filename: info.file_size for info in self._checked()}  # of the files, unpacked, in bytes

    def _open(self) -> None:
        try:
            self._zip = zipfile.ZipFile(self.path)
        except Exception as error:  # a directory of members that is damaged in any way
            raise UserError(f"{self.path} cannot be read as a zip archive ({error}); fetch it again") from error
        self._lock, self._process = threading.Lock(), os.getpid()

    def _checked(self) -> list[zipfile.ZipInfo]:
        infos = self._zip.infolist()
        if len(infos) > MAX_MEMBERS:
            raise UserError(f"{self.path} has {len(infos)} members, more than the {MAX_MEMBERS} allowed; unpack it")
        seen: set[str] = set()
        for info in infos:
            fault = _fault(info, seen)
            if fault:
                raise UserError(f"{self.path}: member {info.orig_filename!r} {fault}; make the archive again")
            seen.add(info.filename)
        return [info for info in infos if not info.is_dir()]

    def read(self, name: str) -> bytes:
        """The unpacked bytes of one member; no more than its `sizes` entry are ever unpacked. Raises what `zipfile`
        raises, and ValueError where the member holds fewer.
        """
        if self._process != os.getpid():  # a fork shares the file position with its parent
            self._open()
        size = self.sizes[name]
        with self._lock, self._zip.open(name) as stream:
            content = stream.read(size)  # without a number, zipfile unpacks 2 GB of a lying member at once
        if len(content) != size:
            raise ValueError(f"it unpacks to {len(content)} bytes, the archive says {size}")
        return content

    def checksum(self, name: str) -> int:
        """CRC-32 of one member's bytes, as the archive's directory gives it."""
        return self._zip.getinfo(name).CRC

    def __reduce__(self) -> tuple[type[Archive], tuple[Path]]:
        return Archive, (self.path,)


def _fault(info: zipfile.ZipInfo, seen: set[str]) -> str:
    name = info.orig_filename
    parts = name.rstrip("/").split("/")
    if "\0" in name or "\\" in name or name.startswith("/") or ":" in parts[0] or {"..", ".", ""} & set(parts):
        return "has a name that could leave the archive"
    if info.filename in seen:
        return "is there twice"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "is a link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is no file (a device, a socket or a pipe)"
    return "is encrypted" if info.flag_bits & 1 else ""


@dataclass(frozen=True, slots=True)
class Member:
    """One file inside an archive."""

    archive: Archive
    name: str

    @property
    def size(self) -> int:
        return self.archive.sizes[self.name]

    def read(self) -> bytes:
        return self.archive.read(self.name)

    def __str__(self) -> str:
        return f"{self.archive.path}/{self.name}"
