"""Selections outside a run: of scores computed anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .. import registry as plugins
from ..arrays import as_labels, as_numpy
from ..budgets import budget_for
from ..errors import UserError
from ..evidence.account import Account
from ..evidence.calling import call_selector, checked_details
from ..evidence.given import Evidence
from ..evidence.selecting import fitting, refuse_not_finite
from ..methods import Method
from ..seeds import key_order
from ..types import Hard, Scores, Selection
from .given import fitting_array, given_to_selector, plain_values


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
    rest = {name: given_to_selector(registry, name, value, n)[order] for name, value in (given or {}).items()}
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
    values = plain_values(method, seed, [scores.keys[i] if scores.keys else f"train:{i}" for i in hashed])
    ordered = replace(scores, keys=None).take(order)
    values |= {"hardness": ordered.hardness, "details": dict(ordered.details)}
    if labels is not None:
        values["labels"] = as_labels(fitting_array(labels, len(scores), "labels"))[order]
        values["classes"] = tuple(str(c) for c in range(int(values["labels"].max()) + 1))
    return values


def _as_scores(scores: Any, hard: Hard | None, keys: Sequence[str] | None) -> Scores:
    if hard not in (None, "high", "low"):
        raise UserError(f"hard must be 'high' or 'low', got {hard!r}")
    if isinstance(scores, Scores):
        own = tuple(keys) if keys is not None else scores.keys
        if scores.hard not in ("high", "low"):
            raise UserError(f"the scores say that {scores.hard!r} is hard: it must be 'high' or 'low'")
        if hard not in (None, scores.hard):
            raise UserError(f"the scores say themselves that {scores.hard} is hard: leave out hard={hard!r}")
        if scores.keys is not None and own != tuple(scores.keys):
            raise UserError("the scores have keys of their own: leave out keys")
        return _with_own_keys(replace(scores, keys=own))
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
