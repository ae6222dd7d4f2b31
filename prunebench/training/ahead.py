"""Batches made ahead: the next ones are decoded in a thread while the network is busy with this one."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

AHEAD = 2  # batches that may wait


class Ahead:
    """``make(rows)``, most of it done already where the batches are asked for in the order ``expected``.

    Any other batch is made when it is asked for, and the expected ones go on to wait for their turn: what comes back
    depends on ``rows`` alone. An error of ``make`` is raised where its batch is asked for.
    """

    def __init__(self, make: Callable[[Tensor], Tensor], expected: Iterable[Tensor]) -> None:
        self.make, self.expected = make, iter(expected)
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="prunebench-ahead")
        self.waiting: deque[tuple[Tensor, Future[Tensor]]] = deque()
        weakref.finalize(self, self.pool.shutdown, wait=False, cancel_futures=True)
        self._go_on()

    def __call__(self, rows: Tensor) -> Tensor:
        if not self.waiting or not torch.equal(rows, self.waiting[0][0]):
            return self.make(rows)
        _, made = self.waiting.popleft()
        self._go_on()
        return made.result()

    def _go_on(self) -> None:
        while len(self.waiting) < AHEAD and (rows := next(self.expected, None)) is not None:
            self.waiting.append((rows, self.pool.submit(self.make, rows)))
