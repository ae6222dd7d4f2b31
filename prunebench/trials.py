"""One trial: a network trained on a selection and tested once, after its last epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import CellError
from .harness import PROTOCOL, Harness, hash_array
from .recipes import Recipe, recipe
from .store import Record, identify
from .types import Cost, Dataset, Scores, Selection, TrialResult

if TYPE_CHECKING:
    from .checkpoints import Checkpoints


@dataclass(frozen=True)
class Trial:
    """What one trial trains, and for how long."""

    model: str
    seed: int
    budget: str = "steps"  # "steps": as many as at full data; "epochs": in proportion to the examples kept
    steps: int | None = None  # overrides the recipe's steps at full data
    epochs: int | None = None  # overrides the recipe's epochs
    pretrained: bool | str = False  # timm's weights, or a file of them, in place of random ones

    def recipe(self, harness: Harness) -> Recipe:
        return recipe(harness.dataset, self.model)

    def steps_for(self, harness: Harness, examples: int) -> int:
        """Optimiser steps: ``steps`` as many for every subset, ``epochs`` ceil(steps * k / N)."""
        return train_steps(self.recipe(harness), len(harness.train), examples, self.budget, self.steps, self.epochs)


def train_steps(
    row: Recipe, total: int, examples: int, budget: str, steps: int | None = None, epochs: int | None = None
) -> int:
    """Optimiser steps of a training on ``examples`` of ``total``."""
    whole = steps or row.steps
    if epochs is not None:
        whole = math.ceil(epochs * total / row.batch)
    return whole if budget == "steps" else math.ceil(whole * examples / total)


def run_trial(
    harness: Harness, trial: Trial, selection: Selection, scores: Scores | None, score_seed: int
) -> TrialResult:
    """Train and test, or read what stands.

    Raises:
        CellError: the training diverged.
    """
    identity = trial_identity(harness, trial, selection)
    record = harness.store.get("trials", identity)
    if record is None:
        with harness.store.lock(identify("trials", identity)):
            record = harness.store.get("trials", identity)
            with harness.checkpoints("trials", identity) as checkpoints:
                record = record or _train(harness, trial, selection, scores, score_seed, identity, checkpoints)
    return read_trial(record)


def trial_identity(harness: Harness, trial: Trial, selection: Selection) -> dict[str, Any]:
    """A selection counts by its record's id; an index file by the SHA-256 of its indices, and of its weights if any."""
    from .models import canonical, weights_named  # timm: not for those who only read records

    return {
        **harness.conditions(),
        "data": harness.dataset.fingerprint,
        "test": harness.dataset.test.fingerprint,
        "selection": selection.id or _content(selection),
        "model": canonical(trial.model),
        "pretrained": weights_named(trial.model, trial.pretrained),
        "recipe": trial.recipe(harness).hash,
        "train_budget": trial.budget,
        "steps": trial.steps_for(harness, len(selection)),
        "policy": "plain",
        "seed": trial.seed,
    }


def _content(selection: Selection) -> str:
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
    from .evaluation import accuracy, calibration_error, predict
    from .training import train

    dataset, classes = harness.dataset, len(harness.dataset.classes)
    places = harness.place[selection.indices]
    ascending = np.argsort(places)
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
        pretrained=trial.pretrained,
        device=harness.device,
        checkpoints=checkpoints,
        progress=harness.progress,
    )
    logits = predict(trained.network, dataset.test.images, harness.device)
    overall, per_class = accuracy(logits, dataset.test.labels, classes)
    if not math.isfinite(trained.train_loss):
        raise CellError(f"the training of {trial.model} diverged (loss {trained.train_loss})")
    cost = Cost(
        seconds=trained.seconds,
        alone_seconds=trained.seconds,
        forward=trained.forward + len(dataset.test),
        backward=trained.backward,
        device=str(harness.device),
    )
    kept = np.zeros(len(dataset.train), dtype=bool)
    kept[selection.indices] = True
    measured = {
        "accuracy": float(overall),
        "ece": calibration_error(logits, dataset.test.labels),
        "class_counts": tuple(np.bincount(dataset.train.labels[kept], minlength=classes).tolist()),
        "truth": truth_about(dataset, kept),
        "class_accuracy": tuple(float(a) for a in per_class if math.isfinite(float(a))),
        "train_loss": float(trained.train_loss),
        "train_cost": cost,
    }
    score_cost = scores.cost if scores else Cost(device=str(harness.device))
    result = _told(harness, trial, selection, score_cost, score_seed, identity, measured)
    plain = {k: v for k, v in asdict(result).items() if k not in ("id", "provenance") and (k != "oracle" or v)}
    return harness.store.put("trials", identity, plain, provenance=harness.provenance() | trained.remarks())


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
        examples=len(selection),
        selection=identity["selection"],
        label_free=bool(selection.label_free),
        model=identity["model"],
        pretrained=bool(trial.pretrained),
        recipe=identity["recipe"],
        train_budget=trial.budget,
        steps=identity["steps"],
        policy="plain",
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


def everything(harness: Harness) -> Selection:
    """All examples: the full-data row."""
    n = len(harness.train)
    return Selection(np.arange(n), None, "full", 1.0, 0, n, fingerprint=harness.dataset.fingerprint, label_free=False)
