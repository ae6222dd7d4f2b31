"""The words and numbers of a board, the same in every format that people read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from .costs import told as told_reuses
from .groups import dynamic
from .ranking import RIVALS, Board
from .rows import Row
from .statistics import Difference, Summary, same
from .table import Table
from .transfer import Transfer

COLUMNS = ("method", "keep", "k", "seeds", "accuracy %", "vs balanced", "score s", "select s", "train s")
COST_COLUMNS = ("method", "keep", "score s", "here", "select s", "train s", "passes", "peak GB", "reuses")
NOISE = ("mislabelled_share", "corrupted_share")
FOOTNOTE = (
    "Accuracy: last epoch, test split touched once per trial; mean and 95 % t-interval over seeds.",
    "vs balanced: points above class-balanced random of as many examples, paired by seed, 95 % interval;",
    "* where its paired t-test stays below 0.05 after Holm's correction over the table.",
    "Seconds: scoring and selecting as if alone, with nothing shared or stored; training of one trial.",
)
COST_FOOTNOTE = (
    "Seconds: scoring and selecting as if alone, with nothing shared or stored; training of one trial.",
    "Here: what the scoring took where parts of it were shared or stood already.",
    "Passes: examples through networks, forward, to score and to select. Peak: the largest of the steps.",
    "Reuses: trainings after which a selection has paid for itself: (score + select) / (training on all",
    "less training on the subset), rounded up; never where the subset's training is not the cheaper one.",
)
_RUNS = "Intervals are over scoring runs where seeds share some: what shares one is no independent evidence."
_BCA = "Intervals: t below 8 seeds, BCa bootstrap from 8 on (± half the width; CSV and JSON have the ends)."
_GAP = (
    "Gap: gain, in points above {} random, on the network that scored, less the mean gain",
    "elsewhere; paired by seed, 95 % interval. Positive: gain that the other networks do not see.",
)
_LABEL_FREE = {  # what another track calls a column, and says below
    "k": "labels",
    "vs balanced": "vs random",
    FOOTNOTE[1]: "vs random: points above uniform random of as many labels, paired by seed, 95 % interval;",
}
_REVEALED = "Labels: how many were revealed, those of the selected examples; scoring and selecting saw none."
_NO_SPREAD = "(no ±): seeds of one of several scoring runs, or runs that cancel out: no interval and no test."
_ORACLE = "† an oracle: it looked at what no contender may see. A bound, compared with nothing and never ranked."
_REPORTED = (
    "(reported): made elsewhere, from a bundle that verifies; (reproduced): also trained again here, and agreed.",
    "again %: mean of the trials of a reported row that were trained again.",
)
_POLICY = "Policies draw from all examples; the baselines beside them are trained plainly, in as many steps."
_USUAL = {"setting": "", "pretrained": False, "policy": "plain", "precision": "float32", "budget_seconds": None}
_MEASURES = {
    "fingerprint": "data {:.8}",
    "test_fingerprint": "test {:.8}",
    "image_size": "{} px",
    "setting": "{}",
    "pretrained": "pretrained: {}",
    "recipe": "recipe {:.8}",
    "policy": "policy {}",
    "budget_seconds": "full training {:.1f} s",
    "threads": "{} threads",
    "precision": "{}",
    "protocol": "protocol {}",
    "reference": "scored with {}",
    "reference_epochs": "scored over {} epochs",
}


Seen = Mapping[tuple[str, str, str], set[Any]]  # (data set, model, condition) -> its values on the board


def columns(board: Board) -> tuple[str, ...]:
    """The column names of every table; on the label-free track k is the number of revealed labels.

    Where a setting made noise, its share of the subset stands in place of the training's seconds; so does the best
    epoch where it was looked for, and what was trained again where others report.
    """
    noisy = any(t.conditions["setting"] and set(NOISE) & r.measures.keys() for t in board.tables for r in t.rows)
    looked = any("best_accuracy" in r.measures for t in board.tables for r in t.rows)
    again = any(row.reproduced for t in board.tables for row in t.rows)
    best, noise, repeated = ("best ep %",) * looked, ("noise %",) * noisy, ("again %",) * again
    names = (*COLUMNS[:5], *repeated, *best, COLUMNS[5], *noise, *COLUMNS[6 : 9 - looked - noisy - again])
    return tuple(_LABEL_FREE.get(name, name) for name in names) if board.track == "label-free" else names


def footnote(board: Board) -> tuple[str, ...]:
    """What is to be known of all tables."""
    noise = ("noise %: share of the subset that the setting mislabelled or corrupted.",)
    best = ("best ep %: mean of the highest of several looks at the test split; chosen there, and never ranked.",)
    looked = "best ep %" in columns(board)
    first = FOOTNOTE[0].replace(" touched once per trial", "") if looked else FOOTNOTE[0]
    rows = [row for table in board.tables for row in table.rows]
    resampled = any(row.accuracy.interval == "BCa" for row in rows)
    first = first.replace("t-interval", "interval") if resampled else first
    lines = (first, *(_BCA,) * resampled, *FOOTNOTE[1:], *best * looked, *noise * ("noise %" in columns(board)))
    if any(row.source != "here" for row in rows):
        lines = (*lines, *_REPORTED)
    if any(dynamic(t) for row in rows for t in row.trials):
        lines = (*lines, _POLICY)
    lines += (_RUNS,) * any(1 < len(set((row.runs or {}).values())) < row.accuracy.n for row in rows)
    lines += tuple(line.format(RIVALS[board.track].replace("random", "uniform")) for line in _GAP) * bool(
        board.transfers
    )
    if board.track == "open":
        return lines
    return (lines[0], _REVEALED, *(_LABEL_FREE.get(line, line) for line in lines[1:]))


def headings(board: Board) -> list[str]:
    """What the rows of each table share."""
    seen = defaultdict(set)
    for table in board.tables:
        for name in _MEASURES:
            if (value := table.conditions[name]) is not None:
                seen[table.conditions["dataset"], table.conditions["model"], name].add(value)
    track = "" if board.track == "open" else f" · {board.track} track"
    return [_heading(table, seen) + track for table in board.tables]


def _heading(table: Table, seen: Seen) -> str:
    """Always data set, model, budget and seeds; other conditions where they are unusual or differ on the board."""
    c = table.conditions
    parts = [c["dataset"], c["model"], _budget(c), _seeds(table.seeds)]
    parts += [_MEASURES[name].format(_said(c[name])) for name in _MEASURES if _matters(name, c, seen)]
    parts += [f"{name} {value:g}" if name == "keep" else f"{name} {value}" for name, value in table.split.items()]
    if c["scorings"] is not None:
        parts.append("given one scoring run" if c["scorings"] == 1 else f"{c['scorings']} scoring runs")
    return " · ".join(str(part) for part in parts if part != "")


def _matters(name: str, conditions: Mapping[str, Any], seen: Seen) -> bool:
    value = conditions[name]
    if value is None:
        return False
    return value != _USUAL.get(name, value) or len(seen[conditions["dataset"], conditions["model"], name]) > 1


def _said(value: Any) -> Any:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def _budget(conditions: Mapping[str, Any]) -> str:
    steps = "-".join(str(s) for s in conditions["steps"])
    budget = conditions["train_budget"]
    return f"{steps} steps" if budget == "steps" else f"equal {budget} ({steps} steps)"


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    unbroken = list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"seeds {seeds[0]}-{seeds[-1]}" if unbroken else "seeds " + ", ".join(map(str, seeds))


def cells(row: Row, names: Sequence[str]) -> tuple[str, ...]:
    """The text of a row, column by column."""
    noise = [100 * row.measures[name] for name in NOISE if name in row.measures]
    best = row.measures.get("best_accuracy")
    said = {
        "method": f"{row.label} †" if row.oracle else row.label,
        "keep": f"{row.keep:.4g}",
        "k": str(row.examples),
        "seeds": str(row.accuracy.n),
        "accuracy %": accuracy(row.accuracy),
        "again %": f"{100 * row.reproduced.mean:.2f}" if row.reproduced else "-",
        "best ep %": "-" if best is None else f"{100 * best:.2f}",
        "vs balanced": difference_cell(row.difference, row.accuracy.n),
        "noise %": " / ".join(f"{share:.1f}" for share in noise) or "-",
        "score s": seconds(row.score_seconds),
        "select s": seconds(row.select_seconds),
        "train s": seconds(row.train_seconds),
    }
    said |= {_LABEL_FREE[name]: said[name] for name in ("k", "vs balanced")}
    return tuple(said[name] for name in names)


def accuracy(found: Summary) -> str:
    return f"{_hundredths(found.mean):.2f} {_spread(found)}"


def _hundredths(ratio: float) -> float:
    """In percent, without the last bits: the same difference of other summands is rounded the same way."""
    return round(100 * ratio, 9)


def _spread(found: Summary | Difference) -> str:
    """Half an interval, where there is one and seeds differ at all."""
    if found.half is None:
        return "(one seed)" if found.n == 1 else "(no ±)"
    return "(all same)" if same(found) else f"± {100 * found.half:.2f}"


def difference_cell(found: Difference | None, seeds: int) -> str:
    """Mean and interval, how many of the ``seeds`` have a partner where not all do, and * if Holm's p is below 0.05."""
    if found is None:
        return "-"
    fewer = f" (of {found.n})" if found.n < seeds and found.n > 1 else ""
    return f"{points(found)}{fewer}{' *' if found.significant else ''}"


