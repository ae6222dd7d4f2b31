"""Scores outside a run: of a data set, of pictures, of what a training loop recorded, of embeddings."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import registry as plugins
from ..datasets.given import dataset_of
from ..errors import UserError
from ..evidence.account import Account
from ..evidence.calling import call, checked_details, checked_values
from ..evidence.given import Evidence
from ..evidence.scoring import ask
from ..evidence.scoring import score as score_in
from ..harness.shared import Harness, temporary_store
from ..methods import FUNCTIONS, VALUES, Method
from ..store import Store
from ..types import Dataset, Scored, Scores
from .given import GIVEN, given_to_scorer, length_of, plain_values


def score(
    scorer: str,
    data: Any,
    labels: Any = None,
    *,
    classes: Sequence[str] | None = None,
    keys: Sequence[str] | None = None,
    given: Mapping[str, Any] | None = None,
    seed: int = 0,
    reference: str = "resnet18",
    reference_epochs: int | None = None,
    device: str = "auto",
    store: str | Path | Store | None = None,
) -> Scores:
    """Score a `Dataset`, pictures ((N, 3, H, W) or (N, H, W) uint8) with labels, or any map-style data set.

    With ``data=None`` everything the scorer names must be in ``given``: its `history`, `features`, `embeddings`,
    `labels` and `classes`, and other scorers' numbers under their texts; ``labels`` and ``classes`` may stand beside it
    as well. With data, what is in ``given`` takes the place of what would be made, and the scores are not stored.
    Without ``store`` what is made on the way lives in a temporary one.

    Raises:
        UserError: something the scorer asks for is not there, or what is given does not fit; it is named.
    """
    registry = plugins.installed()
    method = registry.method("scorer", scorer)
    if not isinstance(given, (Mapping, type(None))):
        raise UserError(f"`given` is a {type(given).__name__}: a dictionary of names and arrays is expected")
    if data is None:
        return _score_given(registry, method, _told_once(given or {}, labels, classes), seed, keys)
    if isinstance(data, Dataset) and any(each is not None for each in (labels, classes, keys)):
        raise UserError("a Dataset has its own labels, classes and keys: leave out those given beside it")
    dataset = data if isinstance(data, Dataset) else dataset_of(data, labels, classes, keys)
    place = store if isinstance(store, Store) else Store(store) if store else temporary_store()
    harness = Harness(
        dataset, place, registry, reference=reference, reference_epochs=reference_epochs, device_name=device
    )
    return _score_given(registry, method, given, seed, None, harness) if given else score_in(harness, method, seed)


def _told_once(given: Mapping[str, Any], labels: Any, classes: Any) -> dict[str, Any]:
    beside = {name: value for name, value in (("labels", labels), ("classes", classes)) if value is not None}
    if both := sorted(beside.keys() & given.keys()):
        raise UserError(f"{both[0]} are given twice, as {both[0]}=... and in `given`: leave one out")
    return {**given, **beside}


def _score_given(
    registry: Any,
    method: Method,
    given: Mapping[str, Any],
    seed: int,
    keys: Sequence[str] | None,
    harness: Harness | None = None,
) -> Scores:
    _refuse_unused(registry, method, given, harness)
    n = length_of(given) if harness is None else len(harness.train)
    if keys is not None and not n == len(keys) == len(set(keys)):
        raise UserError(f"{n} examples need as many different keys, got {len(set(keys))}")
    order, place = (np.arange(n),) * 2 if harness is None else (harness.order, harness.place)
    rest = {name: given_to_scorer(registry, method, name, value, n, order) for name, value in given.items()}
    values: dict[str, Any] = {name: rest.pop(name) for name in ("history", "labels", "classes") if name in rest}
    if harness is None:
        names = tuple(keys) if keys is not None else tuple(f"train:{i}" for i in range(n))
        values = plain_values(method, seed, names) | _with_classes(values)
        account = Account(method.label)
    else:
        keys = harness.dataset.train.keys
        account = Account(method.label, harness.track, str(harness.device))
    started = time.perf_counter()
    found, _ = call(method, Evidence(method, account, seed, seed, harness, given=rest, values=values, ask=ask))
    scored = found if isinstance(found, Scored) else Scored(found)
    numbers, arrays = checked_details(scored.details, method)
    arrays = {name: a[place] if a.ndim and len(a) == n else a for name, a in arrays.items()}
    return Scores(
        values=checked_values(scored.values, n, method)[place],
        hard=method.entry.record.hard,
        scorer=method.text,
        comparable=method.entry.record.comparable,
        keys=tuple(keys) if keys is not None else None,
        fingerprint=None if harness is None else harness.dataset.fingerprint,
        details={**numbers, **arrays},
        cost=account.cost(time.perf_counter() - started),
        label_free=not account.reached,
    )


def _refuse_unused(registry: Any, method: Method, given: Mapping[str, Any], harness: Harness | None) -> None:
    """Raises:
    UserError: a name in ``given`` that the scorer makes no use of, or one that the data set or the harness brings.
    """
    usable = [name for name in GIVEN if name in method.needs]
    for name in given:
        if name in ("labels", "classes"):
            if harness is not None:
                raise UserError(f"the data have their own {name}: leave {name} out of `given`")
        elif "score" in method.needs and name not in (*VALUES, *FUNCTIONS):
            registry.method("scorer", name)
        elif name not in usable:
            told = [*usable, *(["scores of others"] if "score" in method.needs else [])]
            raise UserError(f"{method.label} takes no {name!r} from `given`: it takes {', '.join(told) or 'nothing'}")
    if kept := [name for name in ("stored", "blocks") if name in method.needs and harness is not None]:
        raise UserError(f"{method.label} keeps its work in the store ({kept[0]}), made of the data alone: omit `given`")


def _with_classes(values: dict[str, Any]) -> dict[str, Any]:
    """With the classes of the labels, where none are named."""
    if "labels" not in values:
        return values
    highest = int(values["labels"].max(initial=-1))
    names = values.get("classes", tuple(str(c) for c in range(highest + 1)))
    if highest >= len(names):
        raise UserError(f"the label {highest} is beyond the {len(names)} classes")
    return {**values, "classes": names}
