"""Trials of a bundle trained again here, from the same seed on the same subset by the same recipe.

Which, is drawn from the verifier's seed, so that whoever submits cannot know. Where torch, threads and the kind of
processor are those of the record and the training is on the CPU, the accuracy must come out the same to the last bit.
Elsewhere rounding goes other ways, and the training is another draw:

    |reproduced - reported| <= t_{0.975, n - 1} sd sqrt(2)     sd over the n seeds of the row, at least one test picture

A row of one seed has no sd; then the largest sd of the bundle's rows is taken, and where there is none it is told that
nothing can be judged.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import stdev
from typing import Any

import torch
from scipy import stats

from ..errors import PrunebenchError, VerifyError
from ..harness.shared import Harness
from ..harness.trials import Selected, Trial, everything, run_trial, trial_identity
from ..store import Record
from ..types import Selection
from .against_data import Harnesses, harness_of
from .contents import Bundle, subset_of
from .trainable import device_of, left_out, reasons_of, weights_of


@dataclass(frozen=True)
class Reproduced:
    """One trial, trained again."""

    id: str
    reported: float
    reproduced: float
    agreement: str  # "equal", "within", "apart", "unjudged"
    allowed: float | None  # largest difference; 0 where it must be equal, None where nothing can be judged
    environment: Mapping[str, Any]

    @property
    def told(self) -> str:
        how = {
            "equal": "the same to the last bit",
            "unjudged": "other machine, one seed: not judged",
            "within": f"within {100 * (self.allowed or 0):.2f}",
            "apart": f"more than {100 * (self.allowed or 0):.2f} apart",
        }[self.agreement]
        return f"{100 * self.reported:.2f} % reported, {100 * self.reproduced:.2f} % here, {how}"


def sample(bundle: Bundle, reasons: Mapping[str, str], count: int, seed: int) -> list[Record]:
    """``count`` trials that nothing keeps from being trained here, drawn from (seed, the bundle's hash)."""
    possible = [trial for trial in bundle.trials if not reasons[trial.id]]
    drawn = random.Random(f"{seed} {bundle.verdict.manifest_sha256}")
    return sorted(drawn.sample(possible, min(count, len(possible))), key=lambda trial: trial.id)


def train_again(bundle: Bundle, trial: Record, harness: Harness | None, pretrained: str = "") -> Reproduced:
    """The trial, trained and tested here.

    Args:
        pretrained: the weights that were given for trials that began with some: a file, or "timm".

    Raises:
        VerifyError: this version would train something else under its name.
        CellError: the training failed.
    """
    assert harness is not None  # `sample` takes no others
    record = bundle.selection_of(trial)
    result = trial.result
    here = _as_it_was(harness, result["threads"], device_of(trial))
    subset = _as_trained(trial, None if record is None else subset_of(bundle, record), here)
    asked = _asked(trial, here, Selected.of(subset, result["policy"]), weights_of(trial, pretrained))
    torch.set_num_threads(here.threads)
    found = run_trial(here, asked, subset, None, result["score_seed"])
    same = found.accuracy == result["accuracy"] and found.train_loss == result["train_loss"]
    allowed = 0.0 if _same_machine(trial, here) else interval(bundle, trial)
    return Reproduced(
        trial.id,
        result["accuracy"],
        found.accuracy,
        _agreement(same, found.accuracy - result["accuracy"], allowed),
        allowed,
        here.provenance(),
    )


@lru_cache(maxsize=8)
def _as_it_was(harness: Harness, threads: int, device: str) -> Harness:
    return replace(harness, threads=threads, device_name=device, cache={})


def _agreement(same: bool, difference: float, allowed: float | None) -> str:
    if same:
        return "equal"
    if allowed is None:
        return "unjudged"
    return "within" if allowed > 0 and abs(difference) <= allowed else "apart"


def _as_trained(trial: Record, subset: Selection | None, harness: Harness) -> Selection:
    """What the trial was given: its subset, by its content where it is an index file; or everything."""
    if subset is None:
        return everything(harness, trial.result["selector"], trial.result["keep"])
    return replace(subset, id=None) if trial.result["selection"] != subset.id else subset


def _asked(trial: Record, harness: Harness, selected: Selected, pretrained: bool | str) -> Trial:
    """The trial as somebody must have asked for it, so that its identity here is the record's.

    Raises:
        VerifyError: nobody can have asked for that.
    """
    result, identity = trial.result, dict(trial.identity)
    plain = Trial(
        result["model"],
        result["seed"],
        result["train_budget"],
        pretrained=pretrained,
        policy=result["policy"],
        best_epoch=bool(identity.get("best_epoch")),
    )
    lengths: list[dict[str, Any]] = [{}]
    if result["train_budget"] == "epochs":
        lengths += [{"epochs": epochs} for epochs in _epochs(plain, harness, result["steps"], selected.examples)]
    else:
        lengths.append({"steps": result["steps"]})
    found: dict[str, Any] = {}
    for length in lengths:
        asked = replace(plain, **length)
        found = trial_identity(harness, asked, selected)
        if found == identity:
            return asked
    differ = sorted(name for name in found.keys() | identity.keys() if found.get(name) != identity.get(name))
    raise VerifyError(
        f"this version would train it with another {', '.join(differ)}: it was altered, or is of another version"
    )


def _epochs(trial: Trial, harness: Harness, steps: int, examples: int) -> range:
    """Numbers of epochs that may make so many steps."""
    about = steps * trial.recipe(harness).batch / max(1, examples)
    return range(max(1, math.floor(about) - 2), math.ceil(about) + 3)


def _same_machine(trial: Record, harness: Harness) -> bool:
    """Whether the same numbers must come out, to the last bit."""
    told, here = trial.card["provenance"], harness.provenance()
    return told.get("device") == "cpu" and all(told.get(name) == here[name] for name in ("torch", "processor"))


def interval(bundle: Bundle, trial: Record) -> float | None:
    """The largest difference that two trainings of one row may have by chance; None where nothing tells."""
    rows: dict[Any, list[Record]] = defaultdict(list)
    for other in bundle.trials:
        rows[_row(other)].append(other)
    own = [t.result["accuracy"] for t in rows[_row(trial)]]
    spreads = [_spread([t.result["accuracy"] for t in row]) for row in rows.values() if len(row) > 1]
    spread = _spread(own) if len(own) > 1 else max(spreads, default=None)
    if spread is None:
        return None
    cost = trial.result["train_cost"]
    one_picture = 1 / max(1, cost["forward"] - cost["backward"])
    return max(spread, one_picture)


def _spread(accuracies: Sequence[float]) -> float:
    return float(stats.t.ppf(0.975, len(accuracies) - 1)) * stdev(accuracies) * math.sqrt(2)


def _row(trial: Record) -> tuple[Any, ...]:
    named = (
        *("fingerprint", "image_size", "scorer", "selector", "keep", "model", "train_budget", "steps", "policy"),
        *("pretrained", "precision"),
    )
    content = trial.result["selection"] if trial.result["selector"] == "subset" else ""
    return (*(trial.result[name] for name in named), content)


def check_trained_again(
    bundle: Bundle, harnesses: Harnesses, count: int, seed: int, say: Callable[[str], None], pretrained: str = ""
) -> list[Reproduced]:
    """Train ``count`` trials again; refuse, in the bundle's verdict, those that come out otherwise.

    Of every cell that cannot be trained here the verdict says why, and what would help.
    """
    verdict, found = bundle.verdict, list[Reproduced]()
    reasons = reasons_of(bundle, harnesses, pretrained)
    wanted = sample(bundle, reasons, count, seed)
    for number, trial in enumerate(wanted, 1):
        name = bundle.file_of(trial)
        with verdict.refusing("trained again", name):
            try:
                again = train_again(bundle, trial, harness_of(trial, harnesses), pretrained)
            except VerifyError:
                raise
            except PrunebenchError as failure:
                raise VerifyError(f"it cannot be trained here: {failure}") from None
            say(f"[{number}/{len(wanted)}] {trial.id[:12]}: {again.told}")
            found.append(again)
            if again.agreement == "apart":
                raise VerifyError(f"trained again it is another number: {again.told}")
    told = [again.agreement for again in found]
    counts = ", ".join(
        f"{told.count(word)} {word}" for word in ("equal", "within", "unjudged", "apart") if word in told
    )
    verdict.looked["trained again"] = f"{len(found)} of {len(bundle.trials)} trials, seed {seed}: {counts or 'none'}"
    verdict.remarks += left_out(bundle, reasons)
    told_why = sorted(set(reasons.values()) - {""})
    if len(wanted) < count and told_why:
        verdict.remarks.append(f"{len(wanted)} of {count} could be trained again: {'; '.join(told_why)}"[:300])
    return found
