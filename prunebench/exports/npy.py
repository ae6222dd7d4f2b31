"""``.npy``: (k,) int64, for ``numpy.load`` and all of prunebench."""

from __future__ import annotations

from pathlib import Path

from ..arrays import write_npy
from ..interop.files import write_with_card
from . import Export


def write(export: Export) -> Path:
    return write_with_card(export.out, write_npy(export.positions), export.card)
