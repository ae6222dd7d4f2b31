"""Whether a trial's numbers can be those of one training and one test: of each by itself, and beside its subset.

accuracy * n is an integer, n the number of test pictures                 (hits are counted)
smallest recall of a class <= accuracy <= largest
n = forward - backward examples of the training, for every trial of a test split
backward = steps * batch
k = floor(keep * N + 1/2) = kept positions = sum of the kept examples of each class
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from ..budgets import budget_for
from ..errors import VerifyError
from ..evidence.selecting import SUBSET
from ..harness.shared import hash_array
from ..harness.trials import PLAIN, content_of
from ..store import Record
from ..types import Cost
from .contents import Bundle, subset_of

_SLACK = 1e-6  # of a count that was divided and multiplied again
_SAME = {  # what a trial's identity says -> what its result says of the same
    **{"data": "fingerprint", "test": "test_fingerprint"},
    **{
        name: name
        for name in (
            *("selection", "model", "recipe", "train_budget", "steps", "policy", "seed"),
            *("threads", "precision", "protocol", "image_size"),
        )
    },
}


def check_numbers(bundle: Bundle) -> None:
    """Refuse, in the bundle's verdict, every trial whose numbers cannot be."""
    verdict, trials = bundle.verdict, bundle.trials
    tested = _test_pictures(bundle)
    for trial in trials:
        with verdict.refusing("numbers", bundle.file_of(trial)):
            _refuse_contradiction(trial)
            _refuse_impossible(trial, tested.get(trial.result["test_fingerprint"]))
    verdict.looked["numbers"] = f"{len(trials)} trials"


def check_subsets(bundle: Bundle) -> None:
    """Refuse, in the bundle's verdict, index files that are none, or that belong to other trials, scores or data."""
    verdict, subsets = bundle.verdict, list(bundle.records("selections"))
    trials: dict[str, list[Record]] = defaultdict(list)
    recosted = 0
    for trial in bundle.trials:
        with verdict.refusing("subsets", bundle.file_of(trial)):
            selection = bundle.selection_of(trial)
            if selection is None:
                _refuse_untraced(trial)
                continue
            trials[selection.id].append(trial)
            _refuse_other_subset(trial, selection)
            recosted += Cost(**selection.result["cost"]) != Cost(**trial.result["select_cost"])
    for record in subsets:
        with verdict.refusing("subsets", bundle.file_of(record)):
            _refuse_bad_subset(bundle, record, trials[record.id])
    if recosted:
        verdict.remarks.append(f"{recosted} trials tell another cost of selecting than the records of their subsets")
    verdict.looked["subsets"] = f"{len(subsets)} index files"


def _refuse_contradiction(trial: Record) -> None:
    identity, result = trial.identity, trial.result
    for asked, told in _SAME.items():
        if identity[asked] != result[told]:
            raise VerifyError(
                f"its identity says {asked} = {str(identity[asked])[:60]}, its result {str(result[told])[:60]}: it was "
                "altered"
            )
    if bool(identity["pretrained"]) != result["pretrained"]:
        raise VerifyError("its identity and its result differ on whether it began with pretrained weights")


def _test_pictures(bundle: Bundle) -> dict[str, int]:
    """Test fingerprint -> n, as the costs of its trials tell; a split that they tell two sizes of is refused."""
    told: dict[str, set[int]] = defaultdict(set)
    for trial in bundle.trials:
        if trial.result.get("best_accuracy") is None:
            cost = trial.result["train_cost"]
            told[trial.result["test_fingerprint"]].add(cost["forward"] - cost["backward"])
    for fingerprint, sizes in told.items():
        if len(sizes) > 1:
            bundle.verdict.refuse(
                "numbers",
                "",
                f"trials of one test split ({fingerprint[:12]}) tell of {sorted(sizes)[:4]} test pictures",
            )
    return {fingerprint: sizes.pop() for fingerprint, sizes in told.items() if len(sizes) == 1}


def _refuse_impossible(trial: Record, tested: int | None) -> None:
    result, cost = trial.result, trial.result["train_cost"]
    accuracy, recalls = result["accuracy"], result["class_accuracy"]
    if cost["backward"] < 1 or cost["backward"] % result["steps"] or cost["forward"] <= cost["backward"]:
        raise VerifyError(
            f"{result['steps']} steps cannot have taken {cost['backward']} examples back and {cost['forward']} forward"
        )
    if not cost["seconds"] > 0:
        raise VerifyError("its training took no time")
    if tested is not None and (tested < 1 or _fraction(accuracy, tested) > _SLACK):
        raise VerifyError(f"its accuracy {accuracy} is no share of {tested} test pictures: it was altered")
    if recalls and not min(recalls) - _SLACK <= accuracy <= max(recalls) + _SLACK:
        raise VerifyError(
            f"its accuracy {accuracy} lies outside the recalls of its classes, {min(recalls)} to {max(recalls)}: it "
            "was altered"
        )
    best = result.get("best_accuracy")
    if best is not None and best < accuracy - _SLACK:
        raise VerifyError(f"its best accuracy {best} is below its last, {accuracy}")


