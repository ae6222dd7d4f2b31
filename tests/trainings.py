"""What tests of trainings share: pictures of three kinds, a plan that takes a second, and ways to be killed."""

from __future__ import annotations

import numpy as np
import torch

from prunebench import MemoryImages
from prunebench.planning.plans import Plan

QUICK = Plan(
    dataset="planted(train=60,test=20)",
    keep=(0.5,),
    models=("test_resnet",),
    reference="test_resnet",
    reference_epochs=1,
    seeds=1,
    threads=1,
    device="cpu",
)
MEASURED = ("score_cost", "select_cost", "train_cost", "provenance")


def plain(results):
    """Results without what a clock or another process can change."""
    return sorted(repr({k: v for k, v in vars(r).items() if k not in MEASURED}) for r in results)


def three_kinds(flip):
    """53 pictures of 8 px, dark (class 0), bright (1) and striped (2), and their labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(53) % 3
    pixels = rng.integers(0, 80, (53, 8, 8)) + np.array([0, 120, 0])[labels][:, None, None]
    pixels[labels == 2, ::2] += 170
    return MemoryImages(pixels.clip(0, 255).astype(np.uint8), flip=flip), labels.astype(np.int64)


def state(trained) -> torch.Tensor:
    """All weights of a trained network in one row."""
    return torch.cat([p.detach().flatten() for p in trained.network.parameters()])


class Killed(BaseException):
    """Stands for kill -9 where the test goes on in the same process: nobody may catch it."""


def killed_after(steps):
    """A progress display that dies when so many steps of this sitting are done."""

    def progress(iterable, total, text):
        for done, step in enumerate(iterable):
            if done == steps:
                raise Killed
            yield step

    return progress
