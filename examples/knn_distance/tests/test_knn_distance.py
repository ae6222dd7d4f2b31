"""Distances by hand, and prunebench's contract."""

import pytest
import torch
from prunebench_knn_distance import knn_distance, prunebench_scorers

from prunebench import UserError
from prunebench.testing import checks

LINE = torch.tensor([[0.0], [1.0], [3.0], [10.0]])


def nearest(x, k):
    """The k smallest distances to others."""
    return (x - x.T).abs().sort(dim=1).values[:, 1 : k + 1], None


@pytest.mark.parametrize("title, check", [pair for record in prunebench_scorers() for pair in checks(record)])
def test_contract(title, check):
    check()


def test_by_hand():
    assert knn_distance(lambda _: LINE, nearest, k=2).tolist() == [2.0, 1.5, 2.5, 8.0]
    assert knn_distance(lambda _: LINE, nearest, k=9).tolist()[0] == pytest.approx(14 / 3)
    with pytest.raises(UserError, match="at least 1"):
        knn_distance(lambda _: LINE, nearest, k=0)
