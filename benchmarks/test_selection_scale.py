"""P8, P9: CCS and class-balanced selection of ImageNet-1K's 1,281,167 examples, against the loops in use.

    .venv/bin/pytest benchmarks/test_selection_scale.py -s [--record]

The plain CCS finds each stratum by a mask over all scores, once to count it and once to draw from it, and lists what it
drew index by index. The plain class-balanced forms find each class by a mask, sort or shuffle its members and append
what they keep, again for each keep ratio. Ours sorts all examples once by group, whatever their number.
"""

from functools import partial

import numpy as np
import pytest
import torch
from prunebench_baselines.bws import members, rank_in_class
from prunebench_baselines.ccs import allocate, ccs, strata_of
from prunebench_baselines.extremes import hardest
from prunebench_baselines.per_class import per_class
from prunebench_baselines.uniform import balanced

from prunebench import budget_for, class_budgets

N, CLASSES = 1_281_167, 1000
RATIOS = tuple(i / 10 for i in range(1, 10))


@pytest.fixture(scope="module")
def imagenet():
    """Scores (N,) without ties and labels (N,) of unequal classes, in no order."""
    rng = np.random.default_rng(0)
    share = rng.uniform(0.8, 1.2, CLASSES)
    labels = rng.choice(CLASSES, N, p=share / share.sum())
    return torch.from_numpy(rng.gamma(2.0, size=N)), torch.from_numpy(labels)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def plain_ccs(scores: torch.Tensor, budget: int, strata: int = 50) -> list[int]:
    low, high = scores.min(), scores.max()
    width, everything = (high - low) / strata, torch.arange(len(scores))

    def inside(s: int) -> torch.Tensor:
        above = scores >= low + s * width
        return above & (scores < low + (s + 1) * width) if s < strata - 1 else above

    counts = [int(inside(s).sum()) for s in range(strata)]
    budgets, left = [0] * strata, budget
    for visited, s in enumerate(sorted(range(strata), key=counts.__getitem__)):
        budgets[s] = min(counts[s], left // (strata - visited))
        left -= budgets[s]
    drawn: list[int] = []
    for s in range(strata):
        pool = everything[inside(s)]
        drawn += [index.item() for index in pool[torch.randperm(len(pool))][: budgets[s]]]
    return drawn


@pytest.mark.parametrize("keep", [0.1, 0.5])
def test_ccs(against, imagenet, keep):
    scores, _ = imagenet
    budget, groups = budget_for(keep, N), strata_of(scores, 50)

    def equal(ours: torch.Tensor, plain: list[int]) -> None:
        assert len(ours) == len(set(plain)) == budget
        found, wanted = (torch.bincount(groups[torch.as_tensor(x)], minlength=50) for x in (ours, plain))
        assert torch.equal(found, wanted) and torch.equal(found, allocate(torch.bincount(groups), budget))

    def ours() -> torch.Tensor:
        return ccs(scores, budget, lambda text: scores, generator())

    size = f"{N:,} scores, 50 strata"
    against(f"P8 ccs, keep {keep:g}", ours, lambda: plain_ccs(scores, budget), equal, goal=10, size=size, rounds=8)


def plain_per_class(labels: np.ndarray, budgets: np.ndarray, ranked) -> np.ndarray:
    """``ranked(members)`` puts a class in the order in which it is kept."""
    everything, chosen = np.arange(N), np.array([], dtype=np.int64)
    for c in range(CLASSES):
        members = everything[labels == c]
        chosen = np.append(chosen, ranked(members)[: budgets[c]])
    return chosen


def same_sets(ours: torch.Tensor, plain: np.ndarray) -> None:
    assert np.array_equal(np.sort(ours.numpy()), np.sort(plain))


def test_hardest_of_every_class(against, imagenet):
    scores, labels = imagenet
    s, y, budget = scores.numpy(), labels.numpy(), budget_for(0.1, N)
    budgets = class_budgets(np.bincount(y), budget)

    def inner(indices: torch.Tensor, k: int) -> torch.Tensor:
        return indices[hardest(scores[indices], k)]

    def plain() -> np.ndarray:
        return plain_per_class(y, budgets, lambda members: members[np.argsort(s[members])[::-1]])

    size = f"{N:,} scores, {CLASSES} classes, keep 0.1"
    ours = partial(per_class, labels, inner, budget)
    against("P9 per_class(hardest)", ours, plain, same_sets, goal=None, size=size)


def test_hardest_of_every_class_for_nine_ratios(against, imagenet):
    """One ranking serves all ratios, as in BWS all windows."""
    scores, labels = imagenet
    s, y = scores.numpy(), labels.numpy()
    budgets = np.stack([class_budgets(np.bincount(y), budget_for(keep, N)) for keep in RATIOS])

    def ours() -> list[torch.Tensor]:
        place = rank_in_class(scores, labels)
        return [torch.nonzero(kept).squeeze(1) for kept in members(place, labels, np.zeros_like(budgets), budgets)]

    def plain() -> list[np.ndarray]:
        return [plain_per_class(y, k, lambda members: members[np.argsort(s[members])[::-1]]) for k in budgets]

    def equal(found: list[torch.Tensor], wanted: list[np.ndarray]) -> None:
        for pair in zip(found, wanted, strict=True):
            same_sets(*pair)

    size = f"{N:,} scores, {CLASSES} classes, keep 0.1 to 0.9"
    against("P9 hardest per class, nine ratios", ours, plain, equal, goal=10, size=size, plain_rounds=1)


def test_random_of_every_class(against, imagenet):
    _, labels = imagenet
    y, budget = labels.numpy(), budget_for(0.1, N)
    budgets = class_budgets(np.bincount(y), budget)

    def plain() -> np.ndarray:
        rng = np.random.default_rng(0)
        return plain_per_class(y, budgets, rng.permutation)

    def equal(ours: torch.Tensor, plain: np.ndarray) -> None:  # other draws, the same numbers
        assert len(ours.unique()) == len(np.unique(plain)) == budget
        assert np.array_equal(np.bincount(y[ours]), np.bincount(y[plain]))

    size = f"{N:,} labels, {CLASSES} classes, keep 0.1"
    against("P9 balanced", lambda: balanced(labels, budget, generator()), plain, equal, goal=10, size=size, rounds=8)
