"""P18, second half: workers of a Ray cluster against worker processes of this machine, past start-up.

Both do the same cells with two workers; counting starts when as many cells are done as there are workers, so neither
starting Ray nor the first import counts. The records are compared file by file. Seconds are those of all processors in
use by the side, Ray's own processes included, so that whatever else the machine does counts for neither; by the clock
is told beside it. In turns, best of two.
"""

import time
from pathlib import Path

import pytest

from prunebench.execution.local import Local
from prunebench.execution.on_ray import OnRay
from prunebench.execution.ray_nodes import Needs
from prunebench.execution.supervisor import supervise
from prunebench.execution.tasks import Task
from prunebench.store import Store

psutil = pytest.importorskip("psutil")
CELLS, WORKERS, ROUNDS, GOAL = 40, 2, 2, 0.9


def processor_seconds():
    """Of this process and all that it has started."""
    own = psutil.Process()
    times = [process.cpu_times() for process in [own, *own.children(recursive=True)]]
    return sum(t.user + t.system for t in times)


def seconds(backend, store):
    """(processor, clock) of `CELLS` cells after the first of each worker, every one of them sound."""
    tasks = [Task(str(number), "cells:cell", {"number": number}) for number in range(WORKERS + CELLS)]
    results = supervise(tasks, backend, lambda task, outcome: store.by_id(*outcome.record) is not None)
    assert all(next(results)[1].done for _ in range(WORKERS))
    began = processor_seconds(), time.perf_counter()
    for _ in range(CELLS - 1):
        assert next(results)[1].done
    ended = processor_seconds(), time.perf_counter()
    assert all(outcome.done for _, outcome in results)
    return tuple(late - early for early, late in zip(began, ended, strict=True))


def test_ray_against_local(recorded, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    taken = {"local": [], "ray": []}
    for i in range(ROUNDS):
        stores = {name: Store(tmp_path / f"{name}-{i}") for name in taken}
        roots = {name: str(store.root) for name, store in stores.items()}
        local = Local(roots["local"], WORKERS, preload=("cells",))
        taken["local"].append(seconds(local, stores["local"]))
        ray = OnRay(roots["ray"], WORKERS, "local", Needs(stores["ray"].root))
        taken["ray"].append(seconds(ray, stores["ray"]))
        records = [{r.id: r.card for r in store.records("scores")} for store in stores.values()]
        assert records[0] == records[1] and len(records[0]) == WORKERS + CELLS
    local, ray = ([min(side) for side in zip(*found, strict=True)] for found in taken.values())
    print(f"\nby the clock: Ray {ray[1]:.1f} s, local {local[1]:.1f} s, ratio {local[1] / ray[1]:.3g}")
    recorded(
        "P18 Ray against local",
        size=f"{CELLS} cells of one thread, {WORKERS} workers",
        ours_seconds=ray[0],
        plain_seconds=local[0],
        ratio=local[0] / ray[0],
        goal=GOAL,
    )
