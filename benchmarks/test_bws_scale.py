"""BWS on 50,000 x 512 features of 10 classes: all windows of a keep ratio in one pass, and those of nine ratios.

    .venv/bin/pytest benchmarks/test_bws_scale.py -s [--record]

The plain form takes window by window: the features of its examples, their moments, the ridge solution, and its accuracy
over the whole training split. Both sides compute in float64 and must judge every window alike, to the example. The gain
is that of not computing the moments of an example again for every window it lies in, so it grows with the number of
ratios that one network serves (``proxy="reference"``).
"""

import pytest
import torch
from prunebench_baselines.bws import best_windows, distinct_windows, rank_in_class

from prunebench import Chosen, budget_for

N, WIDTH, CLASSES = 50_000, 512, 10
RATIOS = tuple(i / 10 for i in range(1, 10))


@pytest.fixture(scope="module")
def cifar():
    """Features (N, D) around a centre per class, hardness (N,) and labels (N,) of unequal classes."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (N,), generator=generator)
    noise, centres = (torch.randn(rows, WIDTH, generator=generator) for rows in (N, CLASSES))
    hardness = torch.rand(N, dtype=torch.float64, generator=generator)
    return (0.05 * (0.5 + hardness[:, None]) * centres[labels] + noise).float(), hardness, labels


def plain_windows(h: torch.Tensor, hardness: torch.Tensor, labels: torch.Tensor, keep: float) -> list[float]:
    """The accuracy of every window."""
    x = torch.cat([torch.ones(N, 1, dtype=torch.float64), h.double()], dim=1)
    y, eye = torch.eye(CLASSES, dtype=torch.float64)[labels], torch.eye(WIDTH + 1, dtype=torch.float64)
    _, member = distinct_windows(rank_in_class(hardness, labels), labels, budget_for(keep, N), 0.05, 1.0)
    accuracy = []
    for window in member:
        x_w, y_w = x[window], y[window]
        weights = torch.linalg.solve(x_w.T @ x_w + eye, x_w.T @ y_w)
        accuracy.append(int(((x @ weights).argmax(dim=1) == labels).sum()) / N)
    return accuracy


def equal(ours: list[Chosen], plain: list[list[float]]) -> None:
    assert [chosen.details["judged_accuracy"].tolist() for chosen in ours] == plain
    assert all(0.2 < max(accuracy) < 0.99 for accuracy in plain)  # there is something to judge


@pytest.mark.parametrize("keep", [0.1, 0.3])
def test_bws_of_a_ratio(against, cifar, keep):
    size = f"{N:,} x {WIDTH}, {CLASSES} classes"
    ours, plain = (lambda: best_windows(*cifar, [budget_for(keep, N)])), (lambda: [plain_windows(*cifar, keep)])
    against(f"BWS, keep {keep:g}", ours, plain, equal, goal=None, size=size, rounds=2, plain_rounds=1)


def test_bws_of_nine_ratios(against, cifar):
    def ours() -> list[Chosen]:
        return best_windows(*cifar, [budget_for(keep, N) for keep in RATIOS])

    def plain() -> list[list[float]]:
        return [plain_windows(*cifar, keep) for keep in RATIOS]

    size = f"{N:,} x {WIDTH}, {CLASSES} classes, keep 0.1 to 0.9"
    against("BWS, nine ratios", ours, plain, equal, goal=10, size=size, rounds=2, plain_rounds=1)
