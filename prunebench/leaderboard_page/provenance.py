"""Where numbers come from: what some records share, and what each of them says for itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ..leaderboard.groups import baseline
from ..types import Cost, TrialResult
from .names import text

_RESULTS = ("accuracy", "class_accuracy", "class_counts", "truth", "provenance", "train_loss", "ece", "id")
_COSTS = ("score_cost", "select_cost", "train_cost")
_TOLD = ("keep", "seed", "score_seed", "selection")  # beside each record already
IDENTITY = tuple(f.name for f in fields(TrialResult) if f.name not in (*_RESULTS, *_COSTS, *_TOLD))
_DEEPEST = 3  # levels of what a record's provenance may hold inside each other


@dataclass(frozen=True)
class Fields:
    """The fields of some records: those that all share, and for each record those that differ."""

    shared: tuple[tuple[str, str], ...]  # name, value
    names: tuple[str, ...]  # of the fields that differ
    own: tuple[tuple[str, ...], ...]  # (records, names); () where none differs


def identity(trials: Sequence[TrialResult]) -> Fields:
    """What was trained, on what and how: the fields that make a record what it is."""
    return _split({name: [getattr(t, name) for t in trials] for name in IDENTITY})


def machine(trials: Sequence[TrialResult]) -> Fields:
    """Versions, machine and device, and whatever else the records tell of where they were made."""
    first = trials[0].provenance
    if all(t.provenance == first for t in trials):
        return _split({name: [value] for name, value in _flat(first)})
    told = [dict(_flat(t.provenance)) for t in trials]
    names = dict.fromkeys(name for one in told for name in one)
    return _split({name: [one.get(name) for one in told] for name in names})


def _split(told: Mapping[str, Sequence[Any]]) -> Fields:
    differ = [name for name, values in told.items() if any(value != values[0] for value in values)]
    shared = tuple((text(name), _said(values[0])) for name, values in told.items() if name not in differ)
    own = zip(*([_said(value) for value in told[name]] for name in differ), strict=True)
    return Fields(shared, tuple(map(text, differ)), tuple(own))


def _said(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return text(f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else str(value))


def _flat(found: Any, before: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Names with dots between them, and plain values."""
    if not isinstance(found, Mapping) or depth == _DEEPEST:
        yield before, found
        return
    for name, value in sorted(found.items()):
        yield from _flat(value, f"{before}.{name}" if before else str(name), depth + 1)


COST_NAMES = (
    *("seconds alone", "seconds here", "forward", "backward", "evaluations"),
    *("peak memory", "peak GPU memory", "device"),
)


def costs(trial: TrialResult) -> Iterator[tuple[str, ...]]:
    """The step and its numbers in the order of `COST_NAMES`, for every step that there was."""
    chosen = trial.selector not in ("full", "subset") and trial.policy == "plain"
    if trial.scorer is not None and baseline(trial) is None:
        yield "score", *_cost(trial.score_cost)
    if chosen:
        yield "select", *_cost(trial.select_cost)
    yield "train", *_cost(trial.train_cost)


def _cost(cost: Cost) -> Iterator[str]:
    yield f"{cost.alone_seconds:.2f}"
    yield f"{cost.seconds:.2f}"
    for count in (cost.forward, cost.backward, cost.evaluations):
        yield f"{count:,}" if count else "-"
    for peak in (cost.peak_bytes, cost.gpu_peak_bytes):
        yield f"{peak / 1e9:.2f} GB" if peak else "-"
    yield text(cost.device)
