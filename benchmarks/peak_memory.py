"""How far one step raises the memory of a process: what P12 and the bounds of the geometric selectors are read from.

    .venv/bin/python benchmarks/peak_memory.py recorder             # or kcenter, facility_location

Prints JSON: ``grown``, bytes between the resident memory when all inputs were there and its highest point after that,
and the CPU ``seconds`` of the step. What the step loads or sets up once was done before, on a small case. The
recorder's case writes 3.7 GB of histories to the temporary folder, and removes them. Linux only: the high-water mark is
put back through ``/proc/self/clear_refs``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from prunebench_baselines.facility_location import facility_location
from prunebench_baselines.kcenter import kcenter

from prunebench.training.recorder import Recorder
from prunebench.training.statistics import STANDARD

IMAGENET, EPOCHS = 1_281_167, 90
EXAMPLES, WIDTH, CENTRES, REPRESENTATIVES = 100_000, 128, 1000, 2
BATCH, CLASSES, KINDS = 4096, 4, 8191  # of the simulated presentations; example i shows the logits of kind i + e


def resident(field: str) -> int:
    """VmRSS or VmHWM of this process, bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split(f"{field}:")[1].split()[0])


def grown(step: Callable[[], Any]) -> dict[str, float]:
    """Bytes above what is resident now, at the step's highest point, and its CPU seconds."""
    Path("/proc/self/clear_refs").write_text("5")
    before, start = resident("VmRSS"), time.process_time()
    step()
    return {"grown": resident("VmHWM") - before, "seconds": time.process_time() - start}


def kinds() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (KINDS, C) and labels (KINDS,)."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (KINDS,), generator=generator)
    return 3 * torch.randn(KINDS, CLASSES, generator=generator), labels


def presented(folder: Path, n: int, epochs: int) -> dict[str, Path]:
    """A recording of ``n`` examples in mixed order, as a training and its evaluation passes give them."""
    logits, labels = kinds()
    recorder = Recorder(STANDARD, n, epochs, folder)
    for epoch in range(epochs):
        for rows in (torch.arange(first, min(first + BATCH, n)) for first in range(0, n, BATCH)):
            for take, positions in ((recorder.presented, (rows * 7919 + epoch) % n), (recorder.evaluated, rows)):
                kind = (positions + epoch) % KINDS
                take(positions, logits[kind], labels[kind])
        recorder.finish_epoch()
    return recorder.close()


def check_recording(files: dict[str, Path], n: int, epochs: int) -> None:
    """Every number of every epoch is that of the example's kind.

    Raises:
        AssertionError: one is not.
    """
    logits, labels = kinds()
    expected = {name: STANDARD[name][0](logits, labels).numpy() for name in files}
    histories = {name: np.load(path, mmap_mode="r", allow_pickle=False) for name, path in files.items()}
    assert all(history.shape == (epochs, n) and history.dtype == np.float32 for history in histories.values())
    for epoch in range(epochs):
        kind = (np.arange(n) + epoch) % KINDS
        for name, history in histories.items():
            assert float(np.abs(history[epoch] - expected[name][kind]).max()) <= 1e-6, (name, epoch)


def recorder(n: int, epochs: int) -> dict[str, float]:
    """The standard statistics of a training of ``n`` examples, the numbers checked after it was measured."""
    with tempfile.TemporaryDirectory() as scratch:
        small, whole = Path(scratch, "small"), Path(scratch, "whole")
        small.mkdir()
        whole.mkdir()
        presented(small, 2 * BATCH + 1, 2)
        found = grown(lambda: presented(whole, n, epochs))
        check_recording({path.stem: path for path in whole.iterdir()}, n, epochs)
        return found | {"disk": sum(path.stat().st_size for path in whole.iterdir())}


def features(examples: int = EXAMPLES) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, D) around 200 centres, and seeds (N,) in no order."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(200, WIDTH, generator=generator)
    h = torch.randn(examples, WIDTH, generator=generator)
    h += centres[torch.randint(200, (examples,), generator=generator)]
    return h, torch.randperm(examples, generator=generator)


def selected(selector: Callable[..., torch.Tensor], budget: int) -> dict[str, float]:
    """One selection from features that are there already."""
    few, some = features(500)
    selector(lambda: few, some, 5)
    h, seeds = features()
    return grown(lambda: selector(lambda: h, seeds, budget)) | {"features": h.nbytes}


CASES: dict[str, Callable[[], dict[str, float]]] = {
    "recorder": lambda: recorder(IMAGENET, EPOCHS),
    "kcenter": lambda: selected(kcenter, CENTRES),
    "facility_location": lambda: selected(facility_location, REPRESENTATIVES),
}


def main() -> None:
    """Measure one case and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    torch.set_num_threads(1)
    print(json.dumps(CASES[parser.parse_args().case]()))


if __name__ == "__main__":
    main()
