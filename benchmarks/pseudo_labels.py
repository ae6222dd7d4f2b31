"""How good are ELFS's pseudo-labels? Agreement of the clusters with the true labels, which no method saw.

    python benchmarks/pseudo_labels.py [--dataset digits] [--data-root DIR] [--encoder pca] [--runs 3] [--out FILE.json]

For TEMI's heads and for k-means, each under ``--runs`` seeds: normalised mutual information, and the accuracy under the
best one-to-one naming of clusters as classes (Hungarian). Seconds are of the clustering alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from prunebench_baselines.elfs import kmeans_labels, temi_labels
from prunebench_baselines.geometry import by_seed, unit_rows
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import normalized_mutual_info_score

import prunebench as pb


def named_accuracy(found: np.ndarray, truth: np.ndarray) -> float:
    """Share of right labels when every cluster bears the class that fits best, one class per cluster."""
    counts = np.zeros((found.max() + 1, truth.max() + 1), dtype=np.int64)
    np.add.at(counts, (found, truth), 1)
    clusters, classes = linear_sum_assignment(counts, maximize=True)
    return float(counts[clusters, classes].sum() / len(truth))


def measured(call: pb.Call, encoder: str, heads: str, run: int) -> dict[str, Any]:
    """One clustering of the training split."""
    e, order = by_seed(call.inputs["embeddings"](encoder).cpu(), call.inputs["seeds"])
    truth = call.dataset.train.labels[call.order][order.numpy()]
    classes, generator = len(call.dataset.classes), pb.generator_for("pseudo labels", call.dataset.name, heads, run)
    near = call.inputs["neighbours"](unit_rows(e).float(), min(50, len(e) - 1))[1]
    started = time.perf_counter()
    if heads == "kmeans":
        found = kmeans_labels(e.double(), classes, generator)
    else:
        found = temi_labels(e, near, classes, generator).labels
    seconds = time.perf_counter() - started
    return {
        "heads": heads,
        "run": run,
        "nmi": float(normalized_mutual_info_score(truth, found.numpy())),
        "accuracy": named_accuracy(found.numpy(), truth),
        "seconds": seconds,
    }


def main() -> None:
    """Measure and print; write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--encoder", default="pca")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as store:
        plan = pb.Plan(
            scorers=("elfs",),
            selectors=("double_end",),
            dataset=given.dataset,
            data_root=given.data_root,
            device="cpu",
            store=store,
        )
        call, rows = pb.call_of(plan), []
        print(
            f"{given.dataset}, {given.encoder}: {len(call.dataset.train)} pictures, {torch.get_num_threads()} threads"
        )
        for heads in ("temi", "kmeans"):
            for run in range(given.runs):
                rows.append(measured(call, given.encoder, heads, run))
                line = "{heads:7} run {run}: NMI {nmi:.3f}, accuracy {accuracy:.3f}, {seconds:.1f} s"
                print(line.format(**rows[-1]), flush=True)
    if given.out:
        record = {"dataset": given.dataset, "encoder": given.encoder, "runs": rows}
        given.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
