"""Training policies: which of all N examples a training is shown, drawn anew while it goes on.

rs2 (Okanovic et al. 2024, OpenReview JnRStoIuTe), round t = 1, 2, ... trains on S_t, k distinct examples:
    without replacement (default): S_1, S_2, ... are consecutive pieces of a permutation of all N; the piece that
        reaches its end is filled up from its beginning, and a new permutation follows
    with replacement: every S_t is a new draw, whatever was in S_(t-1)

infobatch (Qin et al. 2024, arXiv:2303.04947), H_t(z) the loss of z when it was last presented, before the update:
    z with H_t(z) < mean H_t is left out of pass t with probability r; where it is kept its loss counts 1 / (1 - r),
        so the expected gradient is that of all examples
    everybody is in the first pass, when there is no H, and, counting once, in the last 1 - delta of the training

Passes and rounds follow each other without a gap and are cut into batches of exactly B, as in every trial. The
annealing of infobatch begins at step ceil(delta * steps), with a new pass.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..spec import bind, near, parse, write
from .batches import Plan, Remainder

POLICIES: Mapping[str, Mapping[str, Any]] = {  # name -> options with their defaults
    "plain": {},
    "rs2": {"replacement": False},
    "infobatch": {"ratio": 0.5, "delta": 0.875},  # r and delta as published for CIFAR and ImageNet
}

Presentation = tuple[Tensor, bool, Tensor | None]  # positions (B,), whether an epoch ends, factors of their losses (B,)


class Policy(ABC):
    """Says which examples come next. One object serves one training."""

    @abstractmethod
    def batches(self, plan: Plan, generator: torch.Generator, done: int = 0) -> Iterator[Presentation]:
        """The batches of ``plan``, whose k counts all examples; each is drawn when it is asked for, not before.

        After ``done`` of them, and `restore`, those that are left: the same as without an interruption.
        """

    @abstractmethod
    def presented(self, positions: Tensor, losses: Tensor) -> None:
        """Told after each batch: the loss (B,) of every example in it, before the update, weighted by nothing."""

    def state(self) -> dict[str, Tensor]:
        """What `restore` needs between two batches, beside their number: nothing where no loss plays a part."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over the `state` of a policy of the same options; before `batches`."""
        if state:
            raise ValueError(f"{type(self).__name__} has no state, got {', '.join(state)}")


class Plain(Policy):
    """Every example once per pass."""

    def batches(self, plan: Plan, generator: torch.Generator, done: int = 0) -> Iterator[Presentation]:
        for positions, ends_epoch in islice(plan.batches(generator), done, None):
            yield positions, ends_epoch, None

    def presented(self, positions: Tensor, losses: Tensor) -> None:
        """Nothing is learnt from losses."""


@dataclass(eq=False)
class RS2(Policy):
    """Rounds of ``k`` random examples each."""

    k: int
    replacement: bool = False
    order: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))  # the permutation being cut
    start: int = 0  # where in it the next round begins
    rest: Remainder = field(default_factory=Remainder)

    def batches(self, plan: Plan, generator: torch.Generator, done: int = 0) -> Iterator[Presentation]:
        _refuse_epochs(plan, "rs2")
        if not 1 <= self.k <= plan.k:
            raise ValueError(f"a round must have 1 to {plan.k} examples, got {self.k}")
        for step in range(plan.total):
            positions = self.rest.take(plan.batch, lambda: self.round(plan.k, generator))
            if step >= done:
                yield positions, False, None

    def round(self, n: int, generator: torch.Generator) -> Tensor:
        """The next round: (k,) distinct positions of 0..n-1."""
        if self.replacement:
            return torch.randperm(n, generator=generator)[: self.k]
        if self.start >= len(self.order):
            self.order, self.start = torch.randperm(n, generator=generator), 0
        piece = self.order[self.start : self.start + self.k]
        self.start += self.k
        return torch.cat([piece, self.order[: self.k - len(piece)]])

    def presented(self, positions: Tensor, losses: Tensor) -> None:
        """Nothing is learnt from losses."""


