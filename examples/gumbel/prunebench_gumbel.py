"""A weighted draw without replacement, between random and hardest (Gumbel-top-k; Kool et al., arXiv:1903.06059).

    keep the k largest of   s rank_i / N + G_i        G_i ~ Gumbel(0, 1), rank 0 the easiest, s the sharpness

Which is a draw of k examples, one after another, each with probability ~ exp(s rank_i / N) among those left: s = 0 is
uniform random, and the larger s, the nearer to the k hardest. Time O(N log N); memory: the ranking and the draws.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench import Selector, UserError, hookimpl

if TYPE_CHECKING:
    from torch import Generator, Tensor


def gumbel(hardness: Tensor, budget: int, generator: Generator, *, sharpness: float = 5.0) -> Tensor:
    """k examples, hard ones more likely.

    Args:
        hardness: (N,) float64; only its order counts.
        budget: k, from 1 to N.
        generator: what the Gumbel noise is drawn from.
        sharpness: s, at least 0: the hardest is e^s times as likely as the easiest to be drawn first.

    Returns:
        (k,) int64, distinct positions.

    Raises:
        UserError: ``sharpness`` is negative.
    """
    if sharpness < 0:
        raise UserError(f"sharpness must be at least 0, got {sharpness}")
    rank = hardness.argsort(stable=True).argsort().double()
    noise = -rank.new_empty(len(rank)).exponential_(generator=generator).log()
    return (sharpness * rank / len(rank) + noise).topk(budget).indices


@hookimpl
def prunebench_selectors() -> list[Selector]:
    """What this package offers."""
    return [Selector("gumbel", gumbel, definition=1, bytes_per_example=128)]
