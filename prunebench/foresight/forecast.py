"""What a run will take, before it starts: examples through networks, bytes of disk and memory, seconds.

training             T B forward and backward, M forward for the test      T: steps of the recipe; of the budget
                                                                              "epochs" ceil(T k / N)
reference training   E N forward and backward, E N forward more where it is watched at the ends of epochs
                     4 E N + 128 bytes a statistic, and the weights
features             N forward, 4 N D + 128 bytes
scores               8 N bytes                      selection              (8 + 4 L) k bytes
memory of training   P (2 + m) + A B, recorder 31 N, pictures 3 S^2 (N + M) where they fit

seconds = (backward + (forward - backward) / 3) / r
time    = max(sum of seconds / jobs, seconds of the longest chain of steps that need each other)

N, M training and test examples, E epochs, B batch, k kept, D features, L characters of the longest key, P bytes of
weights, m moments of the optimiser, A bytes that an example leaves for the backward pass (float32), r examples a second
of a training step on one device; a backward pass takes twice a forward pass. Everything but r is counted, not measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ..budgets import budget_for
from ..datasets.memory import RESIDENT_LIMIT
from ..harness.trials import train_steps
from ..training.recipes import Recipe
from ..training.statistics import STANDARD, WHOLE

HEADER = 128  # bytes, of an .npy file
CARDS = {"evidence": 1000, "models": 1000, "scores": 1700, "selections": 1500, "trials": 2300}  # bytes, about
PER_CLASS = 24  # bytes of a trial's card: recall and count of a class
BACKWARD = 2  # forward passes that a backward pass is worth
TENSOR = 100  # bytes that the header of a weights file spends on a tensor, about
FLOAT = 4  # bytes
KINDS = ("reference training", "features", "embeddings", "scores", "selection", "training")


@dataclass(frozen=True)
class Data:
    """What of a data set decides the cost."""

    examples: int  # N
    tests: int  # M
    classes: int  # C
    size: int  # S, px
    key: int = 0  # L, characters of the longest key

    @property
    def resident(self) -> int:
        """Bytes of the pictures that are held as one tensor each, of training and of test."""
        found = (3 * self.size**2 * count for count in (self.examples, self.tests))
        return sum(size for size in found if size <= RESIDENT_LIMIT)


@dataclass(frozen=True)
class Architecture:
    """What of a network decides the cost, for pictures of one size and a number of classes."""

    name: str
    trained: int  # bytes of what is trained
    stored: int  # bytes of weights and buffers as they are saved
    tensors: int  # saved
    width: int  # D
    activations: int  # A, bytes

    def file(self) -> int:
        """Bytes of the weights file."""
        return self.stored + TENSOR * self.tensors

    def memory(self, recipe: Recipe) -> int:
        """Bytes at the highest point of a training: weights, gradients, moments, and a batch of activations."""
        moments = 1 if recipe.optimizer == "sgd" else 2
        return self.stored + self.trained * (1 + moments) + self.activations * recipe.batch


@dataclass(frozen=True)
class Work:
    """One step, or several of a kind together."""

    what: str  # one of `KINDS`
    model: str = ""  # that the examples go through
    forward: int = 0  # examples, all passes
    backward: int = 0
    disk: int = 0  # bytes that stay
    memory: int = 0  # bytes at its highest point, beside the pictures
    own: float = 0.0  # seconds of a method itself, where earlier records tell
    count: int = 1

    def __add__(self, other: Work) -> Work:
        return replace(
            self,
            forward=self.forward + other.forward,
            backward=self.backward + other.backward,
            disk=self.disk + other.disk,
            memory=max(self.memory, other.memory),
            own=self.own + other.own,
            count=self.count + other.count,
        )

    def seconds(self, rates: Mapping[str, float]) -> float | None:
        """At ``rates``, training examples a second by model; None where the model's is missing."""
        if not self.forward:
            return self.own
        if self.model not in rates:
            return None
        passes = self.backward + (self.forward - self.backward) / (1 + BACKWARD)
        return passes / rates[self.model] + self.own


def training(data: Data, net: Architecture, recipe: Recipe, steps: int, looks: int = 1) -> Work:
    """A trial: ``steps`` batches, and the test split once, or as often as it is looked at."""
    presented, card = steps * recipe.batch, CARDS["trials"] + PER_CLASS * data.classes
    return Work("training", net.name, presented + looks * data.tests, presented, card, net.memory(recipe))


