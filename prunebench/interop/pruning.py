"""From pictures to a `Selection`, outside a run: any scorer meets any selector on data that somebody holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import registry as plugins
from ..datasets.given import dataset_of
from ..errors import UserError
from ..evidence.scoring import score
from ..evidence.selecting import fitting, select
from ..harness.shared import Harness, Progress, silent, temporary_store
from ..methods import Method
from ..store import Store
from ..training.models import canonical
from ..types import Dataset, Selection


def prune(
    data: Any,
    selector: str,
    scorer: str | None = None,
    *,
    keep: float,
    labels: Any = None,
    classes: Sequence[str] | None = None,
    keys: Sequence[str] | None = None,
    seed: int = 0,
    reference: str = "resnet18",
    reference_epochs: int | None = None,
    device: str = "auto",
    store: str | Path | Store | None = None,
    progress: Progress = silent,
) -> Selection:
    """Score and select in one harness, so that a selector gets all it names: features, trainings, another score.

    Args:
        data: a `Dataset`, pictures ((N, 3, H, W) or (N, H, W) uint8) with labels, or any map-style data set.
        selector: its text, such as ``"bws(step=0.1)"``.
        scorer: the scorer's text; not needed, and not looked at, where the selector ranks nothing.
        keep: in (0, 1]; the selection has floor(keep * N + 1/2) examples, at least one.
        seed: of the scoring and of the selection.
        reference: timm name of the network that scoring runs train, for ``reference_epochs`` (None: the recipe's).
        store: where trainings, scores and selections are kept and found again; a temporary one by default.

    Raises:
        UserError: what the user must change: an unknown name, pictures that cannot be used, keep out of range.
        MethodError: a method failed or broke its contract.
    """
    registry = plugins.installed()
    chooser = registry.method("selector", selector)
    ranker = _ranker(chooser, registry.method("scorer", scorer) if scorer else None)
    reference = canonical(reference)
    dataset = data if isinstance(data, Dataset) else dataset_of(data, labels, classes, keys)
    place = store if isinstance(store, Store) else Store(store) if store else temporary_store()
    harness = Harness(
        dataset,
        place,
        registry,
        reference=reference,
        reference_epochs=reference_epochs,
        device_name=device,
        progress=progress,
    )
    scores = score(harness, ranker, seed) if ranker else None
    fitted = fitting(registry, chooser, scores.comparable if scores else "set")
    return select(harness, scores, fitted, keep, seed, seed)


def _ranker(chooser: Method, scorer: Method | None) -> Method | None:
    """The scorer that the selector needs, or None where it ranks nothing."""
    if "hardness" not in chooser.needs:
        return None
    if scorer is None:
        raise UserError(f"{chooser.label} ranks by a score: say which with scorer, for example scorer='el2n'")
    return scorer
