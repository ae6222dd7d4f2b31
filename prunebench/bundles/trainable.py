"""Which trials of a bundle can be trained again here, and of the others why not and what would help.

float32     on the CPU, whatever it was trained on
bfloat16    on a CUDA device, as this version trains in it nowhere else
pretrained  from the weights that the record names, where whoever verifies gives them: a file by its SHA-256, or
            those that timm has under that name
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ..errors import PrunebenchError, UserError
from ..harness.shared import Harness
from ..harness.trials import Trial
from ..store import Record
from ..terminal import clean
from ..training.models import build, canonical, weights_named
from .against_data import Harnesses, harness_of
from .contents import Bundle

LONGEST = 4  # times the steps of the recipe at full data: longer trainings are not repeated because a bundle says so
_SHOWN = 60  # characters of a method's text


def refuse_no_weights(pretrained: str) -> None:
    """Raises:
    UserError: ``pretrained`` is neither "", nor "timm", nor a file that can be read.
    """
    if pretrained in ("", "timm"):
        return
    try:
        Path(pretrained).open("rb").close()
    except OSError as failure:
        told = f"the weights file {pretrained} cannot be read ({failure.strerror})"
        raise UserError(f"{told}: give --pretrained the path of a file, or timm") from None


def device_of(trial: Record) -> str:
    """Where the precision of a trial is trained in."""
    return "cuda" if trial.result["precision"] == "bfloat16" else "cpu"


def weights_of(trial: Record, pretrained: str) -> bool | str:
    """What the trial begins with here, as `build` takes it: random weights, timm's, or a file of them.

    Raises:
        UserError: with others than those given; the message names them.
    """
    named = trial.identity["pretrained"]
    if not named:
        return False
    given: bool | str = True if pretrained == "timm" else pretrained
    if given and weights_named(trial.result["model"], given) == named:
        return given
    if isinstance(named, Mapping) and isinstance(named.get("timm"), str):
        told = f"timm's weights {clean(named['timm'])[:_SHOWN]}: give --pretrained timm"
    elif isinstance(named, Mapping) and isinstance(named.get("file"), str):
        told = f"the weights file of SHA-256 {clean(named['file'])[:12]}: give it with --pretrained FILE"
    else:
        raise UserError("it began with weights that its record does not name")
    raise UserError(f"it began with {told}" + (", not another" if pretrained else ""))


def why_not(trial: Record, harness: Harness | None, pretrained: str = "") -> str:
    """Why a trial cannot be trained again here, with what would help; "" where it can."""
    result = trial.result
    if harness is None:
        return "its data are not here: give --data-root or --dataset"
    if device_of(trial) == "cuda" and not torch.cuda.is_available():
        return "it was trained in bfloat16 on a GPU: verify on a machine with a CUDA device"
    if result["threads"] > 4 * (os.cpu_count() or 1):
        far = "far more than there are cores here: verify on a larger machine"
        return f"it was trained on {result['threads']} threads, {far}"
    try:
        model = canonical(result["model"])
        row = Trial(model, result["seed"]).recipe(harness)
        weights = weights_of(trial, pretrained)
        wrong = _unusable(model, weights, len(harness.dataset.classes), harness.dataset.image_size)
    except PrunebenchError as unknown:
        return str(unknown)
    if wrong:
        return wrong
    if row.hash != result["recipe"]:
        made_by = clean(str(trial.card["provenance"].get("prunebench", "its own")))[:20]
        return f"this version has another recipe for it: verify with version {made_by} of prunebench"
    if result["steps"] > LONGEST * row.steps:
        return f"{result['steps']} steps are too many to repeat: at most {LONGEST * row.steps} are"
    return ""


@lru_cache(maxsize=64)
def _unusable(model: str, weights: bool | str, classes: int, size: int) -> str:
    """Why a network cannot begin with these weights; "" where it can, and where they are random."""
    try:
        if weights:
            build(model, classes, size, seed=0, pretrained=weights)
    except UserError as failure:
        return str(failure)
    return ""


def reasons_of(bundle: Bundle, harnesses: Harnesses, pretrained: str) -> dict[str, str]:
    """Of every trial of a bundle, by id, `why_not`."""
    return {trial.id: why_not(trial, harness_of(trial, harnesses), pretrained) for trial in bundle.trials}


def left_out(bundle: Bundle, reasons: Mapping[str, str]) -> list[str]:
    """A sentence for every cell (method, keep ratio, network) with trials that cannot be trained again here."""
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for trial in bundle.trials:
        if reason := reasons[trial.id]:
            found[_cell(trial.result), reason].append(trial.result["seed"])
    return [f"not trained again: {cell}, {_seeds(seeds)}: {reason}" for (cell, reason), seeds in sorted(found.items())]


def _cell(result: Mapping[str, Any]) -> str:
    named = [clean(str(text))[:_SHOWN] for text in (result["scorer"], result["selector"]) if text]
    return f"{' + '.join(named)}, keep {result['keep']:.4g}, {clean(str(result['model']))[:_SHOWN]}"


def _seeds(seeds: Sequence[int]) -> str:
    told = sorted(set(seeds))
    return f"seed{'s' * (len(told) > 1)} {', '.join(map(str, told[:8]))}" + (" and more" if len(told) > 8 else "")
