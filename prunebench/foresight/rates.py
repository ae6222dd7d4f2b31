"""How fast this machine trains: from the records of a store, else from a few steps now.

r = examples presented / seconds of the training passes

Both of one model and recipe, picture size, precision, number of threads, machine and device.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import VerifyError
from ..harness.reference import scoring_run
from ..harness.shared import Harness
from ..seeds import seed_for
from ..store import Record, identify, read_record
from ..terminal import counted
from ..training.models import canonical
from ..training.recipes import Recipe, recipe

MOST = 400  # records of a kind that are looked at
SECONDS = 1.0  # steps are repeated for so long
LONGEST = 10.0  # seconds that a step may be expected to take
RUNS = 10  # reference trainings of a scoring that are looked for


@dataclass(frozen=True)
class Rate:
    """Training examples a second, and where that comes from."""

    examples_per_second: float
    source: str  # for people


class Pace:
    """What the records of a store tell of this machine's speed on the data of a harness."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        told = harness.provenance()
        self.machine = {name: told[name] for name in ("machine", "device")}

    def rate(self, model: str) -> Rate | None:
        """From finished trials of the model, or where there are none from the reference trainings."""
        found = [*self._trials(model)] or [*self._references(model)]
        seconds = sum(seconds for _, seconds in found)
        if not seconds:
            return None
        return Rate(sum(many for many, _ in found) / seconds, f"{counted(len(found), 'record')} of this store")

    def _trials(self, model: str) -> Iterator[tuple[int, float]]:
        wanted = {
            **self.harness.conditions(),
            "model": canonical(model),
            "recipe": recipe(self.harness.dataset, model).hash,
        }
        for record in self._records("trials", wanted):
            cost = record.result["train_cost"]
            yield cost["backward"], cost["seconds"]

    def _references(self, model: str) -> Iterator[tuple[int, float]]:
        h = self.harness
        if canonical(model) != canonical(h.reference):
            return
        for s in range(h.score_seeds):
            for r in range(RUNS):
                path = self._card("evidence", scoring_run(h, s, r).identity("training"))
                if path.exists() and (record := _read("evidence", path)) and self._here(record):
                    yield record.result["backward"], record.result["seconds"]

    def own_seconds(self, kind: str, text: str, keep: float, shared: float) -> float | None:
        """Mean seconds of a method by itself on these data: alone, less ``shared`` seconds an example it was charged.

        Those at the nearest keep ratio count, of scores that is 1. None where no record tells.
        """
        found: dict[float, list[float]] = {}
        for their_text, their_keep, alone, forward in self._methods[kind]:
            if their_text == text:
                found.setdefault(abs(their_keep - keep), []).append(max(0.0, alone - shared * forward))
        return float(np.mean(found[min(found)])) if found else None

    @cached_property
    def _methods(self) -> dict[str, list[tuple[str, float, float, int]]]:
        """Kind -> (text, keep ratio, seconds alone, examples forward) of the records on these data."""
        data, found = self.harness.dataset, dict[str, list[tuple[str, float, float, int]]]()
        for kind in ("scores", "selections"):
            found[kind] = []
            for record in self._records(kind, self.harness.conditions()):
                if record.identity["data"] in (data.fingerprint, data.images_fingerprint):
                    cost, keep = record.result["cost"], record.identity.get("keep", 1.0)
                    text = record.identity["method"]["text"]
                    found[kind].append((text, keep, cost["alone_seconds"], cost["forward"]))
        return found

    def _records(self, kind: str, wanted: Mapping[str, Any]) -> Iterator[Record]:
        for path in islice(sorted((self.harness.store.root / kind).glob("*.json")), MOST):
            record = _read(kind, path)
            if record and self._here(record) and all(record.identity.get(k) == v for k, v in wanted.items()):
                yield record

    def _here(self, record: Record) -> bool:
        told = record.card["provenance"]
        return all(told.get(name) == value for name, value in self.machine.items())

    def _card(self, kind: str, identity: Mapping[str, Any]) -> Path:
        return self.harness.store.card(kind, identify(kind, identity))


def _read(kind: str, path: Path) -> Record | None:
    try:
        return read_record(kind, path)
    except VerifyError:
        return None  # the run sets it aside


def measured(harness: Harness, model: str) -> Rate:
    """A few training steps at the recipe's batch, or at a smaller one where a step of that takes too long."""
    whole = recipe(harness.dataset, model)
    few, seconds = _growing(harness, model, whole)
    steps = max(1, min(20, round(SECONDS / seconds)))
    seconds = _timed(harness, model, replace(whole, batch=few), steps) / steps
    told = f"{steps} step{'s' if steps > 1 else ''} of {few}" + (
        f", the recipe's are {whole.batch}" if few < whole.batch else ""
    )
    return Rate(few / seconds, f"measured now: {told}")


def _growing(harness: Harness, model: str, whole: Recipe) -> tuple[int, float]:
    """(examples, seconds) of a step: ever larger ones, until the recipe's or the next takes too long."""
    few = min(2, whole.batch)
    while True:
        _timed(harness, model, replace(whole, batch=few), 1)  # the first one of a size plans its convolutions
        seconds = _timed(harness, model, replace(whole, batch=few), 1)
        more = min(few * 8, whole.batch)
        if few == whole.batch or seconds * more / few > LONGEST:
            return few, seconds
        few = more


def _timed(harness: Harness, model: str, row: Recipe, steps: int) -> float:
    from ..training.loop import train

    split = harness.dataset.train
    rows = np.arange(min(row.batch, len(split)))
    return train(
        split.images.take(rows),
        split.labels[rows],
        len(harness.dataset.classes),
        model=model,
        recipe=row,
        seed=seed_for("rate"),
        steps=steps,
        device=harness.device,
    ).seconds


def free_bytes(path: Path) -> int:
    """Room on the file system where ``path`` is, or will be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
