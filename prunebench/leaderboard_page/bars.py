"""Intervals as small bars beside their numbers, on one scale for all rows of a table.

    x(v) = EDGE + (WIDTH - 2 EDGE) (v - low) / (high - low)

``low`` and ``high`` span the means of the table and their intervals; wide intervals of few seeds are cut off at six
times the range of the means, so that they leave something to see of the others. A bar that goes on has no end there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..leaderboard.statistics import Difference, Summary

WIDTH, EDGE = 84.0, 4.0  # of a bar's box, in its own units
_WIDEST = 3.0  # ranges of the means to either side


@dataclass(frozen=True)
class Bar:
    """Places inside ``WIDTH``; without an interval only the mean's."""

    mean: float
    low: float | None
    high: float | None
    low_open: bool
    high_open: bool
    zero: float | None  # where nought is, if it is inside


@dataclass(frozen=True)
class Scale:
    """What the ends of a bar's box stand for."""

    low: float
    high: float
    signed: bool

    def bar(self, found: Summary | Difference) -> Bar:
        """The bar of a mean and its interval."""
        zero = self._place(0.0) if self.signed else None
        if found.half is None:
            return Bar(self._place(found.mean), None, None, False, False, zero)
        low, high = _ends(found)
        cut = low < self.low - 1e-12, high > self.high + 1e-12
        return Bar(self._place(found.mean), self._place(low), self._place(high), *cut, zero)

    def _place(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        share = (inside - self.low) / (self.high - self.low)
        return round(EDGE + (WIDTH - 2 * EDGE) * share, 1)


def scale_of(found: Sequence[Summary | Difference], floor: float | None = None, ceiling: float | None = None) -> Scale:
    """The scale of a column; ``floor`` and ``ceiling`` bound what can be. A signed one, without them, has nought on it.

    Of no values it is that from 0 to 1.
    """
    if not found:
        return Scale(0.0, 1.0, floor is None)
    means = [f.mean for f in found] + ([0.0] if floor is None else [])
    room = _WIDEST * max(max(means) - min(means), 0.01)
    low = max(min(min(_ends(f)[0] for f in found), *means), min(means) - room)
    high = min(max(max(_ends(f)[1] for f in found), *means), max(means) + room)
    low = low if floor is None else max(low, floor)
    high = high if ceiling is None else min(high, ceiling)
    return Scale(low, high, floor is None) if high - low > 1e-9 else Scale(low - 0.005, high + 0.005, floor is None)


def _ends(found: Summary | Difference) -> tuple[float, float]:
    """Of the interval; the mean twice where there is none."""
    if found.low is not None and found.high is not None:
        return found.low, found.high
    half = found.half or 0.0
    return found.mean - half, found.mean + half
