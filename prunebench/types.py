"""What flows: Dataset -> Evidence -> Scores -> Selection -> TrialResult -> Leaderboard.

Shape letters, here and everywhere: N examples, C classes, D features, R reference runs, E epochs, B batch,
S side of a square picture in pixels, k budget.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Hard = Literal["high", "low"]
Comparable = Literal["set", "class"]


class Images(ABC):
    """N pictures, without labels or keys.

    ``size`` is the side S that `pixels` gives when it is not asked for another; ``flip`` says whether a picture may be
    mirrored without changing what it shows (false for digits). For one S every backend gives the same pixels.
    """

    size: int
    flip: bool

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def take(self, indices: Sequence[int] | np.ndarray | Tensor) -> Images:
        """The pictures at ``indices``, in that order, sharing storage where possible."""

    @abstractmethod
    def pixels(self, indices: Sequence[int] | np.ndarray | Tensor, size: int | None = None) -> Tensor:
        """(B, 3, S, S) uint8 on the CPU: shorter side resized with antialias to S, then centre crop."""

    def whole(self, size: int) -> Tensor:
        """All of them, (N, 3, S, S) uint8 on the CPU, without a copy where they lie so already; not to be changed."""
        return self.pixels(range(len(self)), size)

    @abstractmethod
    def digest(self) -> str:
        """SHA-256 of what the pictures are, in order: native pixels in memory, byte size of each file on disk."""


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set: pictures, their labels and the names that stay with them wherever they travel."""

    images: Images  # N pictures
    labels: np.ndarray  # (N,) int64, 0..C-1, as trained on
    keys: tuple[str, ...]  # (N,) distinct; relative path or "split:index"

    def __post_init__(self) -> None:
        if not len(self.images) == len(self.labels) == len(self.keys):
            raise ValueError(
                f"a split needs one label and one key per picture, got {len(self.images)} pictures, "
                f"{len(self.labels)} labels and {len(self.keys)} keys"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def images_fingerprint(self) -> str:
        """SHA-256 over ordered keys and pictures: what a label-free method depends on."""
        digest = hashlib.sha256()
        for key in self.keys:
            digest.update(key.encode() + b"\0")
        digest.update(self.images.digest().encode())
        return digest.hexdigest()

    @cached_property
    def fingerprint(self) -> str:
        """`images_fingerprint` with the labels as trained on."""
        digest = hashlib.sha256(self.images_fingerprint.encode())
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named data set: class names (wnids where known), a training split and a test split."""

    name: str  # as asked for, options included: "fashion-mnist(train=10000)"
    classes: tuple[str, ...]  # (C,)
    train: Split  # what is scored, selected from and trained on
    test: Split  # touched once by each trial
    details: Mapping[str, Any] = field(default_factory=dict)  # e.g. planted truth, (N,) arrays by name
    setting: str = ""  # what was done to the training split; "" = clean

    @property
    def fingerprint(self) -> str:
        """Of the training split, labels included."""
        return self.train.fingerprint

    @property
    def images_fingerprint(self) -> str:
        """Of the training split, labels left out."""
        return self.train.images_fingerprint

    @property
    def image_size(self) -> int:
        return self.train.images.size


def details_at(places: np.ndarray, details: Mapping[str, Any], examples: int) -> dict[str, Any]:
    """Of arrays with a row for each of ``examples``, copies of the rows at ``places``; everything else as it is."""
    return {
        name: value[places] if isinstance(value, np.ndarray) and value.ndim and len(value) == examples else value
        for name, value in details.items()
    }


@dataclass(frozen=True)
class Cost:
    """What a step took, metered by the harness, never by the method."""

    seconds: float = 0.0  # spent here and now
    alone_seconds: float = 0.0  # what it would have cost with nothing shared and nothing stored
    forward: int = 0  # examples through a network, evaluation or training
    backward: int = 0  # examples through a backward pass
    evaluations: int = 0  # examples through networks that the method called itself, in its own time
    peak_bytes: int = 0  # peak resident memory
    device: str = "cpu"  # where the step ran
    gpu_peak_bytes: int = 0  # peak allocated on the GPU in use
    peak_of: str = "process"  # "step": the peaks are of this step; "process": of all the process did before, too


@dataclass(frozen=True, eq=False)
class Scored:
    """What a scorer may return instead of a bare (N,) tensor: the values, and details saved with the record."""

    values: Tensor | np.ndarray  # (N,)
    details: Mapping[str, Any] = field(default_factory=dict)  # flat: numbers, text, arrays


@dataclass(frozen=True, eq=False)
class Chosen:
    """What a selector may return instead of bare indices (k,): indices, example weights, details."""

    indices: Tensor | np.ndarray  # (k,)
    weights: Tensor | np.ndarray | None = None  # (k,) beside the indices
    details: Mapping[str, Any] = field(default_factory=dict)  # flat: numbers, text, arrays


@dataclass(frozen=True, eq=False)
class Scores:
    """One number per training example, always the paper's raw one; ``hard`` says which end is hard."""

    values: np.ndarray  # (N,) float64
    hard: Hard  # "high" or "low": the end of the numbers that means hard
    scorer: str  # canonical text, e.g. "prunebench/aum()"
    comparable: Comparable = "set"  # "class": numbers compare only inside a class
    keys: tuple[str, ...] | None = None  # (N,)
    fingerprint: str | None = None  # of the data set that was scored
    details: Mapping[str, Any] = field(default_factory=dict)  # what the scorer told beside the numbers
    cost: Cost = field(default_factory=Cost)  # of the scoring
    label_free: bool | None = None  # whether no label was seen; None where nobody knows
    id: str | None = None  # the record in the store

    def __len__(self) -> int:
        return len(self.values)

    @property
    def hardness(self) -> np.ndarray:
        """(N,) float64, high = hard."""
        values = np.asarray(self.values, dtype=np.float64)
        return values if self.hard == "high" else -values

    def take(self, places: np.ndarray) -> Scores:
        """Those of the examples at ``places`` (n,), in that order, with their keys and their details per example."""
        keys = None if self.keys is None else tuple(self.keys[i] for i in places)
        details = details_at(places, self.details, len(self))
        return replace(self, values=self.values[places], keys=keys, details=details)


@dataclass(frozen=True, eq=False)
class Selection:
    """Which k training examples are kept."""

    indices: np.ndarray  # (k,) int64, sorted, distinct
    scorer: str | None  # canonical text; None where the selector does not rank
    selector: str  # canonical text
    keep: float  # keep ratio in (0, 1]
    seed: int  # of the selection
    size: int  # N, of the data set selected from; of a file without a card, the least that it can be
    weights: np.ndarray | None = None  # (k,) float64 beside the indices
    keys: tuple[str, ...] | None = None  # (k,) keys of the kept examples
    fingerprint: str | None = None  # of the data set selected from
    details: Mapping[str, Any] = field(default_factory=dict)  # what the selector told beside the positions
    cost: Cost = field(default_factory=Cost)  # of the selection, without the scoring
    label_free: bool | None = None  # whether no label was seen; None where nobody knows
    id: str | None = None  # the record in the store
    oracle: bool = False  # a bound that no contender may claim
    hard: Hard | None = None  # which end of the scorer's number means hard, where that is told

    def __len__(self) -> int:
        return len(self.indices)

    def subset(self, dataset: Any) -> torch.utils.data.Subset:
        """The kept part of a map-style data set of the same length and order.

        What the data set tells of itself is compared: its length, a ``fingerprint`` (a `Dataset`'s ``train`` has one),
        and the file names in ``samples`` (torchvision's folders) where the selection has keys.

        Raises:
            ValueError: the data set has another length than the one selected from, other examples or another order.
        """
        from torch.utils.data import Subset

        whole = self.keep == self.keep  # NaN: of a file without a card, whose N nobody knows
        if len(dataset) < self.size or (whole and len(dataset) != self.size):
            raise ValueError(f"this selection is from {self.size} examples, the data set has {len(dataset)}")
        here = [getattr(dataset, name, None) for name in ("fingerprint", "images_fingerprint")]
        if self.fingerprint and all(isinstance(told, str) for told in here) and self.fingerprint not in here:
            raise ValueError(
                f"this selection is from other data (fingerprint {self.fingerprint[:12]}, here {str(here[0])[:12]})"
            )
        for position, name in _named_otherwise(self, getattr(dataset, "samples", None)):
            raise ValueError(
                f"this selection keeps {name!r} at position {position}, where the data set has "
                f"{str(dataset.samples[position][0])!r}: it is of other data, or in another order"
            )
        return Subset(dataset, self.indices.tolist())


def _named_otherwise(selection: Selection, samples: Any) -> Iterator[tuple[int, str]]:
    """Positions and keys whose file in ``samples`` [(path, class), ..] has another name."""
    if not isinstance(samples, list) or selection.keys is None:
        return
    for position, key in zip(selection.indices.tolist(), selection.keys, strict=True):
        path = samples[position][0] if isinstance(samples[position], tuple) else None
        if (
            isinstance(path, str)
            and not key.startswith("train:")
            and key.split("/")[-1] != re.split(r"[/\\]", path)[-1]
        ):
            yield position, key


@dataclass(frozen=True)
class TrialResult:
    """One trained network, as plain numbers and text: one JSON file, one point of the leaderboard."""

    # what was trained on
    dataset: str  # as asked for, options included
    fingerprint: str  # of the training split as trained on
    test_fingerprint: str  # of the test split
    image_size: int  # side of the pictures, px
    scorer: str | None  # canonical text; None for rows that do not rank and for index files
    selector: str  # canonical text; "full" for all examples, "subset" for an index file, else the label of the policy
    keep: float  # keep ratio in (0, 1]
    examples: int  # k; of a policy, which draws them from all, the examples presented per epoch
    selection: str  # id of the selection record, or SHA-256 of the indices
    label_free: bool  # neither scorer nor selector saw a label
    # how
    model: str  # timm name
    pretrained: bool  # began from weights that others trained
    recipe: str  # hash
    train_budget: str  # "steps" | "epochs" | "cost"
    steps: int  # optimiser steps
    policy: str  # canonical text; "plain"
    seed: int  # of selection and training
    score_seed: int  # of the scoring run
    reference: str  # model of the scoring runs
    reference_epochs: int  # length of their schedule
    threads: int  # CPU threads
    precision: str  # "float32" | "bfloat16"
    protocol: int  # version of the protocol
    setting: str  # label noise, imbalance, corruption; "" = clean
    # what came out
    accuracy: float  # last epoch, test split, 0..1
    class_accuracy: tuple[float, ...]  # (C,) recall per class; NaN-free: classes without test examples are left out
    train_loss: float  # mean over the last pass
    # at what price
    score_cost: Cost  # of the scoring
    select_cost: Cost  # of the selection
    train_cost: Cost  # of the training
    # what else can be said of it
    ece: float | None = None  # expected calibration error of the test predictions, 0..1
    class_counts: tuple[int, ...] = ()  # (C,) kept examples of each class, as labelled
    truth: Mapping[str, float] = field(default_factory=dict)  # of noise that is known, see `truth_about`
    budget_seconds: float | None = None  # train_budget "cost": what full training takes, and so all that may be spent
    best_accuracy: float | None = None  # highest of several looks at the test split; an upper bound, never ranked
    best_step: int | None = None  # after which step
    # where it comes from
    id: str = ""  # the record in the store
    provenance: Mapping[str, Any] = field(default_factory=dict)  # versions, machine class and plugins
    oracle: bool = False  # the selector looked at what no contender may see: shown, marked, never ranked
    source: str = "here"  # "reported": in somebody's bundle; "reproduced": trained again here, and it agreed
    reproduced: float | None = None  # the accuracy of that training
