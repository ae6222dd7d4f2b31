"""How fast this machine runs a denoiser: measured on random input, in a given time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from prunebench import UserError

from .denoisers import Denoiser
from .estimate import Rates


def calibrate(
    denoiser: Denoiser,
    shape: tuple[int, ...],
    rows: int,
    device: torch.device,
    seconds: float = 10.0,
    clock: Callable[[], float] = time.perf_counter,
) -> Rates:
    """Measure what this device does with this denoiser on random input, in about ``seconds``.

    Half of the time goes to the network, a quarter each to encoding and decoding. Batches start at one picture and
    double towards ``rows``, no further than the time allows: where even one call of one picture takes longer than
    its share, two such calls are made all the same.

    Args:
        shape: of one z, (channels, height, width).
        rows: pictures per network call in the scoring.
        clock: seconds, growing.

    Raises:
        UserError: no row, or no time.
    """
    if rows < 1 or not seconds > 0:
        raise UserError(f"drd: calibrating needs at least one row and some seconds, got {rows!r} and {seconds!r}")
    generator = torch.Generator().manual_seed(0)
    side = int(getattr(denoiser, "size", shape[-1]))
    z = torch.randn(rows, *shape, generator=generator).to(device)
    t = torch.tensor([(len(denoiser.abar) - 1) // 2], device=device)
    c = torch.zeros(1, dtype=torch.int64, device=device)
    pixels = torch.randint(256, (rows, 3, side, side), generator=generator, dtype=torch.uint8).to(device)

    def measured(call: Callable[[Tensor], Any], given: Tensor, share: float) -> float:
        return pictures_per_second(call, given, share * seconds, clock)

    with torch.inference_mode():
        return Rates(
            evaluations=measured(lambda x: denoiser.predict_noise(x, t, c), z, 1 / 2),
            encode=1 / measured(denoiser.encode, pixels, 1 / 4),
            decode=1 / measured(denoiser.decode, z, 1 / 4),
        )


def pictures_per_second(
    call: Callable[[Tensor], Any], given: Tensor, seconds: float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Pictures (B, ...) a second through ``call``, at B or the largest batch that time and memory allow.

    Raises:
        torch.OutOfMemoryError: not even one picture fits.
    """
    limit, deadline = len(given), clock() + seconds

    def once(rows: int) -> float:
        start = clock()
        call(given[:rows])
        if given.is_cuda:
            torch.cuda.synchronize(given.device)
        return max(clock() - start, 1e-9)

    once(1)  # whatever the first call sets up is not measured
    rows, rates = 1, [1 / once(1)]
    while True:
        took, left = rows / rates[-1], deadline - clock()
        larger = min(2 * rows, limit)
        if larger > rows and took * larger / rows <= left:
            try:
                rates, rows = [larger / once(larger)], larger
            except torch.OutOfMemoryError:
                limit = rows
        elif took <= left:
            rates.append(rows / once(rows))
        else:
            return statistics.median(rates[1:] or rates)  # the first of a size is slower: new buffers
