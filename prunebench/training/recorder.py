"""Recording a reference training: one number per example, epoch and statistic, with one epoch in memory at a time.

A statistic is a function (logits, labels[, previous]) -> (B,), watched either as the examples are presented
(augmented, training mode, before the update) or at the end of each epoch (evaluation mode, no augmentation). An example
takes four bytes a statistic, one where the values are small whole numbers (`statistics.WHOLE`), and one a moment, to
see that it came exactly once: 31 for the standard statistics. Finished epochs are appended to ``.npy`` files of shape
(E, N) float32, which are whole when the last epoch is; a row is written block by block, never copied whole. A recording
that was killed goes on from `Recorder.state` and what is `Recorder.written`.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..arrays import npy_header
from ..errors import MethodError
from ..seeds import global_rng
from .statistics import STANDARD, WHOLE, At, Statistic

BLOCK = 2**16  # values written at a time

_TRUSTED = {fn for fn, _ in STANDARD.values()}


class Recorder:
    """Records ``statistics`` over ``epochs`` epochs of ``n`` examples into ``folder``.

    Args:
        statistics: name -> (function, "presentation" or "epoch_end").
        n: N, examples presented in each epoch; positions are 0..N-1.
        epochs: E.
        folder: where the (E, N) float32 files go; ``files`` maps each name to its path.
    """

    def __init__(self, statistics: Mapping[str, tuple[Statistic, At]], n: int, epochs: int, folder: str | Path) -> None:
        self.n, self.epochs, self.epoch = n, epochs, 0
        self.folder = Path(folder)
        self._watched = {
            at: [WatchedRow(name, fn) for name, (fn, when) in statistics.items() if when == at]
            for at in ("presentation", "epoch_end")
        }
        self._seen = {at: torch.zeros(n, dtype=torch.uint8) for at, watched in self._watched.items() if watched}
        self._previous: dict[str, np.ndarray] = {}
        self.files = {name: self.folder / f"{_file_name(name)}.npy" for name in statistics}
        if len(set(self.files.values())) < len(self.files):
            raise ValueError(f"two statistics would share a file: {', '.join(statistics)}")
        self._rows: dict[str, _Rows] = {}

    @property
    def at_epoch_end(self) -> bool:
        """Whether an evaluation pass is needed after each epoch."""
        return bool(self._watched["epoch_end"])

    def presented(self, positions: Tensor, logits: Tensor, labels: Tensor) -> None:
        """One batch as trained on: positions (B,) in 0..N-1, logits (B, C) in any precision, labels (B,)."""
        self._record("presentation", positions, logits, labels)

    def evaluated(self, positions: Tensor, logits: Tensor, labels: Tensor) -> None:
        """One batch of the evaluation pass after an epoch."""
        self._record("epoch_end", positions, logits, labels)

    def finish_epoch(self) -> None:
        """Append the epoch's rows to the files.

        Raises:
            ValueError: an example was not presented exactly once, or all epochs are recorded already.
        """
        if self.epoch == self.epochs:
            raise ValueError(f"all {self.epochs} epochs are recorded already")
        if self.epoch == 0:
            header = npy_header((self.epochs, self.n), "<f4")
            self._rows = {name: _Rows(path, header) for name, path in self.files.items()}
        for at, seen in self._seen.items():
            fewest, most = seen.aminmax()
            if not fewest == most == 1:
                worst = int((seen != 1).to(torch.uint8).argmax())
                raise ValueError(
                    f"epoch {self.epoch}: example {worst} came {int(seen[worst])} times at {at}; each must come once"
                )
            seen.zero_()
            for watched in self._watched[at]:
                for values in watched.row(self.n):
                    self._rows[watched.name].write(values)
        self.epoch += 1

    def close(self) -> dict[str, Path]:
        """Close the files and return them by statistic.

        Raises:
            ValueError: fewer than E epochs were recorded.
        """
        for rows in self._rows.values():
            rows.file.close()
        self._previous.clear()
        if self.epoch != self.epochs:
            raise ValueError(f"{self.epoch} of {self.epochs} epochs were recorded")
        return self.files

    # -- going on after a kill ----------------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """The epoch that is being recorded, as it stands; finished ones are what is `written`."""
        found = {"epoch": torch.tensor(self.epoch)}
        found |= {f"seen/{at}": seen for at, seen in self._seen.items()}
        found |= {f"previous/{at}": torch.from_numpy(previous) for at, previous in self._previous.items()}
        found |= {f"values/{watched.name}": watched.values for watched in self._each() if watched.values is not None}
        return found

    def written(self) -> dict[Path, tuple[int, str]]:
        """Of each file: how many bytes are safely on the disk, and their SHA-256."""
        return {rows.path: rows.synced() for rows in self._rows.values()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state` whose `written` bytes are still there; what was appended since is dropped."""
        self.epoch = int(state["epoch"])
        for at, seen in self._seen.items():
            seen.copy_(state[f"seen/{at}"])
            if f"previous/{at}" in state:
                self._previous[at] = self._map_previous(state[f"previous/{at}"].shape)
                self._previous[at][:] = state[f"previous/{at}"].numpy()
        for watched in self._each():
            watched.values = state[f"values/{watched.name}"].clone() if f"values/{watched.name}" in state else None
        if self.epoch:
            length = len(npy_header((self.epochs, self.n), "<f4")) + self.epoch * self.n * 4
            self._rows = {name: _Rows.standing(path, length) for name, path in self.files.items()}

    def _each(self) -> Iterator[WatchedRow]:
        return (watched for each in self._watched.values() for watched in each)

    def _record(self, at: At, positions: Tensor, logits: Tensor, labels: Tensor) -> None:
        if not self._watched[at]:
            return
        positions = positions.cpu()
        self._seen[at].index_add_(0, positions, torch.ones(len(positions), dtype=torch.uint8))
        logits = logits.detach().float()  # (B, C), before any softmax
        labels = labels.to(logits.device)
        previous = self._previous_logits(at, positions, logits)
        where = positions.to(logits.device)
        for watched in self._watched[at]:
            watched.record(where, logits, labels, previous if self.epoch else None, self.n)

    def _previous_logits(self, at: At, positions: Tensor, logits: Tensor) -> Tensor | None:
        """Logits of the same examples one epoch ago, from one temporary (N, C) file, where this epoch's then go."""
        if not any(watched.wants_previous for watched in self._watched[at]):
            return None
        if at not in self._previous:
            self._previous[at] = self._map_previous((self.n, logits.shape[1]))
        rows = positions.numpy()
        previous = torch.from_numpy(self._previous[at][rows]).to(logits.device)
        self._previous[at][rows] = logits.cpu().numpy()
        return previous

    def _map_previous(self, shape: tuple[int, ...]) -> np.ndarray:
        with tempfile.TemporaryFile(dir=self.folder) as file:  # has no name, so nothing is left behind
            if hasattr(os, "posix_fallocate"):  # writing to a map of a file that has no room ends the process
                os.posix_fallocate(file.fileno(), 0, max(1, 4 * shape[0] * shape[1]))
            return np.memmap(file, np.float32, "w+", shape=shape)


