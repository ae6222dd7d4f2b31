"""Critical-difference diagram (Demsar 2006): a line per method with its average rank, the best on top.

Below the ruler of the critical difference stand the bars: each spans the average ranks of methods that Nemenyi's test
does not tell apart. All places are those of one axis, from rank 1 to rank k.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import accumulate
from unicodedata import east_asian_width

from ..leaderboard.friedman import FEWEST, LEAST
from ..leaderboard.ranking import Board
from ..views import RankDiagram
from .axes import Axis
from .colours import Colours, Look
from .names import text

LEFT, RIGHT = 14.0, 446.0
_TOP, _BAR, _LINE = 68.0, 9.0, 21.0  # of the first bar, from bar to bar, from method to method
_LETTERS = 14.0  # size of the letters of a name on a phone, where they are largest
_APART = 10.0  # of a mark, its name and its rank
_WIDE, _NARROW = "mwMWQO@%+=<>~…", "ijltfr.,:;|()[]'\"` !"


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
    below: bool  # whether that is said below it, as there is no room beside it
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
    end, said = axis.place(1 + found.critical), f"critical difference {found.critical:.3f}"
    return RankChart(
        title=f"Average ranks at keep {found.keep:.4g}",
        caption=(
            f"{text(found.heading)}; 1 is best. Bars join methods whose ranks are closer than the critical difference: "
            f"Nemenyi's test at 5 % does not tell them apart. Friedman: p = {found.p:.2g}. "
            f"{text(', '.join(found.data_sets))}."
        ),
        height=top + _LINE * (k - 1) + 14,
        axis=axis,
        critical=(end, said),
        below=end + width(said) > RIGHT,
        bars=bars,
        methods=methods,
    )


def _axis(k: int, most: int = 12) -> Axis:
    """From rank 1 to rank k, with at most about ``most`` whole ranks written beside it."""
    axis = Axis(1.0, float(k), LEFT, RIGHT, False)
    ticks = tuple((axis.place(rank), str(rank)) for rank in range(1, k + 1, -(-k // most)))
    return replace(axis, ticks=ticks)


def _ranked(method: str, rank: float, axis: Axis, y: float, colours: Colours) -> Ranked:
    x, name, told = axis.place(rank), text(method), f"{rank:.2f}"
    left = x > (LEFT + RIGHT) / 2
    room = ((x - LEFT) if left else (RIGHT - x)) - width(told) - 2 * _APART
    return Ranked(colours.named(method), x, y, shortened(name, room), left, told, f"{name}: {rank:.3f}")


def width(name: str) -> float:
    """How wide a text is at most in the usual fonts, as large as it is on a phone."""
    return _LETTERS * sum(map(_em, name))


def _em(letter: str) -> float:
    if east_asian_width(letter) in "WF" or letter in _WIDE:
        return 1.0
    return 0.42 if letter in _NARROW else 0.66 if letter.islower() or letter.isdigit() else 0.8


def shortened(name: str, room: float) -> str:
    """A name that is no wider than ``room``: what is wider loses its middle."""
    if width(name) <= room:
        return name
    tail = _as_much(name[::-1], room / 3)[::-1]
    return f"{_as_much(name, room - width(tail) - _LETTERS)}…{tail}"


def _as_much(name: str, room: float) -> str:
    ends = accumulate(map(width, name))
    return name[: sum(end <= room for end in ends)]


def why_none(board: Board) -> str:
    """Why there is no diagram, in one sentence."""
    sets = len({table.conditions["dataset"] for table in board.tables})
    few = f"there {'is' if sets == 1 else 'are'} {sets} here"
    here = few if sets < LEAST else "no tables here that may be compared have them"
    return (
        f"No critical-difference diagram: it takes {LEAST} data sets with {FEWEST} methods in common at one keep "
        f"ratio, and {here}."
    )
