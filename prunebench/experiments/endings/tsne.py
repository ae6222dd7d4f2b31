"""Where the strata of a score lie among the features of a network: t-SNE of penultimate features.

(van der Maaten & Hinton 2008, as scikit-learn computes it from a start by principal components.)

Strata are fifths of every class by the score, 1 the easiest; as many examples of each, evenly over its ranks. Beside
the picture stands a number that needs no projection: the silhouette of each stratum with respect to the classes,

    s = (b - a) / max(a, b)     a, b: mean distance to the own class and to the nearest other, in feature space

(Rousseeuw 1987), over all examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from ...console.boards import label
from ...evidence.scoring import score
from ...harness.reference import scoring_run
from ...harness.shared import Harness
from ..performing import Found
from .ending import Ending, Row
from .rows import rounded

PARTS = 5
MOST = 2000  # points of the picture
SILHOUETTE = 10_000  # examples at most, evenly over the split: the distances of all pairs are computed


def tsne(found: Found, options: Mapping[str, Any]) -> Ending:
    """Option ``scorer``: whose strata."""
    from .drawing import draw_strata

    points, summary, figures = list[Row](), list[Row](), dict[str, Any]()
    wanted = found.harnesses[0].registry.method("scorer", options["scorer"]).text
    for harness, scorer in found.methods():
        if scorer == wanted:
            own, told = _embedded(harness, scorer)
            points += own
            summary += told
            name = "" if not figures else harness.dataset.name
            title = f"{found.experiment.title}: {label('scorer', scorer)} on {harness.dataset.name}"
            figures[name] = partial(draw_strata, own, title)
    return Ending({"": points, "silhouette": summary}, figures)


def _embedded(harness: Harness, scorer: str) -> tuple[list[Row], list[Row]]:
    from sklearn.manifold import TSNE
    from sklearn.metrics import silhouette_samples

    data = harness.dataset
    scores = score(harness, harness.registry.method("scorer", scorer), 0)
    features = np.asarray(scoring_run(harness, 0, 0).features())[harness.place].astype(np.float64)  # (N, D)
    labels, part = data.train.labels, strata(scores.hardness, data.train.labels)
    even = np.linspace(0, len(labels) - 1, min(SILHOUETTE, len(labels))).astype(int)
    silhouette = silhouette_samples(features[even], labels[even])
    told: list[Row] = [
        {
            "dataset": data.name,
            "stratum": s + 1,
            "examples": int((part == s).sum()),
            "silhouette": rounded(silhouette[part[even] == s].mean()),
        }
        for s in range(PARTS)
    ]
    chosen = evenly(scores.hardness, part)
    near = min(30.0, (len(chosen) - 1) / 3)
    place = TSNE(init="pca", perplexity=near, random_state=0, n_jobs=1).fit_transform(features[chosen])
    points: list[Row] = [
        {
            "dataset": data.name,
            "key": data.train.keys[i],
            "class": data.classes[labels[i]],
            "stratum": int(part[i]) + 1,
            "score": rounded(scores.values[i]),
            "x": round(float(x), 3),
            "y": round(float(y), 3),
        }
        for i, (x, y) in zip(chosen, place, strict=True)
    ]
    return points, told


def strata(hardness: np.ndarray, labels: np.ndarray, parts: int = PARTS) -> np.ndarray:
    """(N,) in 0..parts-1: in which part of its class each example stands, 0 the easiest; their sizes differ by one."""
    found = np.empty(len(labels), dtype=np.int64)
    for c in np.unique(labels):
        own = np.flatnonzero(labels == c)
        ranked = own[np.argsort(hardness[own], kind="stable")]
        found[ranked] = np.arange(len(own)) * parts // len(own)
    return found


def evenly(hardness: np.ndarray, part: np.ndarray, most: int = MOST) -> np.ndarray:
    """Positions of as many examples of every part, evenly over its ranks, ``most`` together at the utmost."""
    sizes = np.bincount(part)
    each = min(int(sizes.min()), most // len(sizes))
    chosen = []
    for p in range(len(sizes)):
        own = np.flatnonzero(part == p)
        ranked = own[np.argsort(hardness[own], kind="stable")]
        chosen.append(ranked[np.linspace(0, len(own) - 1, each).round().astype(int)])
    return np.sort(np.concatenate(chosen))
