"""From a scorer to `Scores`: computed once, stored by content."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from ..errors import UserError
from ..harness.reference import refuse_epochs_beyond
from ..harness.shared import Harness
from ..methods import Method
from ..option_files import named_files
from ..store.records import Record, identify, reading
from ..types import Cost, Scored, Scores
from .account import Account, refuse_labels
from .calling import call, checked_details, checked_values
from .given import Evidence


def score(harness: Harness, method: Method, score_seed: int = 0) -> Scores:
    """The scores of ``method`` on the harness's training split, in the data set's own order.

    Raises:
        UserError: what the user must change before anything is computed.
        MethodError: the scorer failed or broke its contract.
    """
    if method.text in harness.scoring:
        raise UserError(f"scores ask for each other in a circle: {' -> '.join([*harness.scoring, method.text])}")
    if (found := standing(harness, method, score_seed)) is None:
        refuse_epochs_beyond(harness.epochs, method)
        found = _made(harness, method, score_seed)
    refuse_labels(harness.track, method.label, () if found.label_free else ("what its record was made from",))
    return found


def standing(harness: Harness, method: Method, score_seed: int) -> Scores | None:
    """The scores where their record stands."""
    for identity in _identities(harness, method, score_seed):
        if (record := harness.store.get("scores", identity)) is not None:
            return read_scores(record, harness.dataset.train.keys)
    return None


def _made(harness: Harness, method: Method, score_seed: int) -> Scores:
    """One process makes a scoring, but for its shards: those work side by side, on blocks of their own."""
    if harness.shard and harness.shard[1] > 1:
        return _compute(harness, method, score_seed)
    with harness.store.lock(identify("scores", _identities(harness, method, score_seed)[-1])):
        return standing(harness, method, score_seed) or _compute(harness, method, score_seed)


def _compute(harness: Harness, method: Method, score_seed: int) -> Scores:
    account = Account(method.label, harness.track, str(harness.device))
    evidence = Evidence(method, account, score_seed, score_seed, harness, ask=ask)
    harness.scoring.append(method.text)
    started = time.perf_counter()
    try:
        found, _ = call(method, evidence)
    finally:
        harness.scoring.pop()
    seconds = time.perf_counter() - started
    scored = found if isinstance(found, Scored) else Scored(found)
    values = checked_values(scored.values, len(harness.train), method)
    return _publish(harness, method, score_seed, account, values[harness.place], scored.details, seconds)


def _publish(
    harness: Harness,
    method: Method,
    score_seed: int,
    account: Account,
    values: np.ndarray,
    details: Mapping[str, Any],
    seconds: float,
) -> Scores:
    record = method.entry.record
    numbers, arrays = checked_details(details, method)
    label_free = not account.reached
    identity = _identity(harness, method, score_seed, label_free)
    result = {
        "dataset": harness.dataset.name,
        "fingerprint": harness.dataset.fingerprint,
        "hard": record.hard,
        "comparable": record.comparable,
        "label_free": label_free,
        "labels_reached_by": account.reached,
        "cost": asdict(account.cost(seconds)),
        "made": account.whole(seconds),
        "details": numbers,
        "per_example": [name for name, a in arrays.items() if a.ndim and len(a) == len(values)],
    }
    for name in result["per_example"]:  # details per example travel in the data set's order too
        arrays[name] = arrays[name][harness.place]
    saved = {"values": values, **{f"details/{name}": array for name, array in arrays.items()}}
    written = harness.store.put("scores", identity, result, arrays=saved, provenance=harness.provenance())
    return read_scores(written, harness.dataset.train.keys)


def read_scores(record: Record, keys: tuple[str, ...] | None = None) -> Scores:
    """A score record as `Scores`; with ``keys`` (N,), those of the examples that it must be of.

    Raises:
        VerifyError: it holds no number for each of them, or says of it what no score record can.
    """
    with reading(record):
        found = _scores(record, keys)
        if found.values.ndim != 1 or found.values.dtype.kind not in "biuf" or not np.isfinite(found.values).all():
            raise ValueError
        if keys is not None and len(keys) != len(found):
            raise ValueError
        if found.hard not in ("high", "low") or found.comparable not in ("set", "class"):
            raise ValueError
    return found


def _scores(record: Record, keys: tuple[str, ...] | None) -> Scores:
    result = record.result
    details = dict(result["details"])
    for name, array in record.arrays.items():
        if name.startswith("details/"):
            details[name.removeprefix("details/")] = array
    return Scores(
        values=record.arrays["values"],
        hard=result["hard"],
        scorer=record.identity["method"]["text"],
        comparable=result["comparable"],
        keys=keys,
        fingerprint=record.identity["data"],  # of the pictures alone where no label was reached
        details=details,
        cost=Cost(**result["cost"]),
        label_free=result["label_free"],
        id=record.id,
    )


def ask(harness: Harness, text: str, score_seed: int) -> tuple[np.ndarray, Record]:
    """What a method gets when it asks for another scorer: hardness in the harness's order, and the record."""
    found = score(harness, harness.registry.method("scorer", text), score_seed)
    record = harness.store.by_id("scores", str(found.id))
    assert record is not None
    return found.hardness[harness.order], record


def _identities(harness: Harness, method: Method, score_seed: int) -> list[dict[str, Any]]:
    """Where scores may stand: under the pictures' fingerprint if no label was reached, else under the labels' too."""
    possible = {"yes": [True], "no": [False], "depends": [True, False]}[method.label_free]
    return [_identity(harness, method, score_seed, label_free) for label_free in possible]


def _identity(harness: Harness, method: Method, score_seed: int, label_free: bool) -> dict[str, Any]:
    data = harness.dataset
    return {
        **harness.conditions(),
        "data": data.images_fingerprint if label_free else data.fingerprint,
        "method": method.identity,
        "reference": harness.reference_conditions(),
        "score_seed": score_seed,
        "files": named_files(method),
        "budget": list(harness.budget) if "judge" in method.needs else None,
    }
