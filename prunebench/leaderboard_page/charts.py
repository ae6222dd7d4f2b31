"""From the views to shapes: lines, bands, points, cells; the templates draw them and the style sheet colours them.

Every chart is a figure with a title, a sentence on how to read it, and a list of whose marks are whose. Its numbers are
those of the views, which `prunebench report` draws too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ..views import CurvePanel, Estimate, ParetoPanel, QuotaPanel, ScoreMap, TransferMap, WindowPanel
from .axes import Axis, at, linear, logarithmic
from .colours import Colours, Look
from .names import text

WIDTH, HEIGHT = 460.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 450.0, 24.0, 262.0
MANY = 8  # lines of one chart beyond which bands are drawn only for the one that is pointed at


@dataclass(frozen=True)
class Mark:
    """A point, with what it says when it is pointed at."""

    x: float
    y: float
    said: str
    low: float | None = None  # places of an interval's ends
    high: float | None = None
    big: bool = False


@dataclass(frozen=True)
class Series:
    """What belongs to one method."""

    label: str
    look: Look
    marks: tuple[Mark, ...]
    line: str = ""  # path
    bands: str = ""  # path


@dataclass(frozen=True)
class Chart:
    """Lines or points over two axes."""

    title: str
    caption: str
    x: Axis
    y: Axis
    x_name: str
    y_name: str
    series: tuple[Series, ...]
    rules: tuple[tuple[float, str], ...] = ()  # (place, text) of lines right across
    front: str = ""  # path
    template: str = field(default="chart.html.j2", init=False)

    @property
    def many(self) -> bool:
        return len(self.series) > MANY


def curves(panel: CurvePanel, title: str, caption: str, colours: Colours) -> Chart | None:
    """Accuracy (or another share) over keep ratio; None where there are not two keep ratios to draw a line between."""
    keeps = [keep for curve in panel.curves for keep in curve.keep]
    if len(set(keeps)) < 2:
        return None
    values = [value for curve in panel.curves for value in curve.values]
    x, y = at(keeps, LEFT + 8, RIGHT - 8), _share_axis([*values, *([panel.full] if panel.full else [])])
    drawn = [
        _curve(curve.method.name, curve.method.baseline, zip(curve.keep, curve.values, strict=True), x, y, colours)
        for curve in panel.curves
    ]
    rules = ((y.place(panel.full.mean), f"full data {100 * panel.full.mean:.2f} %"),) if panel.full else ()
    return Chart(title, caption, x, y, "keep ratio", "%", tuple(drawn), rules)


def windows(panel: WindowPanel, selector: str, colours: Colours) -> list[Chart]:
    """Accuracy over where the window starts, a line per keep ratio."""
    starts = [start for curve in panel.curves for start in curve.starts]
    if len(set(starts)) < 2:
        return []
    x = linear(starts, LEFT + 8, RIGHT - 8, scale=100)
    y = _share_axis([value for curve in panel.curves for value in curve.values])
    drawn = []
    for i, curve in enumerate(panel.curves):
        told = _marked(f"keep {curve.keep:g}", zip(curve.starts, curve.values, strict=True), x, y, "start")
        chosen = [m for m, start in zip(told, curve.starts, strict=True) if start in curve.chosen]
        marks = tuple(Mark(m.x, m.y, m.said, m.low, m.high, m in chosen) for m in told)
        drawn.append(Series(f"keep {curve.keep:g}", colours.numbered(i), marks, _path(marks), _bands(marks)))
    how = (
        "test accuracy of networks trained on the window"
        if panel.source == "trained"
        else "what the judge says of the window, on the training split; large marks are the starts that seeds chose"
    )
    title = f"Window starts: {text(panel.scorer)} under {text(selector)}"
    caption = f"Start: share of the examples harder than the window, 0 is the hardest; {how}."
    return [Chart(title, caption, x, y, "start (% of examples harder)", "%", tuple(drawn))]


def _curve(
    name: str, baseline: str | None, points: Iterable[tuple[float, Estimate]], x: Axis, y: Axis, colours: Colours
) -> Series:
    label = text(name)
    marks = _marked(label, points, x, y, "keep")
    return Series(label, colours.named(name, baseline), marks, _path(marks), _bands(marks))


def _marked(label: str, points: Iterable[tuple[float, Estimate]], x: Axis, y: Axis, of: str) -> tuple[Mark, ...]:
    return tuple(
        Mark(
            x.place(at_),
            y.place(value.mean),
            f"{label}, {of} {at_:.4g}: {_percent(value)}",
            None if value.low is None else y.place(value.low),
            None if value.high is None else y.place(value.high),
        )
        for at_, value in points
    )


def pareto(panel: ParetoPanel, colours: Colours) -> Chart | None:
    """Accuracy over seconds, both of one keep ratio; None where there is no method beside the baselines."""
    if all(price.method.baseline for price in panel.prices):
        return None
    x = logarithmic([price.seconds for price in panel.prices], LEFT + 8, RIGHT - 8)
    y = _share_axis([price.accuracy for price in panel.prices])
    drawn, front = [], []
    for price in panel.prices:
        label = text(price.method.name)
        steps = f"score {price.score_seconds:.1f}, select {price.select_seconds:.1f}, train {price.train_seconds:.1f}"
        said = f"{label}: {_percent(price.accuracy)} for {price.seconds:.1f} s ({steps})"
        mark = _marked(label, [(price.seconds, price.accuracy)], x, y, "s")[0]
        mark = Mark(mark.x, mark.y, said + (", on the front" if price.front else ""), mark.low, mark.high, price.front)
        front += [mark] if price.front else []
        drawn.append(Series(label, colours.named(price.method.name, price.method.baseline), (mark,)))
    caption = "Seconds of scoring, selecting and one training, as if alone."
    caption += " Large marks: no other of as many examples is as good for less."
    title = f"Accuracy and cost at keep {panel.keep:.4g}"
    return Chart(title, caption, x, y, "seconds", "%", tuple(drawn), front=_path(front))


@dataclass(frozen=True)
class Box:
    """A cell of a heat map: its value between -1 and 1, in nine steps, and what it says."""

    said: str
    title: str
    step: int | None  # -4..4; None for no value


@dataclass(frozen=True)
class HeatMap:
    """A table whose cells are shaded."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, Look | None, tuple[Box, ...]], ...]
    template: str = field(default="heat_map.html.j2", init=False)


