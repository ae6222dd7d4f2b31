"""P17, first half: a finished grid of 10,100 cells, run again.

Every record is looked up by the identity that its cell has, read, and its hash checked; nothing is computed (goal: two
seconds). The plain form checks a card by writing its JSON anew. The records are published by the benchmark itself,
with made-up accuracies, under the identities that the run will ask for.
"""

import time
from dataclasses import asdict, replace

import numpy as np

from prunebench.execution.steps import selection_to_be
from prunebench.harness.trials import Selected, Trial, everything, trial_identity
from prunebench.harness.trials import _told as result_of
from prunebench.planning.plans import Plan, cells, open_harness
from prunebench.running import run
from prunebench.types import Cost, Selection

PLAN = Plan(
    selectors=("random",),
    dataset="planted(train=200,test=20)",
    keep=tuple((i + 1) / 60 for i in range(50)),
    seeds=100,
    steps=4,
    device="cpu",
)
CELLS = 10_100  # random and class-balanced at 50 keep ratios, and the full data, of 100 seeds


def publish(harness, plan) -> dict[str, float]:
    """A record for every cell; id -> accuracy."""
    draw, told = np.random.default_rng(0), {}
    provenance = harness.provenance()
    for cell in cells(plan, harness):
        trial: Trial = plan.trial(cell.model, cell.seed)
        whole = cell.selector == "full"
        chosen = Selected.of(everything(harness)) if whole else selection_to_be(harness, plan, *at(cell))
        identity = trial_identity(harness, trial, chosen)
        kept = Selection(np.arange(chosen.examples), None, cell.selector, cell.keep, cell.seed, 200, label_free=False)
        measured = {"accuracy": float(draw.random()), "class_accuracy": (), "train_loss": 0.1, "train_cost": Cost()}
        measured |= {"examples": chosen.examples}
        result = asdict(result_of(harness, trial, kept, Cost(), 0, identity, measured))
        record = harness.store.put("trials", identity, plain(result), provenance=provenance)
        told[record.id] = measured["accuracy"]
    return told


def at(cell):
    return cell.scorer, cell.selector, cell.keep, cell.seed


def plain(result):
    return {k: v for k, v in result.items() if k not in ("id", "provenance", "oracle")}


def test_a_finished_grid_of_ten_thousand_cells_run_again(recorded, tmp_path, monkeypatch):
    plan = replace(PLAN, store=str(tmp_path / "runs"))
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", lambda handle: None)  # this is about reading
        told = publish(open_harness(plan), plan)
    seconds = run_again(plan, told)
    with monkeypatch.context() as patched:
        patched.setattr("prunebench.store.records._as_written", lambda *args: None)
        plainly = run_again(plan, told)
    figures = {"ours_seconds": seconds, "plain_seconds": plainly, "ratio": plainly / seconds, "goal": None}
    recorded("P17 finished grid run again", size=f"{CELLS:,} cells", **figures)


def run_again(plan, told) -> float:
    """CPU seconds, best of three; every accuracy is that of its record."""
    seconds = []
    for _ in range(3):
        harness = open_harness(plan)
        began = time.process_time()
        found = {result.id: result.accuracy for result in run(plan, harness=harness)}
        seconds.append(time.process_time() - began)
        assert found == told and len(found) == CELLS
    return min(seconds)
