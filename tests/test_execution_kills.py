"""F1, F2: drivers and workers killed at a hundred random moments; then the work is finished as if nothing had been.

On work without torch here; on real trainings, twenty times, by hand (`-m slow`).
"""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import prunebench as pb
from prunebench.execution.inline import Inline
from prunebench.execution.supervisor import supervise
from prunebench.execution.tasks import Task
from prunebench.plans import Plan
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


PLAN = Plan(
    scorers=("aum", "grand(epoch=1, runs=1)"),
    selectors=("hardest", "ccs(cutoff=0.1)"),
    dataset="planted(train=60,test=20)",
    keep=(0.5,),
    seeds=2,
    reference_epochs=2,
    steps=20,
    threads=1,
    device="cpu",
)
KEPT = ("id", "accuracy", "class_accuracy", "train_loss", "selection", "steps")


def command(store):
    told = [
        "run",
        "--dataset",
        PLAN.dataset,
        "--keep",
        "0.5",
        "--seeds",
        "2",
        "--reference-epochs",
        "2",
        "--steps",
        "20",
    ]
    told += [part for name in PLAN.scorers for part in ("--scorer", name)]
    told += [part for name in PLAN.selectors for part in ("--selector", name)]
    told += ["--steps", "20", "--threads", "1", "--jobs", "2", "--device", "cpu", "--store", str(store)]
    return [sys.executable, "-m", "prunebench.cli", *told]


@pytest.mark.slow
def test_real_trainings_killed_at_twenty_moments_give_the_records_of_an_undisturbed_run(tmp_path):
    draw = random.Random(1)
    for number in range(20):
        with subprocess.Popen(command(tmp_path / "killed"), stderr=subprocess.PIPE, text=True) as driver:
            driver.stderr.readline()  # the data set is loaded
            time.sleep(draw.uniform(0, 25))
            victims = workers_of(driver.pid) if number % 2 else []
            os.kill(draw.choice(victims) if victims else driver.pid, signal.SIGKILL)
            driver.kill()
            driver.communicate()
    done = subprocess.run(command(tmp_path / "killed"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    killed = {tuple(getattr(r, f) for f in KEPT) for r in pb.run(replace(PLAN, store=str(tmp_path / "killed")))}
    undisturbed = {tuple(getattr(r, f) for f in KEPT) for r in pb.run(replace(PLAN, store=str(tmp_path / "quiet")))}
    assert killed == undisturbed and len(killed) == 14
    values = [
        {r.id: r.arrays["values"].tobytes() for r in Store(tmp_path / n).records("scores")} for n in ("killed", "quiet")
    ]
    assert values[0] == values[1] and Store(tmp_path / "killed").verify()[1] == []
