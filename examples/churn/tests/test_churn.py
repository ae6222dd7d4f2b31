"""Churn by hand, and prunebench's contract."""

import pytest
import torch
from prunebench_churn import changed, churn, prunebench_scorers

from prunebench.testing import checks


@pytest.mark.parametrize("title, check", [pair for record in prunebench_scorers() for pair in checks(record)])
def test_contract(title, check):
    check()


def test_by_hand():
    z = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    assert changed(z, torch.zeros(2), z.flip(0)).tolist() == [1.0, 1.0]
    assert changed(z, torch.zeros(2), z).tolist() == [0.0, 0.0]
    history = torch.tensor([[[float("nan")] * 2, [1.0, 0.0], [1.0, 1.0]]])  # one run, three epochs, two examples
    assert churn(history).tolist() == [2.0, 1.0]
