"""F1, F2: drivers and workers killed at a hundred random moments; then the work is finished as if nothing had been."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from prunebench.execution.inline import Inline
from prunebench.execution.supervisor import supervise
from prunebench.execution.tasks import Task
from prunebench.store import Store

HERE = Path(__file__).parent
PATHS = [str(HERE / "work"), str(HERE.parent)]
PIECES, KILLS, WORKERS_KILLED = 1200, 100, 4  # in every sitting up to four workers are killed, then the driver

DRIVER = """
import sys
sys.path[:0] = {paths!r}
from prunebench.execution.local import Local
from prunebench.execution.supervisor import supervise
from prunebench.execution.tasks import Task
from prunebench.store import Store
if __name__ == "__main__":
    store = Store({store!r})
    def stands(task, outcome):
        return store.by_id(*outcome.record) is not None
    todo = [n for n in range({pieces}) if store.get("scores", {{"number": n}}) is None]
    tasks = [Task(str(n), "pieces:publish", {{"number": n, "seconds": 0.01}}, (), str(n)) for n in todo]
    for task, outcome in supervise(tasks, Local({{"store": {store!r}}}, 2, preload=("pieces",)), stands):
        print(task.key if outcome.done else "failed", flush=True)
"""


def workers_of(driver):
    """Pids of its workers: sessions that began below it."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
            above = Path(f"/proc/{fields[1]}/stat").read_text().rsplit(")", 1)[1].split()[1]
        except (OSError, IndexError):
            continue
        pid, state, session = int(stat.parent.name), fields[0], int(fields[3])
        if int(above) == driver and session == pid and state != "Z":
            found.append(pid)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_killed_at_a_hundred_moments_and_finished_as_if_nothing_had_been(tmp_path):
    draw, killed, acknowledged = random.Random(0), 0, set()
    script = tmp_path / "driver.py"
    script.write_text(DRIVER.format(paths=PATHS, store=str(tmp_path / "store"), pieces=PIECES))

    def begin():
        return subprocess.Popen(
            [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    while killed < KILLS:
        with begin() as driver:
            first = driver.stdout.readline()
            assert first, "everything is done before enough was killed"
            for _ in range(WORKERS_KILLED):
                time.sleep(draw.uniform(0, 0.06))
                for pid in draw.sample(found := workers_of(driver.pid), min(1, len(found))):
                    with suppress(ProcessLookupError):  # it ended by itself since it was seen
                        os.kill(pid, signal.SIGKILL)
                        killed += 1
            time.sleep(draw.uniform(0, 0.06))
            driver.kill()
            killed += 1
            acknowledged |= {line.strip() for line in [first, *driver.stdout]} - {"failed"}
        standing = {str(record.identity["number"]) for record in Store(tmp_path / "store").records("scores")}
        assert acknowledged <= standing  # I2
    with begin() as driver:
        driver.communicate(timeout=120)
        assert driver.returncode == 0
    tasks = [Task(str(n), "pieces:publish", {"number": n}) for n in range(PIECES)]
    sys.path.insert(0, PATHS[0])
    list(supervise(tasks, Inline({"store": str(tmp_path / "undisturbed")})))
    disturbed, undisturbed = Store(tmp_path / "store"), Store(tmp_path / "undisturbed")
    assert disturbed.verify() == undisturbed.verify() == (PIECES, [])  # I1
    assert [r.card for r in disturbed.records("scores")] == [r.card for r in undisturbed.records("scores")]  # I3
    made = [path.name.split("-")[0] for path in (tmp_path / "store" / "attempts").iterdir()]
    assert len(made) - len(set(made)) <= killed  # what stood was not done again: a kill costs what was under way
