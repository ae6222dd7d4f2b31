"""BWS, best window selection (Choi, Ki, Chung, ICML 2024).

Every class is ordered by score; window w keeps, of each class c, the k_c examples from rank w * n_c on.

    w* = argmax_w accuracy(W_w)        W_w = (X_w^T X_w + lambda I)^-1 X_w^T Y_w

X: features of a briefly trained proxy, after a column of ones; Y: class indicators; the accuracy of argmax W_w^T x is
over the training split. `prunebench_baselines.ridge` does all windows at once.

The paper counts windows from the hard end (order="hardest"), DRD from the easy one with starts up to one half.

Differs from the authors' code by rounding: theirs rounds the two ends of every window, so the number kept changes with
the window; here every window keeps k_c of class c. Theirs breaks ties by small noise and fails where a class has one
example; windows that coincide are judged once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from prunebench import Chosen, class_budgets

from .grouping import group_by_group
from .ridge import window_accuracy
from .uniform import balanced


def bws(
    hardness: Tensor,
    labels: Tensor,
    budget: int,
    observe: Callable[..., Any],
    features: Callable[[], Tensor],
    judge: Callable[[Tensor], float],
    generator: Generator,
    *,
    step: float = 0.05,
    furthest: float = 1.0,
    order: str = "hardest",
    proxy: str = "subset",
    epochs: int = 20,
    evaluator: str = "ridge",
    ridge: float = 1.0,
    judged: str = "all",
) -> Chosen:
    """The window of every class's ranking from which a cheap classifier learns most.

    Args:
        hardness: (N,), ordered inside each class only.
        labels: (N,) int64.
        step: distance between window starts, a fraction of the class.
        furthest: the last start tried; never beyond 1 - keep ratio.
        order: the end from which starts count, "hardest" or "easiest".
        proxy: whose features: "subset" trains on a random class-balanced subset of k examples, "reference" takes
            the shared reference network.
        epochs: how many the proxy trains; its schedule is the reference's, or longer where they need it.
        evaluator: "ridge", or "train": a network is trained on every window (`judge`), and no proxy.
        ridge: lambda, the bias included.
        judged: the accuracy is over "all" of the training split or over the "easiest_half" of each class, the authors'
            rule under label noise.

    Returns:
        The window's examples; details: ``start`` and the start from either end, all ``starts`` and their
        ``judged_accuracy`` (0..1; NaN where there is but one window, so that nothing had to be judged).

    Raises:
        ValueError: an option is none of the above or out of range, or the features are not finite.
    """
    _check(step, furthest, order, proxy, epochs, evaluator, ridge, judged)
    hardness, labels = hardness.cpu(), labels.cpu()
    place = rank_in_class(hardness, labels, order)
    starts, member = distinct_windows(place, labels, budget, step, furthest)
    accuracy = None
    if len(starts) > 1 and evaluator == "train":
        accuracy = np.array([judge(_indices(window)) for window in member], dtype=np.float64)
    elif len(starts) > 1:
        if proxy == "subset":
            h = observe(indices=balanced(labels, budget, generator), epochs=epochs).features()  # (N, D)
        else:
            h = features()
        accuracy = window_accuracy(h, labels, member, _judges(place, labels, order, judged), ridge)
    return _best(starts, member, accuracy, order)


def best_windows(
    h: Tensor,
    hardness: Tensor,
    labels: Tensor,
    budgets: Sequence[int],
    *,
    step: float = 0.05,
    furthest: float = 1.0,
    order: str = "hardest",
    ridge: float = 1.0,
    judged: str = "all",
) -> list[Chosen]:
    """What ``bws(proxy="reference")`` keeps for each of several budgets, from one pass over the features.

    Args:
        h: (N, D) features of one network, which judges all windows of all budgets.
        hardness, labels: (N,).
        budgets: k of each.

    The options are those of `bws`.

    Raises:
        ValueError: an option is out of range, or the features are not finite.
    """
    _check(step, furthest, order, "reference", 1, "ridge", ridge, judged)
    hardness, labels = hardness.cpu(), labels.cpu()
    place = rank_in_class(hardness, labels, order)
    grids = [distinct_windows(place, labels, budget, step, furthest) for budget in budgets]
    together = torch.cat([member for _, member in grids])
    accuracy = window_accuracy(h, labels, together, _judges(place, labels, order, judged), ridge)
    shares = np.split(accuracy, np.cumsum([len(starts) for starts, _ in grids])[:-1])
    return [_best(*grid, share if len(share) > 1 else None, order) for grid, share in zip(grids, shares, strict=True)]


def distinct_windows(
    place: Tensor, labels: Tensor, budget: int, step: float, furthest: float
) -> tuple[np.ndarray, Tensor]:
    """Starts (W,) and members (W, N) of the windows tried; in small classes several starts coincide."""
    starts = start_grid(len(labels), budget, step, furthest)
    first, stop = windows(torch.bincount(labels).numpy(), budget, starts)
    new = np.append(True, (np.diff(first, axis=0) != 0).any(axis=1))
    return starts[new], members(place, labels, first[new], stop[new])


def _judges(place: Tensor, labels: Tensor, order: str, judged: str) -> Tensor:
    """The examples over which the accuracy is: (N,) bool."""
    return easiest_half(place, labels, order) if judged == "easiest_half" else torch.ones_like(place, dtype=torch.bool)


def _best(starts: np.ndarray, member: Tensor, accuracy: np.ndarray | None, order: str) -> Chosen:
    """The window of highest accuracy, the first of equal ones; ``accuracy`` is None where there is but one."""
    best = 0 if accuracy is None else int(np.argmax(accuracy))
    indices = _indices(member[best])
    ends = _both_ends(float(starts[best]), len(indices) / member.shape[1], order)
    told = np.full(len(starts), np.nan) if accuracy is None else accuracy
    return Chosen(indices, details=ends | {"starts": starts, "judged_accuracy": told})


def _indices(window: Tensor) -> Tensor:
    return torch.nonzero(window).squeeze(1)


def _both_ends(start: float, keep: float, order: str) -> dict[str, float]:
    """The start as asked for, and as the fraction of examples that are harder and easier than the window."""
    rest = max(0.0, round(1 - keep - start, 10))
    harder, easier = (start, rest) if order == "hardest" else (rest, start)
    return {"start": start, "start_from_hardest": harder, "start_from_easiest": easier}


def _check(
    step: float, furthest: float, order: str, proxy: str, epochs: int, evaluator: str, ridge: float, judged: str
) -> None:
    for name, value, choices in (
        ("order", order, ("hardest", "easiest")),
        ("proxy", proxy, ("subset", "reference")),
        ("evaluator", evaluator, ("ridge", "train")),
        ("judged", judged, ("all", "easiest_half")),
    ):
        if value not in choices:
            raise ValueError(f"{name} must be {choices[0]!r} or {choices[1]!r}, got {value!r}")
    if evaluator == "train" and judged != "all":
        raise ValueError("evaluator='train' judges on the whole training split: leave judged at 'all'")
    if not 0 < step <= 1 or not 0 <= furthest <= 1:
        raise ValueError(f"step must lie in (0, 1] and furthest in [0, 1], got step={step} and furthest={furthest}")
    if epochs < 1 or not ridge > 0:
        raise ValueError(f"epochs must be at least 1 and ridge above 0, got epochs={epochs} and ridge={ridge}")


def start_grid(examples: int, budget: int, step: float = 0.05, furthest: float = 1.0) -> np.ndarray:
    """Window starts 0, step, 2 step, ... up to min(furthest, 1 - k/N), k/N being exact to half an example: (W,)."""
    last = min(furthest, (examples - budget + 0.5) / examples)
    return np.round(np.arange(int(last / step + 1e-9) + 1) * step, 10)


def windows(
    counts: np.ndarray, budget: int, starts: np.ndarray, *, rounding: str = "paper"
) -> tuple[np.ndarray, np.ndarray]:
    """First rank and rank after the last of each window in each class, from the end where ranks begin.

    A window of k_c examples starts at w * n_c, rounded half up, or as late as it still fits.
    ``rounding="reference"`` is the released code's, whose window sizes vary with the start:
    ascending ranks round(n (1 - w - r)) to round(n (1 - w)), halves to even.

    Args:
        counts: (C,) examples per class.
        starts: (W,) fractions.

    Returns:
        Two (W, C) int64 arrays.
    """
    w, n = np.asarray(starts)[:, None], np.asarray(counts, dtype=np.int64)[None, :]
    if rounding == "reference":
        keep = budget / n.sum()
        return (n - np.rint(n * (1 - w))).astype(np.int64), (n - np.rint(n * (1 - w - keep))).astype(np.int64)
    quotas = class_budgets(counts, budget)
    first = np.minimum(np.floor(w * n + 0.5 + 1e-9).astype(np.int64), n - quotas)
    return first, first + quotas


def rank_in_class(hardness: Tensor, labels: Tensor, order: str = "hardest") -> Tensor:
    """Place of each example in its class, 0 at the end that ``order`` names, ties as given: (N,) -> (N,) int64."""
    ranking = torch.argsort(hardness, descending=order == "hardest", stable=True)
    ranking = ranking[group_by_group(labels[ranking])]  # class by class
    counts = torch.bincount(labels)
    place = torch.empty_like(ranking)
    place[ranking] = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[labels[ranking]]
    return place


def members(place: Tensor, labels: Tensor, first: np.ndarray, stop: np.ndarray) -> Tensor:
    """Which examples each window keeps: (N,), (N,), (W, C), (W, C) -> (W, N) bool."""
    bounds = zip(torch.from_numpy(first), torch.from_numpy(stop), strict=True)
    return torch.stack([(place >= begin[labels]) & (place < end[labels]) for begin, end in bounds])


def easiest_half(place: Tensor, labels: Tensor, order: str) -> Tensor:
    """The easier half of each class, rounded up: (N,) -> (N,) bool."""
    counts = torch.bincount(labels)[labels]  # (N,)
    from_easiest = place if order == "easiest" else counts - 1 - place
    return from_easiest < (counts + 1) // 2