class WatchedRow:
    """One statistic and its row of the current epoch, kept on the device of the logits."""

    def __init__(self, name: str, fn: Statistic) -> None:
        self.name, self.fn, self.trusted = name, fn, fn in _TRUSTED
        self.wants_previous = not self.trusted and "previous" in inspect.signature(fn).parameters
        self.dtype = torch.uint8 if fn in WHOLE else torch.float32
        self.values: Tensor | None = None  # (N,)

    def record(self, where: Tensor, logits: Tensor, labels: Tensor, previous: Tensor | None, n: int) -> None:
        if self.wants_previous and previous is None:  # epoch 0: the column stays NaN
            return
        if self.values is None:
            self.values = torch.empty(n, dtype=self.dtype, device=logits.device)  # every place is seen, or refused
        self.values = self.values.to(logits.device)  # one that was restored
        value = self.fn(logits, labels) if self.trusted else self._guarded(logits, labels, previous)
        self.values[where] = value.to(self.dtype)

    def row(self, n: int) -> Iterator[bytes]:
        """The epoch's (N,) little-endian float32, block by block."""
        for first in range(0, n, BLOCK):
            if self.values is None:
                block = np.full(min(BLOCK, n - first), np.nan, np.float32)
            else:
                block = self.values[first : first + BLOCK].cpu().numpy()
            yield block.astype("<f4", copy=False).tobytes()

    def _guarded(self, logits: Tensor, labels: Tensor, previous: Tensor | None) -> Tensor:
        """A plugin's function gets copies and its own random state, so that it cannot change the training."""
        arguments = (logits.clone(), labels.clone(), *((previous,) if self.wants_previous else ()))
        try:
            with global_rng(), torch.no_grad():
                value = torch.as_tensor(self.fn(*arguments), device=logits.device)
        except Exception as error:
            raise MethodError(f"the watched statistic {self.name} failed: {type(error).__name__}: {error}") from error
        if value.shape != labels.shape:
            raise MethodError(
                f"the watched statistic {self.name} must return one number per example, shape {tuple(labels.shape)}, "
                f"and returned shape {tuple(value.shape)}"
            )
        return value.detach().float()


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]", "-", name)


class _Rows:
    """A file that is appended to, and the SHA-256 of what it holds."""

    def __init__(self, path: Path, header: bytes = b"") -> None:
        path.unlink(missing_ok=True)  # one that was killed left it, and it may be published by now
        self.path, self.file, self.digest, self.length = path, path.open("wb"), hashlib.sha256(), 0
        self.write(header)

    @classmethod
    def standing(cls, path: Path, length: int) -> _Rows:
        """To go on after the first ``length`` bytes of a file, in a copy: it may be published by now."""
        rows = cls(path.with_suffix(".part"))
        with path.open("rb") as stream:
            while values := stream.read(min(4 * BLOCK, length - rows.length)):
                rows.write(values)
        rows.synced()
        rows.path = rows.path.replace(path)
        return rows

    def write(self, values: bytes) -> None:
        self.file.write(values)
        self.digest.update(values)
        self.length += len(values)

    def synced(self) -> tuple[int, str]:
        self.file.flush()
        os.fsync(self.file.fileno())
        return self.length, self.digest.hexdigest()