def transfer(found: TransferMap, colours: Colours) -> HeatMap:
    """Methods by networks, each cell its points above random."""
    told = [v for line in found.values for v in line if v is not None]
    most = max((abs(v) for v in told), default=0.0) or 1.0
    rows = []
    for i, method in enumerate(found.methods):
        boxes = [_difference(found, i, j, most, f"{method.name} on {model}") for j, model in enumerate(found.models)]
        rows.append((text(method.name), colours.named(method.name, method.baseline), tuple(boxes)))
    scored = f"; scored with {text(found.reference)}" if found.reference else ""
    return HeatMap(
        f"Across networks at keep {found.keep:.4g}",
        f"{text(found.heading)}{scored}. Points above random of as many examples, ± half the 95 % interval.",
        tuple(map(text, found.models)),
        tuple(rows),
    )


def _difference(found: TransferMap, i: int, j: int, most: float, name: str) -> Box:
    value, half, n = found.values[i][j], found.halves[i][j], found.seeds[i][j]
    if value is None:
        return Box("", f"{text(name)}: not trained", None)
    said = f"{100 * value:+.1f}" + (f" ± {100 * half:.1f}" if half is not None else "")
    return Box(said, f"{text(name)}: {said} points over {n} seed{'s' * (n > 1)}", round(4 * value / most))


