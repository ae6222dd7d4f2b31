"""Runs whose trainings are killed: the same records as of an undisturbed run, and nothing else in the store."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from trainings import QUICK, Killed, killed_after, plain

import prunebench as pb
from prunebench import UserError
from prunebench.harness.trials import everything, run_trial
from prunebench.running import open_harness
from prunebench.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")

PLAN = replace(
    QUICK,
    scorers=("tdds(epochs=3, window=3)",),  # watches the logits of the epoch before
    selectors=("hardest",),
    reference_epochs=3,
    steps=6,
)


def contents(store):
    """Name -> bytes of every published file that is no card."""
    files = [p for kind in ("evidence", "models") for p in (Path(store) / kind).iterdir()]
    return {p.name: p.read_bytes() for p in files if p.is_file() and p.suffix != ".json"}


RUN_AND_DIE = """
import glob, os, random, sys, threading, time
sys.path.insert(0, {tests!r})
import torch
import prunebench as pb
import prunebench.training, prunebench.evidence, prunebench.running
from dataclasses import replace
from test_killed_trainings import PLAN

def kept():
    return glob.glob({store!r} + "/*/.training-*/at-*")

def die(steps, delay):
    last = kept()
    for _ in range(steps):
        while kept() == last:
            time.sleep(0.001)
        last = kept()
    time.sleep(delay)
    os.kill(os.getpid(), 9)

def sitting(*when):
    if os.fork() == 0:
        if when:
            threading.Thread(target=die, args=when, daemon=True).start()
        for result in pb.run(replace(PLAN, store={store!r}, models={models!r}, steps={steps!r})):
            pass
        os._exit(0)
    return os.wait()[1]

