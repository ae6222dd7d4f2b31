"""Freed memory stays with the process, and no number changes."""

import subprocess
import sys

import pytest

CODE = """
import resource, sys
import numpy as np
if sys.argv[1] == "kept":
    from prunebench.training.allocation import keep_freed_memory
    assert keep_freed_memory() and keep_freed_memory()
for _ in range(60):
    np.ones(2**21)  # 16 MiB, freed at once
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc")
def test_memory_is_taken_from_the_system_once():
    faults = {}
    for how in ("plain", "kept"):
        done = subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, text=True, check=True)
        faults[how] = int(done.stdout)
    assert faults["kept"] < faults["plain"] or faults["plain"] < 60 * 100  # a C library that keeps it anyway
