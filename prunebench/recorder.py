"""Recording a reference training: one number per example, epoch and statistic, with one epoch in memory at a time.

A statistic is a function (logits, labels[, previous]) -> (B,), watched either as the examples are presented
(augmented, training mode, before the update) or at the end of each epoch (evaluation mode, no augmentation). An example
takes four bytes a statistic, one where the values are small whole numbers (`statistics.WHOLE`), and one a moment, to
see that it came exactly once: 31 for the standard statistics. Finished epochs are appended to ``.npy`` files of shape
(E, N) float32, which are whole when the last epoch is; a row is written block by block, never copied whole.
"""

from __future__ import annotations

import inspect
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from .errors import MethodError
from .seeds import global_rng
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
            at: [_Watched(name, fn) for name, (fn, when) in statistics.items() if when == at]
            for at in ("presentation", "epoch_end")
        }
        self._seen = {at: torch.zeros(n, dtype=torch.uint8) for at, watched in self._watched.items() if watched}
        self._previous: dict[str, np.ndarray] = {}
        self.files = {name: self.folder / f"{_file_name(name)}.npy" for name in statistics}
        if len(set(self.files.values())) < len(self.files):
            raise ValueError(f"two statistics would share a file: {', '.join(statistics)}")
        self._open = {name: _begin(path, (epochs, n)) for name, path in self.files.items()}

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
                    self._open[watched.name].write(values)
        self.epoch += 1

    def close(self) -> dict[str, Path]:
        """Close the files and return them by statistic.

        Raises:
            ValueError: fewer than E epochs were recorded.
        """
        for file in self._open.values():
            file.close()
        self._previous.clear()
        if self.epoch != self.epochs:
            raise ValueError(f"{self.epoch} of {self.epochs} epochs were recorded")
        return self.files

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
            with tempfile.TemporaryFile(dir=self.folder) as file:  # has no name, so nothing is left behind
                if hasattr(os, "posix_fallocate"):  # writing to a map of a file that has no room ends the process
                    os.posix_fallocate(file.fileno(), 0, max(1, 4 * self.n * logits.shape[1]))
                self._previous[at] = np.memmap(file, np.float32, "w+", shape=(self.n, logits.shape[1]))
        rows = positions.numpy()
        previous = torch.from_numpy(self._previous[at][rows]).to(logits.device)
        self._previous[at][rows] = logits.cpu().numpy()
        return previous


class _Watched:
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


def _begin(path: Path, shape: tuple[int, int]) -> IO[bytes]:
    file = path.open("wb")
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file
