"""A device without memory left: batches in parts, the same result within tolerance, nothing left of the attempt."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from trainings import QUICK, Killed, killed_after, three_kinds

import prunebench as pb
from prunebench import CellError
from prunebench.running import open_harness
from prunebench.training.checkpoints import Checkpoints
from prunebench.training.evaluation import pixels_of, predict
from prunebench.training.loop import train
from prunebench.training.models import Network, build
from prunebench.training.recipes import Recipe
from prunebench.training.recorder import Recorder
from prunebench.training.statistics import STANDARD

pytestmark = pytest.mark.usefixtures("one_thread")

# without batch normalisation the parts of a batch do not meet, and only the order of additions differs
RECIPE = Recipe(optimizer="sgd", peak_lr=0.02, weight_decay=5e-4, batch=16, epochs=1, steps=6, clip=5.0)


@pytest.fixture(scope="module")
def pictures():
    return three_kinds(flip=True)


@pytest.fixture
def room(monkeypatch):
    """``room(n)``: no network takes more than n pictures at a time, and fails as late as it can; `.sizes` it took."""
    forward = Network.forward

    def limited(n, error=torch.OutOfMemoryError):
        def attempt(network, x):
            limited.sizes.append(len(x))
            found = forward(network, x)  # batch statistics are averaged and dropout drawn before memory runs out
            if len(x) > n:
                raise error("CUDA out of memory. Tried to allocate 2.00 GiB")
            return found

        monkeypatch.setattr(Network, "forward", attempt)

    limited.sizes = []
    return limited


def fit(pictures, **changed):
    images, labels = pictures
    return train(images, labels, 3, **{"model": "test_vit", "recipe": RECIPE, "seed": 0} | changed)


def weights(trained) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trained.network.parameters()])


@pytest.mark.parametrize("n, parts", [(15, 2), (8, 2), (7, 4), (4, 4), (3, 8), (2, 8)])
def test_the_same_training_within_tolerance(pictures, room, n, parts):
    weighted = {"weights": np.linspace(0.2, 3, 53), "recipe": replace(RECIPE, shift=2, flip=True)}
    whole = fit(pictures, **weighted)
    room(n)
    in_parts = fit(pictures, **weighted)
    torch.testing.assert_close(weights(in_parts), weights(whole), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(in_parts.losses, whole.losses, rtol=1e-5)
    assert (in_parts.batch_parts, whole.batch_parts) == (parts, 1)
    assert (in_parts.steps, in_parts.forward, in_parts.backward) == (whole.steps, whole.forward, whole.backward)
    assert in_parts.remarks() == {"batch_parts": parts} and whole.remarks() == {}


def test_parts_stay_so_for_the_rest_of_the_training(pictures, room):
    room(8)
    fit(pictures)
    assert room.sizes == [16] + 6 * [8, 8]


def test_odd_batches_are_cut_into_parts_of_two_or_more(pictures, room):
    room(4)
    fit(pictures, epochs=1, indices=range(19))  # batches of 16 and 3
    assert room.sizes == [16, 8, 4, 4, 4, 4, 3]


def test_a_failed_attempt_leaves_nothing_behind(pictures, room, monkeypatch):
    """Batch statistics and dropout are those of a training that was in so many parts from its first attempt."""
    from prunebench.training import backoff, loop

    def with_dropout(*args):
        network = initialised(*args)
        network.backbone.drop_rate = 0.5
        return network

    initialised = loop.initialised
    monkeypatch.setattr(loop, "initialised", with_dropout)
    room(8)
    backed_off = fit(pictures, model="test_resnet")

    class Halved(backoff.Parts):
        def __init__(self, *args):
            super().__init__(*args)
            self.count = 2

    monkeypatch.setattr(loop, "Parts", Halved)
    from_the_start = fit(pictures, model="test_resnet")
    state, other = backed_off.network.state_dict(), from_the_start.network.state_dict()
    assert all(torch.equal(state[name], other[name]) for name in state)
    assert np.array_equal(backed_off.losses, from_the_start.losses)


def test_the_recorder_sees_every_example_once_and_the_same(pictures, room, tmp_path):
    histories = []
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
        recorder = Recorder(STANDARD, 53, 2, tmp_path / name)
        fit(pictures, epochs=2, recorder=recorder)
        histories.append({key: np.load(path) for key, path in recorder.close().items()})
        room(8)
    for key, found in histories[0].items():
        np.testing.assert_allclose(histories[1][key], found, rtol=1e-3, atol=1e-4, err_msg=key)


def test_where_not_even_two_pictures_fit_one_sentence_says_so(pictures, room):
    room(1)
    with pytest.raises(CellError, match=r"the memory of cpu is too small for 2 pictures.*2\.00 GiB.*smaller model"):
        fit(pictures)


@pytest.mark.parametrize("error", [MemoryError, RuntimeError])
def test_other_errors_are_no_reason_for_parts(pictures, room, error):
    room(8, error)
    with pytest.raises(error):
        fit(pictures)
    assert room.sizes == [16]


def test_a_training_that_goes_on_stays_in_its_parts(pictures, room, tmp_path):
    """Also where there is more room by then: half a training each way would be a third result."""
    room(8)
    in_parts = fit(pictures)

    with pytest.raises(Killed):
        fit(pictures, checkpoints=Checkpoints(tmp_path, {}, 0.0), progress=killed_after(3))
    room(1000)
    resumed = fit(pictures, checkpoints=Checkpoints(tmp_path, {}, 0.0))
    assert torch.equal(weights(resumed), weights(in_parts)) and resumed.batch_parts == 2
    assert resumed.remarks() == {"resumed": 1, "batch_parts": 2}


@pytest.mark.parametrize("n, last", [(200, 128), (40, 32), (1, 1)])
def test_evaluation_halves_its_batch(pictures, room, n, last, caplog):
    network = build("test_resnet", 3, 8, seed=0)
    whole = predict(network, pictures[0])
    room(n)
    halved = predict(network, pictures[0])
    torch.testing.assert_close(halved, whole, rtol=1e-5, atol=1e-6)
    assert room.sizes[-1] == last and f"evaluated by {last}" in caplog.text


def test_evaluation_says_what_happened_where_one_picture_does_not_fit(pictures, room):
    network = build("test_resnet", 3, 8, seed=0)
    room(0)
    with pytest.raises(CellError, match="too small for test_resnet and one picture of 8 px: take"):
        predict(network, pictures[0])
    assert room.sizes[-2:] == [2, 1]


def test_pictures_too_many_for_the_device_stay_in_memory(pictures, monkeypatch):
    held = pixels_of(pictures[0], torch.device("cpu"))(torch.tensor([5, 2]))
    to = torch.Tensor.to

    def no_room(tensor, *args, **kwargs):
        if len(tensor) == 53:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return to(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "to", no_room)
    assert torch.equal(pixels_of(pictures[0], torch.device("cpu"))(torch.tensor([5, 2])), held)


def test_records_say_so(room, tmp_path):
    room(20)
    plan = replace(QUICK, scorers=("aum",), selectors=("hardest",), steps=2, store=str(tmp_path))
    assert {r.provenance["batch_parts"] for r in pb.run(plan)} == {2}
    told = [r.card["provenance"].get("batch_parts") for r in open_harness(plan).store.records("evidence")]
    assert told.count(2) == len(STANDARD) + 1
