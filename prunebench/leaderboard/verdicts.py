"""Win, tie, loss: what an interval says once differences below a margin do not matter.

    win:   the whole 95 % interval of the difference lies above +margin
    loss:  it lies below -margin
    tie:   it lies within [-margin, +margin]
    open:  none of these

The three are tested at once, each pair of hypotheses by one interval (Goeman, Solari & Stijnen 2010, Statistics in
Medicine 29:2117); the tie is the equivalence test of two one-sided tests (Schuirmann 1987) at 2.5 % each.
"""

from __future__ import annotations

from dataclasses import dataclass

VERDICTS = ("win", "tie", "loss", "open")
MARGIN = 0.5  # percentage points


@dataclass(frozen=True)
class Tally:
    """The verdicts of a method's rows of all tables and keep ratios; rows without an interval have none."""

    label: str
    wins: int
    ties: int
    losses: int
    open: int
