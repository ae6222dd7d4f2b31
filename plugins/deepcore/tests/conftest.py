"""A stand-in for a checkout of DeepCore, and this plugin on the path where it is not installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # of `deepcore_checkout`
sys.path.insert(0, str(Path(__file__).parents[1]))


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """The folder of the stand-in, none of its modules imported before or after, and the working folder beside it."""
    from deepcore_checkout import make

    def forget():
        for name in [n for n in sys.modules if n == "utils" or n.split(".")[0] == "deepcore"]:
            del sys.modules[name]

    forget()
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.chdir(tmp_path)
    yield make(tmp_path / "DeepCore")
    forget()
