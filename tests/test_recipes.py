"""The table of recipes, its schedule and its hash."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from prunebench import Dataset, MemoryImages, Split
from prunebench.training.recipes import RECIPES, architecture, data_family, one_cycle, recipe, recipe_for


def dataset(name: str, n: int, size: int) -> Dataset:
    split = Split(
        MemoryImages(np.zeros((n, size, size), np.uint8)), np.arange(n) % 2, tuple(f"t:{i}" for i in range(n))
    )
    return Dataset(name, ("a", "b"), split, split)


@pytest.mark.parametrize(
    ("name", "size", "family"),
    [
        ("digits", 8, "digits"),
        ("prunebench/digits(train=500)", 8, "digits"),
        ("digits", 32, "small"),
        ("planted", 16, "tiny"),
        ("cifar10", 32, "small"),
        ("imagewoof", 64, "thumbnails"),
        ("imagenet", 224, "photographs"),
    ],
)
def test_data_family(name, size, family):
    assert data_family(name, size) == family


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("resnet18", "resnet"),
        ("efficientnet_b0", "efficientnet"),
        ("vit_tiny", "vit"),
        ("vit_tiny_patch16_224", "vit"),
        ("wide_resnet50_2", "resnet"),
        ("convnext_atto", "vit"),
    ],
)
def test_architecture(model, kind):
    assert architecture(model) == kind


def test_every_family_has_a_row_for_every_architecture():
    families, kinds = {f for f, _ in RECIPES}, {k for _, k in RECIPES}
    assert len(RECIPES) == len(families) * len(kinds)
    for (_, kind), row in RECIPES.items():
        assert row.optimizer == ("adamw" if kind == "vit" else "sgd")
        assert (row.clip is not None) == (kind == "vit")


def test_digits_row_is_the_measured_one():
    row = recipe(dataset("digits", 1437, 8), "resnet18")
    assert (row.batch, row.steps, row.peak_lr, row.shift, row.flip) == (32, 120, 0.05, 0, False)
    assert row.floor == 0.96 and row.reference_epochs == 10


def test_steps_follow_the_full_data():
    row = recipe(dataset("folder", 200, 32), "resnet18")
    assert row.steps == -(-200 * row.epochs // row.batch)
    assert recipe(dataset("folder", 400, 32), "resnet18").steps == 2 * row.steps - (200 * row.epochs % row.batch > 0)


def test_hash_is_of_what_affects_numbers():
    row = recipe_for("digits", "resnet")
    assert row.hash == replace(row, floor=None, reference_epochs=3).hash
    changes = {"peak_lr": 0.1, "batch": 64, "steps": 7, "flip": True, "shift": 1, "clip": 1.0, "optimizer": "adamw"}
    assert len({row.hash, *(replace(row, **{k: v}).hash for k, v in changes.items())}) == len(changes) + 1


@pytest.mark.parametrize(("total", "warmup"), [(120, 0.3), (57, 0.1), (1000, 0.25)])
def test_schedule_equals_torch_one_cycle(total, warmup):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=total, pct_start=warmup, cycle_momentum=False
    )
    for step in range(total):
        assert one_cycle(step, total, warmup) == pytest.approx(theirs.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        if step < total - 1:
            theirs.step()


@pytest.mark.parametrize("total", [1, 2, 4, 10])
@pytest.mark.parametrize("warmup", [0.1, 0.25, 0.5])
def test_schedule_of_few_steps(total, warmup):
    rates = [one_cycle(step, total, warmup) for step in range(total)]
    assert all(0 < rate <= 1 for rate in rates) and max(rates) > 0.5
