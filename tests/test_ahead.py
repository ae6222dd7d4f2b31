"""Batches decoded ahead: the same pixels in the same order, bounded, and wherever the loop goes."""

import gc
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from prunebench.datasets import memory
from prunebench.datasets.files import FileImages
from prunebench.errors import CellError, UserError
from prunebench.training import evaluation
from prunebench.training.ahead import AHEAD, Ahead
from prunebench.training.evaluation import pixels_of, predict
from prunebench.training.loop import train
from prunebench.training.recipes import Recipe
from prunebench.training.recorder import Recorder
from prunebench.training.statistics import STANDARD

CPU = torch.device("cpu")
RECIPE = Recipe(optimizer="sgd", peak_lr=0.02, weight_decay=5e-4, batch=8, epochs=1, steps=6, shift=1, flip=True)
LABELS = np.arange(27) % 3


@pytest.fixture(autouse=True)
def never_resident(monkeypatch):
    monkeypatch.setattr(memory.resident, "__defaults__", (None, 0))


@pytest.fixture
def paths(tmp_path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i:02}.jpg" for i in range(27)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path)
    return paths


def waiting_threads() -> int:
    return sum(thread.name.startswith("prunebench-ahead") for thread in threading.enumerate())


def settled(wanted) -> bool:
    """Whether ``wanted()`` comes true within five seconds."""
    until = time.monotonic() + 5
    while not wanted() and time.monotonic() < until:
        time.sleep(0.01)
    return wanted()


def test_expected_batches_are_made_before_they_are_asked_for_and_no_more_than_the_bound():
    made, batches = [], [torch.tensor([i]) for i in range(9)]

    def make(rows):
        made.append((int(rows), threading.current_thread() is threading.main_thread()))
        return rows * 10

    source = Ahead(make, iter(batches))
    for i, rows in enumerate(batches):
        assert settled(lambda i=i: len(made) == min(9, i + AHEAD))
        time.sleep(0.02)
        assert len(made) == min(9, i + AHEAD), "more were made than may wait"
        assert source(rows) == 10 * i
    assert made == [(i, False) for i in range(9)]
    assert source(torch.tensor([4])) == 40, "past the end each is made when asked for"


def test_another_order_is_answered_as_well():
    source = Ahead(lambda rows: rows * 10, (torch.tensor([i, i]) for i in range(5)))
    for asked in ([0, 0], [3, 3], [7], [1, 1], [2, 2], [9, 9], [3, 3]):
        assert source(torch.tensor(asked)).tolist() == [10 * i for i in asked]
    assert [rows.tolist() for rows, _ in source.waiting] == [[4, 4]]


def test_an_error_is_raised_where_its_batch_is_asked_for():
    def make(rows):
        if int(rows) == 1:
            raise UserError("picture 1 cannot be read")
        return rows

    source = Ahead(make, iter(torch.arange(3).split(1)))
    assert source(torch.tensor([0])) == 0
    with pytest.raises(UserError, match="picture 1"):
        source(torch.tensor([1]))
    assert source(torch.tensor([2])) == 2


def test_its_thread_ends_with_it():
    gc.collect()
    assert settled(lambda: waiting_threads() == 0)
    source = Ahead(lambda rows: rows, iter(torch.arange(3).split(1)))
    assert waiting_threads() == 1
    del source
    gc.collect()
    assert settled(lambda: waiting_threads() == 0)


def trained(images, folder, ahead: bool, monkeypatch):
    """(weights, losses, history) of a recorded training, and how many batches were decoded by the main thread."""
    mine, plain = [], FileImages.pixels

    def pixels(self, rows, size=None):
        mine.append(threading.current_thread() is threading.main_thread())
        return plain(self, rows, size)

    with monkeypatch.context() as watched:
        watched.setattr(FileImages, "pixels", pixels)
        if not ahead:
            watched.setattr(evaluation.Pixels, "expecting", lambda self, batches: self)
        recorder = Recorder(STANDARD, 27, 2, folder)
        done = train(images, LABELS, 3, model="test_resnet", recipe=RECIPE, seed=0, epochs=2, recorder=recorder)
        paths = recorder.close()
    weights = torch.cat([p.detach().flatten() for p in done.network.parameters()])
    return weights, done.losses, {name: np.load(path) for name, path in paths.items()}, sum(mine)


def test_a_training_is_the_same_to_the_bit_with_and_without(paths, tmp_path, monkeypatch):
    images = FileImages(paths, 8)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    weights, losses, history, decoded_here = trained(images, tmp_path / "a", True, monkeypatch)
    plain, plain_losses, plain_history, plainly = trained(images, tmp_path / "b", False, monkeypatch)
    assert torch.equal(weights, plain) and np.array_equal(losses, plain_losses)
    for name, values in history.items():
        assert np.array_equal(values, plain_history[name], equal_nan=True), name
    assert decoded_here == 0 and plainly == 8 + 2, "eight batches and two passes of evaluation"


def test_predictions_are_the_same_to_the_bit_with_and_without(paths, monkeypatch):
    images = FileImages(paths, 8)
    network = train(images, LABELS, 3, model="test_resnet", recipe=RECIPE, seed=0, steps=1).network
    ahead = predict(network, images, batch=4)
    monkeypatch.setattr(evaluation.Pixels, "expecting", lambda self, batches: self)
    assert torch.equal(ahead, predict(network, images, batch=4))


def test_a_training_that_fails_leaves_no_thread(paths):
    from dataclasses import replace

    with pytest.raises(CellError):
        train(
            FileImages(paths, 8), LABELS, 3, model="test_resnet", recipe=replace(RECIPE, peak_lr=1e30), seed=0, steps=9
        )
    gc.collect()
    assert settled(lambda: waiting_threads() == 0)


def test_pictures_that_lie_on_the_device_need_no_thread(paths, monkeypatch):
    monkeypatch.setattr(memory.resident, "__defaults__", (None, 2**31))
    source = pixels_of(FileImages(paths, 8), CPU).expecting(iter([]))
    assert source.ahead is None and waiting_threads() == 0
