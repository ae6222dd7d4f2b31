"""Drawn inputs: a made-up world in which a method that trains nothing of its own is called without a data set.

Everything is drawn from one seed, so a world can be drawn again, put in another order, or made as large as need be.
"""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..evidence.account import Account
from ..evidence.calling import as_given, call, call_selector, checked_details, checked_values
from ..evidence.given import Evidence
from ..evidence.neighbours import nearest
from ..harness.shared import hash_array, silent
from ..interop.recorded import recorded_history
from ..methods import LABELLED, Method
from ..seeds import global_rng, seed_for
from ..types import Scored

DRAWN = (
    *("labels", "classes", "seeds", "history", "held_out", "hardness", "budget", "details", "device", "generator"),
    *("progress", "features", "embeddings", "neighbours", "score", "inner"),
)
KINDS = ("distinct", "constant", "negative", "huge", "tied")  # of hardness


def drawable(method: Method) -> bool:
    """Whether all that the method names, and the one inside it, can be drawn."""
    return all(name in DRAWN for name in method.needs)


@dataclass(frozen=True, eq=False)
class World:
    """N examples of C classes, all arrays in one order."""

    labels: np.ndarray  # (N,) int64, unequal classes
    seeds: np.ndarray  # (N,) int64
    held_out: np.ndarray  # (N,) bool
    hardness: np.ndarray  # (N,) float64
    certainty: np.ndarray  # (N,) float64 in [0, 1): the easiness that `score` is asked for, whoever's it is
    features: np.ndarray  # (N, D) float32
    logits: np.ndarray  # (N, E, C) float32, of a training in which most labels are learned
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def moved(self, order: np.ndarray) -> World:
        """The examples at ``order``, each with all that is its own."""
        own = [getattr(self, f.name) for f in fields(self)]
        return World(*(value[order] if isinstance(value, np.ndarray) else value for value in own))


def world(
    seed: int, examples: int, *, kind: str = "distinct", classes: int = 4, epochs: int = 30, width: int = 6
) -> World:
    """A world of ``examples`` with features of ``width`` dimensions, under a seed.

    Args:
        kind: of hardness: "distinct" (0..N-1 in some order), "constant" (0), "negative" (-2..-1), "huge" (of either
            sign, up to 1e301), or "tied" (three values).
    """
    rng = np.random.default_rng(seed)
    labels = np.minimum(rng.geometric(0.4, examples) - 1, classes - 1)
    centres = 2 * rng.standard_normal((classes, width))
    logits = rng.standard_normal((examples, epochs, classes), dtype=np.float32)
    logits[np.arange(examples), :, labels] += np.linspace(0, 4, epochs, dtype=np.float32)
    held_out = rng.random(examples) < 0.1
    held_out[:1] |= not held_out.any() and examples > 1
    return World(
        labels=labels,
        seeds=rng.integers(0, 2**63 - 1, examples),
        held_out=held_out,
        hardness=hardness_of(kind, examples, rng),
        certainty=rng.random(examples),
        features=(centres[labels] + rng.standard_normal((examples, width))).astype(np.float32),
        logits=logits,
        classes=tuple(f"class {c}" for c in range(classes)),
    )


def with_wrong_labels(seed: int, examples: int = 400, share: float = 0.1) -> tuple[World, np.ndarray]:
    """A world in which some labels are wrong, and (N,) bool, which.

    As networks do: right labels are learned first, wrong ones late and never as well; until then, what is predicted of
    a wrongly labelled example is its true class. Features lie by the true class.
    """
    right = world(seed, examples)
    rng = np.random.default_rng(seed + 1)
    wrong = rng.random(examples) < share
    epochs, classes = right.logits.shape[1], len(right.classes)
    labels = np.where(wrong, (right.labels + rng.integers(1, classes, examples)) % classes, right.labels)
    time = np.minimum(1, np.arange(epochs, dtype=np.float32) / 9)  # all is over after ten epochs
    every = np.arange(examples)
    logits = 0.7 * rng.standard_normal(right.logits.shape, dtype=np.float32)
    logits[every, :, right.labels] += 6 * np.minimum(1, 4 * time) - 4 * wrong[:, None] * time
    logits[wrong, :, labels[wrong]] += 5 * np.maximum(0, 2 * time - 1)
    return replace(right, labels=labels, logits=logits), wrong


