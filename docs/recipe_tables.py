"""The tables of docs/recipes_on_digits.md, from the CSV files of the recipes' figures.

A table stands between ``<!-- NAME: ... -->`` and ``<!-- NAME end -->``; NAME is that of a file of docs/figures.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from prunebench.cards.formats import table
from prunebench.leaderboard.labels import terse

FIGURES = Path(__file__).resolve().parent / "figures"
MARK = re.compile(r"(?P<begin><!-- (?P<name>[\w-]+): [^>]*-->\n).*?(?P<end><!-- (?P=name) end -->)", re.DOTALL)
Row = Mapping[str, str]
_OF_BOARD = {"accuracy": "mean", "half": "half"}


def with_tables(text: str) -> str:
    """``text`` with every table as the files say.

    Raises:
        FileNotFoundError: a table names no file of docs/figures.
    """
    return MARK.sub(lambda found: f"{found['begin']}\n{written(found['name'])}\n\n{found['end']}", text)


def written(name: str) -> str:
    """The table of one file: methods down, keep ratios (and networks, where there are several) across."""
    with open(FIGURES / f"{name}.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if "accuracy_mean" in rows[0]:  # of `prunebench leaderboard --format csv`
        rows = [row | {name: _percent(row[f"accuracy_{of}"]) for name, of in _OF_BOARD.items()} for row in rows]
    if "seed" in rows[0] and "start" in rows[0]:
        return starts(rows)
    return accuracies(rows) if "accuracy" in rows[0] and "model" in rows[0] else as_it_stands(rows)


def _percent(share: str) -> str:
    return f"{100 * float(share):.4f}" if share else ""


def accuracies(rows: Sequence[Row]) -> str:
    """Accuracy in percent with its 95 % interval; the best mean of a column in bold, full data below.

    Beside it the share of wrong labels in the subset, where that is known.
    """
    several = len({row["model"] for row in rows}) > 1
    columns = {(row["model"], float(row["keep"])) for row in rows if row["selector"] != "full"}
    order = sorted(columns)
    cells: dict[str, dict[tuple[str, float], str]] = {}
    for model, keep in order:
        own = [r for r in rows if r["model"] == model and (r["selector"] == "full" or float(r["keep"]) == keep)]
        best = max(float(r["accuracy"]) for r in own if r["selector"] != "full")
        for row in own:
            told = f"{float(row['accuracy']):.2f}" + (f" ± {float(row['half']):.2f}" if row["half"] else "")
            told += f" ({float(row['mislabelled_share']):.1%} wrong)" if row.get("mislabelled_share") else ""
            chosen = float(row["accuracy"]) == best and row["selector"] != "full"
            cells.setdefault(row["method"], {})[model, keep] = f"**{told}**" if chosen else told
    names = sorted(cells, key=lambda name: ("full" in name, "random" in name and "+" not in name, name))
    shown = dict(zip(names, terse(names)[0], strict=True))
    heads = [f"{model}, keep {keep:g}" if several else f"keep {keep:g}" for model, keep in order]
    lines = [(shown[name], *(cells[name].get(column, "") for column in order)) for name in names]
    return table(("method", *heads), lines)


def starts(rows: Sequence[Row]) -> str:
    """The start that each seed chose."""
    keeps = sorted({float(row["keep"]) for row in rows})
    lines = []
    for method in sorted({row["method"] for row in rows}):
        own = [row for row in rows if row["method"] == method]
        found = [", ".join(f"{float(row['start']):g}" for row in own if float(row["keep"]) == keep) for keep in keeps]
        lines.append((method, *found))
    return table(("score", *(f"keep {keep:g}" for keep in keeps)), lines)


def as_it_stands(rows: Sequence[Row]) -> str:
    """Every line and column of the file."""
    return table(tuple(rows[0]), [tuple(_short(value) for value in row.values()) for row in rows])


def _short(value: str) -> str:
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value
