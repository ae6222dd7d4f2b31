"""Data at the edge of what may come: one class, classes of one example, pictures that are all the same.

A method computes something finite there, or refuses in one sentence (`UserError`); it never crashes.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from .. import registry as plugins
from ..datasets.given import dataset_of
from ..harness.shared import Harness, temporary_store
from ..methods import Method
from .drawn import World, world

EDGES = ("one class", "one example per class", "constant pictures")
EXAMPLES = 12
SIDE = 16  # pixels
NETWORK = "test_resnet"  # reference of the checks: timm's own for tests, a ResNet of 0.4 million weights


def edge_world(kind: str, method: Method) -> World:
    """A drawn world of an `EDGES`; what watches a training, which needs two classes, sees one of two."""
    if kind == "one class":
        found = world(0, EXAMPLES, classes=2 if "history" in method.needs else 1)
        return replace(found, labels=np.zeros(EXAMPLES, dtype=np.int64))
    if kind == "one example per class":
        return replace(world(0, EXAMPLES, classes=EXAMPLES), labels=np.arange(EXAMPLES))
    found = world(0, EXAMPLES, kind="constant")
    return replace(
        found,
        certainty=np.full(EXAMPLES, 0.5),
        features=np.ones_like(found.features),
        logits=np.zeros_like(found.logits),
    )


@lru_cache(maxsize=len(EDGES) + 1)
def edge_harness(kind: str, epochs: int) -> Harness:
    """A harness on pictures of an `EDGES`, for methods that need more than a drawn world has; a trial has two steps."""
    pixels = np.random.default_rng(0).integers(0, 256, (EXAMPLES, 3, SIDE, SIDE), dtype=np.uint8)
    data = {
        "one class": lambda: dataset_of(pixels, np.zeros(EXAMPLES, dtype=np.int64), None, None),
        "one example per class": lambda: dataset_of(pixels, np.arange(EXAMPLES), None, None),
        "constant pictures": lambda: dataset_of(np.full_like(pixels, 128), np.arange(EXAMPLES) % 2, None, None),
    }[kind]()
    budget = ("steps", 2, None)
    return Harness(
        data,
        temporary_store(),
        plugins.installed(),
        reference=NETWORK,
        reference_epochs=epochs,
        threads=1,
        device_name="cpu",
        budget=budget,
    )