def _fraction(share: float, of: int) -> float:
    """How far share * of lies from an integer."""
    return abs(share * of - round(share * of))


def _refuse_untraced(trial: Record) -> None:
    """A trial without a subset in the bundle trained on everything, or drew from it."""
    result = trial.result
    if result["policy"] == PLAIN and result["selector"] != "full":
        raise VerifyError("the subset that it trained on is not in the bundle: an accuracy alone is no submission")
    if result["selector"] == "full" and result["selection"] != hash_array(np.arange(result["examples"])):
        raise VerifyError(f"it says it trained on all {result['examples']} examples and names another subset")


def _refuse_other_subset(trial: Record, selection: Record) -> None:
    """Raises:
    VerifyError: the trial says something else of its subset than that does of itself.
    """
    result, told = trial.result, selection.result
    if told["fingerprint"] != result["fingerprint"] or selection.identity["data"] != result["fingerprint"]:
        raise VerifyError(
            f"its subset is of other data (fingerprint {str(told['fingerprint'])[:12]}, the trial's is "
            f"{result['fingerprint'][:12]}): the index file was replayed"
        )
    pairs: dict[str, tuple[Any, Any]] = {
        "selector": (result["selector"], selection.identity["method"]["text"]),
        "scorer": (result["scorer"], told["scorer"]),
        "keep": (result["keep"], selection.identity["keep"]),
        "label_free": (result["label_free"], told["label_free"]),
        "oracle": (result.get("oracle", False), told.get("oracle", False)),
    }
    if selection.identity["method"]["text"] != SUBSET:  # one index file serves all seeds
        pairs["seed"] = (result["seed"], selection.identity["seed"])
    for name, (said, is_) in pairs.items():
        if said != is_:
            raise VerifyError(
                f"it says {name} = {str(said)[:80]}, its subset says {str(is_)[:80]}: the index file is another's"
            )


def _refuse_bad_subset(bundle: Bundle, record: Record, trials: list[Record]) -> None:
    if not trials:
        raise VerifyError("no trial was trained on it")
    subset = subset_of(bundle, record)
    budget = budget_for(subset.keep, subset.size)
    if len(subset) != budget:
        raise VerifyError(f"it keeps {len(subset)} positions, keep {subset.keep:g} of {subset.size} is {budget}")
    if record.identity["data"] != record.result["fingerprint"]:
        raise VerifyError("its identity and its result are of other data: it was altered")
    if subset.selector == SUBSET:
        if record.identity.get("content") != content_of(subset):
            raise VerifyError("its positions are not those that its trials name: the index file was swapped")
    else:
        _refuse_other_scores(bundle, record)
    for trial in trials:
        counts, k = trial.result.get("class_counts", []), trial.result["examples"]
        if k != len(subset) or (counts and sum(counts) != k):
            raise VerifyError(
                f"trial {trial.id[:12]} was trained on {sum(counts) or k} examples, the index file keeps {len(subset)}"
            )


def _refuse_other_scores(bundle: Bundle, record: Record) -> None:
    named, result = record.identity.get("scores"), record.result
    if named is None:
        if result["scorer"] is not None:
            raise VerifyError(f"it says it was made from {result['scorer'][:80]} and names no scores")
        return
    if not isinstance(named, str):
        return  # of a score file that somebody brought: told by the hash of its values
    scores = bundle.by_id("scores", named)
    if scores is None:
        raise VerifyError("the scores that it names are not in the bundle")
    if scores.identity["method"]["text"] != result["scorer"]:
        raise VerifyError(
            f"it says it was made from {str(result['scorer'])[:80]}, its scores are of "
            f"{scores.identity['method']['text'][:80]}"
        )
    if scores.result["fingerprint"] != result["fingerprint"] and not scores.result["label_free"]:
        raise VerifyError(
            f"its scores are of other data (fingerprint {scores.result['fingerprint'][:12]}, here "
            f"{result['fingerprint'][:12]}): they were replayed"
        )
