"""Axes of the charts: where a number stands, and which numbers are written beside the axis.

place(v) = start + (end - start) (f(v) - f(low)) / (f(high) - f(low))        f the identity or log10
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """From a number to a place in the chart's own units; ``ticks`` are (place, text)."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool
    ticks: tuple[tuple[float, str], ...] = ()

    def place(self, value: float) -> float:
        """Where a number stands; what lies outside stands at the end it lies beyond."""
        inside = min(max(value, self.low), self.high)
        f = math.log10 if self.logarithmic else float
        return round(self.start + (self.end - self.start) * (f(inside) - f(self.low)) / (f(self.high) - f(self.low)), 1)


def linear(values: Sequence[float], start: float, end: float, *, scale: float = 1.0, most: int = 6) -> Axis:
    """An axis over all values with round ticks, which are written times ``scale``."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low < 1e-9:
        low, high = low - 0.5 / scale, high + 0.5 / scale
    step = _round_step((high - low) * scale / most)
    first, last = math.floor(low * scale / step + 1e-9), math.ceil(high * scale / step - 1e-9)
    axis = Axis(first * step / scale, last * step / scale, start, end, False)
    told = [(axis.place(i * step / scale), f"{i * step:.10g}") for i in range(first, last + 1)]
    return Axis(axis.low, axis.high, start, end, False, tuple(told))


def logarithmic(values: Sequence[float], start: float, end: float, least: float = 1e-3) -> Axis:
    """An axis over all values, nothing below ``least``, with ticks at 1, 2 and 5 times the powers of ten."""
    inside = [max(v, least) for v in values] or [1.0, 10.0]
    low, high = min(inside) / 1.15, max(inside) * 1.15
    axis = Axis(low, high, start, end, True)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for parts in ((1, 2, 5), (1, 3), (1,)):
        told = [m * 10.0**p for p in powers for m in parts if low <= m * 10.0**p <= high]
        if len(told) <= 7:
            break
    if len(told) < 2:
        told = [low, high]
    return Axis(low, high, start, end, True, tuple((axis.place(v), f"{v:.3g}") for v in told))


def at(values: Sequence[float], start: float, end: float) -> Axis:
    """A logarithmic axis with a tick at every value there is: keep ratios."""
    found = sorted({v for v in values if v > 0}) or [0.1, 1.0]
    axis = Axis(found[0] / 1.12, found[-1] * 1.12, start, end, True)
    ticks: list[tuple[float, str]] = []
    for value in found:
        place = axis.place(value)
        if not ticks or place - ticks[-1][0] >= 34:
            ticks.append((place, f"{value:.3g}"))
    return Axis(axis.low, axis.high, start, end, True, tuple(ticks))


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(max(raw, 1e-12)))
    return next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw - 1e-12 * power)
