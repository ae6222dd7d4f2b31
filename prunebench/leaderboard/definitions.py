"""Which definitions made a selection, as its record and that of its scores tell."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from ..store import Record, Store
from ..types import TrialResult

if TYPE_CHECKING:
    from ..bundles.contents import Bundle

    Source = Store | Bundle


def definitions(sources: Sequence[Source]) -> Callable[[TrialResult], str]:
    """Trial -> short hash of the definitions and files of its selector and its scorer; "" where no record tells them.

    Where and on what they ran is no part of it. Every selection is looked up once.
    """

    @cache
    def of(kind: str, id: str) -> tuple[Any, ...]:
        found = next((record for source in sources if (record := _card(source, kind, id)) is not None), None)
        if found is None:
            return ()
        scores = found.identity.get("scores")
        made = found.identity.get("method"), found.identity.get("files")
        return (*made, *(of("scores", scores) if isinstance(scores, str) else ()))

    @cache
    def short(selection: str) -> str:
        told = of("selections", selection)
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:6] if told else ""

    return lambda trial: short(trial.selection)


def _card(source: Source, kind: str, id: str) -> Record | None:
    return source.card_alone(kind, id) if isinstance(source, Store) else source.by_id(kind, id)
