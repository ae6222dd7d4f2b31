"""The standard statistics of a presentation: pure functions of (logits, labels).

Notation: z logits, y label, p = softmax(z).

===================  =========================================================
correct              1 if argmax z = y else 0; of equal logits the lowest index wins
logit_margin         z_y - max_{j != y} z_j             (Pleiss et al. 2020, AUM)
probability_margin   p_y - max_{j != y} p_j             (CCS's accumulated margin)
true_probability     p_y
top_margin           p_(1) - p_(2), the two largest p_j, whatever the label
entropy              - sum_j p_j log p_j, in nats
loss                 - log p_y
el2n                 || p - onehot(y) ||_2              (Paul et al. 2021)
===================  =========================================================

Logits are (..., C) float32 with C >= 2, labels (...) int64, results (...) float32; leading dimensions are free.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from ..errors import UserError

Statistic = Callable[..., Tensor]  # (logits (B, C), labels (B,)[, previous (B, C)]) -> (B,)
At = Literal["presentation", "epoch_end"]


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(-1) == labels).float()


def logit_margin(logits: Tensor, labels: Tensor) -> Tensor:
    return _margin(logits, labels)


def probability_margin(logits: Tensor, labels: Tensor) -> Tensor:
    return _margin(logits.softmax(-1), labels)


def true_probability(logits: Tensor, labels: Tensor) -> Tensor:
    return _own(logits.softmax(-1), labels)


def top_margin(logits: Tensor, labels: Tensor) -> Tensor:
    first, second = logits.softmax(-1).topk(2, dim=-1).values.unbind(-1)
    return first - second


def entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return torch.special.entr(logits.softmax(-1)).sum(-1)


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    return -_own(logits.log_softmax(-1), labels)


def el2n(logits: Tensor, labels: Tensor) -> Tensor:
    error = logits.softmax(-1)
    error = error.scatter(-1, labels.unsqueeze(-1), _own(error, labels).unsqueeze(-1) - 1)
    return error.norm(dim=-1)


def _own(x: Tensor, labels: Tensor) -> Tensor:  # (..., C) -> (...)
    return x.gather(-1, labels.unsqueeze(-1)).squeeze(-1)


def _margin(x: Tensor, labels: Tensor) -> Tensor:
    others = x.scatter(-1, labels.unsqueeze(-1), -torch.inf)
    return _own(x, labels) - others.amax(-1)


STANDARD: dict[str, tuple[Statistic, At]] = {
    "correct": (correct, "presentation"),
    "logit_margin": (logit_margin, "presentation"),
    "probability_margin": (probability_margin, "presentation"),
    "true_probability": (true_probability, "presentation"),
    "top_margin": (top_margin, "presentation"),
    "entropy": (entropy, "presentation"),
    "loss": (loss, "presentation"),
    "el2n": (el2n, "epoch_end"),
}
WHOLE = frozenset({correct})  # whole numbers from 0 to 255, held in a byte while an epoch lasts
DEFINITIONS = dict.fromkeys(STANDARD, 1)  # a number changes when what the statistic computes changes


def statistic(name: str) -> Statistic:
    """The standard statistic of that name.

    Raises:
        UserError: there is none; near names are suggested.
    """
    if name not in STANDARD:
        near = difflib.get_close_matches(name, STANDARD, n=1) or list(STANDARD)
        raise UserError(f"there is no statistic {name!r} to watch; did you mean {', '.join(near)}?")
    return STANDARD[name][0]
