"""The account that evidence keeps of one method: what it called, what that cost, whether it reached labels."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..errors import MethodError
from ..harness.metering import Evaluations, Peak
from ..seeds import global_rng
from ..types import Cost


@dataclass(eq=False)
class Part:
    """Work of a method: all of it, or a piece whose result is stored and may be used again without being made."""

    reached: list[str] = field(default_factory=list)  # the roads to labels that were taken
    shared: dict[str, tuple[float, int, int, int]] = field(default_factory=dict)  # id -> see `Account.charge`
    away: float = 0.0  # seconds spent inside the harness's functions, and on pieces that are stored
    depth: int = 0
    own: Evaluations = field(default_factory=Evaluations)
    seconds: float = 0.0  # of a finished piece, without those spent away

    def told(self) -> dict[str, Any]:
        """For the record of what was made: what `Account.charge_made` reads."""
        shared = {id: list(cost) for id, cost in self.shared.items()}
        return {"seconds": self.seconds, "evaluations": self.own.count, "shared": shared, "reached": self.reached}


@dataclass(eq=False)
class Account:
    """Kept per call of a method; a combinator and what stands inside it share one."""

    method: str
    track: str = "open"
    device: str = "cpu"
    parts: list[Part] = field(default_factory=lambda: [Part()])  # the whole, and the pieces being made inside it
    used: list[str] = field(default_factory=list)  # ids of the trainings, judgements, scores and embeddings asked for

    def __post_init__(self) -> None:
        self.peak = Peak(self.device)

    @property
    def reached(self) -> list[str]:
        """The roads to labels that were taken."""
        return self.parts[0].reached

    def reach_labels(self, road: str) -> None:
        """Note that labels were reached.

        Raises:
            MethodError: on the label-free track.
        """
        refuse_labels(self.track, self.method, [road])
        for part in self.parts:
            if road not in part.reached:
                part.reached.append(road)

    def use(self, id: str) -> None:
        """Note that what the method does from here on may depend on a record of the harness."""
        if id not in self.used:
            self.used.append(id)

    def charge(self, id: str, seconds: float, forward: int = 0, backward: int = 0, evaluations: int = 0) -> None:
        """Charge a shared thing at what making it cost, once, however often it is asked for."""
        for part in self.parts:
            part.shared[id] = (seconds, forward, backward, evaluations)

    def charge_made(self, id: str, told: Mapping[str, Any]) -> None:
        """Charge a stored thing by what its record tells, such as `Part.told`, whoever made it and when."""
        counts = (int(told.get(name, 0)) for name in ("forward", "backward", "evaluations"))
        self.charge(id, float(told.get("seconds", 0.0)), *counts)
        for used, cost in told.get("shared", {}).items():
            self.charge(used, *cost)
        for road in told.get("reached", ()):
            self.reach_labels(road)

    def metered(self) -> AbstractContextManager[None]:
        """The method's own time: networks that it calls in here are charged to it."""
        return self.parts[-1].own.counting()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Time spent in here is the harness's, and is charged at what its result cost when it was made."""
        with self.waiting(), global_rng():  # what libraries draw in here is not the method's doing
            yield

    @contextmanager
    def making(self) -> Iterator[Part]:
        """What the method itself makes and stores: its draws from global generators are its own.

        Nothing of it is charged until `charge_made` is told of the record.
        """
        part = Part()
        with self.waiting():
            self.parts.append(part)
            started = time.perf_counter()
            try:
                with part.own.counting():
                    yield part
            finally:
                part.seconds = max(0.0, time.perf_counter() - started - part.away)
                self.parts.remove(part)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """As `inside`, where what is called may be the method's own: its draws from global generators are seen."""
        part = self.parts[-1]
        part.depth += 1
        started = time.perf_counter()
        try:
            with part.own.paused():
                yield
        finally:
            part.depth -= 1
            if part.depth == 0:
                part.away += time.perf_counter() - started

    def whole(self, seconds: float) -> dict[str, Any]:
        """As `Part.told`, of all of it after ``seconds`` here."""
        return self.parts[0].told() | {"seconds": max(0.0, seconds - self.parts[0].away)}

    def cost(self, seconds: float) -> Cost:
        """After ``seconds`` here: alone, the method would have paid all that it shared and all that stood."""
        whole = self.parts[0]
        shared = list(zip(*whole.shared.values(), strict=True)) or [(), (), (), ()]
        own = max(0.0, seconds - whole.away)
        return Cost(
            seconds=seconds,
            alone_seconds=own + sum(shared[0]),
            forward=sum(shared[1]),
            backward=sum(shared[2]),
            evaluations=whole.own.count + sum(shared[3]),
            **self.peak.read(),
            device=self.device,
        )


def refuse_labels(track: str, method: str, roads: Sequence[str]) -> None:
    """On the label-free track no label may be reached, nor have been reached when a record was made.

    Raises:
        MethodError: one was, by ``roads``.
    """
    if track == "label-free" and roads:
        raise MethodError(f"{method} reaches labels by {', '.join(roads)}: it has no place on the label-free track")
