"""The best of several looks at the test split during one training: beside the accuracy of its end, never in its place.

best = max over looks of the test accuracy, the end included; the first where several are equal
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch

from ..types import Split
from .evaluation import accuracy, predict
from .models import Network


class BestEpoch:
    """Looks at ``test`` after some steps; the training is the same to the last bit.

    Args:
        steps: after how many steps each look is; that after the last step is the trial's own test.
    """

    def __init__(self, test: Split, device: torch.device, steps: Collection[int]) -> None:
        self.test, self.device, self.steps = test, device, steps
        self.accuracies: dict[int, float] = {}  # steps done -> test accuracy, 0..1

    def __call__(self, step: int, network: Network) -> None:
        if step in self.steps and step < max(self.steps):
            logits = predict(network, self.test.images, self.device)
            self.accuracies[step] = accuracy(logits, self.test.labels, logits.shape[1])[0]

    @property
    def forward(self) -> int:
        """Examples through the network for these looks."""
        return len(self.accuracies) * len(self.test)

    def state(self) -> dict[str, torch.Tensor]:
        """What `restore` needs to go on with a training that was interrupted."""
        steps, accuracies = list(self.accuracies), list(self.accuracies.values())
        return {
            "steps": torch.tensor(steps, dtype=torch.int64),
            "accuracies": torch.tensor(accuracies, dtype=torch.float64),
        }

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        self.accuracies = dict(zip(state["steps"].tolist(), state["accuracies"].tolist(), strict=True))

    def found(self, steps: int, last: float) -> dict[str, Any]:
        """What a record says, after ``steps`` in all and ``last``, the accuracy of the trial's own test."""
        seen = {**self.accuracies, steps: last}
        best = max(seen, key=lambda step: (seen[step], -step))
        return {"best_accuracy": seen[best], "best_step": best}
