"""Options out of range are refused before anything is loaded or trained, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prunebench import UserError

from .configs import whole
from .equations import REDUCTIONS
from .opening import STEPS
from .search import SEARCHES


def check(
    scorer: str,
    timestep: Any,
    samples: Any,
    noises: Any,
    draws: Any,
    reduction: str,
    rivals: Any,
    search: str,
    target: str = "original",
) -> None:
    """Refuse what ``scorer`` cannot do.

    Raises:
        UserError: naming the option, its range and what was given.
    """
    if timestep != "ib" and not whole(timestep, 0, STEPS - 1):
        raise UserError(f"{scorer}: timestep must be 'ib' or a DDIM step from 0 to {STEPS - 1}, got {timestep!r}")
    check_counts(scorer, samples=samples, noises=noises)
    if draws != "auto" and not whole(draws):
        raise UserError(f"{scorer}: draws must be auto or a number of at least 1, got {draws!r}")
    if rivals not in ("auto", "all") and not whole(rivals):
        raise UserError(f"{scorer}: rivals must be auto, all or a number of at least 1, got {rivals!r}")
    for name, value, choices in (("reduction", reduction, REDUCTIONS), ("search", search, SEARCHES)):
        if value not in choices:
            raise UserError(f"{scorer}: {name} must be one of {', '.join(choices)}, got {value!r}")
    if target not in ("original", "vae"):
        raise UserError(f"{scorer}: target must be original or vae, got {target!r}")


def check_classes(scorer: str, timestep: Any, classes: int) -> None:
    """Refuse to search t* where there is one class: no noise takes away what tells it from others.

    Raises:
        UserError: naming the way out.
    """
    if timestep == "ib" and classes < 2:
        raise UserError(
            f"{scorer}: timestep='ib' looks for where classes are lost, and this data set has one; give a DDIM step: "
            "timestep=20"
        )


@contextmanager
def under_name(scorer: str) -> Iterator[None]:
    """What the machinery of ``drd`` tells while another scorer works with it, told as that scorer's own."""
    try:
        yield
    except (UserError, ValueError) as error:
        told = str(error)
        if type(error) not in (UserError, ValueError) or not told.startswith("drd: "):
            raise
        raise type(error)(f"{scorer}: {told.removeprefix('drd: ')}") from error


def check_counts(scorer: str, **counts: Any) -> None:
    """Refuse a count below 1.

    Raises:
        UserError: naming the option and what was given.
    """
    for name, value in counts.items():
        if not whole(value):
            raise UserError(f"{scorer}: {name} must be a number of at least 1, got {value!r}")
