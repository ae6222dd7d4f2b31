"""The plugin surface: four hooks, four records. Only the standard library and pluggy are imported here.

A method's parameters before ``*`` are what it is given, by name; those after are the user's options with the paper's
defaults. Values are free, functions cost: CONTRACT in ``docs/plugins.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pluggy

hookspec = pluggy.HookspecMarker("prunebench")
hookimpl = pluggy.HookimplMarker("prunebench")

Options = Mapping[str, Any]  # name -> value
Fn = Callable[..., Any] | str  # a callable, or "package.module:name", which is read without being imported


@dataclass(frozen=True)
class Scorer:
    """Gives every training example one number."""

    name: str  # of the scorer, as in `--scorer NAME`: letters, digits and -_. only
    fn: Fn  # -> (N,) or Scored
    hard: Literal["high", "low"]  # which end of the paper's number means hard
    comparable: Literal["set", "class"] = "set"  # "class": numbers compare only inside a class
    watch: Any = ()  # statistic(s) recorded as `history`: standard name, function, lazy reference, or a tuple of these
    watch_at: Literal["presentation", "epoch_end"] = "presentation"  # where the record's own functions are watched
    definition: int | str | None = None  # changes when the numbers change; None: the distribution's version
    bytes_per_example: int | None = None  # most memory of the method itself, beside its inputs (of features: 512 wide)
    stream: Fn | None = None  # of a scorer that names history only: the same numbers from one epoch at a time
    paper: str = ""  # arXiv:NUMBER or an address
    bibtex: str = ""  # its citation
    checked_with: Options = field(default_factory=dict, hash=False)  # used by the checks, where defaults are dear


@dataclass(frozen=True)
class Selector:
    """Keeps k of N examples."""

    name: str  # of the selector, as in `--selector NAME`
    fn: Fn  # -> (k,) or Chosen
    ranks: Literal["set", "class", "none"] = "set"  # orders all together, each class by itself, or nothing
    definition: int | str | None = None  # changes when the choice changes; None: the distribution's version
    bytes_per_example: int | None = None  # most memory of the method itself, beside its inputs
    paper: str = ""  # arXiv:NUMBER or an address
    bibtex: str = ""  # its citation
    oracle: bool = False  # looks at what a contender may not see: its rows are marked and never ranked
    checked_with: Options = field(default_factory=dict, hash=False)  # used by the checks, where defaults are dear


@dataclass(frozen=True)
class DatasetEntry:
    """Loads a data set: ``fn(root, *, download=False, image_size=None, **options) -> Dataset``."""

    name: str  # of the data set, as in `--dataset NAME`
    fn: Fn  # -> Dataset
    expects: str = ""  # one sentence: which files are expected under the data root


@dataclass(frozen=True)
class Command:
    """A click command under ``prunebench``, named lazily."""

    name: str  # as in `prunebench NAME`
    fn: Fn  # a click command
    help: str  # one sentence, for `prunebench --help`


@hookspec
def prunebench_scorers() -> Iterable[Scorer]:  # type: ignore[empty-body]
    """Scorers this plugin offers."""


@hookspec
def prunebench_selectors() -> Iterable[Selector]:  # type: ignore[empty-body]
    """Selectors this plugin offers."""


@hookspec
def prunebench_datasets() -> Iterable[DatasetEntry]:  # type: ignore[empty-body]
    """Data sets this plugin offers; a loader runs only when asked for."""


@hookspec
def prunebench_commands() -> Iterable[Command]:  # type: ignore[empty-body]
    """Commands this plugin adds to the command line."""
