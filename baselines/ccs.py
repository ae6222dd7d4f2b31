"""CCS, coverage-centric coreset selection (Zheng et al., ICLR 2023).

With cut-off beta, n strata and budget k:

    1. cut the int(beta * N) examples of lowest accumulated margin, whatever the score
    2. split the range [min, max] of the score over the rest into n strata of equal width
    3. visit the strata by ascending size: stratum s gets min(n_s, what is left / strata left)
    4. draw uniformly inside each stratum

Differs from the authors' code, which ends its range at 1.0001 max: where the maximum is negative, or small beside the
range, the highest examples fall into no stratum and are lost, and where all scores are 0 nothing is selected. Where
too few are left after the cut, theirs returns fewer than k, here it is refused; theirs is not seeded.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from prunebench import class_budgets

from .uniform import draw


def ccs(
    hardness: Tensor,
    budget: int,
    score: Callable[[str], Tensor],
    generator: Generator,
    *,
    cutoff: float = 0.0,
    strata: int = 50,
) -> Tensor:
    """Cover the whole range of the score, without the examples that look mislabelled.

    Args:
        hardness: (N,) finite.
        score: called with "accumulated_margin", only when ``cutoff`` > 0.
        cutoff: beta in [0, 1), the fraction cut first; the paper tunes it (its command for CIFAR-10 at 0.1: 0.3).
        strata: n, how many.

    Returns:
        (k,) int64, ascending.

    Raises:
        ValueError: the cut leaves fewer than k examples, an option is out of range, or hardness is not finite.
    """
    examples = len(hardness)
    if not 0 <= cutoff < 1:
        raise ValueError(f"cutoff must lie in [0, 1), got {cutoff}")
    if strata < 1:
        raise ValueError(f"strata must be at least 1, got {strata}")
    rest = None
    if cutoff > 0:
        rest = uncut(score("accumulated_margin"), int(cutoff * examples)).to(hardness.device)
        if len(rest) < budget:
            most = math.floor((examples - budget) / examples * 1e4) / 1e4
            raise ValueError(
                f"cutoff={cutoff} leaves {len(rest)} of {examples} examples, but {budget} are to be kept: "
                f"choose cutoff <= {most} or keep fewer"
            )
    groups = strata_of(hardness if rest is None else hardness[rest], strata)
    drawn = draw(groups, allocate(torch.bincount(groups, minlength=strata), budget), generator)
    return drawn if rest is None else rest.cpu()[drawn]


def uncut(margin_hardness: Tensor, cut: int) -> Tensor:
    """Indices left after the ``cut`` hardest by accumulated margin: (N,) -> (N - cut,) ascending."""
    return torch.argsort(margin_hardness, descending=True, stable=True)[cut:].sort().values


def strata_of(scores: Tensor, strata: int, *, rounding: str = "paper") -> Tensor:
    """The stratum 0..strata-1 of each score: equal widths over [min, max], the last one closed: (N,) -> (N,) int64.

    ``rounding="reference"`` is the released code's half-open [min, 1.0001 max) in the scores' own precision, in which
    a negative or relatively tiny maximum and constant zeros fall into no stratum (-1).
    """
    if rounding == "reference":
        return _reference_strata_of(scores, strata)
    scores = scores.double()
    low, high = scores.aminmax()  # NaN where any is
    if not bool(torch.isfinite(low) & torch.isfinite(high)):
        raise ValueError("scores must be finite to be split into strata")
    if torch.isinf(high - low):  # the range of huge scores does not fit a float64, half of it does
        scores, low, high = scores / 2, low / 2, high / 2
    if high == low:
        return torch.zeros(len(scores), dtype=torch.int64, device=scores.device)
    return (scores - low).div_(high - low).mul_(strata).long().clamp_(max=strata - 1)


def _reference_strata_of(scores: Tensor, strata: int) -> Tensor:
    low, high = scores.min(), scores.max() * 1.0001
    width = (high - low) / strata
    groups = torch.full((len(scores),), -1, dtype=torch.int64, device=scores.device)
    for s in range(strata):
        groups[(scores >= low + s * width) & (scores < low + (s + 1) * width)] = s
    return groups


def allocate(counts: Tensor, budget: int) -> Tensor:
    """Equal shares, what a small stratum cannot fill going to the larger ones: (S,) -> (S,) int64 with sum k."""
    return torch.as_tensor(class_budgets(counts.cpu().numpy(), budget, "equal"))
