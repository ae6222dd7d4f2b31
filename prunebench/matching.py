"""Examples that somebody else names, found among ours: by key, or by the end of the path where that tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from .errors import UserError


def places_of(wanted: Sequence[str], among: Sequence[str], whose: str) -> np.ndarray:
    """The position in ``among`` of every one of ``wanted``: (n,) int64.

    ``train/cat/7.png`` is found as ``cat/7.png`` or ``7.png`` too, and the other way round, where no two of ``among``
    share that name.

    Raises:
        UserError: ``whose`` file does not name them all, or names one twice.
    """
    missing = []  # where the names of ``among`` tell them apart: those that none of them bears
    for parts in (None, 2, 1):
        place = {_end(name, parts): position for position, name in enumerate(among)}
        found = [place.get(_end(name, parts), -1) for name in wanted]
        if len(place) == len(among) and len(set(found)) == len(wanted) and -1 not in found:
            return np.array(found, dtype=np.int64)
        if len(place) == len(among) and -1 in found:
            missing.append([name for name, position in zip(wanted, found, strict=True) if position < 0])
    if len(set(among)) < len(among):
        raise UserError(f"{whose} names an example twice: each needs a name of its own")
    if len(set(wanted)) < len(wanted):
        twice = next(name for name, count in Counter(wanted).items() if count > 1)
        raise UserError(f"{twice!r} of {whose} is asked for twice: each example needs a name of its own")
    absent = min(missing, key=len, default=list(wanted))
    raise UserError(
        f"{whose} has no {absent[0]!r} ({len(absent)} of {len(wanted)} names are missing); its names are like "
        f"{among[0] if among else 'nothing'!r}: keys, or at least distinct file names, must agree"
    )


def _end(name: str, parts: int | None) -> str:
    """The last folders and the file name, ``parts`` of them; all for None."""
    return name if parts is None else "/".join(name.replace("\\", "/").split("/")[-parts:])
