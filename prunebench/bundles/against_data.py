"""A bundle beside the data that it says it is of.

    fingerprint of the data here = fingerprint in every record
    kept examples of each class = labels at the kept positions, counted
    sum over classes of recall * n_c = accuracy * n, recall * n_c an integer    (n_c test pictures of class c)

Subsets that need no training are selected again, from the scores where the bundle has their numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.loading import load
from ..datasets.settings import Setting
from ..errors import PrunebenchError, UserError, VerifyError
from ..evidence.scoring import read_scores
from ..evidence.selecting import SUBSET, select
from ..harness.shared import Harness, temporary_store
from ..methods import Method
from ..registry import Registry
from ..spec import parse
from ..store import Record
from ..types import Dataset, Scores
from .contents import Bundle, subset_of

_CHEAP = {"hardness", "budget", "generator", "seeds", "labels", "classes", "details", "held_out", "inner"}
_LARGEST_SIZE = 1024  # px a side, of pictures that are loaded because a bundle says so
_SLACK = 1e-6


@dataclass(frozen=True)
class Data:
    """Where whoever verifies has the data."""

    root: str = "data"
    dataset: str = ""  # to be taken for what a bundle calls its data, such as "folder:DIR"
    label_noise: str = ""  # as a file, which a bundle can only name


Harnesses = Mapping[tuple[str, int], Harness]  # (fingerprint, image size) -> a harness on those data


def harness_of(record: Record, harnesses: Harnesses) -> Harness | None:
    """The harness on the data of a record; an index file is of one size of pictures as of another."""
    fingerprint, size = record.result["fingerprint"], record.identity.get("image_size")
    fitting = (harness for place, harness in harnesses.items() if place[0] == fingerprint and size in (None, place[1]))
    return next(fitting, None)


def load_all(bundles: list[Bundle], data: Data, registry: Registry) -> Harnesses:
    """Harnesses on all data that sound bundles name; other data than those here are refused in verdicts.

    Raises:
        UserError: data that are not here.
    """
    found: dict[tuple[str, int], Harness] = {}
    for bundle in bundles:
        for told in bundle.manifest.get("data", ()) if bundle.verdict.sound else ():
            place = told["fingerprint"], told["image_size"]
            here = found[place].dataset if place in found else _load(told, data, registry)
            if (here.fingerprint, here.test.fingerprint) != (told["fingerprint"], told["test_fingerprint"]):
                bundle.verdict.refuse(
                    "data",
                    "",
                    f"its records are of other data than {here.name} here (fingerprint {told['fingerprint'][:12]}, "
                    f"here {here.fingerprint[:12]}; test split {told['test_fingerprint'][:12]}, here "
                    f"{here.test.fingerprint[:12]})",
                )
                continue
            if place not in found:
                found[place] = Harness(here, temporary_store(), registry, device_name="cpu")
    return found


def _load(told: Mapping[str, Any], data: Data, registry: Registry) -> Dataset:
    name, size = data.dataset or told["dataset"], told["image_size"]
    if not data.dataset and any(isinstance(value, str) for value in parse(name).options.values()):
        raise UserError(f"the bundle's data are {name[:100]}: give yours, for example --dataset folder:DIR")
    if size > _LARGEST_SIZE:
        raise UserError(f"the bundle's pictures have {size} px a side, at most {_LARGEST_SIZE} are loaded here")
    return _setting(told["setting"], data).apply(load(registry, name, Path(data.root), image_size=size))


def _setting(text: str, data: Data) -> Setting:
    """The setting that stands in records as `Setting` writes it: names and values in turns."""
    words = text.split(" ") if text else []
    given = dict(zip(words[::2], words[1::2], strict=False))
    noise = given.get("label-noise", "")
    if noise.startswith("file:"):
        if not data.label_noise:
            raise UserError(f"the bundle's labels are from a {noise[:80]}: give yours with --label-noise file:CSV")
        noise = data.label_noise
    found = Setting(noise, given.get("imbalance", ""), given.get("corrupt", ""))
    if not data.label_noise and str(found) != text:
        raise UserError(f"the bundle names a setting that this version does not know: {text[:80]!r}")
    return found


def check_data(bundle: Bundle, harnesses: Harnesses) -> None:
    """Refuse, in the bundle's verdict, what does not fit the data."""
    verdict = bundle.verdict
    for trial in bundle.trials:
        if harness := harness_of(trial, harnesses):
            with verdict.refusing("data", bundle.file_of(trial)):
                _refuse_other_classes(bundle, trial, harness.dataset)
                _refuse_impossible_recalls(trial, harness.dataset)
    for record in bundle.records("selections"):
        if harness := harness_of(record, harnesses):
            with verdict.refusing("data", bundle.file_of(record)):
                _refuse_other_keys(record, harness.dataset)
    names = sorted({harness.dataset.name for harness in harnesses.values()})
    verdict.looked["data"] = f"{', '.join(names)}: fingerprints, keys, classes kept, hits of every class"


