"""The account that evidence keeps of one method: what it called, what that cost, whether it reached labels."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from .errors import MethodError
from .seeds import global_rng
from .types import Cost


@dataclass(eq=False)
class Account:
    """Kept per call of a method; a combinator and what stands inside it share one."""

    method: str
    track: str = "open"
    device: str = "cpu"
    reached: list[str] = field(default_factory=list)  # the roads to labels that were taken
    shared: dict[str, tuple[float, int, int]] = field(default_factory=dict)  # id -> seconds, forward, backward
    away: float = 0.0  # seconds spent inside the harness's functions
    depth: int = 0

    def reach_labels(self, road: str) -> None:
        """Note that labels were reached.

        Raises:
            MethodError: on the label-free track.
        """
        refuse_labels(self.track, self.method, [road])
        if road not in self.reached:
            self.reached.append(road)

    def charge(self, id: str, seconds: float, forward: int = 0, backward: int = 0) -> None:
        """Charge a shared thing at what making it cost, once, however often it is asked for."""
        self.shared[id] = (seconds, forward, backward)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Time spent in here is the harness's, and is charged at what its result cost when it was made."""
        with self.making(), global_rng():  # what libraries draw in here is not the method's doing
            yield

    @contextmanager
    def making(self) -> Iterator[None]:
        """As `inside`, for what the method itself makes and stores: its draws from global generators are its own."""
        self.depth += 1
        started = time.perf_counter()
        try:
            yield
        finally:
            self.depth -= 1
            if self.depth == 0:
                self.away += time.perf_counter() - started

    def cost(self, seconds: float, evaluations: int = 0) -> Cost:
        """After ``seconds`` here: alone, the method would have paid all that it shared."""
        own = max(0.0, seconds - self.away)
        return Cost(
            seconds=seconds,
            alone_seconds=own + sum(s for s, _, _ in self.shared.values()),
            forward=sum(f for _, f, _ in self.shared.values()),
            backward=sum(b for _, _, b in self.shared.values()),
            evaluations=evaluations,
            peak_bytes=_peak_bytes(self.device),
            device=self.device,
        )


def refuse_labels(track: str, method: str, roads: Sequence[str]) -> None:
    """On the label-free track no label may be reached, nor have been reached when a record was made.

    Raises:
        MethodError: one was, by ``roads``.
    """
    if track == "label-free" and roads:
        raise MethodError(f"{method} reaches labels by {', '.join(roads)}: it has no place on the label-free track")


def _peak_bytes(device: str) -> int:
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
