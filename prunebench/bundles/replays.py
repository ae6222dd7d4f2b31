"""One index file, or one training, that is given out for two.

Two subsets of k out of N examples are the same by chance once in C(N, k) times. They are a replay where that is more
than a thousand million and nothing explains it:

    drawn at random, by other seeds, or by another method              refused
    scores of another scorer, or of another scoring run that draws     refused, unless the numbers of both scores are
                                                                       in the bundle and rank alike
    one scoring, two ways of selecting that do not draw                remarked: two rules may keep the same examples
    an index file that somebody brought                                remarked: it is told whose it is

A training is its model, data, subset, recipe and seed: two that differ in one of these end with the same loss, to the
last bit, only where one was copied.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ..errors import UserError, VerifyError
from ..evidence.selecting import SUBSET
from ..harness.shared import hash_array
from ..methods import Method
from ..registry import Registry
from ..store import Record, canonical
from ..terminal import counted
from .contents import Bundle, subset_of

CHANCES = math.log(1e9)  # of two subsets being the same by chance, one over
_DRAWN = ("generator", "seeds", "history", "features", "network", "observe", "judge", "score")  # differ from run to run
_SAME_RANKING = (  # a scorer that ranks as a selector of the same name chooses
    {("herding", "easiest"), (None, "herding")},
    {("kcenter", "hardest"), (None, "kcenter")},
)
_PAIRS = 50  # of one index file that are looked at


@dataclass(frozen=True)
class Subset:
    """What is known of one index file."""

    bundle: Bundle
    record: Record
    content: str  # SHA-256 of the positions
    log_chances: float  # log C(N, k)

    @property
    def scores(self) -> str | None:
        """What names the scores; None where nothing was ranked."""
        named = self.record.identity.get("scores")
        return None if named is None else canonical(named)

    @property
    def method(self) -> tuple[str | None, str]:
        return self.record.result["scorer"], self.record.identity["method"]["text"]

    @property
    def place(self) -> str:
        return f"{self.bundle.path}: {self.bundle.file_of(self.record)}"

    @property
    def told(self) -> str:
        scorer, selector = self.method
        name = f"{scorer} + {selector}" if scorer else selector
        return f"{name[:120]}, keep {self.record.identity['keep']:g}, seed {self.record.identity['seed']}"


def check_replays(bundles: Sequence[Bundle], registry: Registry) -> None:
    """Refuse index files and trainings that stand for two, in one bundle or in several; remark the rest."""
    subsets = defaultdict(list)
    for bundle in bundles:
        for record in bundle.records("selections"):
            try:
                found = subset_of(bundle, record)
            except VerifyError:
                continue  # refused as such
            content = hash_array(found.indices)
            subsets[content].append(Subset(bundle, record, content, _log_choose(found.size, len(found))))
    for alike in subsets.values():
        for one, other in _pairs(alike):
            _judge(one, other, registry)
    for one_trial, other_trial in _copies(bundles):
        _refuse_copy(one_trial, other_trial)
    _remark_shared(bundles)
    for bundle in bundles:
        told = [
            counted(len(list(bundle.records("selections"))), "index file"),
            counted(len(bundle.trials), "trial"),
            *([f"beside {counted(len(bundles) - 1, 'other bundle')}"] if len(bundles) > 1 else []),
        ]
        bundle.verdict.looked["replays"] = ", ".join(told)


def _pairs(alike: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Each with the first, or all pairs where these are few."""
    if len(alike) * (len(alike) - 1) // 2 <= _PAIRS:
        return combinations(alike, 2)
    return ((alike[0], other) for other in alike[1:])


def _judge(one: Subset, other: Subset, registry: Registry) -> None:
    """Refuse the later of two equal subsets, remark it, or find nothing in it."""
    if one.record.id == other.record.id:
        return
    verdict = other.bundle.verdict
    if SUBSET in (one.method[1], other.method[1]):
        if one.method != other.method:
            verdict.remarks.append(f"the index file {other.told} keeps what {one.told} keeps")
        return
    if one.log_chances < CHANCES:
        return
    reason = _unexplained(one, other, registry)
    if reason:
        verdict.refuse(
            "replays", other.bundle.file_of(other.record), f"{other.told}: {reason} ({one.place}, {one.told})"
        )
    elif one.method != other.method:
        verdict.remarks.append(f"{other.told} keeps what {one.told} keeps")


