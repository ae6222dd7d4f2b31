"""What the benchmarks of scale share: both sides on one thread and in turns, and the record of what was measured.

    .venv/bin/pytest benchmarks --record        # writes benchmarks/records/scale.json, the table of docs/scale.md

Times are a process's own CPU seconds, so that whatever else the machine does counts for neither side; the best of the
rounds counts. Equality is checked before anything is told, and no clock fails a benchmark.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

RECORD = Path(__file__).parent / "records" / "scale.json"
Run = Callable[[], Any]


def pytest_addoption(parser):
    parser.addoption("--record", action="store_true", help=f"write what was measured to {RECORD.name}")


def pytest_xdist_auto_num_workers(config):
    """One at a time: they measure."""
    return 0


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def recorded(request):
    """``recorded(name, **figures)`` prints the figures and, with ``--record``, puts them into the record."""

    def write(name: str, **figures: Any) -> None:
        figures = {key: figure(value) if isinstance(value, float) else value for key, value in figures.items()}
        print(f"\n{name}: " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in figures.items()))
        if not request.config.getoption("--record"):
            return
        found = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        file = Path(request.node.path).name
        found[name] = {
            **figures,
            "command": f"pytest benchmarks/{file}::{request.node.originalname} --record",
            "torch": torch.__version__,
        }
        RECORD.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")

    return write


@pytest.fixture
def against(benchmark, recorded, one_thread):
    """``against(name, ours, plain, equal, goal=...)``: equality of both results, then the ratio of their seconds."""

    def compare(
        name: str,
        ours: Run,
        plain: Run,
        equal: Callable[[Any, Any], None],
        *,
        goal: float | None,
        size: str,
        rounds: int = 3,
        plain_rounds: int = 2,
    ) -> None:
        pairs = []
        for i in range(max(rounds, plain_rounds)):
            mine, seconds = timed(ours)
            theirs, plain_seconds = timed(plain) if i < plain_rounds else (None, float("inf"))
            if i == 0:
                equal(mine, theirs)
            del mine, theirs
            pairs.append((seconds, plain_seconds))
        best, plain_best = (min(times) for times in zip(*pairs, strict=True))
        figures = {
            "size": size,
            "ours_seconds": best,
            "plain_seconds": plain_best,
            "ratio": plain_best / best,
            "goal": goal,
        }
        benchmark.extra_info.update(figures)
        recorded(name, **figures)
        benchmark.pedantic(ours, rounds=1)

    return compare


@pytest.fixture
def against_by_the_clock(benchmark, recorded):
    """As `against`, with two threads or processes on both sides and in seconds on the clock."""

    def compare(name: str, ours: Run, plain: Run, equal, *, goal: float | None, size: str, rounds: int) -> None:
        threads, pairs = torch.get_num_threads(), []
        torch.set_num_threads(2)
        try:
            for _ in range(rounds):
                mine, seconds = on_the_clock(ours)
                theirs, plain_seconds = on_the_clock(plain)
                equal(mine, theirs)
                pairs.append((seconds, plain_seconds))
            benchmark.pedantic(ours, rounds=1)
        finally:
            torch.set_num_threads(threads)
        best, plain_best = (min(times) for times in zip(*pairs, strict=True))
        figures = {"ours_seconds": best, "plain_seconds": plain_best, "ratio": plain_best / best, "goal": goal}
        benchmark.extra_info.update(figures)
        recorded(name, size=size, **figures)

    return compare


def timed(run: Run) -> tuple[Any, float]:
    start = time.process_time()
    result = run()
    return result, time.process_time() - start


def on_the_clock(run: Run) -> tuple[Any, float]:
    start = time.perf_counter()
    result = run()
    return result, time.perf_counter() - start


def figure(value: float) -> float:
    """Three significant digits."""
    return float(f"{value:.3g}")
