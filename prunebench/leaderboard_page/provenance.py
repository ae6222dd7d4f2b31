"""Where the numbers of a row come from: what its records share, and what each of them says for itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ..leaderboard.groups import unscored
from ..types import Cost, TrialResult
from .names import text

_RESULTS = ("accuracy", "class_accuracy", "class_counts", "truth", "provenance", "train_loss", "ece", "id", "seed")
_COSTS = ("score_cost", "select_cost", "train_cost")
IDENTITY = tuple(f.name for f in fields(TrialResult) if f.name not in (*_RESULTS, *_COSTS))
_DEEPEST = 3  # levels of what a record's provenance may hold inside each other


@dataclass(frozen=True)
class Told:
    """A field and its value, the same for all records of a row."""

    name: str
    value: str


@dataclass(frozen=True)
class Fields:
    """The fields of some records: those that all share, and for each record those that differ."""

    shared: tuple[Told, ...]
    names: tuple[str, ...]  # of the fields that differ
    own: tuple[tuple[str, ...], ...]  # (records, names)


def identity(trials: Sequence[TrialResult]) -> Fields:
    """What was trained, on what and how: the fields that make a record what it is."""
    return _split([{name: _said(getattr(t, name)) for name in IDENTITY} for t in trials])


def machine(trials: Sequence[TrialResult]) -> Fields:
    """Versions, machine and device, and whatever else the records tell of where they were made."""
    return _split([dict(_flat(t.provenance)) for t in trials])


def costs(trial: TrialResult) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(step, its numbers in the order of `COST_NAMES`) for every step that there was."""
    steps = {"train": trial.train_cost}
    if not unscored(trial) and trial.scorer is not None:
        steps = {"score": trial.score_cost, "select": trial.select_cost} | steps
    elif trial.selector not in ("full", "subset"):
        steps = {"select": trial.select_cost} | steps
    return tuple((name, _cost(cost)) for name, cost in steps.items())


COST_NAMES = (
    *("seconds alone", "seconds here", "forward", "backward", "evaluations"),
    *("peak memory", "peak GPU memory", "device"),
)


def _cost(cost: Cost) -> tuple[str, ...]:
    counts = (f"{count:,}" if count else "-" for count in (cost.forward, cost.backward, cost.evaluations))
    peaks = (f"{peak / 1e9:.2f} GB" if peak else "-" for peak in (cost.peak_bytes, cost.gpu_peak_bytes))
    return (f"{cost.alone_seconds:.2f}", f"{cost.seconds:.2f}", *counts, *peaks, text(cost.device))


def _split(told: Sequence[Mapping[str, str]]) -> Fields:
    names = list(dict.fromkeys(name for one in told for name in one))
    values = {name: [one.get(name, "-") for one in told] for name in names}
    differ = tuple(name for name in names if len(set(values[name])) > 1)
    shared = tuple(Told(text(name), values[name][0]) for name in names if name not in differ)
    own = tuple(tuple(values[name][i] for name in differ) for i in range(len(told)))
    return Fields(shared, tuple(map(text, differ)), own)


def _said(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return text(f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else str(value))


def _flat(found: Any, before: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Names with dots between them, and plain values."""
    if not isinstance(found, Mapping) or depth == _DEEPEST:
        yield before, _said(found)
        return
    for name, value in sorted(found.items()):
        yield from _flat(value, f"{before}.{name}" if before else str(name), depth + 1)


def by_class(trials: Iterable[TrialResult]) -> list[tuple[float | None, float | None]]:
    """(C,) of (mean recall, mean share of the subset); None where a record does not tell it. Empty for no class."""
    found = list(trials)
    recalls, counts = [t.class_accuracy for t in found], [t.class_counts for t in found]
    lengths = {len(x) for x in (*recalls, *counts) if x}
    if len(lengths) != 1:
        return []
    return [(_mean(recalls, c), _share(counts, c)) for c in range(lengths.pop())]


def _mean(of: Sequence[Sequence[float]], c: int) -> float | None:
    return sum(values[c] for values in of) / len(of) if all(of) else None


def _share(of: Sequence[Sequence[int]], c: int) -> float | None:
    if not all(of) or not all(map(sum, of)):
        return None
    return sum(values[c] / sum(values) for values in of) / len(of)
