"""What papers print, beside what was measured here.

    z = (m - p) / sqrt(s_m^2 / n_m + s_p^2 / n_p)        m, s_m, n_m: mean, sd, seeds measured; p, s_p, n_p: published

Where seeds share scoring runs, the standard error over runs stands for s_m / sqrt(n_m), see `leaderboard.statistics`.
Where a paper tells its deviation s_p but not its n_p, n_p = 1 is taken, and |z| is at least what is told; without s_p
the standard error is that of the measured mean alone. z is given where both are of one data set, setting, network and
training length, so far as the source tells them; else what differs is told in its place. A source that reports its best
test epoch is compared with our best one, where there was a look at it. Where several tables fit a number equally well
and tell other accuracies, none is chosen.

The files in ``reference/`` hold numbers whose source was read, and no others:

    shared, entries: every entry is ``shared`` with its own fields on top, see `FIELDS`
    status: "transcribed", read where it was published; "quoted", read in another place that names it (README, review);
            "derived", computed by us from such
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..json_files import read_object
from ..leaderboard.statistics import Summary, standard_error, summarise
from ..spec import near

FOLDER = Path(__file__).parent / "reference"
STATUS = ("transcribed", "quoted", "derived")
QUANTITIES = {  # what a number is of, and the fields that say which
    "accuracy": ("scorer", "selector", "keep"),
    "margin": ("scorer", "over", "selector", "keep_up_to"),
    "quintile": ("quintile", "diagonal"),
}
FIELDS: dict[str, tuple[type, ...]] = {
    "paper": (str,),  # arXiv:NUMBER or doi:
    "table": (str,),  # or other place in it
    "source": (str,),  # what was read
    "dataset": (str,),
    "setting": (str,),  # as a record tells it: "" = clean
    "network": (str,),  # timm's name
    "budget": (str, type(None)),  # "steps", "epochs"; None: not told
    "steps": (int, type(None)),  # optimiser steps, where told
    "reporting": (str, type(None)),  # "last", "best" of the test epochs; None: not told
    "quantity": (str,),
    "mean": (float, int),  # per cent, or points
    "sd": (float, int, type(None)),
    "n": (int, type(None)),  # seeds; None: not told
    "status": (str,),
    "scorer": (str, type(None)),
    "selector": (str,),
    "over": (str,),  # the other scorer of a margin
    "keep": (float, int),
    "keep_up_to": (float, int),
    "quintile": (int,),  # 1 likely .. 5 unlikely
    "diagonal": (bool,),  # whether the test part that was trained on counts
}
_ALWAYS = tuple(FIELDS)[: tuple(FIELDS).index("scorer")]


@dataclass(frozen=True)
class Published:
    """One number of a paper."""

    paper: str
    table: str
    source: str
    dataset: str
    setting: str
    network: str
    budget: str | None
    steps: int | None
    reporting: str | None
    quantity: str
    mean: float
    sd: float | None
    n: int | None
    status: str
    which: tuple[Any, ...]  # the values of `QUANTITIES`


@dataclass(frozen=True)
class Measured:
    """One number of ours: a value per seed, and the conditions they share."""

    quantity: str
    which: tuple[Any, ...]
    dataset: str
    setting: str
    network: str
    image_size: int  # px
    budget: str
    steps: tuple[int, ...]
    values: tuple[float, ...]  # (n,) per cent, or points
    best: tuple[float, ...] = ()  # (n,) of the best test epoch, where there was a look
    runs: tuple[int, ...] | None = None  # (n,) the scoring run of each, where several had a part


@dataclass(frozen=True)
class Comparison:
    """A published number, the measured one, and how far they are apart where that can be said."""

    published: Published
    measured: Summary | None  # None: nothing was measured
    on: str  # data set, size of its pictures, network: of the measured one
    difference: float | None = None  # measured - published
    standard_errors: float | None = None
    at_least: bool = False  # n of the paper is not told
    why: str = ""  # what differs, where no difference is given


@cache
def published(name: str) -> tuple[Published, ...]:
    """The numbers of a file in ``reference/``.

    Raises:
        UserError: there is no such file, or something in it is not as `FIELDS` says.
    """
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        known = sorted(p.stem for p in FOLDER.glob("*.json"))
        raise UserError(f"there are no published numbers {name!r}{near(name, known)} (known: {', '.join(known)})")
    try:
        found = read_object(path)
        return tuple(_entry(found["shared"] | entry) for entry in found["entries"])
    except (ValueError, KeyError, TypeError) as wrong:
        raise UserError(f"{path.name} is no file of published numbers: {wrong}") from None


def _entry(fields: Mapping[str, Any]) -> Published:
    quantity = fields.get("quantity")
    if quantity not in QUANTITIES:
        raise ValueError(f"quantity must be one of {', '.join(QUANTITIES)}, got {quantity!r}")
    wanted = (*_ALWAYS, *QUANTITIES[quantity])
    for name in wanted:
        if name not in fields:
            raise ValueError(f"an entry has no {name!r}")
        if type(fields[name]) not in FIELDS[name]:
            raise ValueError(f"{name} must not be {fields[name]!r}")
    for name in fields:
        if name not in wanted:
            raise ValueError(f"an entry of {quantity} has no {name!r}")
    if fields["status"] not in STATUS:
        raise ValueError(f"status must be one of {', '.join(STATUS)}, got {fields['status']!r}")
    return Published(
        **{name: fields[name] for name in _ALWAYS}, which=tuple(fields[name] for name in QUANTITIES[quantity])
    )


def compare(entry: Published, measured: Sequence[Measured]) -> Comparison:
    """A published number beside the measured one that is most like it; ``which`` of both in canonical texts."""
    found = [m for m in measured if (m.quantity, m.which) == (entry.quantity, entry.which)]
    if not found:
        return Comparison(entry, None, "", why="not measured")
    reasons = [differing(entry, m) for m in found]
    best = min(range(len(found)), key=lambda i: len(reasons[i]))
    ours, why = found[best], reasons[best]
    fitting = [m for m, reason in zip(found, reasons, strict=True) if not reason]
    if len({_values(entry, m) for m in fitting}) > 1:
        tables = " and ".join(f"{_on(m)} ({summarise(_values(entry, m)).mean:.2f})" for m in fitting)
        why = [f"{len(fitting)} tables fit it equally well, {tables}"]
    values = _values(entry, ours)
    summary, on = summarise(values, ours.runs), _on(ours)
    if why:
        return Comparison(entry, summary, on, why="; ".join(why))
    difference = summary.mean - entry.mean
    return Comparison(
        entry,
        summary,
        on,
        difference,
        standard_errors(difference, standard_error(values, ours.runs), entry),
        at_least=entry.sd is not None and entry.n is None,
    )


def _values(entry: Published, measured: Measured) -> tuple[float, ...]:
    """Of the epoch that the paper reports."""
    return measured.best if entry.reporting == "best" and measured.best else measured.values


def _on(measured: Measured) -> str:
    return f"{measured.dataset} of {measured.image_size} px, {measured.network}"


def standard_errors(difference: float, ours: float | None, theirs: Published) -> float | None:
    """z; ``ours``: standard error of the measured mean. None where one seed was measured, or neither has a spread."""
    if ours is None:
        return None
    variance = ours**2 + (0.0 if theirs.sd is None else theirs.sd**2 / (theirs.n or 1))
    return difference / math.sqrt(variance) if variance > 0 else None


def differing(theirs: Published, ours: Measured) -> list[str]:
    """What keeps two numbers from being compared, in words; what the paper does not tell is no reason."""
    told = []
    if _bare(ours.dataset) != theirs.dataset:
        told.append(f"theirs is {theirs.dataset}, ours {ours.dataset}")
    if ours.setting != theirs.setting:
        told.append(f"theirs has {theirs.setting or 'clean labels'}, ours {ours.setting or 'clean labels'}")
    if ours.network != theirs.network:
        told.append(f"theirs trained {theirs.network}, ours {ours.network}")
    if theirs.budget is not None and theirs.budget != ours.budget:
        told.append(f"theirs trained equal {theirs.budget}, ours equal {ours.budget}")
    elif theirs.steps is not None and {theirs.steps} != set(ours.steps):
        steps = " to ".join(f"{steps:,}" for steps in sorted({min(ours.steps), max(ours.steps)}))
        told.append(f"theirs trained {theirs.steps:,} steps, ours {steps}")
    if theirs.reporting == "best" and not ours.best:
        told.append("theirs is the best of the test epochs, ours the last one")
    return told


def _bare(dataset: str) -> str:
    """Without options that leave the data as they are; a part of the data is another data set."""
    return dataset.removeprefix("prunebench/")
