"""A row of a board: one method at one keep ratio, its trials and what they say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..types import TrialResult
from .costs import mean_cost
from .groups import unscored
from .statistics import Difference, Summary, summarise

TRUTH = tuple(f"{noise}_{what}" for noise in ("mislabelled", "corrupted") for what in ("share", "precision", "recall"))
CLASSES = ("smallest_class_share", "largest_class_share")
MEASURES = ("worst_class", "worst_tenth", "recall_spread", "ece", *TRUTH, *CLASSES, "best_accuracy", "best_step")


def measured(trial: TrialResult) -> dict[str, float]:
    """Recall of the worst class, mean recall of the worst tenth of the classes (at least one), the largest less the
    smallest recall, expected calibration error, what is known of the noise in the subset, and the shares that the class
    with fewest and the class with most examples have of the subset; all in 0..1. Where the test split was looked at
    along the way, the best accuracy, and after how many steps it was."""
    recalls = sorted(trial.class_accuracy)
    told = {} if trial.ece is None else {"ece": trial.ece}
    if recalls:
        worst = recalls[: math.ceil(len(recalls) / 10)]
        told |= {"worst_class": recalls[0], "worst_tenth": mean_of(worst), "recall_spread": recalls[-1] - recalls[0]}
    if trial.best_accuracy is not None and trial.best_step is not None:
        told |= {"best_accuracy": trial.best_accuracy, "best_step": float(trial.best_step)}
    told |= {name: value for name, value in trial.truth.items() if name in TRUTH}
    if counts := trial.class_counts:
        told |= dict(zip(CLASSES, (min(counts) / sum(counts), max(counts) / sum(counts)), strict=True))
    return told


@dataclass(frozen=True)
class Row:
    """One method at one keep ratio: its trials, one per seed, and what they say."""

    label: str
    scorer: str | None
    selector: str
    keep: float
    examples: int  # k
    baseline: str | None  # "full", "balanced", "random", or None for methods and index files
    variant: str  # "" unless records of one method must be told apart
    trials: tuple[TrialResult, ...]  # by seed
    accuracy: Summary
    scorings: int | None = None  # scoring runs that the trials of its table share; None where nothing was scored
    difference: Difference | None = None  # to class-balanced (label-free: uniform) random with as many examples
    score_seconds: float | None = None  # as if alone
    select_seconds: float | None = None  # as if alone
    train_seconds: float = 0.0
    reuses: float | None = None  # trainings after which the selection has paid for itself, see `costs`
    best_other: Difference | None = None  # to the best other method of the same table with as many examples
    best_other_label: str | None = None  # which that is; None where there is no other
    verdict: str | None = (
        None  # of `difference`: "win", "tie", "loss", "open", see `verdicts`; None without an interval
    )
    pareto: bool | None = None  # on the front of accuracy and total cost; None for the full data and oracles

    @property
    def own(self) -> bool:
        """Made here, and not what others report: only such seconds are of one machine."""
        return self.trials[0].source == "here"

    @property
    def by_seed(self) -> dict[int, float]:
        return {t.seed: t.accuracy for t in self.trials}

    @property
    def source(self) -> str:
        """ "here"; of others' bundles "reported", "reproduced" once every trial was trained again, or how many were."""
        again, all_ = sum(t.source == "reproduced" for t in self.trials), len(self.trials)
        if self.trials[0].source == "here":
            return "here"
        return "reproduced" if again == all_ else f"reported, {again}/{all_} reproduced" if again else "reported"

    @property
    def reproduced(self) -> Summary | None:
        """Accuracies of those trials of others that were trained again here; None where none was."""
        found = [t.reproduced for t in self.trials if t.reproduced is not None]
        return summarise(found) if found else None

    @property
    def total_seconds(self) -> float:
        """Scoring, selecting and one training, as if alone."""
        return (self.score_seconds or 0.0) + (self.select_seconds or 0.0) + self.train_seconds

    @property
    def runs(self) -> dict[int, int] | None:
        """Seed -> scoring run, where the table has several; None where a scoring had no part."""
        if unscored(self.trials[0]) or (self.scorings or 1) == 1:
            return None
        return {t.seed: t.score_seed for t in self.trials}

    @property
    def class_counts(self) -> list[float]:
        """(C,) kept examples of each class, mean over the trials; empty where a record does not tell them."""
        told = [t.class_counts for t in self.trials]
        return [mean_of(counts) for counts in zip(*told, strict=True)] if len(set(map(len, told))) == 1 else []

    @property
    def costs(self) -> dict[str, dict[str, Any] | None]:
        """Of scoring, selecting and training, means over the trials; None for a step that there was not."""
        return {
            "score": None if self.score_seconds is None else mean_cost([t.score_cost for t in self.trials]),
            "select": None if self.select_seconds is None else mean_cost([t.select_cost for t in self.trials]),
            "train": mean_cost([t.train_cost for t in self.trials]),
        }

    @cached_property
    def measures(self) -> dict[str, float]:
        """What else the trials tell, mean over them; only what every one of them tells."""
        told = [measured(t) for t in self.trials]
        return {name: mean_of([t[name] for t in told]) for name in MEASURES if all(name in t for t in told)}

    @property
    def label_free(self) -> bool:
        return all(t.label_free for t in self.trials)

    @property
    def oracle(self) -> bool:
        """Shown below all others and compared with nothing: it looked at what no contender may see."""
        return any(t.oracle for t in self.trials)


def mean_of(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
