"""P14: a whole training, against a loop over a DataLoader in DeepCore's manner, on two threads.

    .venv/bin/pytest benchmarks/test_training_loop.py -s [--record]

The plain loop is the usual one: pictures one by one as PIL images through torchvision's random crop, flip, tensor and
normalisation, in the loader's own process, stacked to batches; SGD stepped with its scheduler, loss and accuracy read
after every batch. Ours holds all pictures in one tensor and augments a batch at once. Without augmentation both see the
same batches in the same order, and have the same losses, for as many steps as rounding takes to grow; with it the draws
are others, so only the time on the clock is compared. The small network is three convolutions of 16, 32 and 64
channels.
"""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from timm.models import register_model
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as MapStyle
from torchvision import transforms

from prunebench import MemoryImages, generator_for
from prunebench.training.batches import Plan
from prunebench.training.loop import initialised, train
from prunebench.training.recipes import Recipe, one_cycle

CLASSES, BATCH, SIDE = 10, 64, 32
RECIPE = Recipe(optimizer="sgd", peak_lr=0.05, weight_decay=5e-4, batch=BATCH, epochs=1, steps=1)


class SmallConvnet(nn.Sequential):
    """Three times convolution, batch normalisation and ReLU, halved twice; the mean; a linear layer."""

    pretrained_cfg = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}  # noqa: RUF012

    def __init__(self, classes: int) -> None:
        blocks: list[nn.Module] = []
        for a, b, stride in ((3, 16, 1), (16, 32, 2), (32, 64, 2)):
            blocks += [nn.Conv2d(a, b, 3, stride, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        super().__init__(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


@register_model
def small_convnet(pretrained: bool = False, num_classes: int = 1000, **_: object) -> nn.Module:
    return SmallConvnet(num_classes)


class Pictures(MapStyle):
    """As torchvision's CIFAR-10: an array, made a PIL image and transformed when it is asked for."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, transform: transforms.Compose) -> None:
        self.pixels, self.labels, self.transform = pixels, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), int(self.labels[index])


class Order:
    """The batches of our own training, by position."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self.plan, self.seed = plan, seed

    def __len__(self) -> int:
        return self.plan.total

    def __iter__(self) -> Iterator[list[int]]:
        return (positions.tolist() for positions, _ in self.plan.batches(generator_for("order", self.seed)))


def random_pictures(n: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, 32, 32, 3) uint8, each class of a brightness of its own, and (n,) labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, n)
    pixels = rng.integers(0, 90, (n, SIDE, SIDE, 3)) + 16 * labels[:, None, None, None]
    return pixels.astype(np.uint8), labels.astype(np.int64)


def ours(pixels: np.ndarray, labels: np.ndarray, model: str, epochs: int, shift: int) -> np.ndarray:
    images = MemoryImages(pixels.transpose(0, 3, 1, 2), flip=shift > 0)
    recipe = Recipe(**{**vars(RECIPE), "shift": shift, "flip": shift > 0})
    return train(images, labels, CLASSES, model=model, recipe=recipe, seed=0, epochs=epochs).losses


def plain(pixels: np.ndarray, labels: np.ndarray, model: str, epochs: int, shift: int) -> np.ndarray:
    network = initialised(model, CLASSES, SIDE, 0)
    normalise = transforms.Normalize(network.mean.flatten().tolist(), network.std.flatten().tolist())
    draws = [transforms.RandomCrop(SIDE, shift, padding_mode="reflect"), transforms.RandomHorizontalFlip()]
    steps = transforms.Compose([*(draws if shift else ()), transforms.ToTensor(), normalise])
    plan = Plan(len(labels), BATCH, epochs=epochs)
    loader = DataLoader(Pictures(pixels, labels, steps), batch_sampler=Order(plan, 0), num_workers=0)
    network = network.backbone.to(memory_format=torch.contiguous_format).train()
    optimiser = torch.optim.SGD(
        network.parameters(), RECIPE.peak_lr, RECIPE.momentum, weight_decay=RECIPE.weight_decay, nesterov=True
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: one_cycle(step, plan.length, RECIPE.warmup))
    losses, hits = [], 0
    for x, y in loader:
        optimiser.zero_grad()
        logits = network(x)
        loss = F.cross_entropy(logits, y, reduction="none").mean()
        losses.append(loss.item())
        hits += int((logits.argmax(1) == y).sum())
        loss.backward()
        optimiser.step()
        scheduler.step()
    return np.array(losses, dtype=np.float32)


@pytest.mark.parametrize(
    "model, n, epochs, goal", [("small_convnet", 2048, 2, 2), ("resnet18", 256, 1, 1)], ids=["small", "resnet18"]
)
def test_training_loop(against_by_the_clock, model, n, epochs, goal):
    data = random_pictures(n)
    same, other = (loop(*data, model, epochs, 0) for loop in (ours, plain))

    np.testing.assert_allclose(same[:16], other[:16], rtol=1e-3)

    def equal(mine: np.ndarray, theirs: np.ndarray) -> None:  # with augmentation
        assert len(mine) == len(theirs) == epochs * n // BATCH

    size = f"{n:,} pictures of {SIDE} px, {epochs} epochs, batches of {BATCH}, crop and flip"
    runs = (lambda: ours(*data, model, epochs, 4)), (lambda: plain(*data, model, epochs, 4))
    against_by_the_clock(f"P14 training loop, {model}", *runs, equal, goal=goal, size=size, rounds=3)
