"""Trainings that are killed go on: the same bits, the time of all sittings, nothing left when the record stands."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import prunebench as pb
from prunebench import MemoryImages, UserError
from prunebench.best_epoch import BestEpoch
from prunebench.checkpoints import SHARE, Checkpoints
from prunebench.policies import policy_of
from prunebench.recipes import Recipe
from prunebench.recorder import Recorder
from prunebench.running import Plan, open_harness
from prunebench.statistics import STANDARD
from prunebench.store import Store
from prunebench.training import train
from prunebench.trials import everything, run_trial
from prunebench.types import Split

TINY = Recipe(optimizer="sgd", peak_lr=0.02, weight_decay=5e-4, batch=16, epochs=1, steps=6, shift=2, flip=True)
ADAMW = replace(TINY, optimizer="adamw", clip=1.0)
PLAN = Plan(
    scorers=("tdds(epochs=3, window=3)",),  # watches the logits of the epoch before
    selectors=("hardest",),
    dataset="planted(train=60,test=20)",
    keep=(0.5,),
    models=("test_resnet",),
    seeds=1,
    reference="test_resnet",
    reference_epochs=3,
    steps=6,
    threads=1,
    device="cpu",
)
MEASURED = ("score_cost", "select_cost", "train_cost", "provenance")


class Killed(BaseException):
    """Stands for kill -9 where the test goes on in the same process: nobody may catch it."""


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pictures():
    """53 pictures of 8 px, dark (class 0), bright (1) and striped (2)."""
    rng = np.random.default_rng(0)
    labels = np.arange(53) % 3
    pixels = rng.integers(0, 80, (53, 8, 8)) + np.array([0, 120, 0])[labels][:, None, None]
    pixels[labels == 2, ::2] += 170
    return MemoryImages(pixels.clip(0, 255).astype(np.uint8), flip=True), labels.astype(np.int64)


def killed_after(steps):
    """A progress display that dies when so many steps of this sitting are done."""

    def progress(iterable, total, text):
        for done, step in enumerate(iterable):
            if done == steps:
                raise Killed
            yield step

    return progress


def moved(logits, labels, previous):
    return (logits - previous).abs().sum(1)


WATCHED = {**STANDARD, "moved": (moved, "presentation"), "drifted": (moved, "epoch_end")}


def sit(pictures, folder, die_after=None, every=0.0, watched=None, **changed):
    """One sitting, killed after so many steps: the training, and the bytes it recorded."""
    images, labels = pictures
    arguments = {"model": "test_resnet", "recipe": TINY, "seed": 0} | changed
    arguments["checkpoints"] = Checkpoints(folder, {"training": "this one", "watched": sorted(watched or ())}, every)
    recorder = None
    if watched:
        (folder / "history").mkdir(parents=True, exist_ok=True)
        recorder = Recorder(watched, len(images), arguments["epochs"], folder / "history")
    progress = None if die_after is None else killed_after(die_after)
    trained = train(images, labels, 3, **arguments, recorder=recorder, progress=progress)
    return trained, {name: path.read_bytes() for name, path in recorder.close().items()} if recorder else {}


def fit(pictures, folder, sittings=(), **arguments):
    """A training that is killed after so many steps of each sitting, and then finishes."""
    for steps in sittings:
        with pytest.raises(Killed):
            sit(pictures, folder, steps, **arguments)
    return sit(pictures, folder, **arguments)


def same(one, other):
    weights, others = one.network.state_dict(), other.network.state_dict()
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert np.array_equal(one.losses, other.losses) and one.train_loss == other.train_loss
    assert (one.steps, one.forward, one.backward) == (other.steps, other.forward, other.backward)


# -- the same bits


@pytest.mark.parametrize("sittings", [(1,), (3,), (5,), (1, 1, 2), (0, 5)])
@pytest.mark.parametrize("recipe", [TINY, ADAMW], ids=["sgd", "adamw"])
def test_a_trial_goes_on_bit_for_bit(pictures, tmp_path, sittings, recipe):
    undisturbed, _ = fit(pictures, tmp_path / "calm", every=30.0, recipe=recipe, indices=range(7, 17))
    torch.rand(3)
    resumed, _ = fit(pictures, tmp_path / "killed", sittings, recipe=recipe, indices=range(7, 17))
    same(resumed, undisturbed)
    assert undisturbed.resumed == 0 and resumed.resumed == len([s for s in np.cumsum(sittings) if s])


@pytest.mark.parametrize("sittings", [(1,), (3,), (4,), (9,), (2, 2, 5), (5, 1, 1)])
def test_a_recorded_training_goes_on_bit_for_bit(pictures, tmp_path, sittings):
    """Four batches an epoch; statistics of the epoch before, at both moments, and of a plugin among them."""
    undisturbed, histories = fit(pictures, tmp_path / "calm", every=30.0, watched=WATCHED, epochs=3)
    resumed, again = fit(pictures, tmp_path / "killed", sittings, watched=WATCHED, epochs=3)
    same(resumed, undisturbed)
    assert again == histories and histories.keys() == WATCHED.keys()
    assert resumed.epoch_end_forward == undisturbed.epoch_end_forward == 3 * 53


@pytest.mark.parametrize("model", ["resnet18", "efficientnet_b0", "vit_tiny"])
def test_the_real_networks_go_on_bit_for_bit(pictures, tmp_path, model):
    recipe = ADAMW if model == "vit_tiny" else TINY
    weights = np.linspace(0.1, 2, 53)
    undisturbed, _ = fit(pictures, tmp_path / "calm", every=30.0, model=model, recipe=recipe, steps=3, weights=weights)
    resumed, _ = fit(pictures, tmp_path / "killed", (2,), model=model, recipe=recipe, steps=3, weights=weights)
    same(resumed, undisturbed)


def test_what_a_network_draws_goes_on(pictures, tmp_path, monkeypatch):
    """Dropout draws from torch's global generator."""
    from prunebench import training

    def with_dropout(*args):
        network = initialised(*args)
        network.backbone.drop_rate = 0.5
        return network

    initialised = training.initialised
    plain, _ = fit(pictures, tmp_path / "plain")
    monkeypatch.setattr(training, "initialised", with_dropout)
    undisturbed, _ = fit(pictures, tmp_path / "calm", every=30.0)
    assert not np.array_equal(plain.losses, undisturbed.losses)
    same(fit(pictures, tmp_path / "killed", (2, 3))[0], undisturbed)


