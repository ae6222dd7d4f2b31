"""A batch that does not fit in a device's memory is taken in parts, and their gradients added up.

    grad (1/B) sum_i w_i loss_i  =  sum over parts P of  grad (1/B) sum_{i in P} w_i loss_i

The parts are halved until they fit, and stay so for the rest of the training. Batch normalisation sees each part by
itself, and averages its running statistics once per part: the same result within tolerance, which the record tells as
``batch_parts``. Only the device's own error counts: a machine without memory left is not helped by smaller parts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from itertools import groupby

import torch
from torch import Tensor, nn

from ..errors import CellError

log = logging.getLogger("prunebench")


class Parts:
    """How many parts the batches of one training are taken in: one, until memory runs out."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.count, self.device = 1, device
        buffers = sorted(network.buffers(), key=lambda b: str(b.dtype))
        self._buffers = [(list(alike), [b.clone() for b in alike]) for alike in _alike(buffers)]

    def __call__(self, rows: int, compute: Callable[[slice], tuple[Tensor, ...]], begin: Callable[[], None]) -> list:
        """The results of ``compute`` for each part of ``rows``; before each attempt ``begin`` is called.

        An attempt that did not fit leaves nothing behind: buffers and generators are brought back.

        Raises:
            CellError: two examples do not fit.
        """
        while True:
            states = self._keep()
            begin()
            try:
                return [compute(part) for part in self._slices(rows)]
            except torch.OutOfMemoryError as full:
                told = " ".join(str(full).split())[:200]
            self._bring_back(*states)  # here, where nothing holds the attempt's tensors any more
            self._halve(rows, told)

    def _slices(self, rows: int) -> Iterable[slice]:
        count = max(1, min(self.count, rows // 2))  # batch normalisation needs two
        cuts = [rows * i // count for i in range(count + 1)]
        return map(slice, cuts, cuts[1:])

    def _halve(self, rows: int, told: str) -> None:
        if rows // (2 * self.count) < 2:
            at_a_time = -(-rows // self.count)
            raise CellError(
                f"the memory of {self.device} is too small for {at_a_time} pictures at a time ({told}): take a smaller "
                "model or --image-size, or a device that nobody else is using"
            )
        self.count *= 2
        log.warning("a batch of %d does not fit in the memory of %s: taken in %d parts", rows, self.device, self.count)

    def _keep(self) -> tuple[Tensor, Tensor | None]:
        for buffers, kept in self._buffers:
            torch._foreach_copy_(kept, buffers)
        cuda = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        return torch.get_rng_state(), cuda

    def _bring_back(self, cpu: Tensor, cuda: Tensor | None) -> None:
        for buffers, kept in self._buffers:
            torch._foreach_copy_(buffers, kept)
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda, self.device)
            torch.cuda.empty_cache()


def _alike(buffers: list[Tensor]) -> Iterable[list[Tensor]]:
    return (list(same) for _, same in groupby(buffers, key=lambda b: b.dtype))
