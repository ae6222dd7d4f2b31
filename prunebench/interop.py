"""Scores and selections outside a run, from arrays and recorded logits."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import registry as plugins
from .account import Account
from .budgets import budget_for
from .calling import call, checked_indices, checked_values
from .errors import UserError
from .evidence import Evidence
from .harness import Harness, plain_numbers, silent, temporary_store
from .methods import FUNCTIONS, VALUES, Method
from .scoring import score as score_in
from .seeds import example_seeds, held_out, key_order
from .selecting import checked_weights, fitting, refuse_not_finite
from .store import Store
from .types import Chosen, Dataset, Hard, Scored, Scores, Selection, Split
from .watching import watched


def score_log(scorer: str, logits: Any, labels: Any) -> Scores:
    """Any dynamics score from logits recorded elsewhere.

    Args:
        scorer: text of a scorer that needs only ``history`` (and labels), for example ``"el2n(epoch=10)"``.
        logits: (E, N, C) or (R, E, N, C) float, NumPy or torch, in the order of ``labels``.
        labels: (N,) integers in 0..C-1.

    Raises:
        UserError: shapes that do not fit, an epoch that was not recorded, or a scorer that needs more than logits.
    """
    import torch

    method = plugins.installed().method("scorer", scorer)
    if np.asarray(_plain(logits)).dtype.kind not in "iuf":
        raise UserError("logits must be (E, N, C) or (R, E, N, C) numbers")
    z = torch.as_tensor(_plain(logits)).float()
    z = z[None] if z.ndim == 3 else z
    y = torch.from_numpy(_whole(np.asarray(_plain(labels))))
    if z.ndim != 4 or y.ndim != 1 or z.shape[2] != len(y):
        raise UserError(
            f"logits must be (E, N, C) or (R, E, N, C) and labels (N,), "
            f"got {tuple(np.shape(logits))} and {tuple(y.shape)}"
        )
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < z.shape[3]:
        raise UserError(f"labels must lie in 0..{z.shape[3] - 1}, got {int(y.min())}..{int(y.max())}")
    if 0 in z.shape or z.shape[3] < 2:
        raise UserError(
            f"logits of shape {tuple(np.shape(logits))} hold no epoch, no example or fewer than two classes"
        )
    if not torch.isfinite(z).all():
        raise UserError("the logits hold a value that is not finite")
    _refuse_missing_epochs(method, z.shape[1], z.shape[0])
    history = recorded_history(method, z, y)
    return score(scorer, None, given={"history": history, "labels": y.numpy()})


def _refuse_missing_epochs(method: Method, epochs: int, runs: int) -> None:
    asked, wanted = method.options.get("epoch"), method.options.get("runs", 1)
    if isinstance(asked, int) and not 1 <= asked <= epochs:
        raise UserError(f"{method.label} asks for epoch {asked}, the log has {epochs} epochs")
    if isinstance(wanted, int) and wanted > runs:
        raise UserError(f"{method.label} asks for {wanted} runs, the log has {runs}: give logits (R, E, N, C)")


def recorded_history(method: Method, z: Any, y: Any) -> Any:
    """The recorder's statistics of recorded logits: (R, E, N) float32, or a dictionary of them."""
    import inspect

    import torch

    record = method.entry.record
    found = {}
    for name, w in watched(record.watch, record.watch_at, method.entry.key, method.entry.definition).items():
        previous = "previous" in inspect.signature(w.fn).parameters
        out = torch.full(z.shape[:3], float("nan"))
        for r, run in enumerate(z):
            for e in range(1 if previous else 0, len(run)):
                out[r, e] = w.fn(run[e], y, previous=run[e - 1]) if previous else w.fn(run[e], y)
        found[name] = out
    if not found:
        raise UserError(f"{method.label} watches no training: it cannot be computed from logits")
    return found if isinstance(record.watch, tuple) else next(iter(found.values()))


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

    With ``data=None`` everything the scorer names must be in ``given``. Without ``store`` what is made on the way lives
    in a temporary one.

    Raises:
        UserError: something the scorer asks for is not there; it is named.
    """
    registry = plugins.installed()
    method = registry.method("scorer", scorer)
    if data is None:
        return _score_given(method, dict(given or {}), seed, keys)
    dataset = data if isinstance(data, Dataset) else _dataset_of(data, labels, classes, keys)
    place = store if isinstance(store, Store) else Store(store) if store else temporary_store()
    harness = Harness(
        dataset, place, registry, reference=reference, reference_epochs=reference_epochs, device_name=device
    )
    return score_in(harness, method, seed)


def _score_given(method: Method, given: dict[str, Any], seed: int, keys: Sequence[str] | None) -> Scores:
    n = _length_of(given)
    names = tuple(keys) if keys is not None else tuple(f"train:{i}" for i in range(n))
    values = _values(method, seed, names) | {k: v for k, v in given.items() if k in ("history", "labels")}
    rest = {k: v for k, v in given.items() if k not in values}
    account = Account(method.label)
    started = time.perf_counter()
    found, _ = call(method, Evidence(method, account, seed, seed, given=rest, values=values))
    scored = found if isinstance(found, Scored) else Scored(found)
    numbers, arrays = plain_numbers(scored.details)
    return Scores(
        values=checked_values(scored.values, n, method),
        hard=method.entry.record.hard,
        scorer=method.text,
        comparable=method.entry.record.comparable,
        keys=tuple(keys) if keys is not None else None,
        details={**numbers, **arrays},
        cost=account.cost(time.perf_counter() - started),
        label_free=not account.reached,
    )


def _length_of(given: Mapping[str, Any]) -> int:
    for name, value in given.items():
        shape = np.shape(next(iter(value.values()))) if isinstance(value, Mapping) else np.shape(value)
        if shape:
            return shape[-1] if name == "history" else shape[0]
    raise UserError("with data=None, `given` must hold the arrays that the scorer names")


def _values(method: Method, seed: int, keys: Sequence[str]) -> dict[str, Any]:
    import torch

    return {
        "seeds": example_seeds(method.entry.record.name, seed, keys),
        "held_out": held_out(keys),
        "device": torch.device("cpu"),
        "progress": silent,
    }


def _dataset_of(data: Any, labels: Any, classes: Sequence[str] | None, keys: Sequence[str] | None) -> Dataset:
    import torch

    from .datasets.memory import MemoryImages

    if isinstance(data, (str, Path)) or not (hasattr(data, "shape") or hasattr(data, "__getitem__")):
        raise UserError(f"{data!r} is no data: give a Dataset, uint8 pictures, or a map-style data set")
    if not hasattr(data, "shape"):
        data, labels = _from_items(data, labels)
    pixels = torch.as_tensor(_plain(data))
    if pixels.dtype != torch.uint8 or pixels.ndim not in (3, 4):
        raise UserError(
            f"pictures must be (N, 3, H, W) or (N, H, W) uint8, got {pixels.dtype} of shape {tuple(pixels.shape)}"
        )
    if not len(pixels) or (pixels.ndim == 4 and pixels.shape[1] not in (1, 3)):
        raise UserError(
            f"pictures must be (N, 3, H, W) or (N, H, W) uint8 with N >= 1, got shape {tuple(pixels.shape)}"
        )
    images = MemoryImages(pixels)
    y = np.zeros(len(images), dtype=np.int64) if labels is None else _whole(np.asarray(_plain(labels)))
    names = tuple(classes) if classes is not None else tuple(str(c) for c in range(int(y.max(initial=0)) + 1))
    own = tuple(keys) if keys is not None else tuple(f"train:{i}" for i in range(len(images)))
    if not len(images) == len(y) == len(own) == len(set(own)):
        raise UserError(
            f"every picture needs one label and one key of its own: {len(images)} pictures, {len(y)} labels, "
            f"{len(set(own))} different keys"
        )
    if y.max(initial=0) >= len(names):
        raise UserError(f"the label {y.max()} is beyond the {len(names)} classes")
    train = Split(images, y, own)
    nothing = Split(images.take([]), y[:0], ())
    return Dataset("arrays", names, train, nothing)


def _from_items(data: Any, labels: Any) -> tuple[Any, Any]:
    """(N, 3, H, W) uint8 and labels of a map-style data set of (picture, label) pairs or of dictionaries."""
    import torch
    from torchvision.transforms.v2 import functional as F

    pictures, found = [], []
    for i in range(len(data)):
        picture, label = _pair(data[i])
        picture = F.to_image(picture.convert("RGB") if hasattr(picture, "convert") else picture)
        if picture.is_floating_point() and not (float(picture.min()) >= 0 and float(picture.max()) <= 1):
            raise UserError(f"the float picture {i} leaves [0, 1]: give pictures before they are normalised")
        pictures.append(F.to_dtype(picture, torch.uint8, scale=True))
        found.append(label)
    if len({p.shape for p in pictures}) > 1:
        raise UserError("the pictures differ in size: resize them to one, or use folder:DIR, which does")
    return torch.stack(pictures), labels if labels is not None else np.asarray(found)


def _pair(item: Any) -> tuple[Any, Any]:
    if isinstance(item, Mapping):
        found = next((item[name] for name in ("image", "img") if name in item), None)
        if found is not None:
            return found, item.get("label")
    elif isinstance(item, (tuple, list)) and len(item) >= 2:
        return item[0], item[1]
    raise UserError("a map-style data set must give (picture, label) pairs, or dictionaries with `image` and `label`")


def select(
    selector: str,
    scores: Scores | Any,
    *,
    keep: float,
    hard: Hard | None = None,
    labels: Any = None,
    given: Mapping[str, Any] | None = None,
    keys: Sequence[str] | None = None,
    seed: int = 0,
) -> Selection:
    """Select from scores computed anywhere.

    Args:
        scores: `Scores`, or (N,) raw numbers with ``hard`` ("high" or "low") saying which end is hard.
        labels: (N,) integers, for selectors that name them.
        given: other things the selector asks for: an input's name or a scorer's text -> array or `Scores`.

    Ties go to the lower position where there are no keys, and by a hash of the key where there are.

    Raises:
        UserError: keep out of range, scores that are not finite, or a missing input, which is named.
    """
    registry = plugins.installed()
    scores = _as_scores(scores, hard, keys)
    refuse_not_finite(scores.values)
    method = fitting(registry, registry.method("selector", selector), scores.comparable)
    n = len(scores)
    try:
        budget = budget_for(float(keep), n)
    except (ValueError, TypeError):
        raise UserError(f"keep must lie in (0, 1], got {keep!r}") from None
    order = key_order(scores.keys) if scores.keys else np.arange(n)
    values = _selector_values(method, scores, order, labels, seed) | {"budget": budget}
    rest = {name: _given(registry, name, value, n)[order] for name, value in (given or {}).items()}
    account = Account(method.label)
    started = time.perf_counter()
    found, _ = call(method, Evidence(method, account, seed, seed, given=rest, values=values, keep=keep))
    chosen = found if isinstance(found, Chosen) else Chosen(found)
    indices = order[checked_indices(chosen.indices, n, budget, method)]
    weights = checked_weights(chosen.weights, budget, method)
    ascending = np.argsort(indices)
    numbers, arrays = plain_numbers(chosen.details)
    return Selection(
        indices=indices[ascending],
        scorer=None if method.entry.record.ranks == "none" else scores.scorer,
        selector=method.text,
        keep=float(keep),
        seed=seed,
        size=n,
        weights=None if weights is None else weights[ascending],
        keys=tuple(scores.keys[i] for i in indices[ascending]) if scores.keys else None,
        fingerprint=scores.fingerprint,
        details={**numbers, **arrays},
        cost=account.cost(time.perf_counter() - started),
        label_free=not account.reached and bool(scores.label_free),
    )


def _selector_values(method: Method, scores: Scores, order: np.ndarray, labels: Any, seed: int) -> dict[str, Any]:
    """What a selector may name without a data set, in ``order`` (N,)."""
    names = scores.keys or tuple(f"train:{i}" for i in range(len(scores)))
    values = _values(method, seed, [names[i] for i in order])
    values |= {"hardness": scores.hardness[order], "details": dict(scores.details)}
    if labels is not None:
        values["labels"] = _whole(_fitting_array(labels, len(scores), "labels"))[order]
        values["classes"] = tuple(str(c) for c in range(int(values["labels"].max()) + 1))
    return values


def _as_scores(scores: Any, hard: Hard | None, keys: Sequence[str] | None) -> Scores:
    if hard not in (None, "high", "low"):
        raise UserError(f"hard must be 'high' or 'low', got {hard!r}")
    if isinstance(scores, Scores):
        own = tuple(keys) if keys is not None else scores.keys
        return _with_own_keys(replace(scores, hard=hard or scores.hard, keys=own))
    if hard not in ("high", "low"):
        raise UserError("which end of these scores is hard? say hard='high' or 'low' (--hard on the command line)")
    values = np.asarray(_plain(scores))
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise UserError(f"scores must be (N,) numbers, got {values.dtype} of shape {values.shape}")
    own = tuple(keys) if keys is not None else None
    return _with_own_keys(Scores(values.astype(np.float64), hard, "given", keys=own))


def _with_own_keys(scores: Scores) -> Scores:
    if scores.keys is not None and not len(scores) == len(scores.keys) == len(set(scores.keys)):
        raise UserError(f"{len(scores)} scores need as many different keys, got {len(set(scores.keys))}")
    return scores


def _given(registry: Any, name: str, value: Any, n: int) -> np.ndarray:
    """An input as it is; a scorer's raw numbers turned by that scorer's own ``hard``."""
    if isinstance(value, Scores):
        refuse_not_finite(value.values)
        return _fitting_array(value.hardness, n, name)
    array = _fitting_array(value, n, name)
    if name in ("hardness", "budget", "details", "labels"):
        raise UserError(f"{name} is not given with `given`: it comes from the scores, keep or `labels`")
    if name in (*VALUES, *FUNCTIONS):
        return array
    if array.ndim != 1:
        raise UserError(f"the scores of {name} must be (N,) numbers, got shape {array.shape}")
    refuse_not_finite(array)
    return array if registry.method("scorer", name).entry.record.hard == "high" else -array


def _fitting_array(value: Any, n: int, name: str) -> np.ndarray:
    array = np.asarray(_plain(value))
    if array.ndim < 1 or len(array) != n:
        raise UserError(f"{name} has shape {array.shape}, there are {n} scores: one row per example is expected")
    return array


def _whole(labels: np.ndarray) -> np.ndarray:
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or (len(labels) and labels.min() < 0):
        raise UserError(f"labels must be (N,) integers from 0 on, got {labels.dtype} of shape {labels.shape}")
    return labels.astype(np.int64)


def _plain(value: Any) -> Any:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value
