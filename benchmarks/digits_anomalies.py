"""Are planted anomalies found? Wrong labels, shuffled and inverted scans among the digits' training pictures.

    python benchmarks/digits_anomalies.py [--out benchmarks/records/digits_anomalies.json] [--store anomalies]

Two independent scorings (seeds 0 and 1) of each scorer, on the training split alone. AUROC of hardness for each kind of
anomaly against the untouched pictures, on ranks inside the labelled class (DRD compares only there), mean of the two
scorings; and Spearman's rho between the two scorings over the untouched pictures, inside classes, mean over classes.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import roc_auc_score

import prunebench as pb
from prunebench.datasets.digits import digits
from prunebench.seeds import generator_for

SCORERS = ("drd", "drd(perceptual='l2')", "el2n", "aum")
KINDS = ("wrong label", "shuffled scan", "inverted scan")
EACH = 29  # two in a hundred of each kind


def planted() -> tuple[pb.Dataset, dict[str, np.ndarray]]:
    """The digits with anomalies in the training split, and where they are."""
    data, draws = digits(), generator_for("digits anomalies")
    n = len(data.train)
    chosen = torch.randperm(n, generator=draws)[: EACH * len(KINDS)].split(EACH)
    pixels, labels = data.train.images.pixels(range(n)).clone(), data.train.labels.copy()
    shift = torch.randint(1, 10, (EACH,), generator=draws).numpy()
    labels[chosen[0].numpy()] = (labels[chosen[0].numpy()] + shift) % 10
    for i in chosen[1].tolist():
        order = torch.randperm(64, generator=draws)
        pixels[i] = pixels[i].flatten(1)[:, order].reshape(3, 8, 8)
    pixels[chosen[2]] = 255 - pixels[chosen[2]]
    images = pb.MemoryImages(pixels, flip=False)
    train = pb.Split(images, labels, data.train.keys)
    return replace(data, train=train), {kind: part.numpy() for kind, part in zip(KINDS, chosen, strict=True)}


def inside_class(hardness: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) rank in the labelled class, in (0, 1]."""
    ranks = np.empty(len(hardness))
    for c in np.unique(labels):
        ranks[labels == c] = rankdata(hardness[labels == c]) / (labels == c).sum()
    return ranks


def measured(data: pb.Dataset, where: dict[str, np.ndarray], runs: list[pb.Scores]) -> dict:
    """AUROC per kind of anomaly, and agreement of the two scorings."""
    y = data.train.labels
    clean = np.setdiff1d(np.arange(len(y)), np.concatenate(list(where.values())))
    found: dict = {"auroc": {}}
    for kind, places in where.items():
        truth = np.r_[np.zeros(len(clean)), np.ones(len(places))]
        ranks = [inside_class(s.hardness, y) for s in runs]
        found["auroc"][kind] = round(float(np.mean([roc_auc_score(truth, r[np.r_[clean, places]]) for r in ranks])), 3)
    rhos = [spearmanr(*(s.hardness[clean[y[clean] == c]] for s in runs)).statistic for c in range(10)]
    found["spearman_of_two_scorings"] = round(float(np.mean(rhos)), 3)
    found["seconds_alone"] = [round(s.cost.alone_seconds, 1) for s in runs]
    if "split_half_reliability" in runs[0].details:
        found["split_half_reliability"] = [round(float(s.details["split_half_reliability"]), 3) for s in runs]
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="benchmarks/records/digits_anomalies.json")
    parser.add_argument("--store", default="anomalies")
    given = parser.parse_args()
    data, where = planted()
    result = {"command": "python benchmarks/digits_anomalies.py", "fingerprint": data.fingerprint, "each": EACH}
    result["scorers"] = {}
    for text in SCORERS:
        runs = [pb.score(text, data, seed=seed, store=given.store) for seed in (0, 1)]
        result["scorers"][text] = measured(data, where, runs)
        print(text, json.dumps(result["scorers"][text]), flush=True)
    result["versions"] = {"prunebench": pb.__version__, "torch": torch.__version__}
    Path(given.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
