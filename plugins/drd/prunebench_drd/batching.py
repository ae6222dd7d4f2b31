"""Network calls of a bounded size, which halve themselves when memory does not suffice."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

log = logging.getLogger("prunebench_drd")


def network_rows(elements: int) -> int:
    """Pictures per network call, by the numbers in one of them: 1024 for 8x8 grey, 85 for 64x64 RGB."""
    return max(1, min(1024, 2**20 // elements))


def picture_rows(side: int) -> int:
    """Pictures per call of a VAE, whose activations are at picture size: 16 of 256 px, 256 of 64 px."""
    return max(1, 2**20 // side**2)


class Room:
    """What memory was found to hold: a number of rows that did not fit once is not tried again in calls of its kind."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}

    def in_rows(self, kind: str, compute: Callable[..., Tensor], rows: int, *tensors: Tensor) -> Tensor:
        """``compute(*tensors)`` by parts of at most ``rows`` along the first dimension, joined again.

        A part for which memory does not suffice is halved, and so are those after it.

        Raises:
            torch.OutOfMemoryError: not even one row fits.
        """
        found, start, total = [], 0, len(tensors[0])
        rows = min(rows, self.rows.get(kind, rows))
        while start < total:
            part = [tensor[start : start + rows] for tensor in tensors]
            try:
                found.append(compute(*part))
            except torch.OutOfMemoryError:
                if rows == 1:
                    raise
                rows = self.rows[kind] = max(1, min(rows, total - start) // 2)
                log.warning("drd: memory does not suffice, going on with %d rows per network call", rows)
                torch.cuda.empty_cache()
                continue
            start += rows
        return torch.cat(found)


def in_rows(compute: Callable[..., Tensor], rows: int, *tensors: Tensor) -> Tensor:
    """`Room.in_rows` of a call that is made once."""
    return Room().in_rows("", compute, rows, *tensors)
