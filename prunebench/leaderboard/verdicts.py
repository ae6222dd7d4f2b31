"""Win, tie, loss: what an interval says once differences below a margin do not matter.

    win:   the whole 95 % interval of the difference lies above +margin
    loss:  it lies below -margin
    tie:   it lies within [-margin, +margin]
    open:  none of these

These are the three hypotheses of three-sided testing (Goeman, Solari & Stijnen 2010, doi:10.1002/sim.4002), decided by
one interval: superiority and inferiority beyond the margin, and equivalence by two one-sided tests (Schuirmann 1987),
each at 2.5 %. An interval of no width, of seeds that do not differ, decides nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from .rows import Row
from .statistics import Difference, same

VERDICTS = ("win", "tie", "loss", "open")
MARGIN = 0.5  # percentage points


@dataclass(frozen=True)
class Tally:
    """The verdicts of a method's rows of all tables and keep ratios, the same trials once."""

    label: str
    wins: int
    ties: int
    losses: int
    open: int


def verdict(found: Difference | None, margin: float = MARGIN) -> str | None:
    """What a difference in 0..1 says with a ``margin`` in percentage points; None without an interval of some width."""
    if found is None or found.low is None or found.high is None or same(found):
        return None
    edge = margin / 100
    if found.low > edge:
        return "win"
    if found.high < -edge:
        return "loss"
    return "tie" if -edge <= found.low and found.high <= edge else "open"


def tallies(rows: Iterable[Row]) -> list[Tally]:
    """Of each method the verdicts of all its rows; most wins first, then fewest losses, then by label.

    What no scoring had a part in stands in the tables of several, and counts once.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    counted = set()
    for row in rows:
        which = row.label, frozenset(t.id or str(id(t)) for t in row.trials)
        if row.verdict is not None and not row.baseline and not row.oracle and which not in counted:
            counted.add(which)
            counts[row.label][row.verdict] += 1
    told = [Tally(label, c["win"], c["tie"], c["loss"], c["open"]) for label, c in counts.items()]
    return sorted(told, key=lambda t: (-t.wins, t.losses, -t.ties, t.label))