def _unexplained(one: Subset, other: Subset, registry: Registry) -> str:
    """Why two equal subsets of different records cannot both be what they say; "" where they can."""
    a, b = one.record, other.record
    same_method, same_seeds = one.method == other.method, _seeds(a) == _seeds(b)
    if a.result["fingerprint"] != b.result["fingerprint"]:
        label_free = a.result["label_free"] and b.result["label_free"]
        return "" if label_free else "the same index file for other data"
    if same_method and same_seeds:
        return ""  # only the conditions differ, of which a subset need not depend
    draws = [_draws_subset(subset, registry) for subset in (one, other)]
    if (any(draws) and not same_method) or (all(draws) and a.identity["seed"] != b.identity["seed"]):
        return "the same index file as another method's or seed's, of which at least one draws at random"
    if one.scores == other.scores:
        return ""
    if one.method[0] == other.method[0]:
        drawn = one.method[0] is not None and _draws(registry, "scorer", one.method[0], _DRAWN)
        if a.identity.get("score_seed") == b.identity.get("score_seed") or not drawn:
            return ""
    if {_names(one), _names(other)} in _SAME_RANKING or _rank_alike(one, other):
        return ""
    return "the same index file from other scores; if they do rank alike, submit with --scores"


def _seeds(record: Record) -> tuple[Any, Any]:
    return record.identity["seed"], record.identity.get("score_seed")


def _draws_subset(subset: Subset, registry: Registry) -> bool:
    """Whether it is a draw that ranks nothing, so that no two are the same."""
    return subset.scores is None and _draws(registry, "selector", subset.method[1], ("generator",))


def _draws(registry: Registry, kind: str, text: str, inputs: Iterable[str]) -> bool:
    """Whether a method names one of these; of one that is not installed here nothing is known."""
    try:
        found: Method = registry.method(kind, text)
        return any(name in found.needs for name in inputs)
    except UserError:
        return False


def _names(subset: Subset) -> tuple[str | None, str]:
    scorer, selector = subset.method
    short = [None if text is None else text.partition("(")[0].rpartition("/")[2] for text in (scorer, selector)]
    return short[0], str(short[1])


def _rank_alike(one: Subset, other: Subset) -> bool:
    """Whether the numbers of both scores are in the bundles and put the examples in one order."""
    ranks: list[np.ndarray] = []
    for subset in (one, other):
        named = subset.record.identity.get("scores")
        scores = subset.bundle.by_id("scores", named) if isinstance(named, str) else None
        if scores is None or not scores.file("arrays.npz").is_file():
            return False
        try:
            values = np.asarray(scores.arrays["values"], dtype=np.float64)
        except (VerifyError, ValueError, KeyError):
            return False
        hardness = values if scores.result["hard"] == "high" else -values
        ranks.append(np.unique(hardness, return_inverse=True)[1])
    return bool(np.array_equal(ranks[0], ranks[1]))


def _copies(bundles: Sequence[Bundle]) -> Iterator[tuple[tuple[Bundle, Record], tuple[Bundle, Record]]]:
    """Pairs of trials that ended alike to the last bit."""
    found: dict[str, list[tuple[Bundle, Record]]] = defaultdict(list)
    for bundle in bundles:
        for trial in bundle.trials:
            told = [trial.result[name] for name in ("train_loss", "accuracy", "class_accuracy")]
            found[canonical([trial.result["fingerprint"], *told])].append((bundle, trial))
    for alike in found.values():
        yield from _pairs(alike)


def _refuse_copy(one: tuple[Bundle, Record], other: tuple[Bundle, Record]) -> None:
    (_, a), (bundle, b) = one, other
    differs = [name for name in ("seed", "model", "recipe", "steps", "image_size") if a.result[name] != b.result[name]]
    if _content(one) != _content(other):
        differs.append("subset")
    if a.id != b.id and differs and a.result["train_loss"] > 0:
        bundle.verdict.refuse(
            "replays",
            bundle.file_of(b),
            f"its loss and accuracies are those of {one[0].path}: {one[0].file_of(a)} to the last bit, though the "
            f"{' and the '.join(differs)} differ: the result was copied",
        )


def _content(of: tuple[Bundle, Record]) -> str:
    """What a trial was trained on, by its positions."""
    bundle, trial = of
    selection = bundle.selection_of(trial)
    if selection is None:
        return str(trial.result["selection"])
    try:
        return hash_array(subset_of(bundle, selection).indices)
    except VerifyError:
        return selection.id


def _remark_shared(bundles: Sequence[Bundle]) -> None:
    """One trial in two bundles counts once; where they differ in the number, that is told."""
    first: dict[str, tuple[Bundle, Record]] = {}
    for bundle in bundles:
        shared = 0
        for trial in bundle.trials:
            other, standing = first.setdefault(trial.id, (bundle, trial))
            if other is bundle:
                continue
            shared += 1
            if standing.result["accuracy"] != trial.result["accuracy"]:
                bundle.verdict.remarks.append(
                    f"trial {trial.id[:12]} has accuracy {trial.result['accuracy']:.4f} here and "
                    f"{standing.result['accuracy']:.4f} in {other.path}"
                )
        if shared:
            bundle.verdict.remarks.append(f"{shared} trials are in an earlier bundle too: each counts once")


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