@dataclass(eq=False)
class InfoBatch(Policy):
    """Passes that leave out a random share of what is learnt well, until the training is to be annealed."""

    ratio: float = 0.5  # r
    delta: float = 0.875
    losses: np.ndarray = field(default_factory=lambda: np.empty(0))  # H (N,) float64; NaN: not presented yet
    rest: Remainder = field(default_factory=Remainder)
    drawn: Tensor | None = None  # the generator's state after the last batch

    def batches(self, plan: Plan, generator: torch.Generator, done: int = 0) -> Iterator[Presentation]:
        _refuse_epochs(plan, "infobatch")
        annealed = math.ceil(self.delta * plan.total)
        if not len(self.losses):
            self.losses = np.full(plan.k, np.nan)
        if self.drawn is not None:
            generator.set_state(self.drawn)
        for step in range(done, plan.total):
            if step == annealed:
                self.rest = Remainder()
            ratio = self.ratio if step < annealed else 0.0
            rows = self.rest.take(plan.batch, partial(self.pass_of, ratio, generator))
            self.drawn = generator.get_state()
            yield rows[:, 0].long(), False, rows[:, 1].float()

    def pass_of(self, ratio: float, generator: torch.Generator) -> Tensor:
        """The next pass: (n, 2) float64, the positions it presents and the factors of their losses."""
        order = torch.randperm(len(self.losses), generator=generator)
        left_out = torch.rand(len(order), generator=generator, dtype=torch.float64) < ratio
        learnt = torch.from_numpy(below_mean(self.losses))[order]
        factors = torch.where(learnt, 1 / (1 - ratio), 1.0).double()
        return torch.stack([order.double(), factors], dim=1)[~(learnt & left_out)]

    def presented(self, positions: Tensor, losses: Tensor) -> None:
        self.losses[positions.numpy()] = losses.double().cpu().numpy()

    def state(self) -> dict[str, Tensor]:
        if self.drawn is None or self.rest.waiting is None:
            return {}
        waiting = self.rest.waiting.clone()
        return {"losses": torch.from_numpy(self.losses.copy()), "waiting": waiting, "drawn": self.drawn}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        if state:
            self.losses = state["losses"].numpy().copy()
            self.rest, self.drawn = Remainder(state["waiting"].clone()), state["drawn"].clone()


def below_mean(losses: np.ndarray) -> np.ndarray:
    """(N,) bool: H < mean H; never where H is NaN, nor where all are equal, however their mean is rounded."""
    known = losses[~np.isnan(losses)]
    if not len(known):
        return np.zeros(len(losses), dtype=bool)
    return losses < np.clip(known.mean(), known.min(), known.max())


@lru_cache
def policy_text(text: str) -> str:
    """The canonical text of a policy: all options in order, "plain" as it is.

    Raises:
        UserError: no such policy or option (near ones are suggested), or an option out of range.
    """
    name, options = _bound(text)
    return write(name, options) if options else name


@lru_cache
def policy_label(text: str) -> str:
    """A policy as people write it: the name, and the options that differ from the defaults."""
    name, options = _bound(text)
    differing = {key: value for key, value in options.items() if value != POLICIES[name][key]}
    return write(name, differing) if differing else name


def policy_of(text: str, k: int) -> Policy:
    """The policy of that text for one training; ``k`` is the size of a round of rs2."""
    name, options = _bound(text)
    if name == "rs2":
        return RS2(k, **options)
    return InfoBatch(**options) if name == "infobatch" else Plain()


def _bound(text: str) -> tuple[str, dict[str, Any]]:
    spec = parse(text)
    if spec.name not in POLICIES or spec.distribution or spec.inner:
        raise UserError(f"there is no policy {text!r}{near(spec.name, POLICIES)} (known: {', '.join(POLICIES)})")
    what = f"the policy {spec.name}"
    options = bind(POLICIES[spec.name], spec.options, what, numbers=("ratio", "delta"))
    for name, top, closed in (("ratio", 1, ")"), ("delta", 1, "]")):
        value = options.get(name, 0.0)
        if value is None or not (0 <= value < top or (value == top and closed == "]")):
            raise UserError(f"option {name} of {what} must lie in [0, {top}{closed}, got {value}")
    return spec.name, options


def _refuse_epochs(plan: Plan, name: str) -> None:
    if plan.epochs is not None:
        raise ValueError(f"the policy {name} needs a training in steps: an epoch of it does not present everybody")