def reference_training(
    data: Data,
    net: Architecture,
    recipe: Recipe,
    epochs: int,
    *,
    recorded: bool = True,
    own: int = 0,
    again: bool = False,
) -> Work:
    """A scoring run of ``epochs``.

    Args:
        recorded: with the standard statistics, and ``own`` ones of a plugin beside them.
        again: the training and its standard statistics stand: only the ``own`` ones are new.
    """
    presented = epochs * max(data.examples, 2)  # an example that is alone comes twice
    standard = len(STANDARD) if recorded else 0
    disk = (own + (0 if again else standard)) * (HEADER + FLOAT * epochs * data.examples + CARDS["evidence"])
    disk += 0 if again else net.file() + CARDS["models"] + CARDS["evidence"]
    row = (sum(1 if fn in WHOLE else FLOAT for fn, _ in STANDARD.values()) + FLOAT * own + 2) * data.examples
    watched = epochs * data.examples if recorded else 0  # at the ends of epochs
    memory = net.memory(recipe) + (row if recorded else 0)
    return Work("reference training", net.name, presented + watched, presented, disk, memory)


def features(data: Data, net: Architecture) -> Work:
    """Penultimate features of all training examples."""
    size = FLOAT * data.examples * net.width
    return Work("features", net.name, data.examples, 0, HEADER + size + CARDS["evidence"], net.stored + 2 * size)


def embeddings(data: Data, width: int) -> Work:
    """Of all training examples, by an encoder that is no network."""
    size = FLOAT * data.examples * width
    return Work("embeddings", disk=HEADER + size + CARDS["evidence"], memory=2 * size)


def scores(data: Data, per_example: int = 0, own: float = 0.0) -> Work:
    """One scorer: a number per example, beside what it needs; ``per_example`` bytes of memory of the method itself."""
    disk = npz(values=8 * data.examples) + CARDS["scores"]
    return Work("scores", disk=disk, memory=per_example * data.examples, own=own)


def selection(data: Data, keep: float, per_example: int = 0, weighted: bool = False, own: float = 0.0) -> Work:
    """One selection, at a keep ratio."""
    k = budget_for(keep, data.examples)
    arrays = {"indices": 8 * k, "keys": FLOAT * data.key * k, **({"weights": 8 * k} if weighted else {})}
    disk = npz(**arrays) + CARDS["selections"]
    return Work("selection", disk=disk, memory=per_example * data.examples, own=own)


def npz(**arrays: int) -> int:
    """Bytes of an ``.npz`` of arrays of so many bytes, neither compressed nor very large."""
    members = sum(size + HEADER + 2 * len(f"{name}.npy") + 30 + 20 + 46 for name, size in arrays.items())
    return members + 22  # local header and its zip64 field, entry in the directory; end of the directory


def trained_steps(data: Data, recipe: Recipe, keep: float, budget: str = "steps", **overrides: int | None) -> int:
    """Optimiser steps of a trial at a keep ratio."""
    return train_steps(recipe, data.examples, budget_for(keep, data.examples), budget, **overrides)


@dataclass(frozen=True)
class Step:
    """One piece of work of a plan, by a name that tells it from all others, and the names of what it needs."""

    work: Work
    needs: tuple[str, ...] = ()


def by_kind(steps: Iterable[Step]) -> list[Work]:
    """The steps of a kind and model together, kinds in the order in which they are done."""
    found: dict[tuple[int, str], Work] = {}
    for step in steps:
        kind = (KINDS.index(step.work.what), step.work.model)
        found[kind] = found[kind] + step.work if kind in found else step.work
    return [found[kind] for kind in sorted(found)]


def longest_chain(steps: Mapping[str, Step], rates: Mapping[str, float]) -> float:
    """Seconds of the longest chain of steps that need each other; what has no rate counts nothing.

    A step may need what is no step here: that stands. No step comes before what it needs.
    """
    until: dict[str, float] = {}
    for name, step in steps.items():
        before = max((until[need] for need in step.needs if need in until), default=0.0)
        until[name] = before + (step.work.seconds(rates) or 0.0)
    return max(until.values(), default=0.0)


def elapsed(steps: Mapping[str, Step], rates: Mapping[str, float], jobs: int) -> float:
    """Seconds with so many jobs: their equal share of all, and no less than the longest chain."""
    total = sum(step.work.seconds(rates) or 0.0 for step in steps.values())
    return max(total / jobs, longest_chain(steps, rates))
