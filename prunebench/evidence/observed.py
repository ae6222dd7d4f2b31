"""What `observe` gives: another reference training, finished."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..harness.reference import Reference
from .account import Account

if TYPE_CHECKING:
    from ..training.models import Network


@dataclass(frozen=True, eq=False)
class Observed:
    """One training; ``on_device`` brings results per example to the method's examples and device."""

    training: Reference
    account: Account
    on_device: Callable[[np.ndarray], Tensor]

    @property
    def history(self) -> dict[str, Tensor]:
        """Statistic -> (epochs, n) float32, columns in the order of sorted indices."""
        self.training.charge_passes(self.training.watched, self.account.charge_made)
        return {name: torch.from_numpy(self.training.history(name)) for name in self.training.watched}

    def features(self) -> Tensor:
        """(N, D) float32 of all N examples."""
        with self.account.inside():
            return self.on_device(self.training.features(self.account.charge_made))

    def logits(self) -> Tensor:
        """(N, C) float32 of all N examples, evaluation mode, no augmentation."""
        with self.account.inside():
            started = time.perf_counter()
            found = self.training.logits()
            self.account.charge(f"logits {self.training.ensure().id}", time.perf_counter() - started, len(found))
            return self.on_device(found)

    def network(self) -> Network:
        """A fresh frozen copy of its network."""
        with self.account.inside():
            return self.training.network()
