"""How good is a subset, judged without the test split: a trial's training, tested on the whole training split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..seeds import seed_for
from ..store import Record, identify
from .shared import Harness, hash_array
from .trials import train_steps


def judged(
    harness: Harness, chosen: np.ndarray, weights: np.ndarray | None, rows: np.ndarray, score_seed: int
) -> Record:
    """The record of one judgement: reference model, the trial's recipe and budget, accuracy on ``rows`` (N,).

    ``chosen`` (k,) and ``rows`` are in the harness's order; labels are those trained on, on both sides.
    """
    budget, steps, epochs = harness.budget
    length = train_steps(harness.recipe, len(harness.train), len(chosen), budget, steps, epochs)
    identity = {
        **harness.conditions(),
        "what": "judge",
        "data": harness.dataset.fingerprint,
        "chosen": hash_array(chosen),
        "weights": None if weights is None else hash_array(weights),
        "rows": hash_array(rows),
        "reference": harness.reference_conditions(),
        "steps": length,
        "score_seed": score_seed,
    }
    if (record := harness.store.get("evidence", identity)) is not None:
        return record
    with harness.store.lock(identify("evidence", identity)):
        return harness.store.get("evidence", identity) or _judge(harness, chosen, weights, rows, identity)


def _judge(
    harness: Harness, chosen: np.ndarray, weights: np.ndarray | None, rows: np.ndarray, identity: Mapping[str, Any]
) -> Record:
    from ..training.evaluation import accuracy, predict
    from ..training.loop import train

    with harness.checkpoints("evidence", identity) as checkpoints:
        trained = train(
            harness.train.images,
            harness.train.labels,
            len(harness.dataset.classes),
            model=harness.reference,
            recipe=harness.recipe,
            seed=seed_for("judge", identity["score_seed"]),
            steps=identity["steps"],
            indices=chosen,
            weights=weights,
            device=harness.device,
            checkpoints=checkpoints,
        )
        logits = predict(trained.network, harness.train.images.take(rows), harness.device)
        found, _ = accuracy(logits, harness.train.labels[rows], len(harness.dataset.classes))
        result = {
            "accuracy": float(found),
            "seconds": trained.seconds,
            "forward": trained.forward + len(rows),
            "backward": trained.backward,
        }
        return harness.store.put("evidence", identity, result, provenance=trained.remarks())
