"""What the page of a row says: its numbers, its records, where they come from, and the files of its subsets."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import StoreError, VerifyError
from ..leaderboard.wording import COST_COLUMNS, cost_cells
from ..store import Record, Store
from ..types import TrialResult
from . import provenance
from .names import text
from .overview import Group, Line

FOLDER = "subsets"


@dataclass(frozen=True)
class Subset:
    """A file of kept examples that lies with the page."""

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class RecordOfRow:
    """One trained network."""

    id: str
    seed: int
    score_seed: str
    numbers: tuple[str, ...]  # in the order of `NUMBERS`
    costs: tuple[tuple[str, tuple[str, ...]], ...]
    selection: str
    subset: Subset | None


NUMBERS = ("accuracy %", "train loss", "calibration error", "worst class %")


@dataclass(frozen=True)
class RowPage:
    """One method at one keep ratio under one set of conditions."""

    group: Group
    line: Line
    costs: tuple[tuple[str, str], ...]
    records: tuple[RecordOfRow, ...]
    identity: provenance.Fields
    machine: provenance.Fields
    classes: list[tuple[float | None, float | None]]


def row_page(group: Group, line: Line, subsets: Subsets) -> RowPage:
    trials = line.row.trials
    return RowPage(
        group=group,
        line=line,
        costs=tuple(zip(COST_COLUMNS[2:], map(text, cost_cells(line.row)[2:]), strict=True)),
        records=tuple(_record(t, subsets) for t in trials),
        identity=provenance.identity(trials),
        machine=provenance.machine(trials),
        classes=provenance.by_class(trials),
    )


def _record(trial: TrialResult, subsets: Subsets) -> RecordOfRow:
    worst = f"{100 * min(trial.class_accuracy):.2f}" if trial.class_accuracy else "-"
    error = "-" if trial.ece is None else f"{trial.ece:.4f}"
    return RecordOfRow(
        id=text(trial.id),
        seed=trial.seed,
        score_seed="-" if provenance.unscored(trial) else str(trial.score_seed),
        numbers=(f"{100 * trial.accuracy:.2f}", f"{trial.train_loss:.4f}", error, worst),
        costs=provenance.costs(trial),
        selection=text(trial.selection),
        subset=subsets.of(trial),
    )


@dataclass
class Subsets:
    """The index files of the selections that some stores hold, copied beside the page when a record names them."""

    stores: Sequence[Store]
    out: Path
    _found: dict[str, Subset | None] = field(default_factory=dict)

    def of(self, trial: TrialResult) -> Subset | None:
        """The subset of a trial; None where no store holds its selection, sound and with a file."""
        if trial.selection not in self._found:
            self._found[trial.selection] = self._copied(trial.selection)
        return self._found[trial.selection]

    def _copied(self, selection: str) -> Subset | None:
        for store in self.stores:
            try:
                record = store.by_id("selections", selection)
                if record is not None and "arrays.npz" in record.card["files"]:
                    return self._copy(record)
            except (StoreError, VerifyError):
                continue
        return None

    def _copy(self, record: Record) -> Subset:
        told = record.card["files"]["arrays.npz"]
        name = f"{FOLDER}/{record.id[:20]}.npz"
        (self.out / FOLDER).mkdir(exist_ok=True)
        shutil.copyfile(record.file("arrays.npz"), self.out / name)
        return Subset(name, told["bytes"], text(told["sha256"]))
