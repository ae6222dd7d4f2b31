"""Scores and selections outside a run, of arrays and data sets."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import registry as plugins
from .account import Account
from .arrays import as_labels, as_numpy
from .budgets import budget_for
from .calling import call, call_selector, checked_details, checked_values
from .datasets.given import dataset_of
from .errors import UserError
from .evidence import Evidence
from .harness import Harness, silent, temporary_store
from .methods import FUNCTIONS, VALUES, Method
from .scoring import score as score_in
from .seeds import example_seeds, held_out, key_order
from .selecting import fitting, refuse_not_finite
from .store import Store
from .types import Dataset, Hard, Scored, Scores, Selection


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

    With ``data=None`` everything the scorer names must be in ``given``. Without ``store`` what is made on the way lives
    in a temporary one.

    Raises:
        UserError: something the scorer asks for is not there; it is named.
    """
    registry = plugins.installed()
    method = registry.method("scorer", scorer)
    if data is None:
        return _score_given(method, dict(given or {}), seed, keys)
    dataset = data if isinstance(data, Dataset) else dataset_of(data, labels, classes, keys)
    place = store if isinstance(store, Store) else Store(store) if store else temporary_store()
    harness = Harness(
        dataset, place, registry, reference=reference, reference_epochs=reference_epochs, device_name=device
    )
    return score_in(harness, method, seed)


def _score_given(method: Method, given: dict[str, Any], seed: int, keys: Sequence[str] | None) -> Scores:
    n = _length_of(given)
    names = tuple(keys) if keys is not None else tuple(f"train:{i}" for i in range(n))
    values = _values(method, seed, names) | {k: v for k, v in given.items() if k in ("history", "labels")}
    rest = {k: v for k, v in given.items() if k not in values}
    account = Account(method.label)
    started = time.perf_counter()
    found, _ = call(method, Evidence(method, account, seed, seed, given=rest, values=values))
    scored = found if isinstance(found, Scored) else Scored(found)
    numbers, arrays = checked_details(scored.details, method)
    return Scores(
        values=checked_values(scored.values, n, method),
        hard=method.entry.record.hard,
        scorer=method.text,
        comparable=method.entry.record.comparable,
        keys=tuple(keys) if keys is not None else None,
        details={**numbers, **arrays},
        cost=account.cost(time.perf_counter() - started),
        label_free=not account.reached,
    )


def _length_of(given: Mapping[str, Any]) -> int:
    for name, value in given.items():
        shape = np.shape(next(iter(value.values()))) if isinstance(value, Mapping) else np.shape(value)
        if shape:
            return shape[-1] if name == "history" else shape[0]
    raise UserError("with data=None, `given` must hold the arrays that the scorer names")


def _values(method: Method, seed: int, keys: Sequence[str]) -> dict[str, Any]:
    import torch

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


def _fitting_array(value: Any, n: int, name: str) -> np.ndarray:
    array = as_numpy(value)
    if array.ndim < 1 or len(array) != n:
        raise UserError(f"{name} has shape {array.shape}, there are {n} scores: one row per example is expected")
    return array
