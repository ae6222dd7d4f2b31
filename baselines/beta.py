"""Beta sampling (DUAL; Cho, Shin, Kang, Yun, ICML 2025): easier examples are let in as fewer are kept.

With pruned share r = 1 - k/N and mean label probability mu(i) (`confidence`):

    b = C (1 - mu_D) (1 - r^c),    a = C + 1 - b        mu_D: mean of mu over the examples of highest score
    w(i) = S(i) Beta(mu(i); a, b)
    S: k examples drawn one after another without replacement, each with probability proportional to w

The draw is by keys: the k smallest of E_i / w(i), with E_i exponential and a function of the example's seed alone, have
exactly that distribution.

Differs from the authors' loader, which hands over scores and ranking in each other's place, takes mu from the first
epoch alone and returns a tuple. a and b are as in their CIFAR helper; the ImageNet one has the exponent 2 + c.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from prunebench import Chosen, UserError

from .window import ranking


def beta(
    hardness: Tensor,
    seeds: Tensor,
    budget: int,
    score: Callable[[str], Tensor],
    *,
    exponent: float = 4.0,
    concentration: float = 15.0,
    anchors: int = 10,
    epochs: int | None = 30,
) -> Chosen:
    """A weighted draw around a label probability that rises as fewer examples are kept.

    Args:
        hardness: (N,) >= 0, the weights S(i): the score is meant to be `dual`.
        seeds: (N,) int64, all the chance there is.
        score: called with "confidence(epochs=..)".
        exponent: c >= 0, larger for easier data (the released code's default, for CIFAR-100).
        concentration: C > 0.
        anchors: how many examples of highest score mu_D is the mean of.
        epochs: those of the prediction mean, as in `dual`; None is all.

    Returns:
        (k,) int64, in the order drawn; details: ``a``, ``b`` and ``anchor_mean``.

    Raises:
        UserError: a score is negative, or an option is out of range.
    """
    if not exponent >= 0 or not concentration > 0 or anchors < 1:
        raise UserError(
            f"exponent must be at least 0, concentration above 0 and anchors at least 1, "
            f"got {exponent}, {concentration} and {anchors}"
        )
    if bool((hardness < 0).any()):
        raise UserError(
            "beta draws in proportion to the score, which must not be negative: use it with dual or dyn_unc"
        )
    mean = -score(f"confidence(epochs={epochs})").to(hardness.device)  # (N,): low confidence is hard
    top = mean[ranking(hardness, seeds, hardest_first=True)[:anchors]]
    anchor_mean = float(top.sort().values.mean())
    a, b = shape_of(anchor_mean, 1 - budget / len(hardness), exponent, concentration)
    log_weight = hardness.double().log() + log_beta(mean.double(), a, b)
    chosen = weighted_draw(log_weight, seeds, budget)
    return Chosen(chosen, details={"a": a, "b": b, "anchor_mean": anchor_mean})


def shape_of(anchor_mean: float, pruned: float, exponent: float, concentration: float) -> tuple[float, float]:
    """a and b of the Beta distribution."""
    b = concentration * (1 - anchor_mean) * (1 - pruned**exponent)
    return concentration + 1 - b, b


def log_beta(p: Tensor, a: float, b: float) -> Tensor:
    """log of the Beta density up to its constant, p kept 1e-6 away from 0 and 1, where it may be infinite."""
    p = p.clamp(1e-6, 1 - 1e-6)
    return (a - 1) * p.log() + (b - 1) * (-p).log1p()


def weighted_draw(log_weight: Tensor, seeds: Tensor, budget: int) -> Tensor:
    """Without replacement, proportional to the weights; weightless ones last, ties by seed: (N,), (N,) -> (k,)."""
    u = ((seeds.to(log_weight.device).double() + 0.5) / 2.0**63).clamp(2.0**-53, 1 - 2.0**-53)
    keys = log_weight - (-(-u).log1p()).log()  # log w - log E, E = -log(1 - u); the largest are drawn first
    return ranking(keys, seeds, hardest_first=True)[:budget]
