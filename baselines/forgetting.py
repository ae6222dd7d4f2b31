"""Forgetting events (Toneva et al., ICLR 2019).

    F(i) = #{e : a_e(i) = 1, a_{e+1}(i) = 0},    a_e(i) = 1 if presentation e was classified correctly

An example that is never learned has nothing to forget: the paper puts it last in the order, with F(i) = E. With
several runs the counts are summed, and each run in which it is never learned adds E.

Differs from DeepCore, CCS, ELFS and BWS, in whose code an example that is never learned counts 0, so that the hardest
and mislabelled ones are pruned first (``never_learned="zero"``), and from Data Diet's, where it is infinite.
"""

from __future__ import annotations

import torch
from torch import Tensor

from prunebench import UserError


def forgetting(history: Tensor, *, never_learned: str = "max") -> Tensor:
    """Forgetting events summed over runs.

    Args:
        history: (R, E, N), 1 where the presentation was classified correctly, else 0.
        never_learned: what a run counts in which the example was never right: "max" (E, the paper's) or "zero" (as in
            DeepCore, CCS and BWS, which prunes mislabelled examples first).

    Returns:
        (N,) float64 in 0..R*E, high = hard.

    Raises:
        UserError: never_learned is neither "max" nor "zero".
    """
    refuse_unknown(never_learned)
    epochs, examples = history.shape[1:]
    total = torch.zeros(examples, dtype=torch.float64, device=history.device)
    for run in history:
        events, learned = forgetting_events(run)
        if never_learned == "max":
            events[~learned] = epochs
        total += events
    return total


def refuse_unknown(never_learned: str) -> None:
    """Raises:
    UserError: it is neither "max" nor "zero".
    """
    if never_learned not in ("max", "zero"):
        raise UserError(f"never_learned must be 'max' or 'zero', got {never_learned!r}")


def forgetting_events(correct: Tensor) -> tuple[Tensor, Tensor]:
    """One run: (E, N) -> events (N,) int64 and learned (N,) bool, right at least once."""
    events = torch.zeros(correct.shape[1], dtype=torch.int64, device=correct.device)
    before = torch.zeros(correct.shape[1], dtype=torch.bool, device=correct.device)
    learned = before.clone()
    for epoch in correct:  # one epoch at a time: a long history is a memory-mapped file
        now = epoch > 0.5
        events += before & ~now
        learned |= now
        before = now
    return events, learned
