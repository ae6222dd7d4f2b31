"""From a plan to the steps that are still to do, and what of them cannot be foreseen.

A cell needs its selection, a selection its scores, and either what its method names: ``history`` R reference trainings,
``network`` R of them up to ``epoch``, ``features`` the first of them. What stands in the store is no step. A method
that trains networks of its own decides while it works what it calls: nothing of it is counted but the seconds that
earlier records tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..evidence.encoders import COMPONENTS
from ..evidence.encoders import identity as embeddings_identity
from ..evidence.selecting import fitting
from ..execution.steps import scores_standing, selection_to_be, watched_by
from ..harness.equal_cost import COST
from ..harness.reference import Reference, scoring_run
from ..harness.shared import Harness
from ..harness.watching import STANDARD, Watched
from ..methods import Method
from ..planning.plans import Cell, Plan
from ..store import identify
from ..training.models import Network, build, canonical
from ..training.recipes import recipe
from . import forecast
from .forecast import Architecture, Data, Step
from .rates import Pace

OWN = ("observe", "judge", "stored")  # a method that names one of these trains what it likes
Names = tuple[str, ...]  # of steps


def data_of(harness: Harness) -> Data:
    """What of the harness's data decides the cost."""
    found = harness.dataset
    key = max(map(len, found.train.keys), default=0)
    return Data(len(found.train), len(found.test), len(found.classes), found.image_size, key)


def architecture_of(name: str, classes: int, size: int) -> Architecture:
    """Counted on a network without storage: nothing is computed."""
    import torch

    with torch.device("meta"):
        network = build(name, classes, size, seed=0).train()
        activations = (_kept(network, 4) - _kept(network, 2)) // 2  # what does not grow with a batch is little
        width = network.features(torch.empty(2, 3, size, size, dtype=torch.uint8)).shape[1]
    state = network.state_dict().values()
    return Architecture(
        name=canonical(name),
        trained=sum(p.nbytes for p in network.parameters()),
        stored=sum(t.nbytes for t in state),
        tensors=len(state),
        width=width,
        activations=activations,
    )


def _kept(network: Network, examples: int) -> int:
    """Bytes that autograd keeps for the backward pass, each storage once, weights left out."""
    import torch
    from torch.nn import functional as F

    kept: dict[int, torch.Tensor] = {}  # alive, so that no two storages bear one name

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network(torch.empty(examples, 3, network.size, network.size, dtype=torch.uint8))
        F.cross_entropy(logits, torch.zeros(examples, dtype=torch.int64))
    for weight in (*network.parameters(), *network.buffers()):
        kept.pop(weight.untyped_storage()._cdata, None)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@dataclass
