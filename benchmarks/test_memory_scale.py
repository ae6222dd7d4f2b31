"""P12 and the memory of the geometric selectors, each in a process of its own (`peak_memory.py` says how).

    .venv/bin/pytest benchmarks/test_memory_scale.py -s [--record]

The recorder of a training of ImageNet-1K, 1,281,167 examples and 90 epochs of simulated presentations, must grow its
process by at most 32 bytes per example, whatever the number of epochs, and every number on disk must be right.
k-center and facility location must stay, at 100,000 x 128, within a multiple of the features: never N x N. That they
choose what the loop over the whole matrix chooses is checked at 2,000 examples.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from prunebench_baselines.facility_location import facility_location
from prunebench_baselines.kcenter import kcenter

N, EPOCHS, STATISTICS = 1_281_167, 90, 8
EXAMPLES, SMALL, WIDTH, BUDGET = 100_000, 2000, 128, 100

linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the high-water mark from /proc")


def measured(case: str) -> dict[str, float]:
    script = Path(__file__).parent / "peak_memory.py"
    done = subprocess.run([sys.executable, script, case], capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@linux
@pytest.mark.timeout(1200)
def test_recorder(benchmark, recorded):
    found = benchmark.pedantic(measured, args=("recorder",), rounds=1)
    assert found["grown"] <= 32 * N
    assert found["disk"] == pytest.approx(STATISTICS * EPOCHS * 4 * N, rel=1e-6)
    recorded(
        "P12 recorder",
        size=f"N = {N:,}, E = {EPOCHS}, {STATISTICS} statistics",
        bytes_per_example=round(found["grown"] / N, 1),
        bound=32,
        seconds=round(found["seconds"]),
    )


def features() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(SMALL, WIDTH, generator=generator)
    return h + 2 * h[torch.randint(20, (SMALL,), generator=generator)], torch.arange(SMALL)


def farthest_first_of_the_matrix(h: torch.Tensor) -> list[int]:
    distance, chosen = torch.cdist(h.double(), h.double()), [0]
    while len(chosen) < BUDGET:
        chosen.append(int(distance[:, chosen].amin(dim=1).argmax()))
    return chosen


def representatives_of_the_matrix(h: torch.Tensor) -> list[int]:
    unit = torch.nn.functional.normalize(h.double(), dim=1)
    similarity, covered, chosen = (1 + unit @ unit.T) / 2, torch.zeros(SMALL, dtype=torch.float64), []
    while len(chosen) < BUDGET:
        gain = (similarity - covered).clamp_min(0).sum(dim=1)
        gain[chosen] = -torch.inf
        chosen.append(int(gain.argmax()))
        covered = torch.maximum(covered, similarity[chosen[-1]])
    return chosen


@linux
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("case", "selector", "of_the_matrix", "budget", "bound"),
    [
        ("kcenter", kcenter, farthest_first_of_the_matrix, 1000, 3),
        ("facility_location", facility_location, representatives_of_the_matrix, 2, 8),
    ],
)
def test_geometric_selector(benchmark, recorded, case, selector, of_the_matrix, budget, bound):
    h, seeds = features()
    assert selector(lambda: h, seeds, BUDGET).tolist() == of_the_matrix(h)
    found = benchmark.pedantic(measured, args=(case,), rounds=1)
    assert found["grown"] <= bound * found["features"]
    recorded(
        f"{case}, memory",
        size=f"{EXAMPLES:,} x {WIDTH}, k = {budget:,}",
        bytes_per_example=round(found["grown"] / EXAMPLES),
        bound=round(bound * found["features"] / EXAMPLES),
        seconds=round(found["seconds"]),
    )
