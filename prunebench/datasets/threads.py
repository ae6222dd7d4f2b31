"""Work on many files by a pool of threads; how many there are never changes a result."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

BLOCK = 64  # items that one thread does at a time


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """As many threads as there are cores for this process, at most 8: decoding releases the interpreter lock."""
    return min(8, cores())


def each(step: Callable[[Any], T], items: Sequence[Any], workers: int) -> list[T]:
    """[step(item) for item in items] on ``workers`` threads; the first failing item raises, whatever the timing."""
    rows = min(BLOCK, -(-len(items) // (4 * workers)))
    blocks = [items[i : i + rows] for i in range(0, len(items), max(1, rows))]
    if workers == 1 or len(blocks) < 2:
        return [step(item) for item in items]
    with ThreadPoolExecutor(min(workers, len(blocks))) as pool:
        try:
            done = list(pool.map(lambda block: [step(item) for item in block], blocks))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [result for block in done for result in block]
