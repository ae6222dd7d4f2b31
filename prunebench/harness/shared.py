"""What all methods of a command share: one data set, one protocol, one store, and the reference trainings.

Inside the harness the training split stands in one fixed order, by a hash of the key: ties that are broken by position
then favour no class (image folders are sorted by class), and a position tells a method nothing about a label.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..display import Text
from ..errors import UserError
from ..portable import with_tilde
from ..seeds import key_order
from ..store import Store, identify
from ..training.allocation import keep_freed_memory
from ..training.recipes import Recipe, recipe
from ..types import Dataset, Split

if TYPE_CHECKING:
    import torch

    from ..training.checkpoints import Checkpoints

CHECKPOINT_SECONDS = 30.0  # between two of one training
PROTOCOL = 1  # changes whenever numbers made before can no longer be compared with numbers made after
log = logging.getLogger("prunebench")
Progress = Callable[[Iterable[Any], int | None, Text], Iterable[Any]]


def silent(iterable: Iterable[Any], total: int | None = None, text: Text = "") -> Iterable[Any]:
    """No progress display."""
    return iterable


def hash_array(array: Any) -> str:
    """SHA-256 of shape, type and values."""
    plain = np.ascontiguousarray(array)
    return hashlib.sha256(f"{plain.dtype.str}{plain.shape}".encode() + plain.tobytes()).hexdigest()


def device_named(name: str) -> torch.device:
    """``auto`` is CUDA where there is one.

    Raises:
        UserError: there is no such device here.
    """
    import torch

    cuda = torch.cuda.is_available()
    try:
        found = torch.device(("cuda" if cuda else "cpu") if name == "auto" else name)
    except RuntimeError:
        raise UserError(f"there is no device {name!r}: give auto, cpu, cuda or cuda:1") from None
    if found.type not in ("cpu", "cuda"):
        raise UserError(f"the device {name!r} is not supported: give auto, cpu, cuda or cuda:1")
    if found.type == "cuda" and (not cuda or (found.index or 0) >= torch.cuda.device_count()):
        raise UserError(f"the device {name!r} is not on this machine: give --device auto or cpu")
    return found


def checkpoint_seconds() -> float:
    """Seconds between two checkpoints of a training: those of PRUNEBENCH_CHECKPOINT_SECONDS, else 30.

    Raises:
        UserError: it is no number from 0 on.
    """
    asked = os.environ.get("PRUNEBENCH_CHECKPOINT_SECONDS", "")
    try:
        seconds = float(asked or CHECKPOINT_SECONDS)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UserError(f"PRUNEBENCH_CHECKPOINT_SECONDS must be a number of seconds from 0 on, got {asked!r}")
    return seconds


@dataclass(eq=False)
class Harness:
    """One data set under one protocol.

    Attributes:
        reference: timm name of the network that scoring runs train; ``reference_epochs`` its schedule length, None for
            the recipe's.
        score_seeds: number n of independent scorings; trial seed s uses scoring s mod n.
        track: "open", or "label-free", where reaching labels is an error.
        judged_by: what ``judge`` trains: (train budget, steps override, epochs override).
        checkpoint_seconds: between two checkpoints of a training.
    """

    dataset: Dataset
    store: Store
    registry: Any
    reference: str = "resnet18"
    reference_epochs: int | None = None
    score_seeds: int = 1
    threads: int = 2
    device_name: str = "auto"
    track: str = "open"
    budget: tuple[str, int | None, int | None] = ("steps", None, None)
    progress: Progress = silent
    checkpoint_seconds: float = field(default_factory=checkpoint_seconds)
    shard: tuple[int, int] | None = None  # (i, n): only these blocks of `blocks` are computed
    scoring: list[str] = field(default_factory=list)  # scorers being computed, to refuse cycles
    cache: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        import torch

        torch.set_num_threads(self.threads)
        keep_freed_memory()

    @cached_property
    def device(self) -> torch.device:
        return device_named(self.device_name)

    @property
    def precision(self) -> str:
        return "bfloat16" if self.device.type == "cuda" else "float32"

    @cached_property
    def order(self) -> np.ndarray:
        """(N,) the data set's positions, in the harness's order."""
        return key_order(self.dataset.train.keys)

    @cached_property
    def place(self) -> np.ndarray:
        """(N,) where each position of the data set stands in the harness's order."""
        place = np.empty_like(self.order)
        place[self.order] = np.arange(len(self.order))
        return place

    @cached_property
    def train(self) -> Split:
        """The training split in the harness's order."""
        split = self.dataset.train
        keys = tuple(split.keys[i] for i in self.order)
        return Split(split.images.take(self.order), split.labels[self.order], keys)

    @cached_property
    def recipe(self) -> Recipe:
        return recipe(self.dataset, self.reference)

    @property
    def epochs(self) -> int:
        """E, the length of the reference schedule."""
        return self.reference_epochs or self.recipe.reference_epochs

    def conditions(self) -> dict[str, Any]:
        """The part of identity that every record shares."""
        return {
            "protocol": PROTOCOL,
            "threads": self.threads,
            "precision": self.precision,
            "image_size": self.dataset.image_size,
            "flip": self.train.images.flip,
            "classes": len(self.dataset.classes),
        }

    def reference_conditions(self) -> dict[str, Any]:
        return {"model": self.reference, "recipe": self.recipe.hash, "epochs": self.epochs}

    def checkpoints(self, kind: str, identity: Mapping[str, Any], **more: Any) -> Checkpoints:
        """Of the training that makes a record; only who holds the record's lock may use them."""
        from ..training.checkpoints import Checkpoints

        folder = self.store.root / kind / f".training-{identify(kind, identity)}"
        return Checkpoints(folder, {**identity, **more}, self.checkpoint_seconds)

    def provenance(self) -> dict[str, Any]:
        """Versions and machine class: told, never part of identity, and nothing else of the environment."""
        return provenance(self.device, self.registry)


