"""What a new plugin is called, as a distribution, as a module and as a method, and which names it may not have."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import keyword
import re
from dataclasses import dataclass

from ..errors import UserError
from ..methods import FUNCTIONS, VALUES
from ..registry import Registry

DISTRIBUTION = re.compile(r"[A-Z0-9]|[A-Z0-9][A-Z0-9._-]*[A-Z0-9]", re.IGNORECASE)  # PEP 508
PREFIX = "prunebench"
LONGEST = 50  # of the method's name; records take 64
RESERVED = ("baselines", "datasets", "deepcore", "drd")  # packages of the project's own, installed or not


@dataclass(frozen=True)
class Names:
    """One plugin by all its names."""

    kind: str  # scorer or selector
    name: str  # of the method, its function and its file
    distribution: str
    module: str

    @property
    def title(self) -> str:
        """For people."""
        return self.name.replace("_", " ").capitalize()


def named(text: str, kind: str, registry: Registry) -> Names:
    """``late-loss`` or ``prunebench-late-loss`` -> the method ``late_loss`` of the distribution prunebench-late-loss.

    Raises:
        UserError: it is no name of a package or function, is taken, or means something else to a method.
    """
    if not DISTRIBUTION.fullmatch(text):
        raise UserError(
            f"{text!r} is no name of a package (PEP 508): give letters, digits and -_. with a letter or digit at "
            "both ends, for example late-loss"
        )
    words = [word for word in re.split(r"[-_.]+", text.lower()) if word]
    bare = words[1:] if words[0] == PREFIX else words
    name = "_".join(bare)
    if not name:
        raise UserError(f"{text!r} names no method: give a name of its own, for example late-loss")
    if not name.isidentifier() or keyword.iskeyword(name):
        why = "is a keyword of Python" if keyword.iskeyword(name) else "begins with a digit"
        raise UserError(f"{name!r} {why}, so no function can bear it: give another name, for example my-{name}")
    if len(name) > LONGEST:
        raise UserError(f"the name {name!r} has {len(name)} characters: give one of {LONGEST} at most")
    if name in (*VALUES, *FUNCTIONS, "test", "torch"):
        raise UserError(f"{name!r} means something else inside a method: give another name, for example my-{name}")
    found = Names(kind, name, "-".join([PREFIX, *bare]), "_".join([PREFIX, *bare]))
    _refuse_taken(found, registry)
    return found


def _refuse_taken(names: Names, registry: Registry) -> None:
    for entry in registry.entries[names.kind].values():
        if entry.record.name == names.name:
            owner = f"{entry.plugin.distribution} {entry.plugin.version}"
            raise UserError(f"there is a {names.kind} {names.name!r} already, of {owner}: give another name")
    try:
        version = importlib.metadata.version(names.distribution)
    except importlib.metadata.PackageNotFoundError:
        version = ""
    if version:
        raise UserError(f"{names.distribution} {version} is installed already: give another name, or uninstall it")
    if names.name in RESERVED:
        raise UserError(
            f"{names.distribution} is a name of prunebench's own: give another name, for example my-{names.name}"
        )
    if importlib.util.find_spec(names.module) is not None:
        raise UserError(f"there is a module {names.module} already, which this one would hide: give another name")
