"""What a recording of one's own loop is made of: the epoch under way, and what scorers remember of those before."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import registry as plugins
from .. import spec
from ..arrays import as_numpy
from ..errors import MethodError, PrunebenchError, UserError, kind_and_text
from ..harness.watching import Watched, watched
from ..methods import Method
from ..training.recorder import WatchedRow

LOGGED = {"history", "labels", "seeds", "held_out", "device", "progress", "generator"}  # what a log can give


class Watch:
    """One scorer that will be asked for: its statistics, and its stream where it has one."""

    def __init__(self, method: Method, n: int) -> None:
        self.method, self.statistics = method, statistics_of(method)
        self.stream: Any = None
        if (fn := getattr(method.entry.record, "stream", None)) is None:
            return
        try:
            self.stream = spec.resolve(fn)(n, **method.options)
        except UserError:
            raise
        except Exception as failure:
            raise MethodError(f"the stream of {method.label} cannot be made: {kind_and_text(failure)}") from failure
        for name in ("add", "values", "state"):
            if not hasattr(self.stream, name):
                raise MethodError(f"the stream of {method.label} has no {name!r}: see docs/recorder.md for what it has")

    def add(self, rows: Mapping[str, Tensor], epoch: int) -> None:
        """The epoch's rows (N,), by statistic."""
        if self.stream is None:
            return
        mine = {name: rows[name].float() for name in self.statistics}
        row = mine if isinstance(self.method.entry.record.watch, tuple) else next(iter(mine.values()))
        try:
            self.stream.add(row, epoch)
        except UserError:
            raise
        except Exception as failure:
            raise MethodError(f"the stream of {self.method.label} failed: {kind_and_text(failure)}") from failure


class OpenEpoch:
    """The epoch under way, at one of its two moments."""

    def __init__(self, at: str, statistics: Mapping[str, Watched], n: int) -> None:
        self.at, self.n, self.seen = at, n, torch.zeros(n, dtype=torch.bool)
        self.watched = [WatchedRow(name, w.fn) for name, w in statistics.items() if w.at == at]
        self.previous: Tensor | None = None  # (N, C) logits of the epoch before, then of this one

    def record(self, places: Tensor, logits: Tensor, labels: Tensor, epoch: int) -> None:
        """One batch: positions (B,) on the CPU, logits (B, C), labels (B,)."""
        z = logits.float()  # before any softmax
        previous = self._previous(places, z)
        for row in self.watched:
            row.record(places.to(z.device), z, labels, previous if epoch else None, self.n)
        self.seen[places] = True

    def _previous(self, places: Tensor, z: Tensor) -> Tensor | None:
        if not self.wants_previous:
            return None
        if self.previous is None:
            self.previous = _in_a_file((self.n, z.shape[1]))
        before = self.previous[places].to(z.device)
        self.previous[places] = z.cpu()
        return before

    @property
    def wants_previous(self) -> bool:
        return any(row.wants_previous for row in self.watched)

    def refuse_missing(self, epoch: int) -> None:
        """Raises:
        UserError: an example did not come; where nothing was evaluated at all, that is nothing.
        """
        missing = int((~self.seen).sum()) if self.watched else 0
        if missing and (self.at == "presentation" or missing < self.n):
            first, told = _first(~self.seen), "presented" if self.at == "presentation" else "evaluated"
            raise UserError(
                f"epoch {epoch}: example {first} was not {told} ({missing} of {self.n} were not): tell every batch, "
                "and leave none out (drop_last=False)"
            )

    def rows(self) -> Iterator[tuple[str, Tensor]]:
        """(N,) of each statistic, on the CPU; NaN where it was not taken."""
        for row in self.watched:
            taken = row.values is not None and bool(self.seen.any())
            yield row.name, row.values.cpu().clone() if taken and row.values is not None else _nothing(self.n)

    def state(self) -> dict[str, Tensor]:
        """Seen or not, and the values of those seen; the same names and shapes whatever was told."""
        found = {f"seen/{self.at}": self.seen}
        for row in self.watched:
            values = torch.zeros(self.n, dtype=row.dtype) if row.values is None else row.values.cpu()
            found[f"values/{row.name}"] = values.masked_fill(~self.seen, 0)
        return found

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.seen = state[f"seen/{self.at}"].clone()
        kept = state.get(f"previous/{self.at}")
        self.previous = None if kept is None else _in_a_file(tuple(kept.shape)).copy_(kept)
        for row in self.watched:
            row.values = state[f"values/{row.name}"].clone() if self.seen.any() else None

    def take_up(self, theirs: Mapping[str, Tensor], repeats: str, epoch: int) -> None:
        """What another rank was told in the same epoch."""
        seen = theirs[f"seen/{self.at}"]
        if repeats == "refuse" and bool((both := self.seen & seen).any()):
            raise UserError(
                f"example {_first(both)} came on two ranks in epoch {epoch}: give each rank other examples, or say "
                'repeats="first" where the sampler pads'
            )
        new = seen & ~self.seen
        for row in self.watched:
            mine = torch.zeros(self.n, dtype=row.dtype) if row.values is None else row.values.cpu()
            row.values = torch.where(new, theirs[f"values/{row.name}"], mine)
        self.seen = self.seen | seen


