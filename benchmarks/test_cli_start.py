"""P16: how soon the commands that only look around answer, against a process that imports torch.

Both are whole processes started the same way, so the ratio is what a user waits. First it is checked that the answer is
the right one and that torch was not imported on the way; the time is reported and judged by nobody's clock.
"""

import statistics
import subprocess
import sys
import time

import pytest

ROUNDS = 5
SAYS = {"--help": "leaderboard", "ls": "aum", "plugins": "prunebench_baselines"}
IN_PROCESS = """
import sys
from prunebench.cli import main
try:
    main([sys.argv[1]])
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""


def finished(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)


def without_usage(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("Usage:")]  # names the program


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    finished(command)
    return time.perf_counter() - start


@pytest.mark.parametrize("command", SAYS)
def test_cli_start(benchmark, command):
    seen = finished([sys.executable, "-c", IN_PROCESS, command])
    assert SAYS[command] in seen.stdout
    assert seen.stderr.split()[-1] == "False", "torch was imported"
    ours = [sys.executable, "-m", "prunebench.cli", command]
    assert without_usage(finished(ours).stdout) == without_usage(seen.stdout)
    plain = [sys.executable, "-c", "import torch"]
    finished(plain)  # once for the disk cache
    heavy = statistics.median(seconds(plain) for _ in range(ROUNDS))
    light = statistics.median(seconds(ours) for _ in range(ROUNDS))
    bare = statistics.median(seconds([sys.executable, "-c", ""]) for _ in range(ROUNDS))
    benchmark.extra_info["ratio"] = heavy / light
    benchmark.extra_info["torch_seconds"] = heavy
    benchmark.extra_info["bare_python_seconds"] = bare
    benchmark.pedantic(finished, args=(ours,), rounds=ROUNDS)
