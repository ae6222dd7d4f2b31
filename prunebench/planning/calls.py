"""A scorer's call without the call: what a plugin's own commands work with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..evidence.account import Account
from ..evidence.calling import as_given
from ..evidence.given import Evidence
from ..evidence.scoring import ask
from ..portable import expanded
from ..types import Dataset
from .plans import Plan, open_harness


@dataclass(frozen=True, eq=False)
class Call:
    """A scorer about to be called: ``method(**inputs, **options)``."""

    dataset: Dataset
    order: np.ndarray  # (N,) position in the training split of each example, in the order the method sees them
    inputs: Mapping[str, Any]  # made when they are first looked at
    options: dict[str, Any]


class _Inputs(Mapping[str, Any]):
    """What a method names, given when it is looked at."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence, self.given = evidence, dict[str, Any]()

    def __getitem__(self, name: str) -> Any:
        if name not in self.evidence.method.inputs:
            raise KeyError(name)
        if name not in self.given:
            self.given[name] = as_given(self.evidence.give(name))
        return self.given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.evidence.method.inputs)

    def __len__(self) -> int:
        return len(self.evidence.method.inputs)


def call_of(plan: Plan, score_seed: int = 0) -> Call:
    """What the plan's one scorer would be called with: for a plugin's own commands.

    What a command makes through the inputs (``stored``, ``network``) is found again when the scorer runs on the same
    store.

    Raises:
        UserError: what the user must change.
    """
    harness = open_harness(plan)
    method = harness.registry.method("scorer", plan.scorers[0])
    account = Account(method.label, harness.track, str(harness.device))
    evidence = Evidence(method, account, score_seed, score_seed, harness, ask=ask)
    return Call(harness.dataset, harness.order, _Inputs(evidence), expanded(method.options))
