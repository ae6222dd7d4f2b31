"""Accuracy over where a window of the ranking starts: what was trained on windows, and what judged them.

Starts are the share of the examples that are harder than the window, whichever end the method counts from: 0 is the
hardest window, 1 - keep the easiest. Two sources tell of windows:

    trained   rows of the selector `window(start=...)`, alone or inside a combinator: test accuracy of a network
    judged    records of selections that tell all ``starts`` and their ``judged_accuracy``, as BWS does: what its cheap
              classifier reached on the training split, and the start that each seed chose

Records come from stores and bundles; what a bundle reports is a panel of its own, and starts and accuracies that are no
shares, which no selection of ours tells, are not shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import UserError, VerifyError
from ..leaderboard.labels import Labels, labels_for
from ..leaderboard.ranking import Board
from ..leaderboard.rows import Row
from ..leaderboard.statistics import summarise
from ..leaderboard.wording import headings
from ..spec import Spec, parse, write
from .series import Estimate, estimate

if TYPE_CHECKING:
    from ..leaderboard.stores import Source

Told = Literal["trained", "judged"]
MOST = 10_000  # windows of one selection


@dataclass(frozen=True)
class StartCurve:
    """One keep ratio. ``starts`` ascend, from the hardest window on."""

    keep: float
    starts: tuple[float, ...]  # share of the examples harder than the window
    values: tuple[Estimate, ...]  # 0..1: test accuracy of trained networks, or what the judge says
    chosen: tuple[float, ...] = ()  # the start that each seed's selection chose; () where windows were trained on


@dataclass(frozen=True)
class WindowPanel:
    """The windows of one scorer under one selector, a curve per keep ratio."""

    heading: str
    scorer: str  # label; "(reported)" after it where a bundle tells
    selector: str  # canonical text, the start of a window left out
    source: Told
    curves: tuple[StartCurve, ...]  # by keep ratio


def window_starts(board: Board, stores: Sequence[Source] = (), labels: Labels | None = None) -> tuple[WindowPanel, ...]:
    """A panel per table, scorer, selector and source; windows of which there is but one are no curve.

    What a judge says depends on no trial, so it is told once where several tables train on the same selections.

    Args:
        stores: stores and bundles where the records of selections are looked for; without them only what was trained
            is told.
        labels: (kind, canonical text) -> what people read, as of the board.
    """
    texts = (row.scorer for table in board.tables for row in table.rows if row.scorer)
    names = labels_for("scorer", texts, labels)
    found: dict[tuple[str, str, tuple[StartCurve, ...]], WindowPanel] = {}
    for heading, table in zip(headings(board), board.tables, strict=True):
        trained: dict[tuple[str, str], list[tuple[float, Row]]] = defaultdict(list)
        judged: dict[tuple[str, str], list[StartCurve]] = defaultdict(list)
        for row in table.rows:
            if row.scorer is None or (spec := _parsed(row.selector)) is None:
                continue
            name = names[row.scorer] + (" (reported)" if row.source != "here" else "")
            if (window := _window(spec)) is not None:
                trained[name, _without_start(spec)].append((_from_hardest(window, row), row))
            elif (curve := _judged(row, _order(spec), stores)) is not None:
                judged[name, row.selector].append(curve)
        told: list[tuple[tuple[str, str], Told, tuple[StartCurve, ...]]] = []
        told += [(key, "trained", _trained(rows)) for key, rows in trained.items()]
        told += [(key, "judged", tuple(sorted(each, key=lambda c: c.keep))) for key, each in judged.items()]
        for (scorer, selector), source, each in told:
            if each:
                panel = WindowPanel(heading, scorer, selector, source, each)
                found.setdefault((scorer, selector, each), panel)
    return tuple(found.values())


def _trained(rows: Sequence[tuple[float, Row]]) -> tuple[StartCurve, ...]:
    by_keep: dict[float, list[tuple[float, Row]]] = defaultdict(list)
    for start, row in sorted(rows, key=lambda pair: (pair[1].keep, pair[0])):
        by_keep[row.keep].append((start, row))
    return tuple(
        StartCurve(keep, tuple(s for s, _ in own), tuple(estimate(r.accuracy) for _, r in own))
        for keep, own in by_keep.items()
        if len(own) > 1
    )


def _judged(row: Row, order: str, stores: Sequence[Source]) -> StartCurve | None:
    """The mean over the seeds whose selections tell the same starts as the first one that tells any."""
    told = {t.seed: found for t in row.trials if (found := _record(t.selection, stores)) is not None}
    if not told:
        return None
    starts = next(iter(told.values()))[0]
    told = {seed: found for seed, found in told.items() if np.array_equal(found[0], starts)}
    shared = None if row.runs is None else [row.runs[seed] for seed in told]
    values = [
        estimate(summarise([float(accuracy[i]) for _, accuracy, _ in told.values()], shared))
        for i in range(len(starts))
    ]
    places = [round(float(start if order == "hardest" else max(0.0, 1 - row.keep - start)), 10) for start in starts]
    chosen = tuple(places[int(np.argmin(np.abs(starts - start)))] for _, _, start in told.values())
    pairs = sorted(zip(places, values, strict=True), key=lambda pair: pair[0])
    return StartCurve(row.keep, tuple(p for p, _ in pairs), tuple(v for _, v in pairs), chosen)


def _record(selection: str, stores: Sequence[Source]) -> tuple[np.ndarray, np.ndarray, float] | None:
    """(starts (W,), judged accuracy (W,), the start chosen), where the record of a selection tells at least two."""
    record = next((found for store in stores if (found := store.by_id("selections", selection)) is not None), None)
    if record is None:
        return None
    try:
        starts, accuracy = (np.asarray(record.arrays[f"details/{n}"], float) for n in ("starts", "judged_accuracy"))
        start = float(record.result["details"]["start"])
    except (VerifyError, OSError, KeyError, TypeError, ValueError, AttributeError):
        return None  # it tells nothing of windows
    if starts.ndim != 1 or starts.shape != accuracy.shape or not 2 <= len(starts) <= MOST:
        return None
    shares = np.array([*starts, *accuracy, start])
    return (starts, accuracy, start) if ((shares >= 0) & (shares <= 1)).all() else None


def _parsed(text: str) -> Spec | None:
    try:
        return parse(text)
    except UserError:  # "full", or the text of a record that is no method
        return None


def _window(spec: Spec) -> Spec | None:
    start = spec.options.get("start")
    if spec.name == "window" and isinstance(start, int | float) and 0 <= start <= 1:
        return spec
    return _window(spec.inner) if spec.inner else None


def _order(spec: Spec) -> str:
    return str(spec.options.get("order", "hardest"))


def _from_hardest(window: Spec, row: Row) -> float:
    start: Any = window.options["start"]
    return round(float(start if _order(window) == "hardest" else max(0.0, 1 - row.keep - start)), 10)


def _without_start(spec: Spec) -> str:
    """The text of a selector, the start of its window left out."""
    name = f"{spec.distribution}/{spec.name}" if spec.distribution else spec.name
    own = {k: v for k, v in spec.options.items() if spec.name != "window" or k != "start"}
    return write(name, own, _without_start(spec.inner) if spec.inner else None)
