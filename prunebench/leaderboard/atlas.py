"""The score atlas: which scorers say the same, how surely they say it, and which classes selections keep.

Correlations and overlaps of the hardest are those of `agreement`. A matrix holds means over the scorings that two
scorers share: same reference network, same score seed. Stability is the same two numbers between scorings of one
scorer: other score seeds, other reference networks. Scores that can be compared within a class only, such as DRD's, go
by their ranks in their classes, which is what selectors do with them; where nobody tells the classes they are left out.

Each array of scores is held in memory, 8 bytes per example.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError, VerifyError
from ..store import Record, Store, canonical
from ..types import TrialResult
from .agreement import overlaps, spearman, within_class
from .groups import baseline
from .labels import Labels, labels_for, method_label
from .rows import mean_of
from .stores import opened_stores, sound_trials

log = logging.getLogger("prunebench.leaderboard")
KEEPS = (0.05, 0.1, 0.2, 0.3, 0.5)  # shares of hardest examples whose overlap is told
Place = tuple[str, str, int]  # data set, fingerprint, N
Classes = Callable[[str, str], np.ndarray | None]  # (data set, fingerprint) -> (N,) labels, None if they are not known


@dataclass(frozen=True)
class Stability:
    """How alike the scorings of one scorer are, over all their pairs."""

    scorer: str  # label
    over: str  # "score seeds" or "reference networks"
    pairs: int
    spearman: float  # mean
    lowest: float  # the lowest of the pairs' Spearman correlations
    overlap: Mapping[float, float]  # keep -> mean overlap of the hardest beyond chance


@dataclass(frozen=True)
class Quota:
    """What one selection, or the mean of one method's over seeds, keeps of every class."""

    label: str
    keep: float
    seeds: int  # how many selections
    counts: tuple[float, ...]  # (C,) kept examples, mean over seeds
    shares: tuple[float, ...]  # (C,) of the subset


@dataclass(frozen=True, eq=False)
class Atlas:
    """The scores of one training split."""

    dataset: str
    fingerprint: str
    size: int  # N
    networks: tuple[str, ...]  # reference networks, those of the scorings that are here
    scorers: tuple[str, ...]  # (S,) labels
    scorings: tuple[int, ...]  # (S,) how many score records each has
    spearman: np.ndarray  # (S, S) in -1..1; NaN where two share no scoring, or one score is the same for all
    overlap: Mapping[float, np.ndarray]  # keep -> (S, S), at most 1, NaN where two share no scoring
    stability: tuple[Stability, ...]
    quotas: tuple[Quota, ...]
    left_out: tuple[str, ...] = ()  # scorers whose numbers compare within a class only, where classes are not known


@dataclass(frozen=True, eq=False)
class _Scoring:
    """One score record: whose, how, and what."""

    scorer: str  # its definition as canonical JSON: two versions of one method are two scorers
    text: str
    conditions: str  # everything but the reference network and the seed
    network: str
    trained: str  # recipe and epochs of the network
    seed: int
    hardness: np.ndarray  # (N,)
    comparable: str  # "set" or "class"

    @property
    def sitting(self) -> tuple[str, str, str, int]:
        return self.conditions, self.network, self.trained, self.seed


def atlases(
    stores: Store | str | Path | Sequence[Store | str | Path],
    *,
    keeps: Sequence[float] = KEEPS,
    labels: Labels | None = None,
    classes: Classes | None = None,
    trials: Iterable[TrialResult] | None = None,
) -> list[Atlas]:
    """The atlas of every training split that some stores have sound scores of, by data set.

    Args:
        stores: stores, or the folders they lie in; a record that stands in several counts once.
        keeps: shares of hardest examples, each between 0 and 1.
        labels: (kind, canonical text) -> what people read.
        classes: what knows the label of every example, asked only where a score needs it.
        trials: whose quotas are told, where they are read already; else all sound ones of the stores.

    Raises:
        UserError: a store that is not there, stores without any scores, a share outside (0, 1).
    """
    if wrong := [keep for keep in keeps if not 0 < keep < 1]:
        raise UserError(f"an overlap is of a share of the examples between 0 and 1, not {wrong[0]:g}")
    opened = opened_stores(stores)
    found: dict[Place, dict[str, _Scoring]] = defaultdict(dict)
    for place, id, scoring in _scorings(opened):
        found[place][id] = scoring
    if not found:
        where = ", ".join(str(store.root) for store in opened) or "no store"
        raise UserError(f"there are no scores in {where}: run `prunebench run` or `prunebench score` first")
    if trials is None:
        trials = {trial.id: trial for store in opened for trial in sound_trials(store)}.values()
    known = tuple(trials)
    told = []
    for place, alike in sorted(found.items(), key=lambda item: item[0]):
        usable, apart = _by_class([alike[id] for id in sorted(alike)], place, classes)
        atlas = _atlas(place, usable, keeps, labels)
        mine = [t for t in known if t.fingerprint == place[1]]
        left_out = tuple(sorted(labels_for("scorer", apart, labels).values()))
        told.append(replace(atlas, quotas=tuple(quotas(mine, labels)), left_out=left_out))
    return told


