"""Scores and selections outside a run, of arrays and data sets."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import registry as plugins
from ..arrays import as_labels, as_numpy
from ..budgets import budget_for
from ..datasets.given import dataset_of
from ..errors import UserError
from ..evidence.account import Account
from ..evidence.calling import call, call_selector, checked_details, checked_values
from ..evidence.given import Evidence
from ..evidence.scoring import ask
from ..evidence.scoring import score as score_in
from ..evidence.selecting import fitting, refuse_not_finite
from ..harness.shared import Harness, silent, temporary_store
from ..harness.watching import watched
from ..methods import FUNCTIONS, VALUES, Method
from ..seeds import example_seeds, held_out, key_order
from ..store import Store
from ..types import Dataset, Hard, Scored, Scores, Selection

GIVEN = ("history", "features", "embeddings", "labels", "classes")  # what a scorer may be given beside others' scores


def score(
    scorer: str,
    data: Any,
    labels: Any = None,
    *,
    classes: Sequence[str] | None = None,
    keys: Sequence[str] | None = None,
    given: Mapping[str, Any] | None = None,
    seed: int = 0,
    reference: str = "resnet18",
    reference_epochs: int | None = None,
    device: str = "auto",
    store: str | Path | Store | None = None,
) -> Scores:
    """Score a `Dataset`, pictures ((N, 3, H, W) or (N, H, W) uint8) with labels, or any map-style data set.

    With ``data=None`` everything the scorer names must be in ``given``: its `history`, `features`, `embeddings`,
    `labels` and `classes`, and other scorers' numbers under their texts; ``labels`` and ``classes`` may stand beside it
    as well. With data, what is in ``given`` takes the place of what would be made, and the scores are not stored.
    Without ``store`` what is made on the way lives in a temporary one.

    Raises:
        UserError: something the scorer asks for is not there, or what is given does not fit; it is named.
    """
    registry = plugins.installed()
    method = registry.method("scorer", scorer)
    if not isinstance(given, (Mapping, type(None))):
        raise UserError(f"`given` is a {type(given).__name__}: a dictionary of names and arrays is expected")
    if data is None:
        return _score_given(registry, method, _told_once(given or {}, labels, classes), seed, keys)
    if isinstance(data, Dataset) and any(each is not None for each in (labels, classes, keys)):
        raise UserError("a Dataset has its own labels, classes and keys: leave out those given beside it")
    dataset = data if isinstance(data, Dataset) else dataset_of(data, labels, classes, keys)
    place = store if isinstance(store, Store) else Store(store) if store else temporary_store()
    harness = Harness(
        dataset, place, registry, reference=reference, reference_epochs=reference_epochs, device_name=device
    )
    return _score_given(registry, method, given, seed, None, harness) if given else score_in(harness, method, seed)


def _told_once(given: Mapping[str, Any], labels: Any, classes: Any) -> dict[str, Any]:
    beside = {name: value for name, value in (("labels", labels), ("classes", classes)) if value is not None}
    if both := sorted(beside.keys() & given.keys()):
        raise UserError(f"{both[0]} are given twice, as {both[0]}=... and in `given`: leave one out")
    return {**given, **beside}


def _score_given(
    registry: Any,
    method: Method,
    given: Mapping[str, Any],
    seed: int,
    keys: Sequence[str] | None,
    harness: Harness | None = None,
) -> Scores:
    _refuse_unused(registry, method, given, harness)
    n = _length_of(given) if harness is None else len(harness.train)
    if keys is not None and not n == len(keys) == len(set(keys)):
        raise UserError(f"{n} examples need as many different keys, got {len(set(keys))}")
    order, place = (np.arange(n),) * 2 if harness is None else (harness.order, harness.place)
    rest = {name: _fitting_given(registry, method, name, value, n, order) for name, value in given.items()}
    values: dict[str, Any] = {name: rest.pop(name) for name in ("history", "labels", "classes") if name in rest}
    if harness is None:
        names = tuple(keys) if keys is not None else tuple(f"train:{i}" for i in range(n))
        values = _values(method, seed, names) | _with_classes(values)
        account = Account(method.label)
    else:
        keys = harness.dataset.train.keys
        account = Account(method.label, harness.track, str(harness.device))
    started = time.perf_counter()
    found, _ = call(method, Evidence(method, account, seed, seed, harness, given=rest, values=values, ask=ask))
    scored = found if isinstance(found, Scored) else Scored(found)
    numbers, arrays = checked_details(scored.details, method)
    arrays = {name: a[place] if a.ndim and len(a) == n else a for name, a in arrays.items()}
    return Scores(
        values=checked_values(scored.values, n, method)[place],
        hard=method.entry.record.hard,
        scorer=method.text,
        comparable=method.entry.record.comparable,
        keys=tuple(keys) if keys is not None else None,
        fingerprint=None if harness is None else harness.dataset.fingerprint,
        details={**numbers, **arrays},
        cost=account.cost(time.perf_counter() - started),
        label_free=not account.reached,
    )


def _refuse_unused(registry: Any, method: Method, given: Mapping[str, Any], harness: Harness | None) -> None:
    """Raises:
    UserError: a name in ``given`` that the scorer makes no use of, or one that the data set or the harness brings.
    """
    usable = [name for name in GIVEN if name in method.needs]
    for name in given:
        if name in ("labels", "classes"):
            if harness is not None:
                raise UserError(f"the data have their own {name}: leave {name} out of `given`")
        elif "score" in method.needs and name not in (*VALUES, *FUNCTIONS):
            registry.method("scorer", name)
        elif name not in usable:
            told = [*usable, *(["scores of others"] if "score" in method.needs else [])]
            raise UserError(f"{method.label} takes no {name!r} from `given`: it takes {', '.join(told) or 'nothing'}")
    if kept := [name for name in ("stored", "blocks") if name in method.needs and harness is not None]:
        raise UserError(f"{method.label} keeps its work in the store ({kept[0]}), made of the data alone: omit `given`")


def _length_of(given: Mapping[str, Any]) -> int:
    """N, by the arrays that the scorer names, and by the labels only where there are none."""
    for name, value in sorted(given.items(), key=lambda item: item[0] == "labels"):
        if name == "classes":
            continue
        first = next(iter(value.values()), ()) if isinstance(value, Mapping) else value
        shape = (len(first),) if isinstance(first, Scores) else _array(first, name).shape
        if shape:
            return shape[-1] if name == "history" else shape[0]
    raise UserError("with data=None, `given` must hold the arrays that the scorer names")


def _fitting_given(registry: Any, method: Method, name: str, value: Any, n: int, order: np.ndarray) -> Any:
    """Of what a scorer is given, the N examples in ``order`` (N,)."""
    if name == "classes":
        return _class_names(value)
    if name == "history":
        record = method.entry.record
        if not isinstance(record.watch, tuple):
            return _fitting_history(method, value, n, order)
        wanted = watched(record.watch, record.watch_at, method.entry.key, method.entry.definition)
        if not isinstance(value, Mapping) or (missing := [each for each in wanted if each not in value]):
            told = f"{missing[0]} is missing" if isinstance(value, Mapping) else f"got a {type(value).__name__}"
            raise UserError(f"history must be a dictionary of {', '.join(wanted)}, each (R, E, N): {told}")
        return {each: _fitting_history(method, value[each], n, order) for each in wanted}
    if name == "labels":
        return as_labels(_fitting_array(value, n, name, "examples"))[order]
    if name not in GIVEN:
        return _given(registry, name, value, n)[order]
    array = _fitting_array(value, n, name, "examples")
    if array.ndim != 2 or array.dtype.kind not in "biuf" or not array.shape[1]:
        raise UserError(f"{name} must be (N, D) numbers, got {array.dtype} of shape {array.shape}")
    if len(bad := np.flatnonzero(~np.isfinite(array).all(axis=1))):
        raise UserError(f"{name} of example {bad[0]} are not finite ({len(bad)} of {n} examples)")
    return array[order]


def _fitting_history(method: Method, value: Any, n: int, order: np.ndarray) -> torch.Tensor:
    array = _array(value, "history")
    if array.ndim != 3 or array.shape[2] != n or not array.size or array.dtype.kind not in "biuf":
        raise UserError(f"history must be (R, E, N) numbers of {n} examples, got {array.dtype} of shape {array.shape}")
    refuse_missing_epochs(method, array.shape[1], array.shape[0])
    return torch.from_numpy(array[..., order].astype(array.dtype if array.dtype.kind == "f" else np.float32))


def refuse_missing_epochs(method: Method, epochs: int, runs: int) -> None:
    """Raises:
    UserError: an option asks for an epoch or for runs that were not recorded.
    """
    asked, wanted = method.options.get("epoch"), method.options.get("runs", 1)
    if isinstance(asked, int) and not 1 <= asked <= epochs:
        raise UserError(f"{method.label} asks for epoch {asked}, the log has {epochs} epochs")
    if isinstance(wanted, int) and wanted > runs:
        raise UserError(f"{method.label} asks for {wanted} runs, the log has {runs}: give logits (R, E, N, C)")


def _class_names(classes: Any) -> tuple[str, ...]:
    names = tuple(classes) if isinstance(classes, (list, tuple, np.ndarray)) else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"classes must be names such as ('cat', 'dog'), got {str(classes)[:80]!r}")
    return names


def _with_classes(values: dict[str, Any]) -> dict[str, Any]:
    """With the classes of the labels, where none are named."""
    if "labels" not in values:
        return values
    highest = int(values["labels"].max(initial=-1))
    names = values.get("classes", tuple(str(c) for c in range(highest + 1)))
    if highest >= len(names):
        raise UserError(f"the label {highest} is beyond the {len(names)} classes")
    return {**values, "classes": names}


def _values(method: Method, seed: int, keys: Sequence[str]) -> dict[str, Any]:
    found = {"device": torch.device("cpu"), "progress": silent}
    if "seeds" in method.needs:
        found["seeds"] = example_seeds(method.entry.record.name, seed, keys)
    if "held_out" in method.needs:
        found["held_out"] = held_out(keys)
    return found


def select(
    selector: str,
    scores: Scores | Any,
    *,
    keep: float,
    hard: Hard | None = None,
    labels: Any = None,
    given: Mapping[str, Any] | None = None,
    keys: Sequence[str] | None = None,
    seed: int = 0,
) -> Selection:
    """Select from scores computed anywhere.

    Args:
        scores: `Scores`, or (N,) raw numbers with ``hard`` ("high" or "low") saying which end is hard.
        labels: (N,) integers, for selectors that name them.
        given: other things the selector asks for: an input's name or a scorer's text -> array or `Scores`.

    Ties go to the lower position where there are no keys, and by a hash of the key where there are.

    Raises:
        UserError: keep out of range, scores that are not finite, or a missing input, which is named.
    """
    registry = plugins.installed()
    scores = _as_scores(scores, hard, keys)
    refuse_not_finite(scores.values)
    method = fitting(registry, registry.method("selector", selector), scores.comparable)
    n = len(scores)
    if not n:
        raise UserError("there are no scores: nothing can be selected")
    try:
        budget = budget_for(float(keep), n)
    except (ValueError, TypeError):
        raise UserError(f"keep must lie in (0, 1], got {keep!r}") from None
    order = key_order(scores.keys) if scores.keys else np.arange(n)
    values = _selector_values(method, scores, order, labels, seed) | {"budget": budget}
    rest = {name: _given(registry, name, value, n)[order] for name, value in (given or {}).items()}
    account = Account(method.label)
    evidence = Evidence(method, account, seed, seed, given=rest, values=values, keep=keep)
    chosen, seconds = call_selector(method, evidence, n, budget)
    weights = None if chosen.weights is None else np.asarray(chosen.weights)
    indices = order[chosen.indices]
    ascending = np.argsort(indices)
    numbers, arrays = checked_details(chosen.details, method)
    return Selection(
        indices=indices[ascending],
        scorer=None if method.entry.record.ranks == "none" else scores.scorer,
        selector=method.text,
        keep=float(keep),
        seed=seed,
        size=n,
        weights=None if weights is None else weights[ascending],
        keys=tuple(scores.keys[i] for i in indices[ascending]) if scores.keys else None,
        fingerprint=scores.fingerprint,
        details={**numbers, **arrays},
        cost=account.cost(seconds),
        label_free=not account.reached and bool(scores.label_free),
        oracle=method.oracle,
        hard=None if method.entry.record.ranks == "none" else scores.hard,
    )


def _selector_values(method: Method, scores: Scores, order: np.ndarray, labels: Any, seed: int) -> dict[str, Any]:
    """What a selector may name without a data set, in ``order`` (N,)."""
    hashed = order if {"seeds", "held_out"} & set(method.needs) else ()
    values = _values(method, seed, [scores.keys[i] if scores.keys else f"train:{i}" for i in hashed])
    ordered = replace(scores, keys=None).take(order)
    values |= {"hardness": ordered.hardness, "details": dict(ordered.details)}
    if labels is not None:
        values["labels"] = as_labels(_fitting_array(labels, len(scores), "labels"))[order]
        values["classes"] = tuple(str(c) for c in range(int(values["labels"].max()) + 1))
    return values


def _as_scores(scores: Any, hard: Hard | None, keys: Sequence[str] | None) -> Scores:
    if hard not in (None, "high", "low"):
        raise UserError(f"hard must be 'high' or 'low', got {hard!r}")
    if isinstance(scores, Scores):
        own = tuple(keys) if keys is not None else scores.keys
        return _with_own_keys(replace(scores, hard=hard or scores.hard, keys=own))
    if hard not in ("high", "low"):
        raise UserError("which end of these scores is hard? say hard='high' or 'low' (--hard on the command line)")
    values = as_numpy(scores)
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise UserError(f"scores must be (N,) numbers, got {values.dtype} of shape {values.shape}")
    own = tuple(keys) if keys is not None else None
    return _with_own_keys(Scores(values.astype(np.float64), hard, "given", keys=own))


def _with_own_keys(scores: Scores) -> Scores:
    if scores.keys is not None and not len(scores) == len(scores.keys) == len(set(scores.keys)):
        raise UserError(f"{len(scores)} scores need as many different keys, got {len(set(scores.keys))}")
    return scores


def _given(registry: Any, name: str, value: Any, n: int) -> np.ndarray:
    """An input as it is; a scorer's raw numbers turned by that scorer's own ``hard``."""
    if isinstance(value, Scores):
        refuse_not_finite(value.values)
        return _fitting_array(value.hardness, n, name)
    array = _fitting_array(value, n, name)
    if name in ("hardness", "budget", "details", "labels"):
        raise UserError(f"{name} is not given with `given`: it comes from the scores, keep or `labels`")
    if name in (*VALUES, *FUNCTIONS):
        return array
    if array.ndim != 1:
        raise UserError(f"the scores of {name} must be (N,) numbers, got shape {array.shape}")
    refuse_not_finite(array)
    return array if registry.method("scorer", name).entry.record.hard == "high" else -array


def _fitting_array(value: Any, n: int, name: str, what: str = "scores") -> np.ndarray:
    array = _array(value, name)
    if array.ndim < 1 or len(array) != n:
        raise UserError(f"{name} has shape {array.shape}, there are {n} {what}: one row per example is expected")
    return array


def _array(value: Any, name: str) -> np.ndarray:
    try:
        return as_numpy(value)
    except (ValueError, TypeError) as wrong:
        raise UserError(f"{name} is no array ({str(wrong)[:80]}): give rows of one length") from None