def provenance(device: Any, registry: Any) -> dict[str, Any]:
    import timm
    import torch

    name = torch.cuda.get_device_name(device) if getattr(device, "type", "cpu") == "cuda" else "cpu"
    return {
        "prunebench": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "processor": processor(),
        "device": name,
        "plugins": {p.distribution: p.version for p in registry.plugins if not p.problem and not p.skipped},
    }


@cache
def processor() -> str:
    """The kind of processor and the instructions that torch uses: where both are the same, sums are rounded alike."""
    import torch

    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as told:
            kinds = {line.partition(":")[2].strip() for line in told if line.startswith("model name")}
    except OSError:  # no Linux
        kinds = {platform.processor()}
    return ", ".join([*sorted(kinds)[:1], torch.backends.cpu.get_cpu_capability()])


def temporary_store() -> Store:
    """A store that is removed when its last user is gone."""
    folder = tempfile.TemporaryDirectory(prefix="prunebench-")
    store = Store(Path(folder.name))
    store.__dict__["_folder"] = folder  # kept alive with the store
    return store


def plain_numbers(details: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Details apart: what goes on the card (numbers, text) and what goes beside it (arrays).

    Raises:
        TypeError: something that is neither.
    """
    numbers: dict[str, Any] = {}
    found: dict[str, np.ndarray] = {}
    for name, value in details.items():
        if hasattr(value, "detach"):
            value = value.detach().cpu().numpy()
        if (isinstance(value, np.ndarray) and value.ndim == 0) or isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, (bool, int, str)) or value is None:
            numbers[name] = with_tilde(value)
        elif isinstance(value, float):
            numbers[name] = value if np.isfinite(value) else str(value)
        elif isinstance(value, (np.ndarray, list, tuple)) and np.asarray(value).dtype.kind in "biufU":
            found[name] = np.asarray(value)
        else:
            raise TypeError(
                f"detail {name!r}, which is of type {type(value).__name__}: numbers, text and arrays can be saved"
            )
    return numbers, found