def hardness_of(kind: str, examples: int, rng: np.random.Generator) -> np.ndarray:
    """(N,) float64 of a `KINDS`."""
    return {
        "distinct": lambda: rng.permutation(examples).astype(float),
        "constant": lambda: np.zeros(examples),
        "negative": lambda: -1.0 - rng.random(examples),
        "huge": lambda: rng.standard_normal(examples) * 1e300,
        "tied": lambda: rng.integers(0, 3, examples).astype(float),
    }[kind]()


@dataclass(eq=False)
class Drawn(Evidence):
    """The giver of one method in a world; its functions give what is there already, so they take no memory."""

    world: World = None  # type: ignore[assignment]
    near: dict[tuple[Any, ...], tuple[Tensor, Tensor]] = field(default_factory=dict)

    def give(self, name: str) -> Any:
        if name not in ("features", "embeddings", "neighbours", "score"):
            return super().give(name)
        if name in LABELLED:
            self.account.reach_labels(name)
        return getattr(self, name)

    def features(self, run: int = 0) -> Tensor:
        return torch.from_numpy(self.world.features)

    def embeddings(self, encoder: str = "pixels") -> Tensor:
        return torch.from_numpy(self.world.features)

    def neighbours(self, x: Any, k: int) -> tuple[Tensor, Tensor]:
        if (len(x), k) not in self.near:
            with global_rng():  # what libraries draw in here is not the method's doing
                self.near[len(x), k] = nearest(torch.as_tensor(x), k, None)
        return self.near[len(x), k]

    def score(self, text: str) -> Tensor:
        return torch.from_numpy(-self.world.certainty)

    def inner(self, rows: np.ndarray, method: Method, budget: int) -> Evidence:
        part = seed_for(self.seed, "part", hash_array(rows))
        return drawn(method, self.world.moved(rows), part, budget, self.account)


def drawn(method: Method, world: World, seed: int = 0, budget: int = 0, account: Account | None = None) -> Drawn:
    """What ``method`` is given in ``world`` under ``seed``."""
    values = {
        "labels": world.labels,
        "classes": world.classes,
        "seeds": world.seeds,
        "held_out": world.held_out,
        "hardness": world.hardness,
        "details": {},
        "budget": budget,
        "device": torch.device("cpu"),
        "progress": silent,
    }
    if "history" in method.inputs:
        logits = torch.from_numpy(world.logits).transpose(0, 1)
        runs = int(method.options.get("runs", 1))
        values["history"] = recorded_history(method, logits.expand(runs, -1, -1, -1), torch.from_numpy(world.labels))
    account = account or Account(method.label)
    return Drawn(method, account, seed, seed, values=values, keep=budget / max(len(world), 1), world=world)


def values_in(world: World, method: Method, seed: int = 0) -> np.ndarray:
    """(N,) float64, the scorer's finite numbers in a world.

    Raises:
        MethodError: the scorer failed or broke its contract.
    """
    found, _ = call(method, drawn(method, world, seed))
    scored = found if isinstance(found, Scored) else Scored(found)
    checked_details(scored.details, method)
    return checked_values(scored.values, len(world), method)


def kept_in(world: World, method: Method, budget: int, seed: int = 0) -> np.ndarray:
    """(k,) int64 ascending, what the selector keeps in a world.

    Raises:
        MethodError: the selector failed or broke its contract.
    """
    found, _ = call_selector(method, drawn(method, world, seed, budget), len(world), budget)
    checked_details(found.details, method)
    return np.sort(np.asarray(found.indices))


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads inside torch's functions, for a block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# memory


def own_memory(world: World, method: Method, budget: int = 0) -> int:
    """Bytes of memory that the method itself holds at its peak in a world, beside what it is given.

    It is called once before, so that nothing is counted that is made only once (imports, neighbours).
    """
    evidence = drawn(method, world, 0, budget)
    given = {name: as_given(evidence.give(name)) for name in method.inputs}
    function = method.entry.function()
    function(**given, **method.options)
    return peak_bytes(lambda: function(**given, **method.options))


def peak_bytes(run: Callable[[], Any]) -> int:
    """Bytes held at most by what ``run()`` allocates on the CPU: torch's peak and that of Python and NumPy together.

    The two need not fall together, so it is an upper bound. Both are told by the allocators, not by the system, whose
    count of a process's memory is off by megabytes. What a library allocates for itself is not seen.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler reports every start and stop
    tracemalloc.start()
    try:
        with torch.autograd.profiler.profile(profile_memory=True) as profile:
            result = run()
        numpy_peak = tracemalloc.get_traced_memory()[1]
        del result
    finally:
        tracemalloc.stop()
    held, torch_peak = 0, 0
    events = [event for event in profile.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        torch_peak = max(torch_peak, held)
    return torch_peak + numpy_peak
