"""What is given beside data or instead of them: arrays of N examples, other scorers' numbers, names of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..arrays import as_labels, as_numpy
from ..errors import UserError
from ..evidence.selecting import refuse_not_finite
from ..harness.shared import silent
from ..harness.watching import watched
from ..methods import FUNCTIONS, VALUES, Method
from ..seeds import example_seeds, held_out
from ..types import Scores

GIVEN = ("history", "features", "embeddings", "labels", "classes")  # what a scorer may be given beside others' scores


def length_of(given: Mapping[str, Any]) -> int:
    """N, by the arrays that the scorer names, and by the labels only where there are none."""
    for name, value in sorted(given.items(), key=lambda item: item[0] == "labels"):
        if name == "classes":
            continue
        first = next(iter(value.values()), ()) if isinstance(value, Mapping) else value
        shape = (len(first),) if isinstance(first, Scores) else _array(first, name).shape
        if shape:
            return shape[-1] if name == "history" else shape[0]
    raise UserError("with data=None, `given` must hold the arrays that the scorer names")


def given_to_scorer(registry: Any, method: Method, name: str, value: Any, n: int, order: np.ndarray) -> Any:
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
        return as_labels(fitting_array(value, n, name, "examples"))[order]
    if name not in GIVEN:
        return given_to_selector(registry, name, value, n)[order]
    array = fitting_array(value, n, name, "examples")
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


def given_to_selector(registry: Any, name: str, value: Any, n: int) -> np.ndarray:
    """An input as it is; a scorer's raw numbers turned by that scorer's own ``hard``."""
    if isinstance(value, Scores):
        refuse_not_finite(value.values)
        return fitting_array(value.hardness, n, name)
    array = fitting_array(value, n, name)
    if name in ("hardness", "budget", "details", "labels"):
        raise UserError(f"{name} is not given with `given`: it comes from the scores, keep or `labels`")
    if name in (*VALUES, *FUNCTIONS):
        return array
    if array.ndim != 1 or array.dtype.kind not in "biuf":
        raise UserError(f"the scores of {name} must be (N,) numbers, got {array.dtype} of shape {array.shape}")
    refuse_not_finite(array)
    array = array.astype(np.float64)
    return array if registry.method("scorer", name).entry.record.hard == "high" else -array


def fitting_array(value: Any, n: int, name: str, what: str = "scores") -> np.ndarray:
    array = _array(value, name)
    if array.ndim < 1 or len(array) != n:
        raise UserError(f"{name} has shape {array.shape}, there are {n} {what}: one row per example is expected")
    return array


def _array(value: Any, name: str) -> np.ndarray:
    try:
        return as_numpy(value)
    except (ValueError, TypeError) as wrong:
        raise UserError(f"{name} is no array ({str(wrong)[:80]}): give rows of one length") from None


def plain_values(method: Method, seed: int, keys: Sequence[str]) -> dict[str, Any]:
    found = {"device": torch.device("cpu"), "progress": silent}
    if "seeds" in method.needs:
        found["seeds"] = example_seeds(method.entry.record.name, seed, keys)
    if "held_out" in method.needs:
        found["held_out"] = held_out(keys)
    return found
