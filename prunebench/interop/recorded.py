"""Dynamics scores of logits that were recorded elsewhere."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import registry as plugins
from ..arrays import as_labels, as_numpy
from ..errors import UserError
from ..harness.watching import watched
from ..methods import Method
from ..types import Scores
from .given import refuse_missing_epochs
from .scoring import score


def score_log(scorer: str, logits: Any, labels: Any) -> Scores:
    """Any dynamics score from logits recorded elsewhere.

    Args:
        scorer: text of a scorer that needs only ``history`` (and labels), for example ``"el2n(epoch=10)"``.
        logits: (E, N, C) or (R, E, N, C) float, NumPy or torch, in the order of ``labels``.
        labels: (N,) integers in 0..C-1.

    Raises:
        UserError: shapes that do not fit, an epoch that was not recorded, or a scorer that needs more than logits.
    """
    method = plugins.installed().method("scorer", scorer)
    if as_numpy(logits).dtype.kind not in "iuf":
        raise UserError("logits must be (E, N, C) or (R, E, N, C) numbers")
    z = torch.as_tensor(as_numpy(logits)).float()
    z = z[None] if z.ndim == 3 else z
    y = torch.from_numpy(as_labels(labels))
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
    refuse_missing_epochs(method, z.shape[1], z.shape[0])
    history = recorded_history(method, z, y)
    return score(scorer, None, given={"history": history, "labels": y.numpy()})


def recorded_history(method: Method, z: Tensor, y: Tensor) -> Any:
    """The recorder's statistics of recorded logits: (R, E, N) float32, or a dictionary of them."""
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
