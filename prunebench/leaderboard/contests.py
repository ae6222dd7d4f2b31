"""The words of who beats whom: the columns "tests", the counts of wins, ties and losses, the ranks over data sets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from string import ascii_lowercase
from typing import Any

from .escaping import clean
from .friedman import AverageRanks
from .ranking import RIVALS, Board
from .rows import Row
from .statistics import LEVEL, Difference
from .verdicts import VERDICTS, Tally
from .wording import _LABEL_FREE, difference_cell

Shown = tuple[str, tuple[str, ...], list[tuple[str, ...]]]  # heading, column names, rows

_COLUMNS = ("method", "keep", "vs balanced", "p", "perm", "says", "vs best", "p", "perm", "front")
_FOOTNOTE = (
    "vs best: points above the best other method of as many examples; for that one, above the next best.",
    "p: paired t-test; perm: paired permutation test; both after Holm's correction over the table.",
    "n<6: fewer than six seeds (scoring runs, where seeds share them) cannot give a perm below 0.05.",
)
_SAYS = "says: win, loss: the whole interval is beyond {:g} points; tie: within them; open: none of these."
_FRONT = "front: * where no other row of as many examples is as accurate at less total cost, as if alone."
_FRONTS = "What others report has a front of its own: its seconds are of other machines."
_AGAINST = "vs {}: points above {} random of as many examples, paired by seed, 95 % interval."
_BASELINES = {"balanced": "class-balanced", "random": "uniform"}


def tested_columns(board: Board) -> tuple[str, ...]:
    return tuple(_LABEL_FREE.get(name, name) for name in _COLUMNS) if board.track == "label-free" else _COLUMNS


def tested_footnote(board: Board) -> tuple[str, ...]:
    rival = RIVALS[board.track]
    apart = any(not row.own for table in board.tables for row in table.rows)
    fronts = (_FRONT, *(_FRONTS,) * apart)
    return (_AGAINST.format(rival, _BASELINES[rival]), *_FOOTNOTE, _SAYS.format(board.margin), *fronts)


def tested_cells(row: Row) -> tuple[str, ...]:
    """The text of a row of `tested_columns`."""
    return (
        f"{row.label} †" if row.oracle else row.label,
        f"{row.keep:.4g}",
        difference_cell(row.difference, row.accuracy.n),
        *_p_values(row.difference),
        row.verdict or "-",
        difference_cell(row.best_other, row.accuracy.n),
        *_p_values(row.best_other),
        "*" if row.pareto else "-",
    )


def _p_values(found: Difference | None) -> tuple[str, str]:
    if found is None:
        return "-", "-"
    few = f"n<{_fewest()}" if found.least > LEVEL else p_value(found.permutation_holm)
    return p_value(found.p_holm), few


def _fewest() -> int:
    """The fewest pairs whose permutation test can reach the level."""
    return math.ceil(1 - math.log2(LEVEL))


def p_value(p: float | None) -> str:
    """Three decimals."""
    if p is None:
        return "-"
    return "<.001" if p < 0.0005 else f"{p:.3f}"


def tally_tables(board: Board) -> list[Shown]:
    """Every method's verdicts, where there are any."""
    if not board.tallies:
        return []
    against = _BASELINES[RIVALS[board.track]]
    heading = f"Over all tables and keep ratios, against {against} random · margin {board.margin:g} points"
    lines = [(t.label, *(str(getattr(t, name)) for name in _COUNTED.values())) for t in board.tallies]
    return [(heading, ("method", *VERDICTS), lines)]


_COUNTED = dict(zip(VERDICTS, ("wins", "ties", "losses", "open"), strict=True))


def rank_tables(board: Board) -> list[Shown]:
    """The average ranks over data sets, at every keep ratio where there are enough of them."""
    return [
        (_heading(found), ("method", "average rank", "best", "worst", "alike"), _lines(found)) for found in board.ranks
    ]


def _heading(found: AverageRanks) -> str:
    c = found.conditions
    parts = [f"Average ranks over {len(found.data_sets)} data sets", c["model"], f"equal {c['train_budget']}"]
    parts += [c["setting"], "pretrained" * bool(c["pretrained"]), "" if c["policy"] == "plain" else c["policy"]]
    parts += ["" if c["precision"] == "float32" else c["precision"]]
    parts += [f"scored with {c['reference']}" if c["reference"] not in (None, c["model"]) else ""]
    parts += ["" if c["source"] == "here" else c["source"]]
    parts += [f"{name} {value}" for name, value in c.items() if name in ("scorer", "selector", "track")]
    return " · ".join(str(part) for part in (*parts, f"keep {found.keep:.4g}") if part)


def _lines(found: AverageRanks) -> list[tuple[str, ...]]:
    by_method = list(zip(*found.ranks, strict=True))
    return [
        (label, f"{found.average[j]:.3f}", f"{min(by_method[j]):g}", f"{max(by_method[j]):g}", _letters(found, j))
        for j, label in enumerate(found.methods)
    ]


def _letters(found: AverageRanks, place: int) -> str:
    """One letter for each clique that a method is in; numbers after the alphabet."""
    of = [i for i, (first, last) in enumerate(found.cliques) if first <= place <= last]
    return " ".join(ascii_lowercase[i] if i < len(ascii_lowercase) else str(i + 1) for i in of) or "-"


def rank_notes(board: Board) -> list[str]:
    """What Friedman's test says of each rank table."""
    said = []
    for found in board.ranks:
        n, k = len(found.data_sets), len(found.methods)
        said.append(
            f"keep {found.keep:.4g}: {', '.join(found.data_sets)}. Friedman: chi2 = {found.chi2:.2f} ({k - 1} degrees "
            f"of freedom), p = {p_value(found.p)}; Iman-Davenport: F = {found.f:.2f} ({k - 1}, {(k - 1) * (n - 1)}), "
            f"p = {p_value(found.f_p)}; critical difference of Nemenyi at 5 %: {found.critical:.3f}."
        )
        if found.left_out:
            said.append(f"Not on all of these data sets, and so not ranked: {', '.join(found.left_out)}.")
    if said:
        said.append("Methods with a letter in common have average ranks closer than the critical difference.")
    return said


def told_difference(found: Difference | None) -> dict[str, Any] | None:
    """For JSON, with the least p that its permutation test could give."""
    return None if found is None else asdict(found) | {"permutation_least": found.least}


def told_tally(tally: Tally) -> dict[str, Any]:
    return asdict(tally) | {"label": clean(tally.label)}


def told_ranks(found: AverageRanks) -> dict[str, Any]:
    """For JSON; infinity, which JSON has no number for, as text."""
    return asdict(found) | {
        "data_sets": _cleaned(found.data_sets),
        "methods": _cleaned(found.methods),
        "left_out": _cleaned(found.left_out),
        "f": found.f if math.isfinite(found.f) else "infinity",
    }


def _cleaned(texts: Sequence[str]) -> list[str]:
    return [clean(text) for text in texts]
