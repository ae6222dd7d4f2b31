"""A task for `test_workers.py`: it does nothing but look whether torch is there already."""

import sys


def torch_is_loaded(setting):
    """("torch", "loaded"), in the place of the record that a task leaves."""
    return ("torch", "loaded") if "torch" in sys.modules else ("torch", "missing")
