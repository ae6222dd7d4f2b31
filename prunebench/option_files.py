"""Files that a method's options name: their content is part of what names a result, as the text alone is not."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from .methods import Method
from .portable import expanded
from .spec import CODE, source_of
from .store import sha256_as_it_stands


def named_files(method: Method) -> dict[str, str]:
    """Option -> SHA-256 of the local file or folder it names, or of the source of ``package.module:name``.

    An option at its default names none, whatever lies about under that word.
    """
    found, defaults = {}, method.entry.call_signature().options
    for name, value in expanded(method.options).items():
        if value == defaults[name]:
            continue
        if isinstance(value, str) and value and os.path.exists(value):
            found[name] = content_sha256(Path(value))
        elif isinstance(value, str) and CODE.fullmatch(value):
            try:
                found[name] = sha256_as_it_stands(source_of(value.partition(":")[0]))
            except (LookupError, OSError, ValueError):
                continue  # whoever imports it will tell
    if method.inner:
        found |= {f"inner {name}": digest for name, digest in named_files(method.inner).items()}
    return found


def content_sha256(path: Path) -> str:
    """Of a file, or of the names and contents of all files in a folder."""
    if path.is_file():
        return sha256_as_it_stands(path)
    digest = hashlib.sha256()
    for part in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{part.relative_to(path).as_posix()}\0{sha256_as_it_stands(part)}\0".encode())
    return digest.hexdigest()
