"""The order in which examples are presented, from one generator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(eq=False)
class Remainder:
    """What is left of passes that follow each other without a gap and are cut into equal batches."""

    waiting: Tensor | None = None  # (n, ...) rows of the last pass that no batch has taken

    def take(self, count: int, next_pass: Callable[[], Tensor]) -> Tensor:
        """The next ``count`` rows; ``next_pass`` is asked for more only when too few are left."""
        rows = next_pass() if self.waiting is None else self.waiting
        while len(rows) < count:
            rows = torch.cat([rows, next_pass()])
        self.waiting = rows[count:]
        return rows[:count]


@dataclass
class Plan:
    """Which batches a training takes, and how long its learning-rate schedule is.

    In ``epochs`` every example is presented exactly once per epoch (one that is alone comes twice in its batch: batch
    normalisation needs two). Otherwise ``steps`` batches of exactly B are cut from a stream of concatenated
    permutations, also when there are fewer than B examples.

    Raises:
        ValueError: no examples, no steps, steps beside epochs, or a schedule shorter than the training.
    """

    k: int  # examples
    batch: int  # B
    steps: int | None = None
    epochs: int | None = None
    schedule_epochs: int | None = None  # longer than ``epochs`` where these cut the schedule short
    total: int = field(init=False)  # steps of this training
    length: int = field(init=False)  # steps of the schedule

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError("there are no examples to train on")
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        if self.steps is not None:
            self.total = self.length = self.steps
        elif self.epochs is not None:
            schedule = self.epochs if self.schedule_epochs is None else self.schedule_epochs
            if schedule < self.epochs:
                raise ValueError(f"{self.epochs} epochs do not fit a schedule of {schedule}")
            self.total = self.epochs * self.per_epoch
            self.length = schedule * self.per_epoch
        if self.total < 1:
            raise ValueError("a training needs at least one step")

    @property
    def per_epoch(self) -> int:
        """Batches in which every example comes once; a last one of a single example joins the one before."""
        full, rest = divmod(self.k, self.batch)
        return max(1, full + (rest > 1))

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, bool]]:
        """(positions (B,), whether an epoch ends with this batch)."""
        return self._stream(generator) if self.epochs is None else self._epochs(generator, self.epochs)

    def _stream(self, generator: torch.Generator) -> Iterator[tuple[Tensor, bool]]:
        rest = Remainder()
        for _ in range(self.total):
            yield rest.take(self.batch, lambda: torch.randperm(self.k, generator=generator)), False

    def _epochs(self, generator: torch.Generator, epochs: int) -> Iterator[tuple[Tensor, bool]]:
        cuts = [self.batch * i for i in range(1, self.per_epoch)]
        for _ in range(epochs):
            order = torch.randperm(self.k, generator=generator)
            parts = order.tensor_split(cuts) if self.k > 1 else (order.repeat(2),)
            for i, positions in enumerate(parts, start=1):
                yield positions, i == len(parts)