@pytest.mark.parametrize("die_after", [2, 8, 13])  # 15 steps: passes of 4 batches or fewer, annealed from step 14 on
@pytest.mark.parametrize("policy", ["rs2", "rs2(replacement=True)", "infobatch"])
def test_policies_go_on_bit_for_bit(pictures, tmp_path, policy, die_after):
    arguments = {"steps": 15, "recipe": replace(TINY, steps=15)}
    undisturbed, _ = fit(pictures, tmp_path / "calm", every=30.0, policy=policy_of(policy, 20), **arguments)
    with pytest.raises(Killed):
        sit(pictures, tmp_path / "killed", die_after, policy=policy_of(policy, 20), **arguments)
    resumed, _ = sit(pictures, tmp_path / "killed", policy=policy_of(policy, 20), **arguments)
    same(resumed, undisturbed)
    assert resumed.resumed == 1


def test_looks_along_the_way_are_remembered(pictures, tmp_path):
    images, labels = pictures
    test = Split(images, labels, tuple(map(str, range(53))))
    calm, killed, after = (BestEpoch(test, torch.device("cpu"), {1, 2, 5, 6}) for _ in range(3))
    fit(pictures, tmp_path / "calm", every=30.0, look=calm)
    with pytest.raises(Killed):
        sit(pictures, tmp_path / "killed", 4, look=killed)
    sit(pictures, tmp_path / "killed", look=after)
    assert after.accuracies == calm.accuracies and list(calm.accuracies) == [1, 2, 5]


