"""Which window was chosen: its start, per data set, score and keep ratio, and what the others were judged to be."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from ...console.boards import label
from ...types import TrialResult
from ..performing import Found
from .ending import Ending, Row
from .rows import rounded


def starts(found: Found, options: Mapping[str, Any]) -> Ending:
    """Two tables: the chosen starts seed by seed, and the judged accuracy of every window, mean over seeds.

    Starts count from the easy end: the share of a class that is easier than the window.
    """
    from .drawing import draw_starts

    chosen, judged = list[Row](), defaultdict[tuple[Any, ...], list[float]](list)
    for trial in sorted(found.results, key=lambda t: (t.dataset, t.setting, t.scorer or "", t.keep, t.seed)):
        record = found.selection(trial)
        if record is None or trial.scorer is None or "start_from_easiest" not in record.result["details"]:
            continue
        where = _where(trial)
        told = record.result["details"]
        chosen.append(
            {
                **where,
                "seed": trial.seed,
                "start": told["start_from_easiest"],
                "accuracy": rounded(100 * trial.accuracy),
            }
        )
        easy = told["start"] == told["start_from_easiest"]
        rest = 1 - trial.examples / record.result["size"]
        tried = record.arrays["details/starts"], record.arrays["details/judged_accuracy"]
        for start, accuracy in zip(*tried, strict=True):
            from_easy = float(start) if easy else max(0.0, round(rest - float(start), 10))
            judged[(*where.items(), ("start", from_easy))].append(100 * float(accuracy))
    curve = [
        {**dict(key), "judged_accuracy": None if math.isnan(mean := float(np.mean(values))) else rounded(mean)}
        for key, values in judged.items()
    ]
    figures = {"": partial(draw_starts, chosen, curve, found.experiment.title)} if chosen else {}
    told = () if chosen else ("no selection here tells of a window",)
    return Ending({"": chosen, "judged": curve}, figures, told=told)


def _where(trial: TrialResult) -> Row:
    return {
        "dataset": trial.dataset,
        "setting": trial.setting,
        "method": label("scorer", trial.scorer or ""),
        "keep": trial.keep,
    }
