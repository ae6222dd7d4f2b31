"""Critical-difference diagram (Demsar 2006): a line per method with its average rank, the best on top.

Below the ruler of the critical difference stand the bars: each spans the average ranks of methods that Nemenyi's test
does not tell apart. All places are those of one axis, from rank 1 to rank k.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..leaderboard.friedman import FEWEST, LEAST
from ..leaderboard.ranking import Board
from ..views import RankDiagram
from .axes import Axis
from .colours import Colours, Look
from .names import text

WIDTH, LEFT, RIGHT = 460.0, 14.0, 446.0
_TOP, _BAR, _LINE = 62.0, 9.0, 21.0  # of the first bar, from bar to bar, from method to method
_LETTER = 7.8  # width of one on a phone, where letters are largest


@dataclass(frozen=True)
class Ranked:
    """One method: its mark, and its name beside it."""

    look: Look
    x: float
    y: float
    label: str  # as much of the name as there is room for
    left: bool  # of the mark, where there is more room
    rank: str
    said: str


@dataclass(frozen=True)
class RankChart:
    """The diagram of one keep ratio."""

    title: str
    caption: str
    height: float
    axis: Axis
    critical: tuple[float, str]  # where a difference from rank 1 ends, and how large it is
    bars: tuple[tuple[float, float, float], ...]  # (first, last, y)
    methods: tuple[Ranked, ...]
    template: str = field(default="rank_diagram.html.j2", init=False)


def rank_chart(found: RankDiagram, colours: Colours) -> RankChart:
    """The drawing of a diagram."""
    k = len(found.methods)
    axis = _axis(k)
    bars = tuple(
        (axis.place(found.average[first]), axis.place(found.average[last]), _TOP + _BAR * level)
        for level, (first, last) in enumerate(found.cliques)
    )
    top = _TOP + _BAR * len(bars) + 12
    methods = tuple(
        _ranked(method, rank, axis, top + _LINE * i, colours)
        for i, (method, rank) in enumerate(zip(found.methods, found.average, strict=True))
    )
    return RankChart(
        title=f"Average ranks at keep {found.keep:.4g}",
        caption=(
            f"{text(found.heading)}; 1 is best. Bars join methods whose ranks are closer than the critical difference: "
            f"Nemenyi's test at 5 % does not tell them apart. Friedman: p = {found.p:.2g}. "
            f"{text(', '.join(found.data_sets))}."
        ),
        height=top + _LINE * (k - 1) + 14,
        axis=axis,
        critical=(axis.place(1 + found.critical), f"critical difference {found.critical:.3f}"),
        bars=bars,
        methods=methods,
    )


def _axis(k: int, most: int = 12) -> Axis:
    """From rank 1 to rank k, with at most about ``most`` whole ranks written beside it."""
    axis = Axis(1.0, float(k), LEFT, RIGHT, False)
    ticks = tuple((axis.place(rank), str(rank)) for rank in range(1, k + 1, -(-k // most)))
    return replace(axis, ticks=ticks)


def _ranked(method: str, rank: float, axis: Axis, y: float, colours: Colours) -> Ranked:
    x, name = axis.place(rank), text(method)
    left = x > (LEFT + RIGHT) / 2
    room = int(((x - LEFT) if left else (RIGHT - x)) / _LETTER) - 6  # the rank stands beside it
    return Ranked(colours.named(method), x, y, shortened(name, room), left, f"{rank:.2f}", f"{name}: {rank:.3f}")


def shortened(name: str, most: int) -> str:
    """A name of at most ``most`` letters: what is longer loses its middle."""
    if len(name) <= most:
        return name
    end = most // 3
    return f"{name[: most - end - 1]}…{name[-end:]}"


def why_none(board: Board) -> str:
    """Why there is no diagram, in one sentence."""
    sets = len({table.conditions["dataset"] for table in board.tables})
    few = f"there {'is' if sets == 1 else 'are'} {sets} here"
    here = few if sets < LEAST else "no tables here that may be compared have them"
    return (
        f"No critical-difference diagram: it takes {LEAST} data sets with {FEWEST} methods in common at one keep "
        f"ratio, and {here}."
    )