class Foreseen:
    """What ``cells`` that do not stand need, in an order in which it can be done.

    Attributes:
        steps: by name.
        unknown: methods whose own work no record tells, and what that is; empty: only arithmetic on what it is given.
    """

    plan: Plan
    harness: Harness
    cells: Sequence[Cell]
    jobs: int = 1  # several make the trainings that are recorded first
    steps: dict[str, Step] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    _scored: dict[tuple[str, int], bool] = field(default_factory=dict)  # whether the scores stand
    _networks: dict[str, Architecture] = field(default_factory=dict)
    _made: dict[Any, list[tuple[str, set[str]]]] = field(default_factory=dict)  # statistics by training and step

    def __post_init__(self) -> None:
        scorings = dict.fromkeys((c.scorer, c.seed % self.plan.score_seeds) for c in self.cells if c.scorer)
        for scorer, score_seed in scorings if self.jobs > 1 else ():
            if not self._scores_stand(scorer, score_seed):
                self._histories(self.harness.registry.method("scorer", scorer), score_seed)
        if self.plan.budget == COST:
            self.unknown["trainings on a selection"] = "what --budget cost takes off"
        for cell in self.cells:
            self._trial(cell)

    @cached_property
    def data(self) -> Data:
        return data_of(self.harness)

    @cached_property
    def pace(self) -> Pace:
        return Pace(self.harness)

    @cached_property
    def _seconds_each(self) -> float:
        """That a record was charged for an example of a reference training."""
        found = self.pace.rate(self.harness.reference)
        return 1 / found.examples_per_second if found else 0.0

    def network(self, model: str) -> Architecture:
        name = canonical(model)
        if name not in self._networks:
            self._networks[name] = architecture_of(name, self.data.classes, self.data.size)
        return self._networks[name]

    def _trial(self, cell: Cell) -> None:
        h, trial = self.harness, self.plan.trial(cell.model, cell.seed, cell.selector)
        needs = () if cell.selector in self.plan.of_everything else self._selection(cell)
        row = trial.recipe(h)
        steps = forecast.trained_steps(self.data, row, cell.keep, trial.budget, steps=trial.steps, epochs=trial.epochs)
        looks = len(trial.looks(h, steps)) if trial.best_epoch else 1
        work = forecast.training(self.data, self.network(cell.model), row, steps, looks)
        self.steps[f"training {cell.name}"] = Step(work, needs)

    def _selection(self, cell: Cell) -> Names:
        h, score_seed = self.harness, cell.seed % self.plan.score_seeds
        chosen = selection_to_be(h, self.plan, cell.scorer, cell.selector, cell.keep, cell.seed)
        if chosen is not None and h.store.by_id("selections", chosen.id) is not None:
            return ()
        method, needs = h.registry.method("selector", cell.selector), Names()
        if cell.scorer:
            scorer = h.registry.method("scorer", cell.scorer)
            needs = self._scores_of(scorer, score_seed)
            method = fitting(h.registry, method, scorer.entry.record.comparable)
        name = f"selection {cell.scorer} {cell.selector} {cell.keep} {cell.seed}"
        if name not in self.steps:
            needs += self._needed(method, score_seed)
            own = self._own(method, "selections", cell.keep)
            self.steps[name] = Step(forecast.selection(self.data, cell.keep, _memory(method), own=own), needs)
        return (name,)

    def _scores_of(self, scorer: Method, score_seed: int) -> Names:
        if self._scores_stand(scorer.text, score_seed):
            return ()
        name = f"scores {scorer.text} {score_seed}"
        if name not in self.steps:
            needs, own = self._needed(scorer, score_seed), self._own(scorer, "scores", 1.0)
            self.steps[name] = Step(forecast.scores(self.data, _memory(scorer), own), needs)
        return (name,)

    def _scores_stand(self, scorer: str, score_seed: int) -> bool:
        at = scorer, score_seed
        if at not in self._scored:
            self._scored[at] = scores_standing(self.harness, *at) is not None
        return self._scored[at]

    def _needed(self, method: Method, score_seed: int) -> Names:
        """The steps that what a method names comes to, as far as its names tell."""
        if any(name in method.needs for name in OWN):
            return ()
        found: list[str] = []
        runs = range(int(method.options.get("runs", 1)))
        if "history" in method.needs:
            found += self._histories(method, score_seed)
        if "network" in method.needs:
            epoch = method.options.get("epoch")
            found += [name for r in runs for name in self._reference(score_seed, r, {}, epoch)]
        if "features" in method.needs:
            found += self._features(score_seed)
        if "embeddings" in method.needs:
            found += self._embeddings(str(method.options.get("encoder")))
        return tuple(dict.fromkeys(found))

    @cached_property
    def _watched(self) -> dict[str, Watched]:
        return watched_by(self.harness, self.plan)

    def _histories(self, method: Method, score_seed: int) -> Names:
        if "history" not in method.needs:
            return ()
        runs = range(int(method.options.get("runs", 1)))
        return tuple(name for run in runs for name in self._reference(score_seed, run, self._watched))

    def _reference(self, score_seed: int, run: int, wanted: Mapping[str, Watched], epoch: int | None = None) -> Names:
        training = scoring_run(self.harness, score_seed, run, wanted, epoch)
        same = (score_seed, run, training.run_epochs if not training.watched else None)
        standing = self._training_stands(training)
        absent = {name for name in training.watched if not self._stands(training.statistic_identity(name))}
        if standing and not absent:
            return ()
        for name, made in self._made.get(same, ()):
            if absent <= made:
                return (name,)
        again = same in self._made or (standing and not absent & set(STANDARD))
        own = len(absent - set(STANDARD))
        row, net = recipe(self.harness.dataset, self.harness.reference), self.network(self.harness.reference)
        work = forecast.reference_training(
            self.data, net, row, training.run_epochs, recorded=bool(training.watched), own=own, again=again
        )
        name = f"reference {same} {len(self._made.get(same, ()))}"
        self._made.setdefault(same, []).append((name, absent))
        self.steps[name] = Step(work)
        return (name,)

    def _training_stands(self, training: Reference) -> bool:
        return self._stands(training.identity("training")) and self._stands(training.identity("network"), "models")

    def _features(self, score_seed: int) -> Names:
        needs = self._reference(score_seed, 0, {})
        if self._stands(scoring_run(self.harness, score_seed, 0).identity("features")):
            return needs
        name = f"features {score_seed}"
        self.steps.setdefault(name, Step(forecast.features(self.data, self.network(self.harness.reference)), needs))
        return (name,)

    def _embeddings(self, encoder: str) -> Names:
        width = {"pixels": 3 * self.data.size**2, "pca": min(COMPONENTS, self.data.examples)}.get(encoder)
        if width is None or self._stands(embeddings_identity(self.harness, encoder)):
            return ()
        name = f"embeddings {encoder}"
        self.steps.setdefault(name, Step(forecast.embeddings(self.data, width)))
        return (name,)

    def _stands(self, identity: dict[str, Any], kind: str = "evidence") -> bool:
        """Whether its card is there; files as large as a history are not read through for a forecast."""
        return self.harness.store.card(kind, identify(kind, identity)).exists()

    def _own(self, method: Method, kind: str, keep: float) -> float:
        """Seconds of the method by itself, where records tell; what nothing tells is noted."""
        counted, why = not any(name in method.needs for name in OWN), own_work(method)
        seconds = self.pace.own_seconds(kind, method.text, keep, self._seconds_each if counted else 0.0)
        if seconds is None:
            self.unknown[method.label] = why
        elif not counted:
            self.unknown[method.label] = f"what it leaves on disk of {why} (its seconds are, by earlier records)"
        return seconds or 0.0


def own_work(method: Method) -> str:
    """What a method does that its names do not tell the cost of; empty where it only computes with what it is given."""
    if "stored" in method.needs:
        return "a model of its own"
    if "observe" in method.needs or "judge" in method.needs:
        return "trainings of its own"
    if "network" in method.needs or "blocks" in method.needs:
        return "passes of its own over the pictures"
    if "embeddings" in method.needs and method.options.get("encoder") not in ("pixels", "pca"):
        return "an encoder of its own"
    return "scores that it asks for" if "score" in method.needs else ""


def _memory(method: Method) -> int:
    """Bytes per example that a method and the one inside it say they take."""
    inner = _memory(method.inner) if method.inner else 0
    return max(method.entry.record.bytes_per_example or 0, inner)
