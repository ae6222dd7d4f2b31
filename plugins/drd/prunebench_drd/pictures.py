"""Which pictures are worked on: all of them in blocks, or a few of every class."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from prunebench import UserError

from .task import Task

PER_CLASS, MANY = 20, 400  # of every class, and in all


def in_blocks(
    task: Task, blocks: Callable[..., Tensor], compute: Callable[[Tensor], Tensor], order: Tensor, rows: int, text: str
) -> Tensor:
    """``blocks(compute, order, rows)`` (N,) under a progress display; blocks that stood already are ticked off last.

    Args:
        compute: (rows,) int64 indices -> (rows,) numbers.
        order: (N,) int64, the order of work.
        rows: pictures per block.
        text: what the display says.
    """
    total = -(-len(order) // rows)
    ticks = iter(task.progress(range(total), total, text))

    def ticked(indices: Tensor) -> Tensor:
        next(ticks, None)
        return compute(indices)

    values = blocks(ticked, order=order, rows=rows)
    for _ in ticks:
        pass
    return values


def in_channels_of(model: str, pixels: Tensor, channels: int) -> Tensor:
    """Pictures (B, 3, S, S) uint8 as (B, channels, S, S) in [-1, 1]; a model of one channel is given grey ones.

    Raises:
        UserError: the model has one channel, and a picture more than one colour.
    """
    if channels == 1 and not bool((pixels == pixels[:, :1]).all()):
        raise UserError(
            f"drd: {model} has one channel, for grey pictures, and these have colours, of which it would see the red "
            "alone; give a model of three channels, or train one on this data set: model='own'"
        )
    return (pixels.float() / 127.5 - 1)[:, :channels]


def few_of_every_class(task: Task) -> Tensor:
    """Indices of up to 20 pictures of each class, 400 in all; of more than 200 classes, two of the first 200."""
    classes = task.labels.unique().tolist()[: MANY // 2]
    count = max(2, min(PER_CLASS, MANY // len(classes)))
    return torch.cat([task.class_sample(c, count) for c in classes])
