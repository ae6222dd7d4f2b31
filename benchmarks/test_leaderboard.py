"""P17, second half: the board of 10,000 records, against a dictionary and `scipy.stats` row by row.

The plain form groups by method, takes mean and interval from `scipy.stats.t`, and the paired test from
`scipy.stats.ttest_rel`. Equality of every mean, half width and p value comes first, then the ratio. The whole of it,
from a store to the printed table, is set against reading and checking the cards plainly and the same statistics.
"""

import hashlib
import json
import random
import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from prunebench.leaderboard import Board, board, leaderboard
from prunebench.store import Store
from prunebench.types import Cost, TrialResult

PROVENANCE = {  # as records tell it
    **{"prunebench": "0.1.0", "python": "3.11.7", "torch": "2.15.0", "timm": "1.0", "numpy": "2.4", "device": "cpu"},
    "machine": "Linux x86_64, 2 cores",
    "plugins": {"prunebench": "0.1.0", "prunebench-drd": "0.1.0"},
}
SEEDS, SCORERS, KEEPS, MODELS = 5, 39, 10, 5  # (39 + balanced) * 10 * 5 * 5 = 10,000


def results() -> list[TrialResult]:
    draw = random.Random(0)
    methods = [(f"prunebench/aum(run={i})", "prunebench/ccs(cutoff=0.0)") for i in range(SCORERS)]
    methods.append((None, "prunebench/balanced(quota='proportional')"))
    return [
        result(scorer, selector, (keep + 1) / 20, model, seed, draw.gauss(0.8, 0.01))
        for scorer, selector in methods
        for keep in range(KEEPS)
        for model in range(MODELS)
        for seed in range(SEEDS)
    ]


def result(scorer: str | None, selector: str, keep: float, model: int, seed: int, accuracy: float) -> TrialResult:
    name = f"{scorer} {selector} {keep} {seed}"
    return TrialResult(
        **{"dataset": "digits", "fingerprint": "f", "test_fingerprint": "e", "image_size": 8, "setting": ""},
        **{"scorer": scorer, "selector": selector, "keep": keep, "examples": round(1000 * keep), "selection": name},
        **{"label_free": False, "model": f"net{model}", "pretrained": False, "recipe": "c", "train_budget": "steps"},
        **{"steps": 120, "policy": "plain", "seed": seed, "score_seed": 0, "reference": "net", "reference_epochs": 9},
        **{"threads": 2, "precision": "float32", "protocol": 1, "accuracy": accuracy, "class_accuracy": (accuracy,)},
        **{"train_loss": 0.1, "score_cost": Cost(), "select_cost": Cost(), "train_cost": Cost()},
        id=f"{name} {model}",
    )


def plainly(trials: list[TrialResult]) -> dict[tuple, tuple[float, float, float]]:
    rows = defaultdict(dict)
    for t in trials:
        rows[t.model, t.keep, t.scorer][t.seed] = t.accuracy
    found = {}
    for (model, keep, scorer), by_seed in rows.items():
        ours = np.array([by_seed[s] for s in sorted(by_seed)])
        theirs = np.array([rows[model, keep, None][s] for s in sorted(by_seed)])
        half = stats.t.ppf(0.975, len(ours) - 1) * stats.sem(ours)
        p = np.nan if scorer is None else stats.ttest_rel(ours, theirs).pvalue
        found[model, keep, scorer] = (ours.mean(), half, p)
    return found


def told(found: Board) -> dict[tuple, tuple[float, float, float]]:
    return {
        (table.conditions["model"], row.keep, row.scorer): (
            row.accuracy.mean,
            row.accuracy.half,
            row.difference.p if row.difference else np.nan,
        )
        for table in found.tables
        for row in table.rows
    }


def seconds(function, *args) -> float:
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def test_board_of_ten_thousand_records(benchmark):
    trials = results()
    assert len(trials) == 10_000
    found, plain = board(trials), plainly(trials)
    ours = told(found)
    assert ours.keys() == plain.keys()
    for row, numbers in plain.items():
        assert ours[row] == pytest.approx(numbers, rel=1e-9, nan_ok=True)
    ratio = seconds(plainly, trials) / min(seconds(board, trials) for _ in range(3))
    benchmark.extra_info["ratio"] = ratio
    benchmark.extra_info["render_seconds"] = {f: seconds(found.render, f) for f in ("table", "md", "csv", "json")}
    benchmark.pedantic(board, args=(trials,), rounds=5)


def plainly_read(root: Path) -> dict[tuple, tuple[float, float, float]]:
    """Every card checked by writing it anew, then every row by `scipy.stats`."""
    trials = []
    for path in sorted((root / "trials").glob("*.json")):
        card = json.loads(path.read_text())
        seal = card.pop("sha256")
        text = json.dumps(card, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert seal == hashlib.sha256(text.encode()).hexdigest()
        costs = {name: Cost(**card["result"][name]) for name in ("score_cost", "select_cost", "train_cost")}
        trials.append(TrialResult(**{**card["result"], **costs}, id=card["id"], provenance=card["provenance"]))
    return plainly(trials)


def test_leaderboard_of_a_store_of_ten_thousand_records(against, tmp_path, monkeypatch):
    """Goal: 2 s for reading, checking, ranking and printing; the plain form does not print."""
    monkeypatch.setattr("os.fsync", lambda handle: None)  # this is about reading
    store = Store(tmp_path / "runs")
    for t in results():
        plain = {k: v for k, v in asdict(t).items() if k not in ("id", "provenance")}
        store.put("trials", {"name": t.id}, plain | {"class_counts": [10] * 10, "ece": 0.1}, provenance=PROVENANCE)

    def ours() -> tuple[Board, str]:
        found = leaderboard(tmp_path / "runs")
        return found, found.render("table")

    def equal(mine: tuple[Board, str], theirs: dict[tuple, tuple[float, float, float]]) -> None:
        numbers = told(mine[0])
        assert numbers.keys() == theirs.keys() and mine[1].count("\n balanced random") == KEEPS * MODELS
        for row, expected in theirs.items():
            assert numbers[row] == pytest.approx(expected, rel=1e-9, nan_ok=True)

    size = "10,000 records, 2,000 rows"
    against("P17 board of a store", ours, lambda: plainly_read(tmp_path / "runs"), equal, goal=None, size=size)
