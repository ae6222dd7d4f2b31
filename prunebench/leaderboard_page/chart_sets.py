"""Which charts stand where: those of one table below it, those of several below all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import views
from ..errors import UserError
from ..leaderboard.atlas import Atlas, Classes, atlases
from ..leaderboard.labels import Labels
from ..leaderboard.ranking import Board
from ..leaderboard.wording import headings
from ..store import Store
from . import charts
from .charts import Chart, HeatMap
from .colours import Colours
from .names import text
from .overview import Group
from .rank_diagram import RankChart, rank_chart, why_none

if TYPE_CHECKING:
    from ..leaderboard.stores import Source

AnyChart = Chart | HeatMap | RankChart


@dataclass(frozen=True)
class Charts:
    """Id of a table -> its charts, and those of several tables."""

    of: Mapping[str, Sequence[AnyChart]]
    across: Sequence[AnyChart]
    notes: Sequence[str]


def charts_of(
    board: Board,
    groups: Sequence[Group],
    sources: Sequence[Source],
    colours: Colours,
    labels: Labels | None = None,
    classes: Classes | None = None,
) -> Charts:
    """All charts that the board, the records of selections in stores and bundles, and the scores in stores tell.

    ``classes`` knows the labels of the examples, for scores that compare inside a class only.
    """
    ids = dict(reversed(list(zip(headings(board), (group.id for group in groups), strict=True))))
    found: dict[str, list[AnyChart | None]] = defaultdict(list)
    how = "Mean over seeds; band: its 95 % interval, cut off where it leaves the chart."
    for group, panel in zip(groups, views.curves(board), strict=True):
        found[group.id].append(charts.curves(panel, "Accuracy over keep ratio", how, colours))
    for panel in views.worst_class(board):
        drawn = charts.curves(panel, "Recall of the worst class", f"Lowest recall of any class. {how}", colours)
        found[ids[panel.heading]].append(drawn)
    for prices in views.pareto(board):
        found[ids[prices.heading]].append(charts.pareto(prices, colours))
    for windows in views.window_starts(board, sources, labels):
        selector = labels("selector", windows.selector) if labels else windows.selector
        found[ids[windows.heading]] += charts.windows(windows, selector, colours)
    for quotas in views.quotas(board):
        found[ids[quotas.heading]].append(charts.quotas(quotas, colours))
    of = {group.id: [chart for chart in found[group.id] if chart] for group in groups}
    across = [charts.transfer(each, colours) for each in views.transfer_map(board)]
    ranked = [rank_chart(each, colours) for each in views.critical_differences(board)]
    stores = [source for source in sources if isinstance(source, Store)]
    found_scores = _atlases(board, stores, labels, classes)
    apart = {f"{each.dataset}: {', '.join(each.left_out)}" for each in found_scores if each.left_out}
    notes = [f"{_APART} {text('; '.join(sorted(apart)))}."] if apart else []
    notes += [_REPORTED] if len(stores) < len(sources) else []
    notes += [] if ranked or not board.tables else [why_none(board)]
    return Charts(of, [*ranked, *across, *map(charts.alike, views.score_maps(found_scores))], notes)


_APART = "Not in the score atlas, because they compare inside a class only and no labels were read (--pictures does):"

_REPORTED = (
    "Scores and pictures are those of stores: a bundle is read for its trials and subsets, and shows none of them."
)


def _atlases(board: Board, stores: Sequence[Store], labels: Labels | None, classes: Classes | None) -> Sequence[Atlas]:
    """Those of all scores that can be compared over all examples; none where there are no scores."""
    try:
        trials = [t for table in board.tables for row in table.rows for t in row.trials]
        return atlases(stores, labels=labels, classes=classes, trials=trials) if stores else ()
    except UserError:
        return ()
