"""The board of what stands in stores."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bundles.containers import REPRODUCED, holds_bundles, refuse_no_store
from ..errors import UserError
from ..store import Store
from ..training.allocation import without_collection
from ..types import Cost, TrialResult
from .definitions import definitions
from .labels import Labels
from .ranking import Board, board, versions
from .verdicts import MARGIN

if TYPE_CHECKING:
    from ..bundles.contents import Bundle

    Source = Store | Bundle
log = logging.getLogger("prunebench.leaderboard")


def leaderboard(
    stores: Source | str | Path | Sequence[Source | str | Path],
    *,
    group_by: Sequence[str] = ("dataset", "budget", "model"),
    labels: Labels | None = None,
    track: str = "open",
    margin: float = MARGIN,
) -> Board:
    """The board of all sound trial records of some stores and bundles.

    Args:
        stores: stores, or the folders they lie in, and bundles, or folders of them; a record that stands in several
            counts once: by the store where it stands in one, by the lowest accuracy where they disagree. What bundles
            report makes rows of its own.
        group_by: what tables are ordered by (dataset, budget, model, reference, precision) and split by (keep, scorer,
            selector, track). Trials under different conditions are in different tables whatever is named here.
        labels: (kind, canonical text) -> what people read.
        track: "open", all rows; "label-free", those whose scorer and selector saw no labels, by labels revealed.
        margin: percentage points within which a method counts as good as what it is compared with.

    Raises:
        UserError: a store that is not there, stores without any trial, an unknown track or name in ``group_by``, a
            margin outside 0 to 100.
        VerifyError: a bundle that is not sound.
    """
    opened = opened_sources(stores)
    with without_collection():
        found, disagreeing = _chosen(opened)
    noted = (failure for store in opened for failure in store.failures())
    failures = {failure["id"]: failure for failure in sorted(noted, key=_written, reverse=True)}
    if not found and not failures:
        where = ", ".join(str(store.root) for store in opened) or "no store"
        raise UserError(f"there is no finished trial in {where}: run `prunebench run` first, or name another store")
    made = board(
        found,
        list(failures.values()),
        group_by=group_by,
        labels=labels,
        variant_of=lambda trial: _definition(trial, opened) or versions(trial),
        definition_of=definitions(opened),
        track=track,
        margin=margin,
    )
    return replace(made, disagreeing=disagreeing)


def _chosen(sources: Sequence[Source]) -> tuple[list[TrialResult], tuple[str, ...]]:
    """Each trial once, whatever the order of the sources, and the ids of those of which they tell other accuracies."""
    found: dict[str, list[TrialResult]] = defaultdict(list)
    for source in sources:
        for trial in sound_trials(source):
            found[trial.id].append(trial)
    differing = sorted(id for id, alike in found.items() if len({t.accuracy for t in alike}) > 1)
    return [min(alike, key=_place) if len(alike) > 1 else alike[0] for alike in found.values()], tuple(differing)


def _place(trial: TrialResult) -> tuple[Any, ...]:
    """One's own first, then what was trained again, then the lowest accuracy."""
    source = ("here", "reproduced", "reported").index(trial.source)
    return source, trial.reproduced is None, trial.accuracy, _written(vars(trial))


def _written(told: Mapping[str, Any]) -> str:
    """In one way, to choose by."""
    return json.dumps(told, sort_keys=True, default=vars)


def sound_trials(store: Source) -> Iterator[TrialResult]:
    """All sound trials; records that are no trials of this version are told in the log and left out."""
    from ..harness.trials import read_trial  # knows models: not for those who only import this

    for record in store.records("trials"):
        try:
            trial = read_trial(record)
        except (TypeError, KeyError, ValueError, AttributeError):
            log.warning("left out: %s is not a trial that this version can read", record.path)
            continue
        if wrong := _wrong_field(trial):
            log.warning("left out: %s has no usable %s", record.path, wrong)
            continue
        source, again = ("here", None) if isinstance(store, Store) else store.checked(trial.id)
        if (trial.source, trial.reproduced) != (source, again):
            trial = replace(trial, source=source, reproduced=again)
        yield trial


_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "str | None": (str, type(None)),
    "int": (int,),
    "float": (int, float),
    "float | None": (int, float, type(None)),
    "int | None": (int, type(None)),
    "bool": (bool,),
}


def _typed(kind: type) -> tuple[tuple[str, tuple[type, ...]], ...]:
    """(field, the types its value may be of), of fields that hold one plain value."""
    return tuple((f.name, _TYPES[str(f.type)]) for f in fields(kind) if str(f.type) in _TYPES)


_TYPED = {kind: _typed(kind) for kind in (TrialResult, Cost)}


def _wrong_field(value: TrialResult | Cost) -> str:
    """The first field whose value is not of the declared type, "" if there is none."""
    for name, allowed in _TYPED[type(value)]:
        if type(getattr(value, name)) not in allowed:
            return name
    if isinstance(value, TrialResult):
        if value.examples < 1:
            return "examples"
        for name in ("score_cost", "select_cost", "train_cost"):
            if inside := _wrong_field(getattr(value, name)):
                return f"{name}.{inside}"
    return ""


def _definition(trial: TrialResult, stores: Sequence[Source]) -> str:
    """Short hash of what the selection's record says of its method and scores; "" where there is no such record."""
    for store in stores:
        selection = store.by_id("selections", trial.selection)
        if selection is None:
            continue
        scores = selection.identity.get("scores")
        scored = store.by_id("scores", scores) if isinstance(scores, str) else None
        told = [_undated(selection.identity), _undated(scored.identity) if scored else scores]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:6]
    return ""


def _undated(identity: Mapping[str, Any]) -> dict[str, Any]:
    """An identity without what differs from seed to seed."""
    return {k: v for k, v in identity.items() if k not in ("seed", "score_seed", "scores")}


def opened_stores(stores: Store | str | Path | Sequence[Store | str | Path]) -> list[Store]:
    """Stores, or the folders they lie in, opened to be read: nothing in them is changed.

    Raises:
        UserError: a store that is not there, or a folder that holds none.
    """
    return [_opened(store) for store in _listed(stores)]


def opened_sources(stores: Source | str | Path | Sequence[Source | str | Path]) -> list[Source]:
    """Stores, then bundles, opened; of a folder of bundles all of them, and all bundles held against each other. What
    `verify` wrote beside them is no argument.

    Raises:
        UserError: a store or bundle that is not there.
        VerifyError: a bundle that is not sound.
    """
    found: list[Source] = []
    bundles: list[Path] = []
    for place in _listed(stores):
        if not isinstance(place, str | Path):
            found.append(place)
        elif not Path(place).exists():
            found += opened_stores(place)
        elif not str(place).endswith(REPRODUCED):
            if holds_bundles(Path(place)):
                bundles.append(Path(place))
            else:
                found += opened_stores(place)
    return [*found, *(_bundles(bundles) if bundles else ())]


def _bundles(places: Sequence[Path]) -> list[Bundle]:
    from ..bundles.verifying import read_sound  # knows models: not for those who have stores alone

    return read_sound(places)


def _listed(stores: Any) -> list[Any]:
    return list(stores) if isinstance(stores, Sequence) and not isinstance(stores, str) else [stores]


def _opened(store: Store | str | Path) -> Store:
    if isinstance(store, Store):
        return store
    refuse_no_store(Path(store))
    return Store(store, writes=False)
