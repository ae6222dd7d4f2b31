"""For all test folders: threads that wait do not spin for long, and nothing is left outside the clone."""

import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", tempfile.gettempdir())  # torch makes it when it is imported
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # before torch is imported, as the command line does


def pytest_configure(config):
    if config.option.basetemp is None and not hasattr(config, "workerinput"):
        folder = Path(__file__).parent / ".pytest_tmp"
        folder.mkdir(exist_ok=True)
        config.option.basetemp = str(folder / str(os.getpid()))
        config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))


def pytest_xdist_auto_num_workers(config):
    """One more than there are cores: tests wait for the processes that they start for a fifth of their time."""
    return (os.cpu_count() or 1) + 1
