"""Calling a method: it is given what it names, timed, and held to its contract."""

from __future__ import annotations

import random
import time
import traceback
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..arrays import as_numpy
from ..errors import MethodError, PrunebenchError, Terminated, kind_and_text
from ..harness.shared import plain_numbers
from ..harness.surroundings import as_it_was
from ..methods import Method
from ..portable import expanded
from ..seeds import global_rng
from ..types import Chosen
from .blocks import ShardDone
from .given import Evidence


def call(method: Method, evidence: Evidence) -> tuple[Any, float]:
    """(what the method returned, seconds). Its inputs and the global generators are as they were before.

    Raises:
        MethodError: it raised or exited, changed an input, or drew from a global generator.
    """
    started = time.perf_counter()
    given = {name: as_given(evidence.give(name)) for name in method.inputs if name != "inner"}
    if "inner" in method.inputs:
        given["inner"] = lambda indices, budget: _inner(method, evidence, indices, budget)
    before = {name: _checksum(value) for name, value in given.items()}
    with global_rng(), as_it_was() as altered:
        state = _rng_state()
        with evidence.account.metered():
            found = _guarded(method, given)
        drew = _rng_state() != state
    changed = [name for name, value in given.items() if _checksum(value) != before[name]]
    if changed:
        raise MethodError(f"{_who(method)} changed its input {changed[0]}: copy it first (its number was thrown away)")
    if altered:
        raise MethodError(f"{_who(method)} changed {altered[0]} of the process: put back what you change")
    if drew:
        raise MethodError(f"{_who(method)} drew from a global random generator: name `generator` and draw from that")
    return found, time.perf_counter() - started


def _guarded(method: Method, given: Mapping[str, Any]) -> Any:
    function = method.entry.function()
    try:
        return function(**given, **expanded(method.options))
    except PrunebenchError:
        raise
    except (ShardDone, KeyboardInterrupt, Terminated):
        raise
    except BaseException as failure:
        told = f"exited ({failure.code})" if isinstance(failure, SystemExit) else kind_and_text(failure)
        error = MethodError(f"{_who(method)} failed: {told}")
        error.add_note("".join(traceback.format_exception(failure)))
        raise error from failure


def call_selector(method: Method, evidence: Evidence, n: int, budget: int) -> tuple[Chosen, float]:
    """(indices (k,) int64 as returned, with weights (k,) float64 or None, and details; seconds).

    A combinator that gives no weights of its own hands on those of what stands inside; an example that did not come
    from there weighs 1.

    Raises:
        MethodError: as `call`, or the indices or weights are not what they must be.
    """
    found, seconds = call(method, evidence)
    chosen = found if isinstance(found, Chosen) else Chosen(found)
    indices = checked_indices(chosen.indices, n, budget, method)
    weights = checked_weights(chosen.weights, budget, method)
    if weights is None and evidence.inner_weights:
        weights = np.array([evidence.inner_weights.get(i, 1.0) for i in indices.tolist()])
    return Chosen(indices, weights, chosen.details), seconds


def _inner(method: Method, evidence: Evidence, indices: Any, budget: int) -> torch.Tensor:
    """What stands inside a combinator, on some examples; positions come back in the outer numbering."""
    assert method.inner is not None
    rows = np.sort(np.asarray(indices, dtype=np.int64))
    found, _ = call_selector(method.inner, evidence.inner(rows, method.inner, int(budget)), len(rows), int(budget))
    chosen = rows[found.indices]
    if found.weights is not None:
        evidence.inner_weights.update(zip(chosen.tolist(), found.weights.tolist(), strict=True))
    return torch.from_numpy(chosen)


def checked_values(found: Any, n: int, method: Method) -> np.ndarray:
    """(N,) float64, finite.

    Raises:
        MethodError: another length, not numbers, or a value that is not finite; the first one is named.
    """
    values = as_numpy(found)
    if values.shape != (n,) or values.dtype.kind not in "biuf":
        raise MethodError(
            f"{_who(method)} returned {values.dtype} values of shape {values.shape}, expected ({n},) numbers"
        )
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        first = int(np.flatnonzero(~np.isfinite(values))[0])
        raise MethodError(f"{_who(method)} gave {values[first]} to example {first}: every score must be finite")
    return values


def checked_indices(found: Any, n: int, budget: int, method: Method) -> np.ndarray:
    """(k,) int64 as returned: exactly ``budget`` distinct positions in 0..n-1.

    Raises:
        MethodError: anything else.
    """
    indices = as_numpy(found)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise MethodError(
            f"{_who(method)} returned {indices.dtype} values of shape {indices.shape}, expected ({budget},) integers"
        )
    if len(indices) != budget:
        raise MethodError(f"{_who(method)} kept {len(indices)} examples, the budget is {budget}")
    if len(indices) and not (indices.min() >= 0 and indices.max() < n):
        raise MethodError(f"{_who(method)} kept position {indices.max()}, positions go from 0 to {n - 1}")
    if len(np.unique(indices)) != budget:
        raise MethodError(f"{_who(method)} kept an example twice: its {budget} positions must be distinct")
    return indices.astype(np.int64)


def checked_details(details: Mapping[str, Any], method: Method) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """As `plain_numbers`.

    Raises:
        MethodError: something that is neither number, text nor array.
    """
    try:
        return plain_numbers(details)
    except (TypeError, ValueError) as wrong:
        raise MethodError(f"{_who(method)} told {wrong}") from None


def checked_weights(weights: Any, budget: int, selector: Method) -> np.ndarray | None:
    """(k,) float64, finite and not negative, or None.

    Raises:
        MethodError: anything else.
    """
    if weights is None:
        return None
    found = as_numpy(weights).astype(np.float64)
    if found.shape != (budget,) or not np.isfinite(found).all() or (found < 0).any() or not found.sum() > 0:
        raise MethodError(f"{_who(selector)} returned weights that are not {budget} finite numbers >= 0 with a sum > 0")
    return found


def _who(method: Method) -> str:
    plugin = method.entry.plugin
    return f"{method.label} ({plugin.distribution} {plugin.version})"


def as_given(value: Any) -> Any:
    """Arrays as tensors; everything else as it is."""
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def _checksum(value: Any) -> int | None:
    if isinstance(value, Mapping):
        return hash(tuple((name, _checksum(as_given(v))) for name, v in value.items()))
    if isinstance(value, torch.Tensor):
        plain: Any = np.ascontiguousarray(value.detach().cpu().numpy()).reshape(-1).view(np.uint8)
        return zlib.crc32(plain)
    return None


def _rng_state() -> tuple[Any, ...]:
    numpy_state: Any = np.random.get_state()
    cuda = [s.numpy().tobytes() for s in torch.cuda.get_rng_state_all()] if torch.cuda.is_available() else []
    return (
        random.getstate(),
        numpy_state[1].tobytes(),
        numpy_state[2:],
        torch.get_rng_state().numpy().tobytes(),
        *cuda,
    )