def _refuse_other_classes(bundle: Bundle, trial: Record, dataset: Dataset) -> None:
    selection, counts = bundle.selection_of(trial), trial.result.get("class_counts")
    kept = np.arange(len(dataset.train)) if selection is None else subset_of(bundle, selection).indices
    here = np.bincount(dataset.train.labels[kept], minlength=len(dataset.classes)).tolist()
    if counts and counts != here:
        raise VerifyError("it kept other numbers of examples of each class than its subset has: that is another's")


def _refuse_impossible_recalls(trial: Record, dataset: Dataset) -> None:
    counts = np.bincount(dataset.test.labels, minlength=len(dataset.classes))
    counts, recalls = counts[counts > 0], np.asarray(trial.result["class_accuracy"], dtype=np.float64)
    if len(recalls) != len(counts):
        raise VerifyError(f"it tells the recall of {len(recalls)} classes, {len(counts)} have test pictures")
    hits = recalls * counts
    if np.abs(hits - np.round(hits)).max(initial=0) > _SLACK * counts.max():
        raise VerifyError("the recall of a class is no share of its test pictures: it was altered")
    if abs(hits.sum() - trial.result["accuracy"] * counts.sum()) > _SLACK * counts.sum():
        raise VerifyError(
            f"its accuracy {trial.result['accuracy']} is not that of its classes together, "
            f"{hits.sum() / counts.sum():.6f}: it was altered"
        )


def _refuse_other_keys(record: Record, dataset: Dataset) -> None:
    indices, keys = record.arrays["indices"], record.arrays["keys"]
    if record.result["size"] != len(dataset.train):
        raise VerifyError(f"it is of {record.result['size']} examples, {dataset.name} has {len(dataset.train)}")
    if any(dataset.train.keys[i] != key for i, key in zip(indices.tolist(), keys.tolist(), strict=True)):
        raise VerifyError("its keys are not those of its positions: the index file was altered")


def check_selected_again(bundle: Bundle, harnesses: Harnesses) -> None:
    """Refuse, in the bundle's verdict, subsets that their method and seed do not give here."""
    again = total = 0
    for record in bundle.records("selections"):
        harness = harness_of(record, harnesses)
        total += 1
        if harness is None:
            continue
        with bundle.verdict.refusing("selected again", bundle.file_of(record)):
            indices = _selected(bundle, record, harness)
            if indices is None:
                continue
            again += 1
            if not np.array_equal(indices, record.arrays["indices"]):
                raise VerifyError(
                    f"{record.identity['method']['text'][:100]} keeps other positions here, with the same scores and "
                    "the same seed: the index file is another's"
                )
    bundle.verdict.looked["selected again"] = f"{again} of {total} (those that need no training)"


def _selected(bundle: Bundle, record: Record, harness: Harness) -> np.ndarray | None:
    """The positions that the record's method keeps here; None where that needs a training, or what is not here."""
    method = _method(record, harness.registry)
    if method is None or method.identity != record.identity["method"] or record.identity.get("files"):
        return None
    scores = _scores(bundle, record)
    if scores is None and record.identity.get("scores") is not None:
        return None
    identity = record.identity
    try:
        return select(harness, scores, method, identity["keep"], identity["seed"], identity["score_seed"]).indices
    except PrunebenchError as failure:
        raise VerifyError(f"{method.label} cannot select it again: {failure}") from None


def _method(record: Record, registry: Registry) -> Method | None:
    text = record.identity["method"]["text"]
    if text == SUBSET:
        return None
    try:
        method = registry.method("selector", text)
        return method if set(method.needs) <= _CHEAP else None
    except UserError:
        return None


def _scores(bundle: Bundle, record: Record) -> Scores | None:
    """The scores that a subset names, where their numbers are in the bundle."""
    named = record.identity.get("scores")
    scores = bundle.by_id("scores", named) if isinstance(named, str) else None
    if scores is None or not scores.file("arrays.npz").is_file():
        return None
    return read_scores(scores)
