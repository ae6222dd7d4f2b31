"""A grid that is killed with -9 on the way and finished, against one that nobody disturbs: the same records.

    python benchmarks/killed_grid.py --data-root DIR [--drd OPTIONS] [--steps 60] [--seeds 3] [--kills 2] [--name NAME]

runs {drd, forgetting, el2n, aum, random} x {ccs, bws} x keep {0.1, 0.3} x {resnet18, efficientnet_b0, vit_tiny} on
``fashion-mnist(train=2000,test=1000)`` in two stores. In one of them the run is killed when a third of its trainings is
done, and again at two thirds, then finished. Every record of both is compared: identity, result but for seconds and
memory, and every byte of its arrays and files. What was compared goes to ``benchmarks/records/killed_grid_NAME.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prunebench import __version__
from prunebench.store import RECORDS, Store

HERE = Path(__file__).parent
DATASET = "fashion-mnist(train=2000,test=1000)"
DRD = 'timestep=20, perceptual="l2"'
SCORERS, SELECTORS = ("forgetting", "el2n", "aum", "random"), ("ccs", "bws")
MODELS = "resnet18,efficientnet_b0,vit_tiny"
MEASURED = ("seconds", "cost", "made", "score_cost", "select_cost", "train_cost")  # by a clock, or of a process


def command(store: Path, asked: argparse.Namespace) -> list[str]:
    scorers = (f"drd({asked.drd})", *SCORERS)
    return [
        *(sys.executable, "-m", "prunebench.cli", "run", "--dataset", DATASET, "--data-root", asked.data_root),
        *(part for name in scorers for part in ("--scorer", name)),
        *(part for name in SELECTORS for part in ("--selector", name)),
        *("--keep", "0.1,0.3", "--model", MODELS, "--steps", str(asked.steps), "--seeds", str(asked.seeds)),
        *(("--reference-epochs", str(asked.reference_epochs)) if asked.reference_epochs else ()),
        *("--threads", "1", "--store", str(store)),
    ]


def finish(store: Path, asked: argparse.Namespace, kill_after: int | None = None) -> int:
    """Run until the end, or kill it with -9 after so many trainings; how many it told of."""
    told, started = 0, time.monotonic()
    with subprocess.Popen(command(store, asked), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        for line in run.stderr:
            told += line.startswith("[")
            print(f"{time.monotonic() - started:7.0f} s  {line.rstrip()}", flush=True)
            if kill_after is not None and told >= kill_after:
                run.send_signal(signal.SIGKILL)
                kill_after = None
    if run.returncode not in (0, -signal.SIGKILL):
        sys.exit(f"the run in {store} ended with exit code {run.returncode}")
    return told


def records(root: Path) -> dict[str, dict[str, Any]]:
    """Of every kind, id -> what a clock has no part in."""
    store = Store(root)
    return {kind: {r.id: dict(_plain(r)) for r in store.records(kind)} for kind in RECORDS}


def _plain(record: Any) -> Iterator[tuple[str, Any]]:
    yield "identity", record.identity
    yield "result", {k: v for k, v in record.result.items() if k not in MEASURED}
    yield "files", {name: file["sha256"] for name, file in record.card["files"].items()}


def differing(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    return [id for id in {**ours, **theirs} if ours.get(id) != theirs.get(id)]


def main() -> None:
    asked = parser().parse_args()
    killed, quiet = (Path(asked.stores) / name for name in ("killed", "undisturbed"))
    started = time.monotonic()
    total = finish(quiet, asked)
    kills = [total * (i + 1) // (asked.kills + 1) for i in range(asked.kills)]
    for at in kills:
        finish(killed, asked, kill_after=at)
    finish(killed, asked)
    ours, theirs = records(killed), records(quiet)
    counts = {kind: len(found) for kind, found in theirs.items()}
    odd = {kind: differing(ours[kind], theirs[kind]) for kind in RECORDS}
    damaged = Store(killed).verify()[1]
    record = {
        "command": " ".join(["python", "benchmarks/killed_grid.py", *sys.argv[1:]]),
        "grid": {"drd": asked.drd, "dataset": DATASET, "models": MODELS, "steps": asked.steps, "seeds": asked.seeds},
        "reference_epochs": asked.reference_epochs,
        "killed_after": kills,
        "trainings": total,
        "records": counts,
        "different": {kind: len(ids) for kind, ids in odd.items()},
        "damaged": len(damaged),
        "minutes": round((time.monotonic() - started) / 60, 1),
        "cores": os.cpu_count(),
        "prunebench": __version__,
    }
    print(json.dumps(record, indent=1))
    for kind, ids in odd.items():
        print(*(f"different: {kind}/{i}" for i in ids[:5]), sep="\n")
    (HERE / "records" / f"killed_grid_{asked.name}.json").write_text(json.dumps(record, indent=1) + "\n")
    sys.exit(bool(damaged) or any(odd.values()))


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--data-root", default="data")
    found.add_argument("--drd", default=DRD, metavar="OPTIONS", help="Options of drd.")
    found.add_argument("--steps", type=int, default=60)
    found.add_argument("--seeds", type=int, default=3)
    found.add_argument("--reference-epochs", type=int)
    found.add_argument("--kills", type=int, default=2)
    found.add_argument("--stores", default="killed_grid", help="Where the two stores go.")
    found.add_argument("--name", default="fashion")
    return found


if __name__ == "__main__":
    main()
