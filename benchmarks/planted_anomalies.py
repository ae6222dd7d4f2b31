"""Are planted anomalies found, and do two scorings agree? Wrong labels, shuffled and inverted pictures.

    python benchmarks/planted_anomalies.py
    python benchmarks/planted_anomalies.py --dataset "fashion-mnist(train=10000)" --data-root DIR --name fashion \
        --scorer "drd(dit='nano', dit_steps=2000, draws=2, perceptual='l2')"
    python benchmarks/planted_anomalies.py --name choices --runs 1 --choices

In two of a hundred training pictures each: a wrong label, shuffled pixels, inverted brightness. Every scorer scores the
training split in ``--runs`` independent runs (models and noises of their own). AUROC of hardness for each kind of
anomaly against the untouched pictures, on ranks inside the labelled class (DRD compares only there), mean of the runs;
Spearman's rho over the untouched pictures inside classes, mean over classes: of two runs, and with the first scorer.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import roc_auc_score

import prunebench as pb

SCORERS = ("drd", "drd(perceptual='l2')", "elbo", "classifier_confidence", "el2n", "aum")
CHOICES = (
    "drd",
    *("drd(search='exhaustive')", "drd(spacing='linspace')", "drd(reduction='mean')"),
    *("drd(timestep=13)", "drd(timestep=20)", "drd(timestep=27)", "drd(timestep=40)"),
    *("drd(draws=1)", "drd(draws=2)", "drd(draws=32)", "drd(perceptual='l2')"),
    *("drd(dit_steps=500)", "drd(dit_steps=1000)", "drd(dit_steps=3000)", "drd(reduction='half')"),
)
KINDS = ("wrong label", "shuffled", "inverted")


def planted(dataset: str, root: str) -> tuple[pb.Dataset, dict[str, np.ndarray]]:
    """The data set with anomalies in its training split, and where they are."""
    data = pb.call_of(pb.Plan(scorers=("random",), selectors=("hardest",), dataset=dataset, data_root=root)).dataset
    draws, n = pb.generator_for(f"{data.name} anomalies"), len(data.train)
    each = round(0.02 * n)
    chosen = torch.randperm(n, generator=draws)[: each * len(KINDS)].split(each)
    pixels, labels = data.train.images.pixels(range(n)).clone(), data.train.labels.copy()
    shift = torch.randint(1, len(data.classes), (each,), generator=draws).numpy()
    labels[chosen[0].numpy()] = (labels[chosen[0].numpy()] + shift) % len(data.classes)
    for i in chosen[1].tolist():
        flat = pixels[i].flatten(1)
        pixels[i] = flat[:, torch.randperm(flat.shape[1], generator=draws)].reshape(pixels[i].shape)
    pixels[chosen[2]] = 255 - pixels[chosen[2]]
    train = pb.Split(pb.MemoryImages(pixels, flip=data.train.images.flip), labels, data.train.keys)
    return replace(data, train=train), {kind: part.numpy() for kind, part in zip(KINDS, chosen, strict=True)}


def inside_class(hardness: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) rank in the labelled class, in (0, 1]."""
    ranks = np.empty(len(hardness))
    for c in np.unique(labels):
        ranks[labels == c] = rankdata(hardness[labels == c]) / (labels == c).sum()
    return ranks


def agreement(first: pb.Scores, second: pb.Scores, clean: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rho over the untouched pictures inside classes, mean over classes."""
    inside = [clean[y[clean] == c] for c in np.unique(y)]
    return round(float(np.mean([spearmanr(first.hardness[c], second.hardness[c]).statistic for c in inside])), 3)


def measured(data: pb.Dataset, where: dict[str, np.ndarray], runs: list[pb.Scores], first: pb.Scores) -> dict[str, Any]:
    """One scorer's AUROC per kind of anomaly, its agreements and what it took."""
    y = data.train.labels
    clean = np.setdiff1d(np.arange(len(y)), np.concatenate(list(where.values())))
    found: dict[str, Any] = {"auroc": {}}
    ranks = [inside_class(s.hardness, y) for s in runs]
    for kind, places in where.items():
        truth = np.r_[np.zeros(len(clean)), np.ones(len(places))]
        found["auroc"][kind] = round(float(np.mean([roc_auc_score(truth, r[np.r_[clean, places]]) for r in ranks])), 3)
    if len(runs) > 1:
        found["spearman_of_two_scorings"] = agreement(*runs[:2], clean, y)
    found["spearman_with_first"] = agreement(runs[0], first, clean, y)
    found["seconds_alone"] = [round(s.cost.alone_seconds, 1) for s in runs]
    if "split_half_reliability" in runs[0].details:
        found["split_half_reliability"] = [round(float(s.details["split_half_reliability"]), 3) for s in runs]
    if "t_star" in runs[0].details:
        found["t_star"] = np.asarray(runs[0].details["t_star"]).tolist()
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--scorer", action="append")
    parser.add_argument("--choices", action="store_true", help="drd with one choice changed at a time")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--name", default="digits")
    parser.add_argument("--store", default="anomalies")
    given = parser.parse_args()
    data, where = planted(given.dataset, given.data_root)
    result: dict[str, Any] = {"dataset": data.name, "fingerprint": data.fingerprint, "examples": len(data.train)}
    result |= {"each": len(where["wrong label"]), "runs": given.runs, "scorers": {}}
    first = None
    for text in given.scorer or (CHOICES if given.choices else SCORERS):
        runs = [pb.score(text, data, seed=seed, store=given.store) for seed in range(given.runs)]
        first = first or runs[0]
        result["scorers"][text] = measured(data, where, runs, first)
        print(text, json.dumps(result["scorers"][text]), flush=True)
    result["versions"] = {"prunebench": pb.__version__, "torch": torch.__version__}
    Path(f"benchmarks/records/anomalies_{given.name}.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
