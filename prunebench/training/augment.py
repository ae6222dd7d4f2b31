"""Random shift and flip of a whole batch at once, on the device the batch lies on.

A shifted picture is (x'[r, c]) = x[reflect(r + dr), reflect(c + dc)], dr and dc uniform in -shift..shift: the same as a
random crop after reflection padding. A flip mirrors the columns first, with probability 1/2.
"""

from __future__ import annotations

import torch
from torch import Tensor


def augment(x: Tensor, generator: torch.Generator, *, shift: int = 0, flip: bool = False) -> Tensor:
    """(B, 3, S, S) -> (B, 3, S, S), any dtype; the same draws on every device.

    Args:
        x: pictures, left unchanged.
        generator: a CPU generator; one call draws 3 B numbers, or none when there is nothing to do.
        shift: largest shift in px, smaller than S.
        flip: mirror half of the pictures.
    """
    if not shift and not flip:
        return x
    B, channels, S = x.shape[0], x.shape[1], x.shape[-1]
    down, right = torch.randint(-shift, shift + 1, (2, B, 1), generator=generator)
    mirrored = torch.randint(0, 2, (B, 1), generator=generator).bool() & flip
    place = torch.arange(S)
    rows = reflect(place + down, S)  # (B, S)
    columns = reflect(place + right, S)
    columns = torch.where(mirrored, S - 1 - columns, columns)
    source = (rows[:, :, None] * S + columns[:, None, :]).view(B, 1, S * S)
    source = source.to(x.device, non_blocking=True).expand(B, channels, S * S)
    return x.reshape(B, channels, S * S).gather(2, source).view_as(x)


def reflect(place: Tensor, size: int) -> Tensor:
    """Positions outside 0..size-1 mirrored at the border, which is not repeated: -1 -> 1, size -> size - 2."""
    return (size - 1) - ((size - 1) - place.abs()).abs()
