"""One trial: a network trained on a selection and tested once, after its last epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..budgets import budget_for
from ..errors import CellError
from ..store import Record, identify
from ..training.recipes import Recipe, recipe
from ..types import Cost, Dataset, Scores, Selection, TrialResult
from .metering import Peak
from .shared import PROTOCOL, Harness, hash_array

if TYPE_CHECKING:
    from ..training.checkpoints import Checkpoints

PLAIN = "plain"  # the policy that presents every kept example once per pass


@dataclass(frozen=True)
class Trial:
    """What one trial trains, and for how long."""

    model: str
    seed: int
    budget: str = "steps"  # "steps": as many as at full data; "epochs": in proportion to the examples kept; "cost"
    steps: int | None = None  # overrides the recipe's steps at full data; "cost": what is left for the training
    epochs: int | None = None  # overrides the recipe's epochs
    pretrained: bool | str = False  # timm's weights, or a file of them, in place of random ones
    policy: str = PLAIN  # canonical text; any other draws from all examples
    best_epoch: bool = False  # look at the test split along the way; the training is the same
    budget_seconds: float | None = None  # budget "cost": what full training takes, where that is known

    def recipe(self, harness: Harness) -> Recipe:
        return recipe(harness.dataset, self.model)

    def steps_for(self, harness: Harness, examples: int) -> int:
        """Optimiser steps: ``steps`` as many for every subset, ``epochs`` ceil(steps * k / N), ``cost`` as given."""
        return train_steps(self.recipe(harness), len(harness.train), examples, self.budget, self.steps, self.epochs)

    def looks(self, harness: Harness, steps: int) -> frozenset[int]:
        """After which of ``steps`` the test split is looked at: as often as the full-data row has epochs, evenly."""
        row, n = self.recipe(harness), len(harness.train)
        whole = row.steps if self.budget == "cost" else train_steps(row, n, n, self.budget, self.steps, self.epochs)
        epochs = math.ceil(whole * row.batch / n)
        return frozenset(math.ceil(steps * i / epochs) for i in range(1, epochs + 1))


def train_steps(
    row: Recipe, total: int, examples: int, budget: str, steps: int | None = None, epochs: int | None = None
) -> int:
    """Optimiser steps of a training on ``examples`` of ``total``."""
    whole = steps or row.steps
    if epochs is not None:
        whole = math.ceil(epochs * total / row.batch)
    return math.ceil(whole * examples / total) if budget == "epochs" else whole


@dataclass(frozen=True)
class Selected:
    """What a trial's identity holds of the examples it trains on."""

    id: str  # of the selection's record; of an index file the SHA-256 of its indices, and of its weights if any
    examples: int  # k; under a policy those presented per epoch

    @classmethod
    def of(cls, selection: Selection, policy: str = PLAIN) -> Selected:
        k = len(selection) if policy == PLAIN else budget_for(selection.keep, selection.size)
        return cls(selection.id or content_of(selection), k)


def run_trial(
    harness: Harness, trial: Trial, selection: Selection, scores: Scores | None, score_seed: int
) -> TrialResult:
    """Train and test, or read what stands.

    Raises:
        CellError: the training diverged.
    """
    selected = Selected.of(selection, trial.policy)
    record = standing_record(harness, trial, selected)
    if record is None:
        identity = trial_identity(harness, trial, selected)
        with harness.store.lock(identify("trials", identity)):
            record = harness.store.get("trials", identity)
            with harness.checkpoints("trials", identity) as checkpoints:
                record = record or _train(harness, trial, selection, scores, score_seed, identity, checkpoints)
    return read_trial(record)


def standing_record(harness: Harness, trial: Trial, selected: Selected) -> Record | None:
    """The trial's record where it stands; one with a best epoch serves where none is asked for, nor its seconds."""
    record = harness.store.get("trials", trial_identity(harness, trial, selected))
    if record is None and not trial.best_epoch and trial.budget != "cost":
        looked = replace(trial, best_epoch=True)
        record = harness.store.get("trials", trial_identity(harness, looked, selected))
    return record