def _by_class(scorings: Sequence[_Scoring], place: Place, classes: Classes | None) -> tuple[list[_Scoring], list[str]]:
    """Those that can be compared, and the texts of those that cannot, as nobody knows the classes."""
    dataset, fingerprint, size = place
    needed = [s for s in scorings if s.comparable == "class"]
    known = classes(dataset, fingerprint) if classes and needed else None
    if known is None or len(known) != size:
        return [s for s in scorings if s.comparable != "class"], [s.text for s in needed]
    return [replace(s, hardness=within_class(s.hardness, known)) if s in needed else s for s in scorings], []


def _scorings(stores: Iterable[Store]) -> Iterator[tuple[Place, str, _Scoring]]:
    """(place, id, scoring) of every score record that can be read."""
    for store in stores:
        for record in store.records("scores"):
            try:
                yield _scoring(record)
            except (VerifyError, KeyError, TypeError, ValueError, AttributeError):
                log.warning("left out: %s is not a score that this version can read", record.path)


def _scoring(record: Record) -> tuple[Place, str, _Scoring]:
    from ..evidence.scoring import read_scores  # knows how to score: not for those who only import this

    scores, identity, result = read_scores(record), dict(record.identity), record.result
    reference, seed = dict(identity.pop("reference")), int(identity.pop("score_seed"))
    method, network = identity.pop("method"), str(reference.pop("model"))
    identity.pop("data")
    scorer = canonical({"method": method, "files": identity.pop("files", None)})
    hardness = scores.hardness.astype(np.float64)
    if len(hardness) < 2:
        raise ValueError
    place = (str(result["dataset"]), str(result["fingerprint"]), len(hardness))
    how = canonical(identity), network, canonical(reference), seed
    return place, record.id, _Scoring(scorer, scores.scorer, *how, hardness, scores.comparable)


def _atlas(place: Place, scorings: Sequence[_Scoring], keeps: Sequence[float], labels: Labels | None) -> Atlas:
    dataset, fingerprint, size = place
    mine: dict[str, list[_Scoring]] = defaultdict(list)
    for scoring in scorings:
        mine[scoring.scorer].append(scoring)
    named = _named({scorer: alike[0].text for scorer, alike in mine.items()}, labels)
    scorers = sorted(mine, key=lambda scorer: named[scorer])
    ranked, shared = _matrices(scorers, scorings, keeps)
    return Atlas(
        dataset=dataset,
        fingerprint=fingerprint,
        size=size,
        networks=tuple(sorted({s.network for s in scorings})),
        scorers=tuple(named[scorer] for scorer in scorers),
        scorings=tuple(len(mine[scorer]) for scorer in scorers),
        spearman=ranked,
        overlap=shared,
        stability=tuple(s for scorer in scorers for s in _stability(named[scorer], mine[scorer], keeps)),
        quotas=(),
    )


def _named(texts: Mapping[str, str], labels: Labels | None) -> dict[str, str]:
    """Scorer -> label; two definitions of one text are numbered."""
    told, named = labels_for("scorer", texts.values(), labels), {}
    for text in sorted(set(texts.values())):
        versions = sorted(scorer for scorer, of in texts.items() if of == text)
        for number, scorer in enumerate(versions, 1):
            named[scorer] = told[text] if len(versions) == 1 else f"{told[text]} [definition {number}]"
    return named


