"""Subsets in the forms that others read: one module per form, each ``write(export) -> Path``.

A file holds the sorted positions, and its card (the same name and ``.json``) says of which data, by which scorer and
selector they are, and which end of the scorer's number means hard. ``prunebench import`` reads all but folders back.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import registry as plugins
from ..errors import PrunebenchError, UserError
from ..interop.files import selection_card
from ..interop.fitting import of_the_data
from ..types import Dataset, Selection

FORMATS = {  # name -> (ending, module, what it is for)
    "npy": (".npy", "npy", "numpy.load"),
    "txt": (".txt", "txt", "a line for each example: positions, or keys"),
    "csv": (".csv", "csv_table", "position, key and weight"),
    "parquet": (".parquet", "parquet", "the same columns, for pandas, polars, DuckDB"),
    "torch": (".pt", "torch_indices", "torch.load, and DeepCore's dictionary of indices"),
    "hf": (".json", "hf", "datasets.Dataset.select"),
    "imagefolder": ("", "imagefolder", "a tree of links, or copies, for torchvision's ImageFolder"),
    "timm": ("", "timm_folder", "such a tree under train/, and a class map file"),
}


@dataclass(frozen=True, eq=False)
class Export:
    """One export as it is asked for."""

    selection: Selection  # with keys where they are known
    out: Path
    card: dict[str, Any]
    dataset: Dataset | None = None
    copy: bool = False
    names: bool = False  # keys in place of positions

    @property
    def positions(self) -> np.ndarray:
        """(k,) int64, sorted."""
        return self.selection.indices.astype(np.int64)

    @property
    def keys(self) -> tuple[str, ...]:
        """(k,) of the kept examples.

        Raises:
            UserError: nobody told them.
        """
        if self.selection.keys is None:
            raise UserError("this selection names no keys: say of which data set it is, with --dataset")
        return self.selection.keys


def export(
    selection: Selection,
    to: str,
    out: str | Path,
    *,
    dataset: Dataset | None = None,
    copy: bool = False,
    names: bool = False,
) -> Path:
    """Write a selection for others to read; where it went.

    Args:
        to: one of `FORMATS`.
        out: the file, or the folder, which must not be there yet.
        dataset: of which the selection is; folders need it, and tables take its keys.
        copy: copies of the pictures in place of links.
        names: keys in place of positions (``txt``).

    Raises:
        UserError: another data set, one without files where they are needed, or a place that cannot be written.
    """
    from .. import spec

    if to not in FORMATS:
        raise UserError(f"there is no export to {to!r}{spec.near(to, FORMATS)}: one of {', '.join(FORMATS)}")
    ending, module, _ = FORMATS[to]
    out = Path(out)
    if ending and out.suffix != ending:
        raise UserError(f"an export to {to} is a {ending} file, and {out} is none: give it that ending")
    if not len(selection):
        raise UserError("this selection keeps no example: there is nothing to export")
    if (copy and to not in ("imagefolder", "timm")) or (names and to != "txt"):
        raise UserError("--copy is for imagefolder and timm, and --keys for txt: leave it out")
    if dataset is not None:
        selection = of_the_data(selection, dataset, "the selection")
    card = selection_card(selection) | {"export": to}
    if hard := selection.hard or _hard_end(selection.scorer):
        card["hard"] = hard
    return importlib.import_module(f"{__name__}.{module}").write(Export(selection, out, card, dataset, copy, names))


def _hard_end(scorer: str | None) -> str | None:
    """Which end of a scorer's number means hard, where it is installed here."""
    try:
        return plugins.installed().method("scorer", scorer).entry.record.hard if scorer else None
    except PrunebenchError:
        return None
