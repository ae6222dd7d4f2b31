"""All figures that stores have data for, each as PNG, SVG and CSV, and a page that lists them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import views
from ..errors import UserError
from ..leaderboard.atlas import Classes, atlases
from ..leaderboard.escaping import markdown
from ..leaderboard.labels import Labels
from ..leaderboard.ranking import Board
from ..leaderboard.wording import notes
from ..spec import near
from ..store import Store
from . import atlas, critical_difference, curves, pareto, quotas, transfer_map, window_starts
from .drawing import arranged, drawing, written
from .own_files import write_own
from .sheets import Kind, Sheet

if TYPE_CHECKING:
    from ..leaderboard.stores import Source

log = logging.getLogger("prunebench.figures")
MOST = 24  # figures of one kind
PICTURES = "pictures"
_OF_BUNDLES = "a bundle is read for its trials and subsets: for scores, name the store they were computed in"


@dataclass(frozen=True)
class Material:
    """What figures are made from."""

    board: Board
    sources: Sequence[Source]  # stores and bundles
    labels: Labels | None = None
    classes: Classes | None = None  # what knows labels, for scores that compare within a class only
    data_root: Path | None = None  # where the data sets of `pictures` lie; None: no picture is read

    @property
    def stores(self) -> list[Store]:
        """Those that scores are read from."""
        return [source for source in self.sources if isinstance(source, Store)]

    def without(self, reason: str) -> str:
        """Why figures of scores are missing: ``reason``, which is of the stores, and what is so of bundles."""
        bundles = [_OF_BUNDLES] if len(self.stores) < len(self.sources) else []
        return "; ".join(filter(None, [*([reason] if self.stores else []), *bundles]))


def _curves(of: Material) -> Kind:
    return Kind(
        "curves",
        "Mean test accuracy over keep ratio; bands are 95 % intervals over seeds, grey is random, dashed all the data.",
        curves.sheets(views.curves(of.board), views.palette(of.board)),
        "there is no finished trial",
    )


def _worst_class(of: Material) -> Kind:
    found = views.worst_class(of.board)
    return Kind(
        "worst-class",
        "Recall of the worst class over keep ratio, drawn as accuracy is.",
        curves.sheets(found, views.palette(of.board), "recall of the worst class, %"),
        "no trial tells the recall of at least two classes",
    )


def _transfer_map(of: Material) -> Kind:
    return Kind(
        "transfer-map",
        "Points above the random rival for each network, that which scored first, with half the 95 % interval.",
        transfer_map.sheets(views.transfer_map(of.board)),
        "the trials are of one network, or lack random rows to compare with: run with --model resnet18,vit_tiny",
    )


def _pareto(of: Material) -> Kind:
    return Kind(
        "pareto",
        "Accuracy over the seconds to score, select and train once; filled points are on the front of the keep ratio.",
        pareto.sheets(views.pareto(of.board), views.palette(of.board)),
        "no trial was on less than all examples",
    )


def _window_starts(of: Material) -> Kind:
    return Kind(
        "window-starts",
        "Accuracy over where the window of the ranking starts; ticks below are the starts that seeds chose.",
        window_starts.sheets(views.window_starts(of.board, of.sources, of.labels)),
        "nothing was selected by windows: run the selector bws, or window(start=...) at several starts",
    )


def _quotas(of: Material) -> Kind:
    return Kind(
        "quotas",
        "Share of each class in what a selection keeps; white is as in all the data.",
        quotas.sheets(views.quotas(of.board)),
        "the records tell no class counts",
    )


def _atlas(of: Material) -> Kind:
    try:
        found = atlases(of.stores, labels=of.labels, classes=of.classes)
    except UserError:  # no scores at all
        found = []
    apart = ", ".join(name for each in found for name in each.left_out)
    told = f"{apart}: compared within a class only, and classes are read where --pictures asks" if apart else ""
    return Kind(
        "atlas",
        "How alike the scores of two scorers are: rank correlation, and overlap of the hardest examples beyond chance.",
        atlas.sheets(views.score_maps(found)),
        of.without("there are no two scorers of one data set whose scores can be compared"),
        others=of.without(told),
    )


def _critical_difference(of: Material) -> Kind:
    return Kind(
        "critical-difference",
        "Average ranks over data sets; bars join methods that Nemenyi's test cannot tell apart.",
        critical_difference.sheets(views.critical_differences(of.board), views.palette(of.board)),
        "it takes at least five data sets at one keep ratio and three methods that all of them have",
    )


def _pictures(of: Material) -> Kind:
    from .shown import picture_sheets

    sentence = "The easiest, the middle and the hardest training pictures of a score, class above and score below."
    if of.data_root is None:
        asked = "they are read from the data set only where --pictures asks for them"
        return Kind(PICTURES, sentence, (), of.without(asked))
    sheets, missing = picture_sheets(of.stores, of.data_root)
    return Kind(PICTURES, sentence, sheets, of.without(missing), others=of.without(missing))


KINDS: Mapping[str, Callable[[Material], Kind]] = {
    "curves": _curves,
    "worst-class": _worst_class,
    "transfer-map": _transfer_map,
    "pareto": _pareto,
    "window-starts": _window_starts,
    "quotas": _quotas,
    "atlas": _atlas,
    "critical-difference": _critical_difference,
    PICTURES: _pictures,
}


@dataclass(frozen=True)
class Report:
    """What was written."""

    folder: Path
    figures: tuple[str, ...]  # names without ending
    changed: tuple[str, ...]  # files that were not there so before
    left_out: tuple[str, ...]  # one sentence each


def report(of: Material, out: Path, only: Sequence[str] = ()) -> Report:
    """Write every figure, or those of the kinds named, into a folder of its own.

    Raises:
        UserError: an unknown kind, nothing to draw, or a folder that holds files of others under names of ours.
    """
    for name in only:
        if name not in KINDS:
            raise UserError(f"there is no figure {name!r}{near(name, KINDS)} (known: {', '.join(KINDS)})")
    kinds = [make(of) for name, make in KINDS.items() if name in (only or KINDS)]
    told = ((kind.name, kind.others if kind.sheets else kind.missing) for kind in kinds)
    left_out = [f"{name}: {missing}" for name, missing in told if missing]
    left_out += [
        f"{kind.name}: {len(kind.sheets) - MOST} of {len(kind.sheets)}; name fewer stores"
        for kind in kinds
        if len(kind.sheets) > MOST
    ]
    if not any(kind.sheets for kind in kinds):
        raise UserError(f"there is nothing to draw: {'; '.join(left_out)}")
    files: dict[str, bytes] = {}
    drawn: list[tuple[str, Kind, Sheet]] = []
    with drawing():
        for kind in kinds:
            for name, sheet in _named(kind):
                files |= _files(name, sheet)
                drawn.append((name, kind, sheet))
    files["index.md"] = _page(of.board, drawn, left_out).encode()
    changed = write_own(out, files)
    return Report(out, tuple(name for name, _, _ in drawn), tuple(changed), tuple(left_out))


def _named(kind: Kind) -> list[tuple[str, Sheet]]:
    several = len(kind.sheets) > 1
    return [(f"{kind.name}-{i}" if several else kind.name, sheet) for i, sheet in enumerate(kind.sheets[:MOST], 1)]


def _files(name: str, sheet: Sheet) -> dict[str, bytes]:
    figure = arranged(sheet.draw())
    told = {f"{name}.{form}": written(figure, form, sheet.title) for form in ("png", "svg")}
    return told | {f"{name}.csv": sheet.csv()}


def _page(board: Board, drawn: Sequence[tuple[str, Kind, Sheet]], left_out: Sequence[str]) -> str:
    """The list in Markdown, the same for the same records."""
    trials = sum(len(row.trials) for table in board.tables for row in table.rows)
    lines = ["# Figures", "", f"Drawn by `prunebench report` from {trials} trials. Numbers are in the CSV files.", ""]
    if any(row.accuracy.n == 1 for table in board.tables for row in table.rows):
        lines += ["Where a row has one seed there is no interval, and none is drawn.", ""]
    last = ""
    for name, kind, sheet in drawn:
        if kind.name != last:
            lines += [f"## {kind.name}", "", kind.sentence, ""]
            last = kind.name
        lines += [f"{markdown(sheet.title)} ([SVG]({name}.svg), [CSV]({name}.csv))", "", f"![{name}]({name}.png)", ""]
    if left_out:
        lines += ["## Left out", "", *(f"- {markdown(each)}" for each in left_out), ""]
    if said := notes(board):
        lines += ["## Not in the figures", "", *(f"- {markdown(each)}" for each in said), ""]
    return "\n".join(lines)
