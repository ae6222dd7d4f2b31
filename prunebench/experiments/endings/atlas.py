"""Which scores say the same: rank correlation within classes, the overlap of the hardest, and how steady each is.

With h the hardness, inside every class, as some scores compare only there; n_c examples of class c:

    rho(A, B)     = sum over c of n_c / N * Spearman's correlation of h_A and h_B in class c
    overlap(A, B) = (q - q_0) / (1 - q_0)      q: the share that the hardest k_c = round(r n_c) of every class have in
                    common; q_0 = sum of k_c^2 / n_c over sum of k_c, which it is by chance; 1 where they are the same
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import rankdata

from ...console.boards import label
from ...evidence.scoring import standing
from ..performing import Found
from .ending import Ending, Row
from .rows import rounded


def atlas(found: Found, options: Mapping[str, Any]) -> Ending:
    """Option ``keep``: r. Correlations of the scorers' first scoring, and of every scorer with its other scorings."""
    from .drawing import draw_atlas

    keep, pairs, steady = float(options.get("keep", 0.3)), list[Row](), list[Row]()
    figures: dict[str, Any] = {}
    for dataset, (labels, scored) in _scored(found).items():
        names = sorted(scored)
        first = {name: scored[name][min(scored[name])] for name in names}
        for a in names:
            for b in names:
                both = first[a], first[b]
                pairs.append(
                    {
                        "dataset": dataset,
                        "a": a,
                        "b": b,
                        "spearman": rounded(correlation(*both, labels)),
                        "overlap": rounded(overlap(*both, labels, keep)),
                    }
                )
            for s, t in combinations(sorted(scored[a]), 2):
                both = scored[a][s], scored[a][t]
                told: Row = {
                    "spearman": rounded(correlation(*both, labels)),
                    "overlap": rounded(overlap(*both, labels, keep)),
                }
                steady.append({"dataset": dataset, "scorer": a, "scorings": f"{s} and {t}", **told})
        if len(names) > 1:
            mine = [row for row in pairs if row["dataset"] == dataset]
            figures["" if not figures else dataset] = partial(
                draw_atlas, mine, names, f"{found.experiment.title}, {dataset}", keep
            )
    return Ending({"": pairs, "stability": steady}, figures)


def _scored(found: Found) -> dict[str, tuple[np.ndarray, dict[str, dict[int, np.ndarray]]]]:
    """Data set and setting -> its labels (N,), and scorer's label -> scoring -> hardness (N,)."""
    labels: dict[str, np.ndarray] = {}
    scored: dict[str, dict[str, dict[int, np.ndarray]]] = defaultdict(lambda: defaultdict(dict))
    for plan, harness in zip(found.plans, found.harnesses, strict=True):
        data = harness.dataset
        where = f"{data.name}, {data.setting}" if data.setting else data.name
        labels[where] = data.train.labels
        for text in plan.scorers_named():
            method = harness.registry.method("scorer", text)
            for s in range(plan.score_seeds):
                if (scores := standing(harness, method, s)) is not None:
                    scored[where][label("scorer", method.text)][s] = scores.hardness
    return {where: (labels[where], dict(scored[where])) for where in scored}


def correlation(a: np.ndarray, b: np.ndarray, labels: np.ndarray) -> float:
    """rho; 0 in a class where one score is the same for all."""
    total = 0.0
    for c in np.unique(labels):
        own = labels == c
        x, y = rankdata(a[own]), rankdata(b[own])
        x, y = x - x.mean(), y - y.mean()
        spread = np.sqrt((x @ x) * (y @ y))
        total += own.sum() * float(x @ y / spread if spread > 0 else 0.0)
    return total / len(labels)


def overlap(a: np.ndarray, b: np.ndarray, labels: np.ndarray, keep: float) -> float:
    """Of the hardest of every class, beyond chance."""
    common, kept, chance = 0, 0, 0.0
    for c in np.unique(labels):
        own = np.flatnonzero(labels == c)
        k = max(1, int(keep * len(own) + 0.5))
        ours, theirs = (own[np.argsort(-h[own], kind="stable")[:k]] for h in (a, b))
        common += len(np.intersect1d(ours, theirs))
        kept += k
        chance += k * k / len(own)
    return (common - chance) / (kept - chance) if chance < kept else 1.0
