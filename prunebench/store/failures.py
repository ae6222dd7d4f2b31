"""Notes of failures: why a cell has no number. No records: the next failure replaces them, a number removes them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..json_files import parsed, plain_bytes
from ..portable import anonymous, with_tilde
from .records import canonical

_TEXTS = ("error", "kind", "selector", "model", "dataset", "fingerprint", "train_budget")
_SAID: dict[str, tuple[type, ...]] = {  # what a note may say, and as what
    **dict.fromkeys(_TEXTS, (str,)),
    **{"scorer": (str, type(None)), "keep": (int, float), "seed": (int,), "provenance": (dict,), "notes": (list,)},
    **{"image_size": (int,), "steps": (int, type(None))},
}
log = logging.getLogger("prunebench.store")


def content(failure: Mapping[str, Any]) -> bytes:
    """Of a note's file: without folders, host, user or secrets of this machine."""
    told = {k: with_tilde(v) if k in ("scorer", "selector") else anonymous(v) for k, v in failure.items()}
    return canonical(told).encode(errors="replace")


def read_notes(folder: Path) -> list[dict[str, Any]]:
    """All notes, by id; what is no note is told in the log and left out."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            note = parsed(plain_bytes(path))
        except FileNotFoundError:
            continue  # mended by another process this moment
        except (ValueError, OSError):
            log.warning("left out: %s is torn", path)
            continue
        if all(isinstance(note[name], kinds) for name, kinds in _SAID.items() if name in note):
            found.append({**note, "id": path.stem})
        else:
            log.warning("left out: %s is no note of a failure", path)
    return found
