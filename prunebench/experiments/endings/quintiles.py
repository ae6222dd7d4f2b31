"""Trained on one fifth of the training split by a score, tested on each fifth.

    A_ij = accuracy on fifth j of the network trained on fifth i        fifths per class, 1 the easiest

Fifth i is what `per_class(window(start=(i - 1) / 5, order='easiest'))` keeps at 0.2. On the diagonal the network is
tested on what it was trained on; the mean of a row is given with and without it. The trials of these windows, on the
test split, are those of `prunebench run`; the same network (same seed, same examples; on the CPU the same bit for bit)
is trained once more to be tested on the training split, and the record of that is kept beside the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from ...console.boards import label
from ...figures.quintiles import draw
from ...harness.shared import Harness, hash_array
from ...planning.plans import Plan
from ...store import Record, identify
from ...types import TrialResult
from ...views.quintiles import cross_evaluation
from ..performing import Found
from ..published import Measured
from .ending import Ending, Row
from .rows import option, parted, rounded

PARTS = 5


def quintiles(found: Found, options: Mapping[str, Any]) -> Ending:
    """The matrix of every data set and scorer, mean over seeds, and the means of its rows."""
    rows, means, measured, figures = list[Row](), list[Row](), list[Measured](), dict[str, Any]()
    for (dataset, scorer, model), parts in sorted(_windows(found).items()):
        seeds = sorted(seed for seed in parts if len(parts[seed]) == PARTS)
        if not seeds:
            continue
        each = np.stack([matrix(found, parts[seed]) for seed in seeds])  # (seeds, 5, 5)
        whose = f"{found.experiment.title} · {dataset} · {model} · {label('scorer', scorer)}"
        figures[f"{dataset} {model}"] = partial(draw, cross_evaluation((each.mean(axis=0) / 100).tolist(), whose))
        shared: Row = {"dataset": dataset, "scorer": scorer, "model": model, "seeds": len(seeds)}
        first = parts[seeds[0]][0]
        for i in range(PARTS):
            tested = [parts[seed][i].accuracy for seed in seeds]
            rows += [
                {**shared, "trained_on": i + 1, "tested_on": j + 1, "accuracy": rounded(each[:, i, j].mean())}
                for j in range(PARTS)
            ]
            with_it, without = each[:, i].mean(axis=1), _off_diagonal(each[:, i], i)
            means.append(
                {
                    **shared,
                    "trained_on": i + 1,
                    "mean_with_diagonal": rounded(with_it.mean()),
                    "mean_without_diagonal": rounded(without.mean()),
                    "test_split": rounded(100 * np.mean(tested)),
                }
            )
            measured += [
                _measured(first, (i + 1, diagonal), values, [parts[seed][0].score_seed for seed in seeds])
                for diagonal, values in ((True, with_it), (False, without))
            ]
    told = () if figures else ("not every fifth has a finished training, so there is no matrix",)
    return Ending({"": means, "matrix": rows}, parted(figures), measured, told)


def _off_diagonal(rows: np.ndarray, i: int) -> np.ndarray:
    """(seeds, 5) -> (seeds,) means without column i."""
    return np.delete(rows, i, axis=1).mean(axis=1)


def _measured(trial: TrialResult, which: tuple[Any, ...], values: np.ndarray, runs: list[int]) -> Measured:
    shared = {name: getattr(trial, name) for name in ("dataset", "setting", "image_size")}
    return Measured(
        "quintile", which, **shared, network=trial.model, budget=trial.train_budget, steps=(trial.steps,),
        values=tuple(values), runs=tuple(runs),
    )  # fmt: skip


def _windows(found: Found) -> dict[tuple[str, str, str], dict[int, list[TrialResult]]]:
    """(data set, scorer, model) -> seed -> the trials of the fifths, the easiest first."""
    parts: dict[tuple[str, str, str], dict[int, list[TrialResult]]] = {}
    for trial in found.results:
        if trial.scorer is not None and option(trial.selector, "start") is not None:
            parts.setdefault((trial.dataset, trial.scorer, trial.model), {}).setdefault(trial.seed, []).append(trial)
    for seeds in parts.values():
        for trials in seeds.values():
            trials.sort(key=lambda t: option(t.selector, "start"))
    return parts


def matrix(found: Found, trials: list[TrialResult]) -> np.ndarray:
    """(5, 5) per cent: row i trained on the examples of trial i, column j tested on those of trial j."""
    kept = [record.arrays["indices"] for t in trials if (record := found.selection(t)) is not None]
    by_data = {h.dataset.fingerprint: (p, h) for p, h in zip(found.plans, found.harnesses, strict=True)}
    plan, harness = by_data[trials[0].fingerprint]
    right = [_right(plan, harness, trial, own) for trial, own in zip(trials, kept, strict=True)]
    return np.array([[100 * correct[part].mean() for part in kept] for correct in right])


def _right(plan: Plan, harness: Harness, trial: TrialResult, kept: np.ndarray) -> np.ndarray:
    """(N,) bool in the data set's order: which training examples the trial's network names as labelled."""
    identity = {
        **harness.conditions(),
        "what": "training split",
        "data": harness.dataset.fingerprint,
        "chosen": hash_array(kept),
        "model": trial.model,
        "recipe": trial.recipe,
        "steps": trial.steps,
        "seed": trial.seed,
        "pretrained": plan.pretrained,
    }
    record = harness.store.get("evidence", identity)
    if record is None:
        with harness.store.lock(identify("evidence", identity)):
            record = harness.store.get("evidence", identity) or _trained(plan, harness, trial, kept, identity)
    return record.arrays["right"]


def _trained(plan: Plan, harness: Harness, trial: TrialResult, kept: np.ndarray, identity: Mapping[str, Any]) -> Record:
    from ...training.evaluation import predict
    from ...training.loop import train

    asked = plan.trial(trial.model, trial.seed)
    with harness.checkpoints("evidence", identity) as checkpoints:
        trained = train(
            harness.train.images,
            harness.train.labels,
            len(harness.dataset.classes),
            model=trial.model,
            recipe=asked.recipe(harness),
            seed=trial.seed,
            steps=trial.steps,
            indices=np.sort(harness.place[kept]),
            pretrained=asked.pretrained,
            device=harness.device,
            checkpoints=checkpoints,
            progress=plan.progress,
        )
        named = predict(trained.network, harness.train.images, harness.device).argmax(1).numpy()
        right = (named == harness.train.labels)[harness.place]
        result = {"seconds": trained.seconds, "forward": trained.forward + len(right), "backward": trained.backward}
        arrays = {"right": right}
        return harness.store.put("evidence", identity, result, arrays=arrays, provenance=harness.provenance())