def alike(found: ScoreMap) -> HeatMap:
    """Scorers by scorers: which say the same."""
    of = "Rank correlation (Spearman) of scores" if found.keep is None else f"Overlap of the {found.keep:.0%} hardest"
    how = "1: the same order, 0: none" if found.keep is None else "beyond chance; 1: the same examples, 0: as by chance"
    return matrix(of, f"{text(found.heading)}. Harder is higher; {how}.", found.scorers, found.values)


def matrix(title: str, caption: str, names: Sequence[str], values: Sequence[Sequence[float | None]]) -> HeatMap:
    """A square of numbers in -1..1; None is not known."""
    rows = [
        (
            text(name),
            None,
            tuple(
                Box("", f"{text(name)}, {text(other)}: not known", None)
                if value is None
                else Box(f"{value:.2f}", f"{text(name)}, {text(other)}: {value:.3f}", round(4 * value))
                for other, value in zip(names, line, strict=True)
            ),
        )
        for name, line in zip(names, values, strict=True)
    ]
    return HeatMap(title, caption, tuple(map(text, names)), tuple(rows))


def quotas(panel: QuotaPanel, colours: Colours, most: int = 40) -> HeatMap | None:
    """Methods by classes: the share of the subset, shaded by how far it is from that of all examples.

    None for more than ``most`` classes, which no page is wide enough for; the pages of the records tell them.
    """
    classes = len(panel.shares[0])
    if classes > most:
        return None
    whole = panel.whole or (1 / classes,) * classes
    rows = [
        (
            text(method.name),
            colours.named(method.name, method.baseline),
            tuple(
                _quota(share, all_, f"{method.name}, class {c}")
                for c, (share, all_) in enumerate(zip(own, whole, strict=True))
            ),
        )
        for method, own in zip(panel.methods, panel.shares, strict=True)
    ]
    of = "of all examples" if panel.whole else "that equal shares would give"
    return HeatMap(
        f"Class quotas at keep {panel.keep:.4g}",
        f"Share of the kept examples in %, class by class; shaded by how it differs from the share {of}.",
        tuple(str(c) for c in range(classes)),
        tuple(rows),
    )


def _quota(share: float, whole: float, name: str) -> Box:
    apart = 0.0 if whole == share else max(-1.0, min(1.0, (share - whole) / whole)) if whole else 1.0
    said = f"{100 * share:.1f}"
    return Box(said, f"{text(name)}: {said} % of the subset, {100 * whole:.1f} % expected", round(4 * apart))


def _share_axis(values: Sequence[Estimate]) -> Axis:
    """Percent: all means, and of the intervals what lies within one range of the means around them."""
    means = [value.mean for value in values]
    room = max(max(means) - min(means), 0.01)
    low = min((v.low for v in values if v.low is not None), default=min(means))
    high = max((v.high for v in values if v.high is not None), default=max(means))
    low, high = max(low, min(means) - room, 0.0), min(high, max(means) + room, 1.0)
    return linear([min(low, *means), max(high, *means)], BOTTOM, TOP, scale=100)


def _percent(value: Estimate) -> str:
    if value.low is None or value.high is None:
        return f"{100 * value.mean:.2f} % (one seed: no interval)"
    return (
        f"{100 * value.mean:.2f} % (95 % interval {100 * value.low:.2f} to {100 * value.high:.2f}, {value.seeds} seeds)"
    )


def _path(marks: Sequence[Mark]) -> str:
    return "M" + "L".join(f"{m.x} {m.y}" for m in marks) if len(marks) > 1 else ""


def _bands(marks: Sequence[Mark]) -> str:
    """The area between the ends of the intervals of neighbours that both have one."""
    found = []
    for a, b in pairwise(marks):
        if a.low is not None and b.low is not None:
            found.append(f"M{a.x} {a.low}L{b.x} {b.low}L{b.x} {b.high}L{a.x} {a.high}Z")
    return "".join(found)
