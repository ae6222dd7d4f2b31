"""A tree train/CLASS/FILE beside ``class_map.txt``, for timm: its ``--data-dir`` and its ``--class-map``.

The class map has a line for each class of the data set, so their numbers stay, also where a class keeps nothing.
"""

from __future__ import annotations

from pathlib import Path

from . import Export
from .imagefolder import plant


def write(export: Export) -> Path:
    return plant(export, "train")