random.seed(0)
killed = [sitting(random.randint(1, {most!r}), random.uniform(0, 0.1)) for _ in range({times!r})]
print(sum(status == 9 for status in killed), sitting())
"""


def run_and_die(tmp_path, times, most, models=PLAN.models, steps=PLAN.steps):
    """A run that is killed with -9 so many times, each at most so many checkpoints after it went on, and finished."""
    tests = str(Path(__file__).parent)
    script = RUN_AND_DIE.format(tests=tests, store=str(tmp_path), times=times, most=most, models=models, steps=steps)
    environment = os.environ | {"PRUNEBENCH_CHECKPOINT_SECONDS": "0", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    killed, status = map(int, done.stdout.split())
    assert status == 0, done.stderr
    return killed


def as_undisturbed(tmp_path, **changed):
    """That a store that was killed holds what an undisturbed one does, and nothing else."""
    calm = list(pb.run(replace(PLAN, store=str(tmp_path / "calm"), **changed)))
    resumed = list(pb.run(replace(PLAN, store=str(tmp_path / "killed"), **changed)))
    assert plain(resumed) == plain(calm)
    assert contents(tmp_path / "killed") == contents(tmp_path / "calm")
    assert not list((tmp_path / "killed").glob("*/.t*"))
    return resumed


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_records(tmp_path):
    killed = run_and_die(tmp_path / "killed", 4, 6)
    resumed = as_undisturbed(tmp_path)
    assert killed >= 3 and len(resumed) == 4 and any(r.provenance.get("resumed") for r in resumed)


@pytest.mark.slow
def test_twenty_kills_of_real_trainings(tmp_path):
    models = ("resnet18", "efficientnet_b0", "vit_tiny")
    killed = run_and_die(tmp_path / "killed", 20, 20, models=models, steps=40)
    resumed = as_undisturbed(tmp_path, models=models, steps=40)
    assert killed >= 12 and any(r.provenance.get("resumed") for r in resumed)


def test_a_killed_trial_is_gone_on_with_and_its_record_says_so(tmp_path):
    plan = replace(PLAN, store=str(tmp_path), scorers=(), selectors=("random",))
    harness = open_harness(replace(plan, progress=killed_after(4)))
    harness.checkpoint_seconds = 0.0
    with pytest.raises(Killed):
        run_trial(harness, plan.trial("test_resnet", 0), everything(harness), None, 0)
    (kept,) = tmp_path.glob("trials/.training-*/at-*")
    results = list(pb.run(plan))
    assert [r.provenance.get("resumed") for r in results] == [1, None, None]
    assert not kept.parent.exists()


def test_a_reference_killed_while_it_is_stored_does_not_train_again(tmp_path, monkeypatch):
    plan = replace(PLAN, store=str(tmp_path), scorers=("aum",))
    harness = open_harness(plan)
    harness.checkpoint_seconds = 0.0
    put, stored = Store.put, []

    def dying(store, kind, identity, *args, **kwargs):
        if len(stored) == 3:
            raise Killed
        stored.append(identity.get("statistic"))
        return put(store, kind, identity, *args, **kwargs)

    from prunebench.harness.reference import scoring_run

    with monkeypatch.context() as patched:
        patched.setattr(Store, "put", dying)
        with pytest.raises(Killed):
            scoring_run(harness, 0, 0).ensure()
    standing = contents(tmp_path)
    assert len(standing) == 3
    seen = []
    harness = open_harness(replace(plan, progress=lambda i, total, text: seen.append((total, str(text))) or i))
    scoring_run(harness, 0, 0).ensure()
    assert seen == [(0, "train test_resnet from step 6")]
    assert standing.items() <= contents(tmp_path).items() and not list(tmp_path.glob("*/.t*"))


def test_a_diverged_training_leaves_no_checkpoint(tmp_path, monkeypatch):
    from prunebench.training import recipes

    wild = replace(recipes.RECIPES["tiny", "resnet"], peak_lr=1e9, clip=None)
    monkeypatch.setitem(recipes.RECIPES, ("tiny", recipes.architecture("test_resnet")), wild)
    monkeypatch.setenv("PRUNEBENCH_CHECKPOINT_SECONDS", "0")
    plan = replace(PLAN, store=str(tmp_path), scorers=(), selectors=("random",), steps=60)
    assert list(pb.run(plan)) == [] and not list(tmp_path.glob("*/.t*"))


def test_two_processes_do_not_train_the_same_trial(tmp_path):
    """The second waits for the record's lock, and then reads what the first one stored."""
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import prunebench as pb;"
        "from dataclasses import replace; from test_killed_trainings import PLAN;"
        f"plan = replace(PLAN, store={str(tmp_path)!r}, scorers=(), selectors=('random',), steps=3);"
        "plan = replace(plan, progress=lambda i, total, text: print(text) or i);"
        "print(sorted((r.id, r.train_cost.seconds) for r in pb.run(plan)))"
    )
    environment = os.environ | {"PRUNEBENCH_CHECKPOINT_SECONDS": "0", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    told = [process.communicate(timeout=300)[0].strip().splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0] and told[0][-1] == told[1][-1]
    assert len(told[0]) + len(told[1]) == 2 + 3 and not list(tmp_path.glob("*/.t*"))


def test_what_no_training_needs_is_swept_when_the_store_is_opened(tmp_path):
    store = Store(tmp_path)
    record = store.put("trials", {"a": 1}, {})
    stands, begun, kept, held = (tmp_path / "trials" / f".training-{id}" for id in (record.id, *"bcd"))
    for folder in (stands, begun, kept, held):
        folder.mkdir()
    for folder in (stands, kept):
        (folder / "at-000000001").mkdir()
    with store.lock("d"):
        Store(tmp_path)
    assert [folder.exists() for folder in (stands, begun, kept, held)] == [False, False, True, True]


@pytest.mark.parametrize("asked", ["soon", "-1", "nan", "inf"])
def test_a_wrong_number_of_seconds_is_said_before_any_cell_starts(tmp_path, monkeypatch, asked):
    monkeypatch.setenv("PRUNEBENCH_CHECKPOINT_SECONDS", asked)
    with pytest.raises(UserError, match=f"PRUNEBENCH_CHECKPOINT_SECONDS must be a number.* got '{asked}'"):
        open_harness(replace(PLAN, store=str(tmp_path)))
