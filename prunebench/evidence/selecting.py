"""From `Scores` and a selector to a `Selection` of exactly k examples."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from ..budgets import budget_for
from ..errors import UserError
from ..harness.shared import Harness
from ..harness.trials import Selected, content_of
from ..methods import Method
from ..option_files import named_files
from ..registry import Registry
from ..store.records import Record, identify, reading
from ..types import Cost, Scores, Selection
from .account import Account, refuse_labels
from .calling import call_selector, checked_details
from .given import Evidence
from .scoring import ask

SUBSET = "subset"  # stands for a method in the record of an index file


def keep_index_file(harness: Harness, selection: Selection) -> Record:
    """The record of an index file that somebody brought: its trials name its content, so others need the positions."""
    keys = harness.dataset.train.keys
    saved = {"indices": selection.indices, "keys": np.array([keys[i] for i in selection.indices])}
    if selection.weights is not None:
        saved["weights"] = selection.weights
    result = {
        **{"dataset": harness.dataset.name, "fingerprint": harness.dataset.fingerprint, "size": selection.size},
        **{"scorer": None, "label_free": False, "labels_reached_by": [], "cost": asdict(selection.cost), "details": {}},
    }
    identity = {
        **{"data": harness.dataset.fingerprint, "content": content_of(selection)},
        **{"method": {"text": SUBSET}, "keep": float(selection.keep), "seed": 0},
    }
    return harness.store.put("selections", identity, result, arrays=saved, provenance=harness.provenance())


def fitting(registry: Registry, selector: Method, comparable: str) -> Method:
    """The selector as it meets scores: one that ranks the set works per class where scores compare only there."""
    if comparable == "class" and selector.entry.record.ranks == "set":
        per_class = registry.method("selector", "per_class(random)")
        return replace(per_class, inner=selector)
    return selector


def select(
    harness: Harness, scores: Scores | None, selector: Method, keep: float, seed: int, score_seed: int
) -> Selection:
    """The selection of one seed; ``scores`` is None for a selector that does not rank.

    Raises:
        UserError: keep lies outside (0, 1], or the scores are of another data set.
        MethodError: the selector failed or broke its contract.
    """
    if scores is not None:
        refuse_other_data(scores, harness)
    try:
        budget_for(keep, len(harness.train))
    except ValueError as wrong:
        raise UserError(str(wrong)) from None
    if (found := standing(harness, scores, selector, keep, seed, score_seed)) is None:
        with harness.store.lock(identify("selections", _identity(harness, scores, selector, keep, seed, score_seed))):
            found = standing(harness, scores, selector, keep, seed, score_seed)
            found = found or _compute(harness, scores, selector, keep, seed, score_seed)
    refuse_labels(harness.track, selector.label, () if found.label_free else ("what its record was made from",))
    return found


def standing(
    harness: Harness, scores: Scores | None, selector: Method, keep: float, seed: int, score_seed: int
) -> Selection | None:
    """The selection where its record stands."""
    record = harness.store.get("selections", _identity(harness, scores, selector, keep, seed, score_seed))
    return read_selection(record) if record else None


def identified(
    harness: Harness, scores: Scores | None, selector: Method, keep: float, seed: int, score_seed: int
) -> Selected:
    """The record that `select` leaves, whether it stands or not."""
    identity = _identity(harness, scores, selector, keep, seed, score_seed)
    return Selected(identify("selections", identity), budget_for(keep, len(harness.train)))


def refuse_other_data(scores: Scores, harness: Harness) -> None:
    """Scores must be finite and of this data set.

    Raises:
        UserError: they are not.
    """
    if len(scores) != len(harness.train):
        raise UserError(
            f"{len(scores)} scores do not fit {harness.dataset.name}, which has {len(harness.train)} examples"
        )
    data = harness.dataset
    here = (data.images_fingerprint, data.fingerprint) if scores.label_free else (data.fingerprint,)
    if scores.fingerprint is not None and scores.fingerprint not in here:
        raise UserError(
            f"these scores of {scores.scorer} are of another data set than {data.name}, or its files have changed "
            f"since (fingerprint {scores.fingerprint[:12]}, here {here[0][:12]}): score this one"
        )
    refuse_not_finite(scores.values)


def refuse_not_finite(values: np.ndarray) -> None:
    """Raises:
    UserError: a score is not finite; the first one is named.
    """
    if not np.isfinite(values).all():
        first = int(np.flatnonzero(~np.isfinite(values))[0])
        raise UserError(f"the score of example {first} is {values[first]}: every score must be finite")


def _compute(
    harness: Harness, scores: Scores | None, selector: Method, keep: float, seed: int, score_seed: int
) -> Selection:
    n = len(harness.train)
    budget = budget_for(keep, n)
    account = Account(selector.label, harness.track, str(harness.device))
    values: dict[str, Any] = {"budget": budget}
    if scores is not None:
        ordered = scores.take(harness.order)
        values |= {"hardness": ordered.hardness, "details": ordered.details}
    evidence = Evidence(selector, account, seed, score_seed, harness, values=values, keep=keep, ask=ask)
    chosen, seconds = call_selector(selector, evidence, n, budget)
    weights = chosen.weights
    indices = harness.order[chosen.indices]
    ascending = np.argsort(indices)
    numbers, arrays = checked_details(chosen.details, selector)
    saved = {
        "indices": indices[ascending],
        "keys": np.array([harness.dataset.train.keys[i] for i in indices[ascending]]),
    }
    if weights is not None:
        saved["weights"] = weights[ascending]
    result = {
        "dataset": harness.dataset.name,
        "fingerprint": harness.dataset.fingerprint,
        "size": n,
        "scorer": scores.scorer if scores else None,
        "label_free": not account.reached and (scores is None or bool(scores.label_free)),
        "labels_reached_by": account.reached,
        "cost": asdict(account.cost(seconds)),
        "details": numbers,
        **({"oracle": True} if selector.oracle else {}),
    }
    record = harness.store.put(
        "selections",
        _identity(harness, scores, selector, keep, seed, score_seed),
        result,
        arrays={**saved, **{f"details/{name}": array for name, array in arrays.items()}},
        provenance=harness.provenance(),
    )
    return read_selection(record)


def _identity(
    harness: Harness, scores: Scores | None, selector: Method, keep: float, seed: int, score_seed: int
) -> dict[str, Any]:
    return {
        **harness.conditions(),
        "data": harness.dataset.fingerprint,
        "scores": _scores_identity(scores),
        "method": selector.identity,
        "files": named_files(selector),
        "keep": float(keep),
        "seed": seed,
        "score_seed": score_seed,
        "reference": harness.reference_conditions(),
        "budget": list(harness.budget) if "judge" in selector.needs else None,
    }


def _scores_identity(scores: Scores | None) -> Any:
    if scores is None or scores.id:
        return scores.id if scores else None
    from ..harness.shared import hash_array

    return {"values": hash_array(scores.values), "hard": scores.hard}


def read_selection(record: Record) -> Selection:
    """A selection record as `Selection`.

    Raises:
        VerifyError: its positions are no selection of as many examples as it says.
    """
    with reading(record):
        found = _selection(record)
        indices, many = found.indices, (len(found.indices),)
        if indices.ndim != 1 or indices.dtype != np.int64 or (np.diff(indices) <= 0).any():
            raise ValueError
        if many[0] and not 0 <= indices[0] <= indices[-1] < found.size:
            raise ValueError
        if len(found.keys or ()) != many[0] or (found.weights is not None and found.weights.shape != many):
            raise ValueError
    return found


def _selection(record: Record) -> Selection:
    result, arrays = record.result, record.arrays
    details = dict(result["details"])
    details |= {name.removeprefix("details/"): a for name, a in arrays.items() if name.startswith("details/")}
    return Selection(
        indices=arrays["indices"],
        scorer=result["scorer"],
        selector=record.identity["method"]["text"],
        keep=record.identity["keep"],
        seed=record.identity["seed"],
        size=result["size"],
        weights=arrays.get("weights"),
        keys=tuple(str(key) for key in arrays["keys"]),
        fingerprint=result["fingerprint"],
        details=details,
        cost=Cost(**result["cost"]),
        label_free=result["label_free"],
        id=record.id,
        oracle=result.get("oracle", False),
    )
