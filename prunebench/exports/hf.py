"""``.json`` for Hugging Face: ``dataset.select(json.load(open(file))["indices"])`` is the subset."""

from __future__ import annotations

import json
from pathlib import Path

from ..interop.files import write_with_card
from . import Export


def write(export: Export) -> Path:
    told = ("fingerprint", "size", "keep", "scorer", "selector")
    found = {name: export.card[name] for name in told if name in export.card}
    content = json.dumps({"indices": export.positions.tolist()} | found) + "\n"
    return write_with_card(export.out, content.encode(), export.card)
