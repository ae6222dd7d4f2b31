"""What several test files need: where real pictures may lie, and a small harness."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """The folder with real pictures, beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("needs the real pictures in ../shared/data")
    return SHARED
