"""Scores of training dynamics from one epoch at a time, without the history that they are scores of.

A stream is made of (N, options of the method). `add` is given the row of every epoch e = 0, 1, .. of one run, (N,)
float32 on the CPU, or a dictionary of rows where the record watches several statistics; `values` tells after E epochs,
bit for bit, what the method says of the history (1, E, N): the same operations in the same order. ``state`` is all that
it remembers, tensors (..., N) by name, so that it can be written down and brought back.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .dynamics import at_epoch, first_epochs, window_moments
from .forgetting import refuse_unknown
from .least_confidence import least_confidence
from .tdds import tdds

Row = Any  # (N,) float32, or a dictionary of such


def _recorded(epochs: int) -> Tensor:
    """A history of so many epochs and no example: what checks of options ask."""
    return torch.empty(1, epochs, 0)


class Total:
    """sum_e x_e: `correctness` and `accumulated_margin` of one run."""

    def __init__(self, examples: int) -> None:
        self.state = {"total": torch.zeros(examples, dtype=torch.float64)}

    def add(self, row: Row, epoch: int) -> None:
        self.state["total"] += row

    def values(self, epochs: int) -> Tensor:
        return self.state["total"].clone()


class Mean:
    """1/T sum_{e<T} x_e: `aum`, where T is E, and `confidence`."""

    def __init__(self, examples: int, *, epochs: int | None = None) -> None:
        self.epochs = epochs
        self.state = {"total": torch.zeros(examples, dtype=torch.float64)}

    def add(self, row: Row, epoch: int) -> None:
        if self.epochs is None or epoch < self.epochs:
            self.state["total"] += row

    def values(self, epochs: int) -> Tensor:
        return self.state["total"] / first_epochs(_recorded(epochs), self.epochs, window=1, shortest=1)


class AtEpoch:
    """The row of one epoch, the last one for None: `el2n`, `entropy`, `loss` and `margin`."""

    def __init__(self, examples: int, *, epoch: int | None = None, runs: int = 1) -> None:
        self.epoch = epoch
        self.state = {"row": torch.zeros(examples)}

    def add(self, row: Row, epoch: int) -> None:
        if self.epoch in (None, epoch + 1):
            self.state["row"].copy_(row)

    def values(self, epochs: int) -> Tensor:
        at_epoch(_recorded(epochs), self.epoch)  # refuses an epoch that is not there
        return at_epoch(self.state["row"][None, None], None)


class LeastConfidence:
    """`least_confidence` at one epoch, the last one for None."""

    def __init__(self, examples: int, *, epoch: int | None = None) -> None:
        self.epoch = epoch
        self.state = {name: torch.zeros(examples) for name in ("true_probability", "probability_margin")}

    def add(self, row: Row, epoch: int) -> None:
        if self.epoch in (None, epoch + 1):
            for name, kept in self.state.items():
                kept.copy_(row[name])

    def values(self, epochs: int) -> Tensor:
        at_epoch(_recorded(epochs), self.epoch)
        return least_confidence({name: kept[None, None] for name, kept in self.state.items()})


class Forgetting:
    """`forgetting` events, with those that are never learned."""

    def __init__(self, examples: int, *, never_learned: str = "max") -> None:
        refuse_unknown(never_learned)
        self.never_learned = never_learned
        self.state = {
            "events": torch.zeros(examples, dtype=torch.int32),
            "before": torch.zeros(examples, dtype=torch.bool),
            "learned": torch.zeros(examples, dtype=torch.bool),
        }

    def add(self, row: Row, epoch: int) -> None:
        now = row > 0.5
        self.state["events"] += self.state["before"] & ~now
        self.state["learned"] |= now
        self.state["before"].copy_(now)

    def values(self, epochs: int) -> Tensor:
        events = self.state["events"].double()
        return events.masked_fill(~self.state["learned"], epochs) if self.never_learned == "max" else events


class FirstLearned:
    """`first_learned`: presentations before the first correct one."""

    def __init__(self, examples: int) -> None:
        self.state = {
            "wrong_so_far": torch.ones(examples, dtype=torch.bool),
            "count": torch.zeros(examples, dtype=torch.int32),
        }

    def add(self, row: Row, epoch: int) -> None:
        self.state["wrong_so_far"] &= row <= 0.5
        self.state["count"] += self.state["wrong_so_far"]

    def values(self, epochs: int) -> Tensor:
        return self.state["count"].double()


class PresentationsToLearn:
    """`presentations_to_learn`: the last wrong presentation."""

    def __init__(self, examples: int) -> None:
        self.state = {"last_wrong": torch.zeros(examples, dtype=torch.int32)}

    def add(self, row: Row, epoch: int) -> None:
        self.state["last_wrong"][row <= 0.5] = epoch + 1

    def values(self, epochs: int) -> Tensor:
        return self.state["last_wrong"].double()


class Windows:
    """What every J consecutive rows of the first T say, added up; the last J rows are remembered."""

    shortest = 2

    def __init__(self, examples: int, *, window: int = 10, epochs: int | None = None) -> None:
        self.window, self.epochs = window, epochs
        self.state = {
            "rows": torch.zeros(max(window, 1), examples),
            "total": torch.zeros(examples, dtype=torch.float64),
        }

    def add(self, row: Row, epoch: int) -> None:
        if self.window < self.shortest or (self.epochs is not None and epoch >= self.epochs):
            return
        rows, place = self.state["rows"], epoch % self.window
        rows[place] = row
        if epoch + 1 >= self.window:  # the oldest one stands after the newest
            ordered = torch.cat([rows[place + 1 :], rows[: place + 1]])
            self.state["total"] += self.inside(ordered, epoch + 1 - self.window)

    def inside(self, rows: Tensor, k: int) -> Tensor:
        """Of the window k = 0, 1, ..: rows (J, N) -> (N,) float64."""
        raise NotImplementedError

    def values(self, epochs: int) -> Tensor:
        counted = first_epochs(_recorded(epochs), self.epochs, self.window, self.shortest)
        return self.state["total"] / (counted - self.window + 1)


class DynUnc(Windows):
    """`dyn_unc`: sigma_k."""

    def inside(self, rows: Tensor, k: int) -> Tensor:
        ((_, squares),) = window_moments(rows, self.window)
        return (squares / (self.window - 1)).sqrt()


class Dual(Windows):
    """`dual`: (1 - mu_k) sigma_k."""

    def __init__(self, examples: int, *, epochs: int | None = 30, window: int = 10) -> None:
        super().__init__(examples, window=window, epochs=epochs)

    def inside(self, rows: Tensor, k: int) -> Tensor:
        ((mean, squares),) = window_moments(rows, self.window)
        return (1 - mean) * (squares / (self.window - 1)).sqrt()


class Tdds(Windows):
    """`tdds`: g (1-g)^{T-J-k} R_k. The weight of a window counts from the end, so T must be known from the start."""

    shortest = 3

    def __init__(self, examples: int, *, window: int = 10, epochs: int = 10, decay: float = 0.9) -> None:
        super().__init__(examples, window=window, epochs=epochs)
        self.last, self.decay = epochs, decay

    def inside(self, rows: Tensor, k: int) -> Tensor:
        ((_, squares),) = window_moments(rows[1:], self.window - 1)  # the first divergence of a window is not counted
        return self.decay * (1 - self.decay) ** (self.last - self.window - k) * squares.sqrt()

    def values(self, epochs: int) -> Tensor:
        tdds(_recorded(epochs), window=self.window, epochs=self.epochs, decay=self.decay)  # refuses what does not fit
        return self.state["total"].clone()