def trial_identity(harness: Harness, trial: Trial, selected: Selected) -> dict[str, Any]:
    """Everything that can change the trained network, or the test."""
    from ..training.models import canonical, weights_named  # timm: not for those who only read records

    return {
        **harness.conditions(),
        "data": harness.dataset.fingerprint,
        "test": harness.dataset.test.fingerprint,
        "selection": selected.id,
        "model": canonical(trial.model),
        "pretrained": weights_named(trial.model, trial.pretrained),
        "recipe": trial.recipe(harness).hash,
        "train_budget": trial.budget,
        "steps": trial.steps_for(harness, selected.examples),
        "policy": trial.policy,
        "seed": trial.seed,
        **({} if trial.policy == PLAIN else {"examples": selected.examples}),
        **({"best_epoch": True} if trial.best_epoch else {}),
    }


def content_of(selection: Selection) -> str:
    """SHA-256 of the indices, and of the weights if any: what names an index file."""
    if selection.weights is None:
        return hash_array(selection.indices)
    return hash_array(np.stack([selection.indices.astype(np.float64), selection.weights]))


def _train(
    harness: Harness,
    trial: Trial,
    selection: Selection,
    scores: Scores | None,
    score_seed: int,
    identity: Mapping[str, Any],
    checkpoints: Checkpoints,
) -> Record:
    from ..training.best_epoch import BestEpoch
    from ..training.evaluation import predict
    from ..training.loop import train
    from ..training.policies import policy_of

    peak, dataset, classes = Peak(str(harness.device)), harness.dataset, len(harness.dataset.classes)
    k = Selected.of(selection, trial.policy).examples
    places = harness.place[selection.indices]
    ascending = np.argsort(places)
    looks = trial.looks(harness, identity["steps"])
    best = BestEpoch(dataset.test, harness.device, looks) if trial.best_epoch else None
    trained = train(
        harness.train.images,
        harness.train.labels,
        classes,
        model=trial.model,
        recipe=trial.recipe(harness),
        seed=trial.seed,
        steps=identity["steps"],
        indices=places[ascending],
        weights=None if selection.weights is None else selection.weights[ascending],
        policy=policy_of(trial.policy, k),
        pretrained=trial.pretrained,
        device=harness.device,
        checkpoints=checkpoints,
        look=best,
        progress=harness.progress,
    )
    found = _tested(dataset, selection, predict(trained.network, dataset.test.images, harness.device))
    if not math.isfinite(trained.train_loss):
        raise CellError(f"the training of {trial.model} diverged (loss {trained.train_loss})")
    cost = Cost(
        seconds=trained.seconds,
        alone_seconds=trained.seconds,
        forward=trained.forward + len(dataset.test) + (best.forward if best else 0),
        backward=trained.backward,
        device=str(harness.device),
        **peak.read(),
    )
    measured = {
        **found,
        "train_loss": float(trained.train_loss),
        "train_cost": cost,
        "examples": k,
        "budget_seconds": (trial.budget_seconds or trained.seconds) if trial.budget == "cost" else None,
        **(best.found(trained.steps, found["accuracy"]) if best else {}),
    }
    score_cost = scores.cost if scores else Cost(device=str(harness.device))
    result = _told(harness, trial, selection, score_cost, score_seed, identity, measured)
    told = {k: v for k, v in asdict(result).items() if k not in ("id", "provenance") and not _unsaid(k, v)}
    return harness.store.put("trials", identity, told, provenance=harness.provenance() | trained.remarks())


