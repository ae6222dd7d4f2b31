"""The check of a scorer's stream: told one epoch at a time, it gives what the method gives the whole history.

It is seen on drawn logits, for trainings of several lengths, asked for in between, and written down and brought back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arrays import as_numpy
from ..errors import UserError
from ..interop.recorded import recorded_history
from ..interop.streams import LOGGED, Watch, statistics_of
from ..methods import Method
from .drawn import DRAWN, values_in, world

STREAM = "its stream gives what it gives"
LENGTHS = (30, 12, 3, 1)  # E of the trainings; where the method refuses one, so must the stream
EXAMPLES = 40


def stream_checks(method: Method) -> Iterator[tuple[str, Callable[[], None] | str]]:
    """The check of a scorer's stream, or why it does not apply."""
    if method.entry.record.stream is None:
        yield STREAM, "its record declares none"
        return
    more = next((name for name in method.needs if name not in LOGGED or name not in DRAWN), "")
    yield STREAM, f"it names {more}, which a recorder does not have" if more else lambda: stream_gives_the_same(method)


def stream_gives_the_same(method: Method) -> None:
    """The stream of one run says bit for bit what the method says of the history (1, E, N).

    Raises:
        AssertionError: it does not, its state grows or forgets, or it tells numbers where the method refuses.
    """
    if method.options.get("runs", 1) != 1:
        method = replace(method, options={**method.options, "runs": 1})
    for seed, epochs in enumerate(LENGTHS):
        here = world(seed, EXAMPLES, epochs=epochs)
        logits = torch.from_numpy(here.logits).transpose(0, 1)[None]
        history = recorded_history(method, logits, torch.from_numpy(here.labels))
        by_name = history if isinstance(history, dict) else {next(iter(statistics_of(method))): history}
        rows = [{name: each[0, e] for name, each in by_name.items()} for e in range(epochs)]
        try:
            expected = values_in(here, method, seed)
        except UserError:
            _refuses(method, rows)
            continue
        told = f"of a training of {epochs} epochs it says other numbers than the method: the same operations, in order"
        assert np.array_equal(_told(method, rows), expected), told
        forgets = "brought back from its state, or asked for in between, it says other numbers: keep all in `state`"
        assert np.array_equal(_told(method, rows, stop=(epochs + 1) // 2), expected), forgets


def _told(method: Method, rows: Sequence[Mapping[str, Tensor]], stop: int = 0) -> np.ndarray:
    """(N,) after all epochs; after ``stop`` of them it is asked for, and another stream goes on from its state."""
    watch = Watch(method, EXAMPLES)
    shapes = _shapes(watch.stream.state)
    for epoch, row in enumerate(rows):
        if stop and epoch == stop:
            watch = _brought_back(method, watch, epoch)
        watch.add({name: values.clone() for name, values in row.items()}, epoch)
    assert _shapes(watch.stream.state) == shapes, (
        "its state grows or changes its names: it is made with all it will hold"
    )
    return as_numpy(watch.stream.values(len(rows))).astype(np.float64)


def _brought_back(method: Method, watch: Watch, epochs: int) -> Watch:
    """A new stream with the state of another, which is asked for its values before, as a user may."""
    with suppress(UserError):  # too early
        watch.stream.values(epochs)
    again = Watch(method, EXAMPLES)
    for name, tensor in again.stream.state.items():
        tensor.copy_(watch.stream.state[name])
    return again


def _shapes(state: Any) -> dict[str, tuple[int, ...]]:
    told = f"its state must be a dictionary of tensors (..., N), got {type(state).__name__}"
    assert isinstance(state, Mapping) and all(isinstance(tensor, Tensor) for tensor in state.values()), told
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wrong = next((name for name, shape in found.items() if shape[-1:] != (EXAMPLES,)), None)
    assert wrong is None, f"{wrong} of its state must be (..., N), and is {found[wrong or '']} for {EXAMPLES} examples"
    return found


def _refuses(method: Method, rows: Sequence[Mapping[str, Tensor]]) -> None:
    try:
        _told(method, rows)
    except UserError:
        return
    raise AssertionError(
        f"of a training of {len(rows)} epochs it tells numbers where the method refuses: raise the same UserError"
    )