# -- when they are written


def test_a_short_training_writes_nothing(pictures, tmp_path):
    fit(pictures, tmp_path / "folder", every=30.0)
    assert not (tmp_path / "folder").exists()


def test_they_are_written_seldom_enough_to_cost_little(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("prunebench.checkpoints.time.monotonic", lambda: now[0])
    checkpoints = Checkpoints(tmp_path, {}, 30.0)

    class Slow:
        def state(self):
            now[0] += 2.0
            return {"x": torch.zeros(1)}

    for elapsed, due in [(29.0, False), (1.0, True)]:
        now[0] += elapsed
        assert checkpoints.due is due
    checkpoints.save(1, {"slow": Slow()}, {})
    now[0] += SHARE * 2.0 - 1
    assert not checkpoints.due
    now[0] += 1
    assert checkpoints.due


def test_seconds_add_up_over_sittings_and_writing_is_not_among_them(pictures, tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("prunebench.checkpoints.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("prunebench.checkpoints.time.monotonic", lambda: now[0])

    def a_second_each(inner):
        def progress(iterable, total, text):
            for step in inner(iterable, total, text):
                now[0] += 1
                yield step

        return progress

    write = Checkpoints._write
    monkeypatch.setattr(Checkpoints, "_write", lambda *given: (write(*given), now.__setitem__(0, now[0] + 7)))
    images, labels = pictures
    arguments = {"model": "test_resnet", "recipe": TINY, "seed": 0}
    with pytest.raises(Killed):
        train(images, labels, 3, **arguments, progress=a_second_each(killed_after(4)),
              checkpoints=Checkpoints(tmp_path, {}, 0.0))  # fmt: skip
    now[0] += 1000  # nobody was training
    trained = train(images, labels, 3, **arguments, progress=a_second_each(lambda i, *_: i),
                    checkpoints=Checkpoints(tmp_path, {}, 0.0))  # fmt: skip
    assert trained.seconds == 6.0 and trained.resumed == 1


def test_progress_tells_where_it_goes_on(pictures, tmp_path):
    told = []
    fit(pictures, tmp_path, (2,))
    images, labels = pictures
    checkpoints = Checkpoints(tmp_path, {"training": "this one", "watched": []}, 0.0)
    train(images, labels, 3, model="test_resnet", recipe=TINY, seed=0, checkpoints=checkpoints,
          progress=lambda i, total, text: told.append((total, text)) or i)  # fmt: skip
    assert told == [(0, "train test_resnet from step 6")]  # the last step was kept too


def test_where_there_is_no_room_the_training_goes_on_without(pictures, tmp_path, monkeypatch, caplog):
    def full(tensors, path):
        Path(path).write_bytes(b"some")
        raise OSError(28, "No space left on device")

    undisturbed, _ = fit(pictures, tmp_path / "calm", every=30.0)
    monkeypatch.setattr("prunebench.checkpoints.save_file", full)
    resumed, _ = fit(pictures, tmp_path / "full", (3,))
    same(resumed, undisturbed)
    assert "No space left" in caplog.text and list((tmp_path / "full").iterdir()) == []


# -- torn, altered, foreign


def torn(path, at):
    held = path.read_bytes()
    path.write_bytes(held[: int(at * len(held))])


def flipped(path, at):
    held = bytearray(path.read_bytes())
    held[int(at * (len(held) - 1))] ^= 0x40
    path.write_bytes(bytes(held))


@pytest.mark.parametrize("at", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("harm", [torn, flipped])
@pytest.mark.parametrize("file", ["card.json", "state.safetensors", "../history/loss.npy"])
def test_a_damaged_checkpoint_is_set_aside(pictures, tmp_path, caplog, file, harm, at):
    watched = {"loss": STANDARD["loss"], "moved": WATCHED["moved"]}
    undisturbed, histories = fit(pictures, tmp_path / "calm", every=30.0, watched=watched, epochs=2, model="test_vit")
    with pytest.raises(Killed):
        sit(pictures, tmp_path / "killed", 5, watched=watched, epochs=2, model="test_vit")
    (kept,) = (tmp_path / "killed").glob("at-*")
    harm(kept / file, at)
    resumed, again = fit(pictures, tmp_path / "killed", watched=watched, epochs=2, model="test_vit")
    same(resumed, undisturbed)
    assert again == histories and resumed.resumed == 0
    assert "is set aside" in caplog.text and list((tmp_path / "killed").glob("aside-*"))


def test_a_checkpoint_of_another_training_is_not_gone_on_with(pictures, tmp_path, caplog):
    """The folder is named by the training; what it records, and the versions of what it runs on, may differ."""
    undisturbed, _ = fit(pictures, tmp_path / "calm", every=30.0, epochs=2, watched={"loss": STANDARD["loss"]})
    with pytest.raises(Killed):
        sit(pictures, tmp_path / "other", 5, epochs=2, watched=WATCHED)
    begun_anew, _ = fit(pictures, tmp_path / "other", epochs=2, watched={"loss": STANDARD["loss"]})
    same(begun_anew, undisturbed)
    assert begun_anew.resumed == 0 and "another training or another version" in caplog.text


def test_a_checkpoint_of_another_version_of_torch_is_not_gone_on_with(pictures, tmp_path, monkeypatch, caplog):
    with pytest.raises(Killed):
        sit(pictures, tmp_path, 3)
    monkeypatch.setattr(torch, "__version__", "9.9")
    assert fit(pictures, tmp_path)[0].resumed == 0 and "another version" in caplog.text


def test_a_card_that_lies_costs_its_checkpoint_and_nothing_else(pictures, tmp_path, caplog):
    """Its hash fits, what it says of the files beside it does not."""
    from prunebench.checkpoints import _digest

    with pytest.raises(Killed):
        sit(pictures, tmp_path, 3)
    (path,) = tmp_path.glob("at-*/card.json")
    for files in ({"history/none.npy": [10, "0" * 64]}, {"history/none.npy": 3}, [["x"]], None):
        card = json.loads(path.read_text())["card"] | {"files": files}
        path.write_text(json.dumps({"card": card, "sha256": _digest(card)}))
        again = path.parent.rename(tmp_path / "copy")
        assert not Checkpoints(tmp_path, {}, 0.0).restore({})
        again.rename(tmp_path / path.parent.name)
    assert fit(pictures, tmp_path)[0].resumed == 0 and "is set aside" in caplog.text


# -- in a run


def plain(results):
    """Results without what a clock or another process can change."""
    return sorted(repr({k: v for k, v in vars(r).items() if k not in MEASURED}) for r in results)


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
from test_checkpoints import PLAN

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

    from prunebench.reference import scoring_run

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
    from prunebench import recipes

    wild = replace(recipes.RECIPES["tiny", "resnet"], peak_lr=1e9, clip=None)
    monkeypatch.setitem(recipes.RECIPES, ("tiny", recipes.architecture("test_resnet")), wild)
    monkeypatch.setenv("PRUNEBENCH_CHECKPOINT_SECONDS", "0")
    plan = replace(PLAN, store=str(tmp_path), scorers=(), selectors=("random",), steps=60)
    assert list(pb.run(plan)) == [] and not list(tmp_path.glob("*/.t*"))


def test_two_processes_do_not_train_the_same_trial(tmp_path):
    """The second waits for the record's lock, and then reads what the first one stored."""
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import prunebench as pb;"
        "from dataclasses import replace; from test_checkpoints import PLAN;"
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
    stands, begun, kept, held = (store.made(tmp_path / "trials" / f".training-{id}") for id in (record.id, *"bcd"))
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