def _in_a_file(shape: tuple[int, ...]) -> Tensor:
    """(N, C) float32 in a temporary file without a name, so that nothing is left behind."""
    with tempfile.TemporaryFile() as file:
        return torch.from_numpy(np.memmap(file, np.float32, "w+", shape=shape))


def _nothing(n: int) -> Tensor:
    return torch.full((n,), float("nan"))


def _first(where: Tensor) -> int:
    return int(where.to(torch.uint8).argmax())


# -- scorers ----------------------------------------------------------------------------------------------------------


def methods_of(watch: str | Sequence[str] | None, epochs: int | None) -> list[Method]:
    """The scorers named, or all that need the history of training only and have a stream.

    Raises:
        UserError: one that logits cannot tell, or that asks for more epochs than there will be.
    """
    registry = plugins.installed()
    if watch is not None:
        if not isinstance(watch, (str, Iterable)):
            raise UserError(f"watch takes texts of scorers, such as ('aum', 'el2n(epoch=5)'), got {watch!r}")
        texts = (watch,) if isinstance(watch, str) else tuple(watch)
        methods = {m.text: m for m in (registry.method("scorer", text) for text in texts)}
        if not methods:
            raise UserError("watch names no scorer: name one, such as 'aum', or leave it out for all")
        for method in methods.values():
            refuse_unfit(method)
            _refuse_beyond(method, epochs)
        return list(methods.values())
    found = []
    for key in sorted(registry.entries["scorer"]):
        try:
            method = registry.method("scorer", key)
            refuse_unfit(method)
            light = Watch(method, 1).stream is not None and not _wants_previous(method)
        except PrunebenchError:  # it cannot be watched here; whoever names it is told why
            continue
        if light:
            found.append(method)
    return found


def refuse_unfit(method: Method) -> None:
    """Raises:
    UserError: the scorer needs more than one training's logits.
    """
    if "history" not in method.inputs or (more := [name for name in method.inputs if name not in LOGGED]):
        needs = f"needs {', '.join(more)}" if "history" in method.inputs else "watches no training"
        raise UserError(f"{method.label} {needs}: logits alone cannot tell it; give pb.score a data set")
    if (runs := method.options.get("runs", 1)) != 1:
        raise UserError(
            f"{method.label} asks for {runs} trainings, a recorder holds one: leave runs out, and take the mean of the "
            "scores of several recorders"
        )


def _refuse_beyond(method: Method, epochs: int | None) -> None:
    for name in ("epoch", "epochs"):
        asked = method.options.get(name)
        if isinstance(asked, float) or (isinstance(asked, int) and asked < 1):
            raise UserError(f"{method.label}: {name} counts finished epochs, as a whole number from 1 on, got {asked}")
        if epochs is not None and isinstance(asked, int) and asked > epochs:
            raise UserError(f"{method.label} asks for {name}={asked}, the recorder is told of {epochs}: change one")


def statistics_of(method: Method) -> dict[str, Watched]:
    record, entry = method.entry.record, method.entry
    return watched(record.watch, record.watch_at, entry.key, entry.definition)


def _wants_previous(method: Method) -> bool:
    return any(WatchedRow(name, w.fn).wants_previous for name, w in statistics_of(method).items())


