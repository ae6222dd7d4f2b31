"""What a method may be given: made when first asked for, stored by content, charged to the method.

Values are free, functions cost. Per-example values of one dimension are CPU tensors; pictures' features and networks
are on the device. What a method gets is its own: writing to it changes nobody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..arrays import as_numpy
from ..errors import MethodError, UserError
from ..harness import judging
from ..harness.reference import Reference, scoring_run
from ..harness.shared import Harness, hash_array
from ..harness.watching import Watched, watched
from ..methods import FUNCTIONS, LABELLED, Method
from ..seeds import example_seeds, generator_for, held_out, seed_for
from ..types import Images, details_at
from . import keeping
from .account import Account
from .blocks import Blocks
from .encoders import embed
from .neighbours import nearest
from .observed import Observed
from .pictures import Pictures

if TYPE_CHECKING:
    from ..store import Record
    from ..training.models import Network

Ask = Callable[[Harness, str, int], tuple[np.ndarray, "Record"]]  # (harness, scorer, score seed) -> see `scoring`


@dataclass(eq=False)
class Evidence:
    """The giver of one method, over all examples or, inside a combinator, over some (``rows``, sorted)."""

    method: Method
    account: Account
    seed: int  # score seed of a scorer, trial seed of a selector
    score_seed: int
    harness: Harness | None = None
    given: Mapping[str, Any] = field(default_factory=dict)  # values and functions' results supplied from outside
    values: Mapping[str, Any] = field(default_factory=dict)  # hardness (N,), budget, details and the like
    keep: float | None = None
    rows: np.ndarray | None = None  # positions in the harness's order
    ask: Ask | None = None
    inner_weights: dict[int, float] = field(default_factory=dict)  # of examples that the selector inside weighed

    # -- giving -------------------------------------------------------------------------------------------------------

    def give(self, name: str) -> Any:
        """The thing a method names.

        Raises:
            UserError: nobody supplies it.
        """
        if name in LABELLED:
            self.account.reach_labels(name)
        if name in self.values:
            return self._own(self.values[name])
        if name in self.given:
            return self._from_outside(name)
        if name == "generator":
            return generator_for(self.method.entry.record.name, self._data, self.keep, self.seed)
        if name == "score":
            return self.score
        if name == "neighbours":
            return self.neighbours
        if self.harness is None:
            return self._missing(name)
        return getattr(self, f"_{name}" if hasattr(type(self), f"_{name}") else name)

    def _missing(self, name: str) -> Any:
        """Nobody supplies it: a value is refused now, a function when it is called, which it may never be."""

        def refuse(*args: Any, **kwargs: Any) -> Any:
            raise UserError(f"{self.method.entry.key} asks for {name}, which nobody supplies: {_way_out(name)}")

        return refuse if name in FUNCTIONS else refuse()

    @property
    def _data(self) -> str:
        return self.harness.dataset.images_fingerprint if self.harness else ""

    def _from_outside(self, name: str) -> Any:
        value = self._restricted(np.asarray(self.given[name]))
        if name in ("features", "embeddings"):
            return lambda *_: torch.from_numpy(value.astype(np.float32))
        return value.copy()

    def _own(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return self._restricted(value).copy()
        if isinstance(value, Mapping):  # the scorer's details; those per example go with the examples
            n = len(self.values.get("hardness", ()))
            return details_at(np.arange(n) if self.rows is None else self.rows, value, n)
        return value

    def _restricted(self, array: Any) -> Any:
        return array if self.rows is None else array[self.rows]

    def inner(self, rows: np.ndarray, method: Method, budget: int) -> Evidence:
        """The evidence of a selector inside: it sees only ``rows`` (local, sorted), renumbered."""
        values = {**self.values, "budget": budget}
        mine = rows if self.rows is None else self.rows[rows]
        part = seed_for(self.seed, "part", hash_array(mine))
        return Evidence(
            *(method, self.account, part, self.score_seed, self.harness, self.given, values, self.keep, mine, self.ask)
        )

    # -- values -------------------------------------------------------------------------------------------------------

    @cached_property
    def _h(self) -> Harness:
        assert self.harness is not None
        return self.harness

    @property
    def _n(self) -> int:
        return len(self._h.train) if self.rows is None else len(self.rows)

    @property
    def _images(self) -> Images:
        images = self._h.train.images
        return Pictures(images if self.rows is None else images.take(self.rows))

    @property
    def _labels(self) -> np.ndarray:
        return self._restricted(self._h.train.labels).astype(np.int64, copy=True)

    @property
    def _classes(self) -> tuple[str, ...]:
        return self._h.dataset.classes

    @property
    def _seeds(self) -> np.ndarray:
        name = f"seeds of {self.method.entry.record.name} {self.seed}"
        if name not in self._h.cache:
            self._h.cache[name] = example_seeds(self.method.entry.record.name, self.seed, self._h.train.keys)
        return self._restricted(self._h.cache[name]).copy()

    @property
    def _held_out(self) -> np.ndarray:
        return self._restricted(held_out(self._h.train.keys)).copy()

    @property
    def _device(self) -> torch.device:
        return self._h.device

    @property
    def _progress(self) -> Any:
        return self._h.progress

    @property
    def _history(self) -> Any:
        """(R, E, N) float32; a dictionary of these where the record watches several statistics."""
        record, plugin = self.method.entry.record, self.method.entry
        wanted = watched(record.watch, record.watch_at, plugin.key, plugin.definition)
        runs = [self._run(r, wanted) for r in range(int(self.method.options.get("runs", 1)))]
        if not wanted:
            raise MethodError(f"{plugin.key} names history and its record watches nothing: give the record a `watch`")
        for run in runs:
            run.charge_passes(wanted, self.account.charge_made)
        found = {name: self._stacked([run.history(name) for run in runs]) for name in wanted}
        return found if isinstance(record.watch, tuple) else next(iter(found.values()))

    def _stacked(self, histories: list[np.ndarray]) -> Tensor:
        if len(histories) == 1 and self.rows is None:
            return torch.from_numpy(histories[0])[None]
        return torch.from_numpy(np.stack([h if self.rows is None else h[:, self.rows] for h in histories]))

    def _run(self, run: int, wanted: Mapping[str, Watched] | None = None, epoch: int | None = None) -> Reference:
        """Reference run r of this scoring, made if need be, charged once."""
        with self.account.inside():
            reference = scoring_run(self._h, self.score_seed, run, wanted, epoch)
            self._charge(reference)
        return reference

    def _charge(self, reference: Reference) -> None:
        record = reference.ensure()
        told = record.result
        self.account.use(record.id)
        self.account.charge(record.id, told["seconds"], told["forward"], told["backward"])

    def _charge_used(self, id: str, told: Mapping[str, Any]) -> None:
        self.account.use(id)
        self.account.charge_made(id, told)

    # -- functions ----------------------------------------------------------------------------------------------------

    def features(self, run: int = 0) -> Tensor:
        """(N, D) float32, reference network, last epoch, evaluation mode, no augmentation."""
        with self.account.inside():
            return self._on_device(self._run(run).features(self.account.charge_made))

    def _on_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(self._restricted(array)).to(self._h.device)

    def network(self, run: int = 0, epoch: int | None = None) -> Network:
        """A fresh frozen copy of the reference network, after all epochs or ``epoch``, 0 being as initialised."""
        with self.account.inside():
            return self._run(run, epoch=epoch).network()

    def embeddings(self, encoder: str = "pixels") -> Tensor:
        """(N, D) float32 by a frozen encoder that saw no labels of this set."""
        with self.account.inside():
            return self._on_device(embed(self._h, encoder, self._charge_used))

    def neighbours(self, x: Any, k: int) -> tuple[Tensor, Tensor]:
        """k nearest neighbours in x (N, D), self excluded: distances (N, k) float32, indices (N, k) int64."""
        with self.account.inside():
            store = self.harness.store if self.harness else None
            return nearest(torch.as_tensor(x), k, store, self.account.charge_made)

    def score(self, text: str) -> Tensor:
        """(N,) float64: another scorer's hardness."""
        if text in self.given:
            value = self.given[text]
            return torch.from_numpy(self._restricted(np.asarray(value)).copy())
        if self.harness is None or self.ask is None:
            raise UserError(
                f"{self.method.entry.key} asks for the scores of {text}, which nobody supplies: "
                f"give them with given={{'{text}': ...}} (--given {text}=FILE)"
            )
        with self.account.inside():
            self._refuse_unseen_budget(text)
            hardness, record = self.ask(self.harness, text, self.score_seed)
            if not record.result["label_free"]:
                self.account.reach_labels(f"score({text!r})")
            self._charge_used(record.id, {**record.result["made"], "reached": ()})
            return torch.from_numpy(self._restricted(hardness).copy())

    def _refuse_unseen_budget(self, text: str) -> None:
        """Raises:
        UserError: the scorer judges by the budget of the trials, which a record of this method does not name.
        """
        if "judge" in self._h.registry.method("scorer", text).needs and "judge" not in self.method.needs:
            own = self.method.entry.key
            raise UserError(
                f"{text} judges subsets by the budget of the trials: {own} must name judge too to ask for it"
            )

    def observe(
        self,
        labels: Any = None,
        indices: Any = None,
        epochs: int | None = None,
        seed: int = 0,
        watch: str | tuple[str, ...] = (),
    ) -> Observed:
        """Another reference training, on given labels (N,) or those trained on, and on some examples or all."""
        if labels is None:
            self.account.reach_labels("observe without labels")
        with self.account.inside():
            n = len(self._h.train)
            rows = np.arange(n) if self.rows is None else self.rows
            chosen = rows if indices is None else np.sort(rows[as_numpy(indices)])
            given = None
            if labels is not None:
                given = np.zeros(n, dtype=np.int64)
                given[rows] = as_numpy(labels)
            whole = len(chosen) == n
            wanted = watched(watch, "presentation", self.method.entry.key, self.method.entry.definition)
            seeded = seed_for("observe", self.score_seed, seed)
            training = Reference(self._h, seeded, given, None if whole else chosen, epochs, wanted)
            self._charge(training)
        return Observed(training, self.account, self._on_device)

    def judge(self, indices: Any, weights: Any = None) -> float:
        """Accuracy on the whole training split of the reference model trained as a trial on ``indices``."""
        with self.account.inside():
            rows = np.arange(len(self._h.train)) if self.rows is None else self.rows
            order = np.argsort(as_numpy(indices), kind="stable")
            chosen = rows[as_numpy(indices)[order]]
            weights = None if weights is None else as_numpy(weights).astype(np.float64)[order]
            record = judging.judged(self._h, chosen, weights, rows, self.score_seed)
            told = record.result
            self.account.use(record.id)
            self.account.charge(record.id, told["seconds"], told["forward"], told["backward"])
            return float(told["accuracy"])

    def stored(self, name: str, spec: Any, make: Callable[..., Any], shared: bool = False) -> Path:
        """The method's own artefact: a folder in the store, made by ``make(folder)`` where it is missing.

        It is named by the data, the method and ``definition``, ``name`` and ``spec``, and the records of the harness
        that the method asked for before; options, hardness and budget are not part of the name unless the method puts
        them into ``spec``. A ``shared`` one belongs to all methods of the distribution, and is made of pictures and
        labels alone: by ``make(folder, generator)``, with a generator of its own, so it does not matter who asks first.

        Raises:
            MethodError: ``make`` asks for what the name does not tell.
        """
        return keeping.stored(self, name, spec, make, shared)

    @cached_property
    def blocks(self) -> Blocks:
        """Resumable, shardable per-example work."""
        return Blocks(self._h.store, keeping.work_identity(self), self._n, self._h.shard, self.account)


def _way_out(name: str) -> str:
    if name in ("labels", "classes"):
        return "give labels=... (--labels FILE.npy, or --dataset)"
    if name in ("features", "embeddings", "history"):
        return f"give it with given={{'{name}': ...}} (--given {name}=FILE), or use it on a data set (--dataset)"
    return "use it on a data set (--dataset)"
