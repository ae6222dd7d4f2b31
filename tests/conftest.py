"""What several test files need: where real pictures may lie, and stores in memory."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # of `bundled`, `publisher`, `sittings` and `trainings`

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """The folder with real pictures, beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("needs the real pictures in ../shared/data")
    return SHARED


@pytest.fixture
def shm(tmp_path):
    """A folder in memory where there is one: a kill costs what is in a process, not what is in the system's cache."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    from sittings import leave_none

    folder = Path(tempfile.mkdtemp(prefix="prunebench-", dir="/dev/shm"))
    folder.chmod(0o755)
    yield folder
    leave_none()
    shutil.rmtree(folder)


@pytest.fixture
def undisturbed(shm):
    """The content of a store that nobody disturbed."""
    from publisher import content, publish

    publish(shm / "undisturbed", str)
    found = content(shm / "undisturbed")
    assert not any(part.startswith(".") for name in found for part in Path(name).parts)
    return found


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """A bundle of ten small trials in a folder, beside the store ``runs`` that it was made from; not to be altered."""
    from bundled import packed

    return packed(tmp_path_factory.mktemp("submitted"))


@pytest.fixture
def one_thread():
    """Torch on one thread: trainings are the same bit for bit for one number of threads."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
