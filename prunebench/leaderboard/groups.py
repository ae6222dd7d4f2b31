"""Which trials may stand in one table: those trained, tested and scored under the same conditions, and no others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import attrgetter
from typing import Any

from ..types import TrialResult

TRAINED = (  # how a trial was trained and tested
    *("dataset", "fingerprint", "test_fingerprint", "image_size", "setting", "model", "pretrained", "recipe"),
    *("train_budget", "budget_seconds", "policy", "threads", "precision", "protocol"),
)


@dataclass(frozen=True)
class Group:
    """Trials under the same conditions."""

    conditions: dict[str, Any]  # `TRAINED`, steps, and how methods were scored: reference, reference_epochs, scorings
    trials: tuple[TrialResult, ...]


def baseline(trial: TrialResult) -> str | None:
    """ "full", "balanced" or "random" for rows that are on every board, None for methods and index files."""
    name, _, options = trial.selector.removeprefix("prunebench/").partition("(")
    if trial.scorer is not None or name not in ("full", "balanced", "random"):
        return None
    return None if name == "balanced" and "equal" in options else name


def unscored(trial: TrialResult) -> bool:
    """Whether no scoring run can have had a part in the selection."""
    return baseline(trial) is not None or dynamic(trial) or (trial.scorer is None and trial.selector == "subset")


def dynamic(trial: TrialResult) -> bool:
    """Whether a policy drew from all examples while the trial went on."""
    return trial.policy != "plain"


def on_track(trial: TrialResult, track: str) -> bool:
    """Whether a trial stands on a board of "open" (all do) or "label-free": neither scorer nor selector saw a label.

    The full data, all labels revealed, end that axis; class-balanced random draws by labels and is no row of it.
    """
    return track == "open" or trial.label_free or baseline(trial) == "full"


def groups(trials: Iterable[TrialResult]) -> Iterator[Group]:
    """All groups; a trial that no scoring run had a part in stands in each group of its training conditions.

    Beside what a policy trained stand the baselines, trained plainly for as long, and nothing else that is plain. These
    make no table of their own then.
    """
    parts = list(_by_training(trials))
    repeated = {id(t) for _, long in parts if any(map(dynamic, long)) for t in long}
    for conditions, long in parts:
        if any(map(dynamic, long)) or any(id(t) not in repeated for t in long):
            yield from _by_scoring(conditions | {"steps": _range([t.steps for t in long])}, long)


def _by_training(trials: Iterable[TrialResult]) -> Iterator[tuple[dict[str, Any], list[TrialResult]]]:
    found = _split(trials, attrgetter(*TRAINED))
    for trained, alike in found.items():
        conditions = dict(zip(TRAINED, trained, strict=True))
        plainly = tuple((conditions | {"policy": "plain"}).values())
        beside = [t for t in found.get(plainly, ()) if baseline(t)] if any(map(dynamic, alike)) else []
        for long in _by_length([*alike, *beside]):
            if not beside or any(map(dynamic, long)):
                yield conditions, long


def _by_length(trials: Sequence[TrialResult]) -> list[list[TrialResult]]:
    """Budget "steps": as many steps. "cost": any. Budget "epochs": one rate r for all k, steps = ceil(r * k).

    A trial tells its rate only up to an interval, ((steps - 1) / k, steps / k], whose ends are held exactly. Rates are
    the fewest that explain all trials; a trial that two rates explain is the same training under both.
    """
    if trials[0].train_budget == "cost":
        return [list(trials)]
    if trials[0].train_budget == "steps":
        return list(_split(trials, lambda t: t.steps).values())
    rates: list[Fraction] = []
    for trial in sorted(trials, key=lambda t: Fraction(t.steps, t.examples)):
        if not any(_explains(rate, trial) for rate in rates):
            rates.append(Fraction(trial.steps, trial.examples))
    return [[t for t in trials if _explains(rate, t)] for rate in rates]


def _explains(rate: Fraction, trial: TrialResult) -> bool:
    """Whether steps - 1 < rate * k <= steps; in integers."""
    exact = rate.numerator * trial.examples
    return (trial.steps - 1) * rate.denominator < exact <= trial.steps * rate.denominator


def _by_scoring(conditions: dict[str, Any], trials: Sequence[TrialResult]) -> Iterator[Group]:
    free = [t for t in trials if unscored(t)]
    scored = _split((t for t in trials if not unscored(t)), lambda t: (t.reference, t.reference_epochs))
    if not scored:
        nothing = {"reference": None, "reference_epochs": None, "scorings": None}
        yield Group(conditions | nothing, tuple(_nearest(free, free[0].reference, free[0].reference_epochs, 1)))
    for (reference, epochs), alike in scored.items():
        for n, members in _by_scorings(alike):
            how = {"reference": reference, "reference_epochs": epochs, "scorings": n}
            yield Group(conditions | how, (*_nearest(free, reference, epochs, n), *members))


def _by_scorings(trials: Sequence[TrialResult]) -> list[tuple[int, list[TrialResult]]]:
    """Split by the number n of scoring runs, trial seed s using run s mod n; what another part contains is left out."""
    wanted = {n for row in _split(trials, method).values() for n in _scorings(row)}
    found = [(n, [t for t in trials if t.score_seed == t.seed % n]) for n in sorted(wanted, reverse=True)]
    sets = [{id(t) for t in members} for _, members in found]
    return [
        found[i]
        for i in range(len(found))
        if not any(sets[i] < sets[j] or (sets[i] == sets[j] and j > i) for j in range(len(found)) if j != i)
    ]


def _scorings(row: Iterable[TrialResult]) -> set[int]:
    """The fewest numbers n that explain the pairs (seed, scoring run) of one row."""
    left, found = {(t.seed, t.score_seed) for t in row}, set()
    while left:
        most = max(run for _, run in left)
        fitting = [n for n in range(most + 1, max(s for s, _ in left) + 2) if _explained(left, n, most)]
        if not fitting:
            break  # not from a run of ours: no n gives such a pair
        found.add(fitting[0])
        left = {(s, run) for s, run in left if run != s % fitting[0]}
    return found


def _explained(pairs: set[tuple[int, int]], n: int, most: int) -> bool:
    return any(run == most and s % n == run for s, run in pairs)


def _nearest(trials: Sequence[TrialResult], reference: str, epochs: int, n: int) -> Iterator[TrialResult]:
    """Of trials that were run beside several scorings, those beside this one where there are any: they are the same."""

    def distance(t: TrialResult) -> tuple[Any, ...]:
        beside = (t.reference, t.reference_epochs) == (reference, epochs)
        return not beside, t.score_seed != t.seed % n, t.reference, t.reference_epochs, t.score_seed

    for alike in _split(trials, lambda t: (method(t), t.seed)).values():
        nearest = min(map(distance, alike))
        yield from (t for t in alike if distance(t) == nearest)


def method(trial: TrialResult) -> tuple[str, str, float, str, bool]:
    """What a row is: scorer, selector, keep; an index file counts by its content; what others report is apart."""
    return trial.scorer or "", trial.selector, trial.keep, content(trial), trial.source == "here"


def content(trial: TrialResult) -> str:
    """What an index file holds, "" for a method."""
    return trial.selection if trial.selector == "subset" else ""


def _split(trials: Iterable[TrialResult], key: Callable[[TrialResult], Hashable]) -> dict[Any, list[TrialResult]]:
    found: dict[Any, list[TrialResult]] = defaultdict(list)
    for trial in trials:
        found[key(trial)].append(trial)
    return dict(found)


def _range(values: Sequence[int]) -> list[int]:
    return sorted({min(values), max(values)})
