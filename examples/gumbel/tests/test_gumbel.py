"""The two ends of the dial, the law of the first draw, and prunebench's contract."""

import math

import pytest
import torch
from prunebench_gumbel import gumbel, prunebench_selectors

from prunebench import UserError
from prunebench.testing import checks


@pytest.mark.parametrize("title, check", [pair for record in prunebench_selectors() for pair in checks(record)])
def test_contract(title, check):
    check()


def test_a_sharp_draw_is_the_hardest():
    hardness = torch.tensor([5.0, 0.0, 4.0, 1.0])
    assert set(gumbel(hardness, 2, torch.Generator().manual_seed(0), sharpness=1e9).tolist()) == {0, 2}
    with pytest.raises(UserError, match="at least 0"):
        gumbel(hardness, 2, torch.Generator(), sharpness=-1.0)


def test_the_first_draw_follows_its_weights():
    generator, hardness = torch.Generator().manual_seed(0), torch.tensor([0.0, 1.0])
    firsts = [int(gumbel(hardness, 1, generator, sharpness=2.0)) for _ in range(4000)]
    assert sum(firsts) / 4000 == pytest.approx(math.e / (1 + math.e), abs=0.03)  # e^(2/2) against e^0
