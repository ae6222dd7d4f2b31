"""What a record's ``watch`` stands for: named statistics with the moment they are taken and their definition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import spec
from ..errors import MethodError
from ..training import statistics


@dataclass(frozen=True)
class Watched:
    """A statistic of (logits, labels[, previous logits]), recorded once per example and epoch."""

    fn: Callable[..., Any]
    at: statistics.At
    definition: int | str


STANDARD = {name: Watched(fn, at, statistics.DEFINITIONS[name]) for name, (fn, at) in statistics.STANDARD.items()}


def watched(watch: Any, at: statistics.At, key: str, definition: int | str) -> dict[str, Watched]:
    """By name: standard ones as they are, a plugin's own under ``key`` with the record's ``definition``.

    Raises:
        MethodError: an unknown name, or a lazy reference that cannot be resolved.
    """
    if watch == () or watch is None:
        return {}
    if isinstance(watch, tuple):
        return {name: w for part in watch for name, w in watched(part, at, key, definition).items()}
    if isinstance(watch, str) and watch in STANDARD:
        return {watch: STANDARD[watch]}
    if isinstance(watch, str) and ":" not in watch:
        raise MethodError(f"{key} watches {watch!r}, which is no standard statistic{spec.near(watch, STANDARD)}")
    try:
        fn = spec.resolve(watch)
    except (ImportError, LookupError) as missing:
        raise MethodError(f"{key} watches {watch!r}, which cannot be loaded: {missing}") from None
    return {f"{key}:{fn.__name__}": Watched(fn, at, definition)}
