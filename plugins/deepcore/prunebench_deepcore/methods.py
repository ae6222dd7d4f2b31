"""prunebench's methods as classes of DeepCore's contract.

    method = methods.__dict__[args.selection](dst_train, args, args.fraction, args.seed, **selection_args)
    subset = method.select()          # {"indices": (k,) int64[, "weights": (k,) float32]}

so a name in `deepcore.methods` is all that the main program needs. ``weights`` is there only where the selector gives
some: where it is, the main program trains with a weighted loss.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import torch

from prunebench import UserError, progress_display, prune

from .names import PREFIX, Pair, known, nearest, written
from .pictures import dataset_of

# DeepCore's networks that score here too; for any other a resnet18 does
REFERENCES = {f"ResNet{depth}": f"resnet{depth}" for depth in (18, 34, 50, 101, 152)}


class Pruned:
    """What prunebench selects; beside it stands DeepCore's own base class, which is found when it is extended.

    ``fraction`` in (0, 1], ``random_seed`` the seed of scoring and selection (0 where there is none), ``epochs`` the
    length of the reference training, ``balance`` whether a selector that ranks all classes together works class by
    class. Other keywords are those of DeepCore's other methods.

    Raises:
        UserError: fraction out of range.
    """

    pair: Callable[[float], Pair]
    store: Any = None

    def __init__(
        self,
        dst_train: Any,
        args: Any,
        fraction: float = 0.5,
        random_seed: int | None = None,
        epochs: int | None = None,
        balance: bool = True,
        **kwargs: Any,
    ) -> None:
        fraction = checked_fraction(fraction)
        super().__init__(dst_train, args, fraction, random_seed)  # type: ignore[call-arg]  # DeepCore's
        self.dst_train, self.args, self.fraction = dst_train, args, fraction
        self.seed, self.epochs, self.balance = int(random_seed or 0), epochs, bool(balance)

    def select(self, **kwargs: Any) -> dict[str, np.ndarray]:
        """``indices`` (k,) int64, ascending, k = floor(fraction * N + 1/2), and ``weights`` (k,) float32 or none.

        Global generators and the number of threads are left as they were.

        Raises:
            PrunebenchError: whatever the user must change, or a method that failed.
        """
        pair = type(self).pair(self.fraction).checked(self.balance)
        reference = REFERENCES.get(str(getattr(self.args, "model", "")), "resnet18")
        print(f"prunebench: {pair}, keep {self.fraction:g}, seed {self.seed}, reference {reference}", flush=True)
        with _undisturbed(), _in_its_words():
            found = prune(
                dataset_of(self.dst_train, self.args),
                pair.selector,
                pair.scorer,
                keep=self.fraction,
                seed=self.seed,
                reference=reference,
                reference_epochs=self.epochs or None,
                device=_device(self.args),
                store=self.store or _temporary().name,
                progress=progress_display(sys.stderr),
            )
        subset = {"indices": np.asarray(found.indices, dtype=np.int64)}
        if found.weights is not None:
            subset["weights"] = torch.as_tensor(found.weights).float().cpu().numpy()
        return subset


def checked_fraction(fraction: Any) -> float:
    """Raises:
    UserError: no number in (0, 1].
    """
    try:
        number = float(fraction)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number <= 1:
        raise UserError(f"--fraction must lie in (0, 1], got {fraction}")
    return number


def extend(methods: ModuleType, store: Any = None) -> list[str]:
    """Put every method of prunebench into ``methods``, which is `deepcore.methods`, and return their names.

    A name that DeepCore has already stays DeepCore's. Scores and trainings are kept in the folder ``store``, else for
    as long as this process lives.

    Raises:
        UserError: ``methods`` has no `CoresetMethod`, the base class of all of DeepCore's.
    """
    base = getattr(methods, "CoresetMethod", None)
    if not isinstance(base, type):
        raise UserError(f"{_where(methods)} has no class CoresetMethod: it is no deepcore.methods")
    free = {name: pair for name, pair in known().items() if name not in vars(methods)}
    for name, pair in free.items():
        setattr(methods, name, _method(base, name, pair, store))
    return list(free)


def offer(methods: ModuleType, name: str, store: Any = None) -> None:
    """Make sure that ``methods.__dict__[name]`` is a method; one written out, ``prunebench:...``, is made now.

    Raises:
        UserError: neither DeepCore nor prunebench has it; near names are suggested.
    """
    if name.startswith(PREFIX):
        pair = written(name)
        pair.checked(balance=False)
        vars(methods)[name] = _method(methods.CoresetMethod, name, lambda keep: pair, store)
    elif not isinstance(vars(methods).get(name), type):
        classes = [other for other, value in vars(methods).items() if isinstance(value, type)]
        raise UserError(
            f"neither DeepCore nor prunebench has a method {name!r}{nearest(name, classes)} (`prunebench-deepcore "
            f"--list` names prunebench's)"
        )


@lru_cache(maxsize=1)
def _temporary() -> TemporaryDirectory[str]:
    """A store for as long as this process lives, so that DeepCore's experiments share trainings and scores."""
    return TemporaryDirectory(prefix="prunebench-deepcore-")


def _method(base: type, name: str, pair: Callable[[float], Pair], store: Any) -> type:
    told = f"prunebench's {pair(1.0)}, as a method of DeepCore."
    fields = {"pair": staticmethod(pair), "store": store, "__doc__": told, "__module__": __name__}
    return type(name, (Pruned, base), fields)


def _device(args: Any) -> str:
    """``args.device``, on the first GPU of ``--gpu`` where one is named."""
    device, gpu = str(getattr(args, "device", "auto")), getattr(args, "gpu", None)
    return f"cuda:{gpu[0]}" if device == "cuda" and gpu else device


def _where(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or module.__name__


@contextmanager
def _in_its_words() -> Iterator[None]:
    """A refusal that names an option of prunebench names the option of DeepCore's main program."""
    try:
        yield
    except UserError as told:
        raise UserError(str(told).replace("--reference-epochs", "--selection_epochs")) from told


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Global generators and the number of threads as they were: what DeepCore draws next does not depend on us."""
    threads, states = torch.get_num_threads(), (random.getstate(), np.random.get_state())
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            yield
    finally:
        torch.set_num_threads(threads)
        random.setstate(states[0])
        np.random.set_state(states[1])
