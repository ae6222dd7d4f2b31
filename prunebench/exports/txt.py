"""``.txt``: a line for each kept example, its position or its key; UTF-8, for ``numpy.loadtxt`` and shells."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError
from ..interop.files import write_with_card
from . import Export


def write(export: Export) -> Path:
    lines = export.keys if export.names else tuple(str(i) for i in export.positions)
    if torn := [line for line in lines if len(line.splitlines()) != 1]:
        raise UserError(f"the key {torn[0]!r} is not one line of text: export to csv, which quotes it")
    if export.names and all(line.isascii() and line.isdigit() for line in lines):
        raise UserError(
            "the keys are whole numbers, which a list would take for positions: export to csv, which names them"
        )
    return write_with_card(export.out, "".join(f"{line}\n" for line in lines).encode(), export.card)