def _matrices(
    scorers: Sequence[str], scorings: Iterable[_Scoring], keeps: Sequence[float]
) -> tuple[np.ndarray, dict[float, np.ndarray]]:
    """Means over the sittings that two scorers share of their correlations and overlaps."""
    sittings: dict[Any, dict[int, _Scoring]] = defaultdict(dict)
    for scoring in scorings:
        sittings[scoring.sitting][scorers.index(scoring.scorer)] = scoring
    means = [_Mean(len(scorers)) for _ in range(1 + len(keeps))]
    for sitting in sittings.values():
        places = sorted(sitting)
        hardness = np.stack([sitting[place].hardness for place in places])
        means[0].add(places, spearman(hardness))
        for mean, matrix in zip(means[1:], overlaps(hardness, keeps).values(), strict=True):
            mean.add(places, matrix)
    return means[0].matrix, {keep: mean.matrix for keep, mean in zip(keeps, means[1:], strict=True)}


class _Mean:
    """The mean of matrices over parts of (S, S), NaN left out."""

    def __init__(self, size: int) -> None:
        self.sum, self.count = np.zeros((size, size)), np.zeros((size, size))

    def add(self, places: Sequence[int], matrix: np.ndarray) -> None:
        told = np.isfinite(matrix)
        self.sum[np.ix_(places, places)] += np.where(told, matrix, 0.0)
        self.count[np.ix_(places, places)] += told

    @property
    def matrix(self) -> np.ndarray:
        return np.divide(self.sum, self.count, out=np.full_like(self.sum, math.nan), where=self.count > 0)


def _stability(label: str, scorings: Sequence[_Scoring], keeps: Sequence[float]) -> Iterator[Stability]:
    """Over score seeds of one network, and over networks at one score seed, where there are pairs."""
    pairs: dict[str, list[tuple[_Scoring, _Scoring]]] = {"score seeds": [], "reference networks": []}
    for one, other in combinations(scorings, 2):
        if one.conditions != other.conditions:
            continue
        if (one.network, one.trained) == (other.network, other.trained):
            pairs["score seeds"].append((one, other))
        elif one.network != other.network and one.seed == other.seed:
            pairs["reference networks"].append((one, other))
    for over, alike in pairs.items():
        stacked = [np.stack([one.hardness, other.hardness]) for one, other in alike]
        correlations = [float(c) for pair in stacked if math.isfinite(c := spearman(pair)[0, 1])]
        if correlations:
            shared = [overlaps(pair, keeps) for pair in stacked]
            means = {keep: mean_of([float(s[keep][0, 1]) for s in shared]) for keep in keeps}
            yield Stability(label, over, len(alike), mean_of(correlations), min(correlations), means)


def quotas(trials: Iterable[TrialResult], labels: Labels | None = None) -> list[Quota]:
    """What every method keeps of each class, by keep ratio and label; each selection once, whoever trained on it."""
    kept: dict[tuple[str | None, str, float, str], dict[str, TrialResult]] = defaultdict(dict)
    for trial in sorted(trials, key=lambda t: t.id):
        if trial.class_counts and baseline(trial) != "full":
            file = trial.selection if trial.selector == "subset" else ""
            kept[trial.scorer, trial.selector, trial.keep, file].setdefault(trial.selection, trial)
    scorers = labels_for("scorer", (scorer for scorer, *_ in kept if scorer), labels)
    selectors = labels_for("selector", (selector for _, selector, *_ in kept), labels)
    found = []
    for (scorer, selector, keep, _), chosen in kept.items():
        told = [t.class_counts for t in chosen.values()]
        if len(set(map(len, told))) != 1 or not any(map(sum, told)):
            continue
        first = next(iter(chosen.values()))
        label = method_label(baseline(first), scorer and scorers[scorer], selectors[selector], first.selection)
        counts = tuple(mean_of(counts) for counts in zip(*told, strict=True))
        shares = tuple(count / math.fsum(counts) for count in counts)
        found.append(Quota(label, keep, len(told), counts, shares))
    return sorted(found, key=lambda q: (q.keep, q.label))
