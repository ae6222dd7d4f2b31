"""The records behind a method's rows in one table: numbers, hashes, costs, where they come from, and subset files.

A page holds all records of one method under one set of conditions, so that what they share stands once, and a board of
ten thousand records is a few hundred files. The subset files are those of stores and bundles alike, each with its card,
and are copied only as the hashes of their record say.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StoreError
from ..leaderboard.groups import unscored
from ..store import Record, file_sha256
from ..store.records import sealed
from ..types import TrialResult
from . import provenance
from .charts import HeatMap
from .class_views import class_maps
from .names import text
from .overview import Group, Line

if TYPE_CHECKING:
    from ..leaderboard.stores import Source

FOLDER = "subsets"
NUMBERS = ("keep", "seed", "scoring run", "accuracy %", "train loss", "calibration error", "worst class %")
HASHES = ("keep", "seed", "record: SHA-256 of its identity", "selection: that of its own", "SHA-256 of the index file")


@dataclass(frozen=True)
class Subset:
    """A file of kept examples that lies with the page, and the card that says what it is of."""

    file: str
    card: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class RecordPage:
    """One method under one set of conditions, at all its keep ratios."""

    group: Group
    lines: tuple[Line, ...]
    records: tuple[tuple[str, ...], ...]  # in the order of `NUMBERS`
    subsets: tuple[tuple[str, str, Subset], ...]  # keep, seed, file
    hashes: tuple[tuple[str, ...], ...]
    costs: tuple[tuple[str, ...], ...]  # keep, seed, step, numbers
    keys: tuple[tuple[str, str], ...]  # keep and seed of every record
    identity: provenance.Fields
    machine: provenance.Fields
    classes: tuple[HeatMap, ...]


def record_pages(group: Group) -> dict[str, tuple[Line, ...]]:
    """File -> the lines of one method of a table."""
    found: dict[str, list[Line]] = {}
    for line in group.lines:
        found.setdefault(line.page, []).append(line)
    return {page: tuple(lines) for page, lines in found.items()}


def record_page(group: Group, lines: Sequence[Line], subsets: Subsets) -> RecordPage:
    """What stands on the page of these lines; the subset files that they name are copied beside it."""
    trials = [t for line in lines for t in line.row.trials]
    files = [subsets.of(t) for t in trials]
    keys = [(f"{t.keep:.4g}", str(t.seed)) for t in trials]
    return RecordPage(
        group=group,
        lines=tuple(lines),
        records=tuple((*key, *_numbers(t)) for key, t in zip(keys, trials, strict=True)),
        subsets=tuple((*key, file) for key, file in zip(keys, files, strict=True) if file),
        hashes=tuple(
            (*key, text(t.id), text(t.selection), file.sha256 if file else "-")
            for key, t, file in zip(keys, trials, files, strict=True)
        ),
        costs=tuple((*key, *step) for key, t in zip(keys, trials, strict=True) for step in provenance.costs(t)),
        keys=tuple(keys),
        identity=provenance.identity(trials),
        machine=provenance.machine(trials),
        classes=class_maps([line.row for line in lines]),
    )


def _numbers(trial: TrialResult) -> tuple[str, ...]:
    worst = f"{100 * min(trial.class_accuracy):.2f}" if trial.class_accuracy else "-"
    error = "-" if trial.ece is None else f"{trial.ece:.4f}"
    scoring = "-" if unscored(trial) else str(trial.score_seed)
    return scoring, f"{100 * trial.accuracy:.2f}", f"{trial.train_loss:.4f}", error, worst


@dataclass
class Subsets:
    """The selections that some stores and bundles hold, copied beside the page when a record names them."""

    sources: Sequence[Source]
    out: Path
    _found: dict[str, Subset | None] = field(default_factory=dict)

    def of(self, trial: TrialResult) -> Subset | None:
        """The subset of a trial; None where no source holds its selection, sound and with a file."""
        if trial.selection not in self._found:
            self._found[trial.selection] = self._copied(trial.selection)
        return self._found[trial.selection]

    def _copied(self, selection: str) -> Subset | None:
        for source in self.sources:
            try:
                record = source.by_id("selections", selection)
            except StoreError:  # another version, or no permission
                continue
            if record is not None and (found := self._copy(record)) is not None:
                return found
        return None

    def _copy(self, record: Record) -> Subset | None:
        """The index file and the card under the names that the store gave them, and gives to nothing else."""
        told = record.card["files"].get("arrays.npz")
        if told is None or told["path"] != f"{record.id}.{told['sha256'][:16]}.npz":
            return None
        file, card = (f"{FOLDER}/{name}" for name in (told["path"], f"{record.id}.json"))
        (self.out / FOLDER).mkdir(exist_ok=True)
        shutil.copyfile(record.file("arrays.npz"), self.out / file)
        if file_sha256(self.out / file) != told["sha256"]:  # put into its place since it was read
            (self.out / file).unlink()
            return None
        parts = (record.card[part] for part in ("identity", "result", "files", "provenance"))
        (self.out / card).write_bytes(sealed(record.kind, *parts)[1])
        return Subset(file, card, told["bytes"], text(told["sha256"]))