def cost_cells(row: Row) -> tuple[str, ...]:
    """The text of a row of `COST_COLUMNS`."""
    costs = row.costs
    told = [cost for cost in costs.values() if cost]
    selecting = [cost for step, cost in costs.items() if cost and step != "train"]
    passes = sum(cost["forward"] + cost["evaluations"] for cost in selecting)
    peak = max(max(cost["peak_bytes"], cost["gpu_peak_bytes"]) for cost in told)
    return (
        f"{row.label} †" if row.oracle else row.label,
        f"{row.keep:.4g}",
        seconds(row.score_seconds),
        seconds(costs["score"]["seconds"] if costs["score"] else None),
        seconds(row.select_seconds),
        seconds(row.train_seconds),
        _short(passes) if selecting else "-",
        f"{peak / 1e9:.2f}" if peak else "-",
        "-" if row.reuses is None else f"{told_reuses(row.reuses)}",
    )


def _short(count: float) -> str:
    """Three digits and a power of a thousand."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return f"{count:.0f}"


def transfer_tables(board: Board) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """(heading, column names, rows) for every network that scored and set of networks that were trained beside it."""
    alike: dict[tuple[str, ...], list[Transfer]] = defaultdict(list)
    under = {id(row): said for said, table in zip(headings(board), board.tables, strict=True) for row in table.rows}
    for transfer in board.transfers:
        alike[transfer.reference, ", ".join(transfer.others), under[id(transfer.row)]].append(transfer)
    names = ("method", "keep", "seeds", "gain", "gain elsewhere", "gap")
    return [
        (f"Transfer from {reference} to {others} · {heading}", names, [_transfer_cells(t) for t in found])
        for (reference, others, heading), found in alike.items()
    ]


def _transfer_cells(transfer: Transfer) -> tuple[str, ...]:
    row = transfer.row
    told = [points(found) for found in (transfer.on_reference, transfer.on_others, transfer.gap)]
    return row.label, f"{row.keep:.4g}", str(transfer.gap.n), *told


def points(found: Difference) -> str:
    return f"{_hundredths(found.mean):+.2f} {_spread(found)}"


def seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def notes(board: Board, columns: str = "results") -> list[str]:
    """What is not in the tables of these columns, one line each."""
    found = []
    if not board.tables:
        found.append("No finished trials.")
    if board.failures:
        told = ", ".join(f"{name} ({n})" for name, n in board.failed_methods)
        found.append(f"{len(board.failures)} failed cell{'s' * (len(board.failures) > 1)}: {told}")
    if board.missing:
        found.append(f"{board.missing} missing cell{'s' * (board.missing > 1)}: rows with fewer seeds than their table")
    rows = [row for table in board.tables for row in table.rows]
    if single := sum(row.accuracy.n == 1 for row in rows):
        found.append(
            f"{single} row{'s' * (single > 1)} of one seed: no interval and no test, as one seed has no spread."
        )
    beside = "best_other" if columns == "tests" else "accuracy"
    shown = [told for row in rows for told in (row.difference, getattr(row, beside)) if told is not None]
    if any(map(same, shown)):
        found.append("(all same): no seed differs from another, which says nothing of how sure the mean is.")
    if any(told.half is None and told.n > 1 for told in shown):
        found.append(_NO_SPREAD)
    if any(row.oracle for row in rows):
        found.append(_ORACLE)
    if board.disagreeing:
        many, ids = len(board.disagreeing), ", ".join(id[:12] for id in board.disagreeing[:3])
        found.append(
            f"{many} trial{'s' * (many > 1)} of which the stores and bundles tell different accuracies "
            f"({ids}{', ...' * (many > 3)}): shown is a store's before a bundle's, then the lowest."
        )
    if board.left_out:
        found.append(
            f"{board.left_out} record{'s' * (board.left_out > 1)} left out: several for one seed that nothing tells "
            "apart, or without a usable accuracy"
        )
    return found