# -- states -----------------------------------------------------------------------------------------------------------


def refuse_incomplete(state: Mapping[str, Any], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raises:
    UserError: a tensor is not there, is none, or has another shape than ``expected`` by name.
    """
    for name, shape in sorted(expected.items()):
        found = state.get(name)
        if not isinstance(found, Tensor) or tuple(found.shape) != tuple(shape):
            raise UserError(f"the state of the recorder is incomplete ({name}): save it again")


# -- batches ----------------------------------------------------------------------------------------------------------


def checked_batch(indices: Any, logits: Any, labels: Any, n: int, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Positions (B,) int64 on the CPU; logits (B, C) float32 and labels (B,) int64 where the logits are.

    Raises:
        UserError: they do not fit each other, ``n`` examples, or the ``classes`` of the batches before (0: none yet).
    """
    places, z = np.atleast_1d(as_numpy(_tensor(indices, "indices"))), _tensor(logits, "logits")
    y, count = _tensor(labels, "labels").to(z.device), len(places)
    if places.ndim != 1 or (count and places.dtype.kind not in "iu"):
        raise UserError(f"indices must be (B,) integers, got {places.dtype} of shape {places.shape}")
    if z.ndim != 2 or len(z) != count or z.shape[1] < 2 or z.shape[1] != (classes or z.shape[1]):
        raise UserError(f"logits must be ({count}, {classes or 'C'}) for {count} indices, got shape {tuple(z.shape)}")
    if y.shape != (count,) or y.dtype == torch.bool or y.is_floating_point() or y.is_complex():
        raise UserError(f"labels must be ({count},) integers, got {y.dtype} of shape {tuple(y.shape)}")
    if z.is_complex() or z.dtype == torch.bool:
        raise UserError(f"logits must be real numbers, got {z.dtype}")
    z, y = z.float(), y.long()
    if not bool(torch.isfinite(z).all()):
        raise UserError("the logits hold a value that is no finite number: did the training diverge?")
    if count and not 0 <= places.min() <= places.max() < n:
        wrong = places.max() if places.max() >= n else places.min()
        raise UserError(f"index {wrong} is out of range: this recorder is for positions 0 to {n - 1}")
    if count and not 0 <= int(y.min()) <= int(y.max()) < z.shape[1]:
        raise UserError(f"labels must lie in 0..{z.shape[1] - 1}, got {int(y.min())}..{int(y.max())}")
    return torch.from_numpy(places.astype(np.int64)), z, y


def _tensor(values: Any, name: str) -> Tensor:
    try:
        return torch.as_tensor(values).detach()
    except (TypeError, ValueError, RuntimeError):
        kind = type(values).__name__
        raise UserError(f"{name} must be a tensor or an array of numbers, which this {kind} is not") from None


def refuse_repeated(places: Tensor, seen: Tensor, epoch: int) -> None:
    """Raises:
    UserError: an example of the batch came before in this epoch, or comes twice in it.
    """
    again = places[seen[places]]
    if not again.numel():
        ordered = places.sort().values
        again = ordered[1:][ordered[1:] == ordered[:-1]]
    if again.numel():
        raise UserError(
            f"example {int(again[0])} came twice in epoch {epoch}: tell each example once an epoch, by its position in "
            "the data set, and call end_epoch() after each epoch"
        )


def refuse_relabelled(places: Tensor, known: Tensor, now: Tensor) -> None:
    """Raises:
    UserError: an example has another label than before.
    """
    other = (known >= 0) & (known != now)
    if bool(other.any()):
        i = _first(other)
        raise UserError(
            f"example {int(places[i])} had the label {int(known[i])} before and has {int(now[i])} now: are these "
            "positions in the data set, and not in the batch or the shuffled order?"
        )


def refuse_unevaluated(method: Method, statistics: Mapping[str, Watched], values: Any) -> None:
    """Raises:
    UserError: what is not finite is a statistic of an evaluation that was never told.
    """
    if any(w.at == "epoch_end" for w in statistics.values()) and not all(
        np.isfinite(as_numpy(v)).all() for v in values
    ):
        raise UserError(
            f"{method.label} is measured in evaluation mode, after an epoch that was not evaluated: call "
            "evaluated(indices, logits, labels) on all examples before that epoch's end_epoch()"
        )
