"""How every figure is made: one size of letters, names that cannot be taken for markup, and the same bytes each time.

matplotlib without pyplot: a figure is a value, and nothing outside `drawing` changes. Letters are outlines in SVG, so a
figure looks the same where the font is missing.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from ..leaderboard.labels import terse
from ..terminal import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMN = 3.5  # inches: a column of a paper of two
PAGE = 7.1  # inches: both columns
LETTERS = 7.0  # points
INK, QUIET, FAINT = "#222222", "#8C8C8C", "#DDDDDD"
DPI = 220
_FONT = "DejaVu Sans"  # comes with matplotlib
_SETTINGS: Any = {
    "text.parse_math": False,  # a dollar is a dollar
    "text.usetex": False,
    "svg.hashsalt": "prunebench",
    "svg.fonttype": "path",
    "font.family": [_FONT],
    "font.size": LETTERS,
    "axes.titlesize": LETTERS + 0.5,
    "axes.labelsize": LETTERS,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "xtick.labelsize": LETTERS - 0.5,
    "ytick.labelsize": LETTERS - 0.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": LETTERS - 0.5,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "text.color": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@contextmanager
def drawing() -> Iterator[None]:
    """Settings under which figures are made and written; those of the process are as before afterwards."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a matplotlibrc of whoever runs this changes no figure
        matplotlib.rcParams.update(_SETTINGS)
        yield


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches that arranges itself."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def arranged(figure: Figure) -> Figure:
    """The figure with everything in its place for good, so that it is found once and not for each format."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def written(figure: Figure, form: str, title: str) -> bytes:
    """The bytes of a figure as "png" or "svg", the same for the same figure: no date, no version."""
    stream = io.BytesIO()
    about: dict[str, Any] = {"Title": drawable(title, 200)}
    about |= {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
    figure.savefig(stream, format=form, metadata=about)
    return stream.getvalue()


def drawable(text: str, longest: int = 60) -> str:
    """One line without control characters and direction marks, and a question mark for each letter the font lacks.

    What is longer loses its middle.
    """
    glyphs = _glyphs()
    found = "".join(letter if ord(letter) in glyphs else "?" for letter in clean(text))
    if len(found) <= longest:
        return found
    end = longest // 3
    return f"{found[: longest - end - 1]}…{found[-end:]}"


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont(_FONT)).get_charmap())


def names(texts: Sequence[str], longest: int = 38) -> list[str]:
    """`drawable` names that stay distinct: where cutting makes two alike, they are numbered."""
    found = [drawable(text, longest) for text in texts]
    if len(set(found)) == len(set(texts)):
        return found
    return [f"{i}: {drawable(text, longest - len(str(len(texts))) - 2)}" for i, text in enumerate(texts, 1)]


def terse_names(texts: Sequence[str], title: str, longest: int = 38) -> tuple[list[str], str]:
    """`names` of methods, and the title above them.

    Where one is too long, all are without the options that they share, which the title tells.
    """
    long = max(map(len, texts), default=0) > longest
    shorter, told = terse(texts) if long else (texts, "")
    return names(shorter, longest), f"{title} · {told}" if told else title


def entitle(figure: Figure, text: str) -> None:
    """Above everything, from the left edge on."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=LETTERS + 0.5)


def heading(text: str, width: float) -> str:
    """A heading in lines that fit ``width`` inches, at most three, broken where its parts meet or between words."""
    most, lines = int(width * 72 / (0.62 * LETTERS)), list[str]()
    for part in (drawable(each, 3 * most) for each in text.split(" · ")):
        if lines and len(longer := f"{lines[-1]} · {part}") <= most:
            lines[-1] = longer
        else:
            lines += wrap(part, most)
    return "\n".join(lines[:3])


def percent(value: float) -> str:
    """A ratio in percent, with no more digits than it has."""
    return f"{100 * value:.4g}"
