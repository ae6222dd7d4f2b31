"""Which notes of failed cells belong below a board: of cells that have no number and could stand on its track.

A note tells of a cell as it was asked for, so that its texts are compared as a record writes them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import UserError
from ..methods import Method
from ..types import TrialResult

_SAME = ("fingerprint", "keep", "model", "seed")
_WHERE_TOLD = ("train_budget", "image_size", "steps")


def unfinished(
    failures: Iterable[Mapping[str, Any]], trials: Iterable[TrialResult], track: str
) -> tuple[Mapping[str, Any], ...]:
    """The notes, by id, of cells that no trial of one's own finished and whose method could stand on the track."""
    noted = sorted(failures, key=lambda note: str(note.get("id", "")))
    done: dict[Any, list[TrialResult]] = defaultdict(list)
    for trial in trials if noted else ():
        if trial.source == "here":
            done[tuple(getattr(trial, name) for name in _SAME)].append(trial)
    return tuple(
        note
        for note in noted
        if _could_stand(note, track)
        and not any(_finished(note, t) for t in done.get(tuple(note.get(name) for name in _SAME), ()))
    )


def _finished(note: Mapping[str, Any], trial: TrialResult) -> bool:
    if any(note.get(name) not in (None, getattr(trial, name)) for name in _WHERE_TOLD):
        return False
    scorer, selector = (_text(kind, note.get(kind)) for kind in ("scorer", "selector"))
    per_class = f"prunebench/per_class({selector})"  # what a selector is where scores compare within a class only
    return (trial.scorer or None) == scorer and trial.selector in (selector, per_class)


def _could_stand(note: Mapping[str, Any], track: str) -> bool:
    """On "label-free": the full data, and what does not name labels; what is not installed here is not known."""
    if track == "open" or note.get("selector") == "full":
        return True
    from ..training.policies import POLICIES  # torch: not for those without failures

    policy = str(note.get("selector")).partition("(")[0] in POLICIES
    return not policy and all(method.label_free != "no" for method in _methods(note))


def _methods(note: Mapping[str, Any]) -> Sequence[Method]:
    found = [_method(kind, note.get(kind)) for kind in ("scorer", "selector")]
    return [method for method in found if method is not None]


def _text(kind: str, text: str | None) -> str | None:
    """As records write it."""
    method = _method(kind, text)
    return text or None if method is None else method.text


def _method(kind: str, text: str | None) -> Method | None:
    from .. import registry  # plugins: not for those without failures

    try:
        return registry.installed().method(kind, text) if text else None
    except UserError:
        return None
