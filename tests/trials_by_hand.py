"""Records written by hand: trials with known answers, and stores that hold them with their selections and scores."""

from __future__ import annotations

import dataclasses

import numpy as np

from prunebench.types import Cost, TrialResult

N = 1000
BALANCED = "prunebench/balanced(quota='proportional')"
RANDOM = "prunebench/random()"
AUM = "prunebench/aum()"
HARDEST = "prunebench/hardest()"
BWS = "prunebench/bws(step=0.05, order='hardest')"
HOSTILE = "<img src=x onerror=alert(1)>|$\\frac{1}{0}$|\x1b[31m\u202e\u05d0\u05d1" + "x" * 300


def trial(selector=HARDEST, scorer=AUM, *, keep=0.1, seed=0, accuracy=0.9, **changed) -> TrialResult:
    """Of 3 classes, scored in 50 s, selected in 2 s and trained in 3 s."""
    fields = {
        **{"dataset": "digits", "fingerprint": "f" * 64, "test_fingerprint": "e" * 64, "image_size": 8, "setting": ""},
        **{"scorer": scorer, "selector": selector, "keep": keep, "examples": int(keep * N + 0.5), "seed": seed},
        **{"model": "resnet18", "pretrained": False, "recipe": "c" * 64, "train_budget": "steps", "steps": 120},
        **{"policy": "plain", "score_seed": 0, "reference": "resnet18", "reference_epochs": 10, "threads": 2},
        **{"precision": "float32", "protocol": 1, "label_free": False, "accuracy": accuracy, "train_loss": 0.1},
        "class_accuracy": (accuracy - 0.2, accuracy, accuracy + 0.05),
        "class_counts": (50, 30, 20),
        "score_cost": Cost(seconds=5.0, alone_seconds=50.0) if scorer else Cost(),
        "select_cost": Cost(seconds=1.0, alone_seconds=2.0),
        "train_cost": Cost(seconds=3.0, alone_seconds=3.0),
        "selection": f"{scorer}|{selector}|{keep}|{seed}",
    } | changed
    fields.setdefault("id", repr(sorted((k, v) for k, v in fields.items() if k not in ("accuracy", "class_accuracy"))))
    return TrialResult(**fields)


def balanced(**changed):
    return trial(BALANCED, None, **({"class_counts": (40, 40, 20)} | changed))


def uniform(**changed):
    return trial(RANDOM, None, **changed)


def full(**changed):
    return trial("full", None, keep=1.0, selection="all", **({"class_counts": (400, 400, 200)} | changed))


def seeds(make, accuracies, **changed):
    """One trial per accuracy, seeds 0, 1, ..."""
    return [make(seed=seed, accuracy=accuracy, **changed) for seed, accuracy in enumerate(accuracies)]


def two_ratios():
    """AUM's hardest, both random rows and the full data, three seeds, at keep 10 and 30 %."""
    return [
        *seeds(trial, (0.70, 0.72, 0.74), keep=0.1),
        *seeds(trial, (0.90, 0.90, 0.90), keep=0.3),
        *seeds(balanced, (0.80, 0.82, 0.84), keep=0.1),
        *seeds(balanced, (0.88, 0.90, 0.92), keep=0.3),
        *seeds(uniform, (0.78, 0.80, 0.82), keep=0.1),
        *seeds(uniform, (0.86, 0.88, 0.90), keep=0.3),
        *seeds(full, (0.95, 0.95, 0.95)),
    ]


def put(store, result: TrialResult, details=None, arrays=None) -> None:
    """A trial and its selection, whose record tells ``details`` and ``arrays``."""
    about = {"data": result.fingerprint, "method": {"text": result.selector, "definition": 1}, "keep": result.keep}
    about |= {"seed": result.seed, "scorer": result.scorer}
    named = {f"details/{name}": np.asarray(array) for name, array in (arrays or {}).items()}
    selection = store.put("selections", about, {"details": details or {}}, arrays=named or None).id
    plain = dataclasses.asdict(result) | {"selection": selection}
    plain = {k: v for k, v in plain.items() if k not in ("id", "provenance")}
    store.put("trials", {"selection": selection, "model": result.model, "seed": result.seed}, plain)


def put_scores(store, values, scorer=AUM, *, hard="low", dataset="digits", fingerprint="f" * 64, score_seed=0):
    """A score record of ``values`` (N,); its id."""
    about = {
        "data": fingerprint,
        "image_size": 8,
        "method": {"definition": 1, "text": scorer},
        "score_seed": score_seed,
    }
    about |= {"reference": {"model": "resnet18", "epochs": 10, "recipe": "c"}, "protocol": 1, "threads": 2}
    about |= {"precision": "float32", "files": {}}
    told = {"dataset": dataset, "fingerprint": fingerprint, "hard": hard, "comparable": "set", "details": {}}
    told |= {"cost": dataclasses.asdict(Cost()), "label_free": False}
    return store.put("scores", about, told, arrays={"values": np.asarray(values, dtype=float)}).id
