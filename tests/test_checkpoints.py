"""Trainings that are killed go on: the same bits, the time of all sittings, nothing left when the record stands."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from trainings import Killed, killed_after, three_kinds

from prunebench.store import card_hash
from prunebench.training.best_epoch import BestEpoch
from prunebench.training.checkpoints import SHARE, Checkpoints
from prunebench.training.loop import train
from prunebench.training.policies import policy_of
from prunebench.training.recipes import Recipe
from prunebench.training.recorder import Recorder
from prunebench.training.statistics import STANDARD
from prunebench.types import Split

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = Recipe(optimizer="sgd", peak_lr=0.02, weight_decay=5e-4, batch=16, epochs=1, steps=6, shift=2, flip=True)
ADAMW = replace(TINY, optimizer="adamw", clip=1.0)


@pytest.fixture(scope="module")
def pictures():
    return three_kinds(flip=True)


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
    from prunebench.training import loop

    def with_dropout(*args):
        network = initialised(*args)
        network.backbone.drop_rate = 0.5
        return network

    initialised = loop.initialised
    plain, _ = fit(pictures, tmp_path / "plain")
    monkeypatch.setattr(loop, "initialised", with_dropout)
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
    monkeypatch.setattr("prunebench.training.checkpoints.time.monotonic", lambda: now[0])
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
    monkeypatch.setattr("prunebench.training.checkpoints.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("prunebench.training.checkpoints.time.monotonic", lambda: now[0])

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


@pytest.mark.parametrize(
    "failure",
    [
        OSError(28, "No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_where_there_is_no_room_the_training_goes_on_without(pictures, tmp_path, monkeypatch, caplog, failure):
    def full(tensors, path):
        Path(path).write_bytes(b"some")
        raise failure

    undisturbed, _ = fit(pictures, tmp_path / "calm", every=30.0)
    monkeypatch.setattr("prunebench.training.checkpoints.save_file", full)
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
    with pytest.raises(Killed):
        sit(pictures, tmp_path, 3)
    (path,) = tmp_path.glob("at-*/card.json")
    for files in ({"history/none.npy": [10, "0" * 64]}, {"history/none.npy": 3}, [["x"]], None):
        card = json.loads(path.read_text())["card"] | {"files": files}
        path.write_text(json.dumps({"card": card, "sha256": card_hash(card)}))
        again = path.parent.rename(tmp_path / "copy")
        assert not Checkpoints(tmp_path, {}, 0.0).restore({})
        again.rename(tmp_path / path.parent.name)
    assert fit(pictures, tmp_path)[0].resumed == 0 and "is set aside" in caplog.text