def _tested(dataset: Dataset, selection: Selection, logits: Any) -> dict[str, Any]:
    """What ``logits`` (n, C) of the test split tell, and what is known of the kept examples."""
    from ..training.evaluation import accuracy, calibration_error

    classes = len(dataset.classes)
    overall, per_class = accuracy(logits, dataset.test.labels, classes)
    kept = np.zeros(len(dataset.train), dtype=bool)
    kept[selection.indices] = True
    return {
        "accuracy": overall,
        "ece": calibration_error(logits, dataset.test.labels),
        "class_counts": tuple(np.bincount(dataset.train.labels[kept], minlength=classes).tolist()),
        "truth": truth_about(dataset, kept),
        "class_accuracy": per_class,
    }


def _unsaid(name: str, value: Any) -> bool:
    """What a record has no word of, so that those without it are as they always were."""
    if name == "source":
        return value == "here"
    silent = ("oracle", "budget_seconds", "best_accuracy", "best_step", "reproduced")
    return name in silent and (value is None or value is False)


def truth_about(dataset: Dataset, kept: np.ndarray) -> dict[str, float]:
    """What is known to be wrong with the kept examples (N,) bool, where the data set knows: of ``mislabelled`` and
    ``corrupted`` the ``_share`` of the kept that are, and ``_precision`` and ``_recall`` of leaving the others out.

    precision = |left out and wrong| / |left out|        recall = |left out and wrong| / |wrong|
    """
    told = {}
    for name in ("mislabelled", "corrupted"):
        if name in dataset.details:
            wrong = np.asarray(dataset.details[name], dtype=bool)
            caught, left = int((wrong & ~kept).sum()), int((~kept).sum())
            told[f"{name}_share"] = float(wrong[kept].mean())
            told |= {f"{name}_precision": caught / left} if left else {}
            told |= {f"{name}_recall": caught / int(wrong.sum())} if wrong.any() else {}
    return told


def _told(
    harness: Harness,
    trial: Trial,
    selection: Selection,
    score_cost: Cost,
    score_seed: int,
    identity: Mapping[str, Any],
    measured: Mapping[str, Any],
) -> TrialResult:
    """Everything a record says of a trial, beside what was ``measured``."""
    data = harness.dataset
    return TrialResult(
        dataset=data.name,
        fingerprint=data.fingerprint,
        test_fingerprint=data.test.fingerprint,
        image_size=data.image_size,
        scorer=selection.scorer,
        selector=selection.selector,
        keep=selection.keep,
        selection=identity["selection"],
        label_free=bool(selection.label_free),
        model=identity["model"],
        pretrained=bool(trial.pretrained),
        recipe=identity["recipe"],
        train_budget=trial.budget,
        steps=identity["steps"],
        policy=trial.policy,
        seed=trial.seed,
        score_seed=score_seed,
        reference=harness.reference,
        reference_epochs=harness.epochs,
        threads=harness.threads,
        precision=harness.precision,
        protocol=PROTOCOL,
        setting=data.setting,
        score_cost=score_cost,
        select_cost=selection.cost,
        oracle=selection.oracle,
        **measured,
    )


def read_trial(record: Record) -> TrialResult:
    """A trial record as `TrialResult`."""
    fields = dict(record.result)
    for name in ("score_cost", "select_cost", "train_cost"):
        fields[name] = Cost(**fields[name])
    for name in ("class_accuracy", "class_counts"):
        fields[name] = tuple(fields.get(name, ()))
    return TrialResult(**fields, id=record.id, provenance=record.card["provenance"])


def everything(harness: Harness, row: str = "full", keep: float = 1.0) -> Selection:
    """All examples: of the full-data row, or of the row of a policy, which draws from them at a keep ratio."""
    n = len(harness.train)
    return Selection(np.arange(n), None, row, keep, 0, n, fingerprint=harness.dataset.fingerprint, label_free=False)


def everything_named(harness: Harness, keep: float = 1.0, policy: str = PLAIN) -> Selected:
    """As `everything`, named once for all cells of a grid."""
    if "everything" not in harness.cache:
        harness.cache["everything"] = Selected.of(everything(harness))
    whole: Selected = harness.cache["everything"]
    return whole if policy == PLAIN else replace(whole, examples=budget_for(keep, whole.examples))
