"""Who offers what: installed plugins, one at a time, whole or not at all.

A plugin that raises, exits, is too new, clashes or is misspelt is told by ``prunebench plugins`` and stops nobody else.
Keys are ``distribution/name``; a bare name works while it is unique.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import ModuleType
from typing import Any

import pluggy

from . import hookspecs, spec
from .errors import UserError
from .hookspecs import Command, DatasetEntry, Scorer, Selector
from .methods import Entry, Method, Plugin, check_inputs
from .portable import with_tilde

log = logging.getLogger("prunebench")
CORE = "prunebench"  # the distribution whose plugins are always on
_KINDS: dict[str, type] = {"scorer": Scorer, "selector": Selector, "dataset": DatasetEntry, "command": Command}


@dataclass
class Registry:
    """All that is offered, by kind and key."""

    plugins: list[Plugin] = field(default_factory=list)
    entries: dict[str, dict[str, Entry]] = field(default_factory=lambda: {kind: {} for kind in _KINDS})

    def add(self, plugin: Plugin, module: Any) -> None:
        """Take a plugin whole, or note its problem and take nothing.

        Raises:
            Exception: whatever was wrong, when ``PRUNEBENCH_STRICT_PLUGINS=1``.
        """
        try:
            found = [e for kind in _KINDS for e in _entries(kind, plugin, module)]
            self._refuse_clashes(found)
        except (Exception, SystemExit) as problem:
            self.problem(plugin, problem)
            return
        self.plugins.append(plugin)
        for entry in found:
            self.entries[entry.kind][entry.key] = entry

    def problem(self, plugin: Plugin, problem: BaseException) -> None:
        if os.environ.get("PRUNEBENCH_STRICT_PLUGINS") == "1":
            raise problem
        told = f"exits when imported ({problem.code})" if isinstance(problem, SystemExit) else _one_line(problem)
        self.plugins.append(Plugin(plugin.name, plugin.distribution, plugin.version, plugin.module, told))
        log.info("plugin %s of %s %s: %s", plugin.name, plugin.distribution, plugin.version, told)

    def _refuse_clashes(self, found: Sequence[Entry]) -> None:
        seen = {(e.kind, key) for kind in _KINDS for key, e in self.entries[kind].items()}
        for entry in found:
            if (entry.kind, entry.key) in seen:
                raise ValueError(f"offers the {entry.kind} {entry.key} a second time")
            seen.add((entry.kind, entry.key))

    def find(self, kind: str, name: str, distribution: str | None = None) -> Entry:
        """The one entry of that kind and name.

        Raises:
            UserError: there is none (near names are suggested), or several packages offer it.
        """
        entries = self.entries[kind]
        if distribution:
            if f"{distribution}/{name}" in entries:
                return entries[f"{distribution}/{name}"]
            raise UserError(f"{distribution} offers no {kind} {name!r}: see `prunebench ls`")
        found = [e for e in entries.values() if e.record.name == name]
        if len(found) == 1:
            return found[0]
        if found:
            keys = " and ".join(sorted(e.key for e in found))
            raise UserError(f"{len(found)} packages offer a {kind} {name!r}: say which, {keys}")
        raise UserError(f"there is no {kind} {name!r}{self.way_out(kind, name)}")

    def way_out(self, kind: str, name: str) -> str:
        """Why it is not there, or what may have been meant."""
        known = {e.record.name for e in self.entries[kind].values()}
        return self.why_missing(name) or spec.near(name, known) or ": see `prunebench ls`"

    def why_missing(self, name: str) -> str:
        """That its plugin could not be loaded, was left out or is a package of its own, or nothing."""
        for plugin in self.plugins:
            if plugin.skipped and name.lower() in (plugin.name, plugin.distribution):
                return f": {plugin.distribution} was left out by --no-plugin or PRUNEBENCH_PLUGINS"
        for plugin in self.plugins:
            if plugin.problem and name.lower() in f"{plugin.name} {plugin.distribution}".lower():
                return f": the plugin {plugin.name} of {plugin.distribution} could not be loaded ({plugin.problem})"
        if name == "drd":
            return ": it is a package of its own, `pip install prunebench-drd` (in a clone: pip install -e plugins/drd)"
        return ""

    def method(self, kind: str, text: str) -> Method:
        """The scorer or selector that a text stands for, options bound.

        Raises:
            UserError: unknown name or option, wrong type, or a combinator without its inner selector.
        """
        return self._bind(kind, spec.parse(text))

    def _bind(self, kind: str, wanted: spec.Spec) -> Method:
        entry = self.find(kind, wanted.name, wanted.distribution)
        signature = entry.call_signature()
        options = spec.bind(signature.options, wanted.options, f"the {kind} {entry.record.name}", signature.numbers)
        options = {name: with_tilde(value) for name, value in options.items()}
        if "inner" not in signature.inputs:
            if wanted.inner is not None:
                raise UserError(f"the {kind} {entry.record.name} takes no other method inside")
            return Method(entry, options)
        if wanted.inner is None:
            raise UserError(f"{entry.record.name} needs a selector inside, for example {entry.record.name}(ccs)")
        inner = self._bind(kind, wanted.inner)
        if inner.entry.record.ranks == "class" and "labels" in signature.inputs:
            raise UserError(
                f"{inner.entry.record.name} works class by class already: use it without {entry.record.name}"
            )
        return Method(entry, options, inner)

    def dataset(self, text: str) -> tuple[Entry, dict[str, Any]]:
        """The loader that a text stands for, and its options."""
        wanted = spec.parse(text)
        entry = self.find("dataset", wanted.name, wanted.distribution)
        options = {k: v for k, v in entry.call_signature().options.items() if k not in ("download", "image_size")}
        return entry, spec.bind(options, wanted.options, f"the data set {entry.record.name}")


def _entries(kind: str, plugin: Plugin, module: Any) -> Iterable[Entry]:
    hook = f"prunebench_{kind}s"
    manager = pluggy.PluginManager("prunebench")
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    _refuse_misspelt(manager, module)
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        for record in implementation.function():
            yield _entry(kind, record, plugin)


def _refuse_misspelt(manager: pluggy.PluginManager, module: Any) -> None:
    known = [name for name in vars(hookspecs) if name.startswith("prunebench_")]
    for name in dir(module):
        if name not in known and manager.parse_hookimpl_opts(module, name) is not None:
            raise ValueError(f"has a hook {name!r} that prunebench does not know{spec.near(name, known)}")


def _entry(kind: str, record: Any, plugin: Plugin) -> Entry:
    expected: Any = _KINDS[kind]
    if not isinstance(record, expected):
        raise TypeError(
            f"prunebench_{kind}s returned a {type(record).__name__}, expected {_KINDS[kind].__name__} records"
        )
    if not spec.is_name(str(record.name)):
        raise ValueError(f"the name {record.name!r} may have letters, digits and -_. only, at most 64")
    _refuse_wrong_fields(kind, record)
    signature = spec.signature_of(record.fn) if kind != "command" else None
    if signature is not None and kind in ("scorer", "selector"):
        check_inputs(kind, record.name, signature)
    return Entry(kind, record, plugin, signature)


def _refuse_wrong_fields(kind: str, record: Any) -> None:
    choices: dict[str, dict[str, tuple[str, ...]]] = {
        "scorer": {"hard": ("high", "low"), "comparable": ("set", "class"), "watch_at": ("presentation", "epoch_end")},
        "selector": {"ranks": ("set", "class", "none")},
    }
    for name, allowed in choices.get(kind, {}).items():
        if getattr(record, name) not in allowed:
            raise ValueError(
                f"{record.name}: {name} must be one of {', '.join(allowed)}, got {getattr(record, name)!r}"
            )
    cheap = getattr(record, "checked_with", {})
    if not isinstance(cheap, Mapping):
        raise ValueError(f"{record.name}: checked_with must be a dictionary of options, got {cheap!r}")


def _too_new(distribution: importlib.metadata.Distribution | None) -> str:
    """The distribution's own requirement on prunebench, where the installed one does not meet it."""
    needs = [r for r in (distribution.requires if distribution else None) or () if r.startswith(CORE)]
    if not needs:
        return ""
    from packaging.requirements import Requirement

    have = importlib.metadata.version(CORE)
    for text in needs:
        requirement = Requirement(text)
        if requirement.name == CORE and not requirement.specifier.contains(have, prereleases=True):
            return f"needs {text}, this is prunebench {have}"
    return ""


def _one_line(problem: BaseException) -> str:
    return " ".join(f"{type(problem).__name__}: {problem}".split())[:500]


def collect(
    modules: Sequence[tuple[Plugin, ModuleType]] = (), installed: bool = True, without: Sequence[str] = ()
) -> Registry:
    """Load the plugins: those installed (allow list ``PRUNEBENCH_PLUGINS``, less ``without``) and those given."""
    registry = Registry()
    points = importlib.metadata.entry_points(group="prunebench") if installed else ()
    for point in sorted(
        points, key=lambda p: (p.dist is None or p.dist.name != CORE, p.dist.name if p.dist else "", p.name)
    ):
        name, version = (point.dist.name, point.dist.version) if point.dist else ("unknown", "0")
        plugin = Plugin(point.name, name, version, point.value)
        if _left_out(plugin, without):
            registry.plugins.append(Plugin(point.name, name, version, point.value, skipped=True))
            continue
        started = time.perf_counter()
        try:
            if too_new := _too_new(point.dist):
                raise ValueError(too_new)
            module = point.load()
        except (Exception, SystemExit) as problem:
            registry.problem(plugin, problem)
            continue
        registry.add(plugin, module)
        trace = "plugin %s of %s %s loaded in %.3f s"
        log.info(trace, plugin.name, plugin.distribution, plugin.version, time.perf_counter() - started)
    if installed:
        _tell_misspelt(registry)
    for plugin, module in modules:
        registry.add(plugin, module)
    return registry


def _tell_misspelt(registry: Registry) -> None:
    """Names of the allow list that nothing installed bears, as problems: one letter may turn every plugin off."""
    known = {name for p in registry.plugins for name in (p.name, p.distribution)}
    for name in sorted(_allowed() or ()):
        if name not in known:
            told = f"PRUNEBENCH_PLUGINS names {name!r}, and there is no such plugin{spec.near(name, known)}"
            registry.problem(Plugin(name, "PRUNEBENCH_PLUGINS", "", "not installed"), UserError(told))


def _allowed() -> set[str] | None:
    """What ``PRUNEBENCH_PLUGINS`` names; None where it is not set."""
    told = os.environ.get("PRUNEBENCH_PLUGINS")
    return None if told is None else {name.strip() for name in told.split(",") if name.strip()}


def _left_out(plugin: Plugin, without: Sequence[str]) -> bool:
    names = {plugin.name, plugin.distribution}
    if plugin.distribution == CORE:
        return False
    allowed = _allowed()
    if allowed is not None and not names & allowed:
        return True
    return bool(names & set(without))


@lru_cache(maxsize=1)
def _installed(without: tuple[str, ...], allowed: str | None) -> Registry:
    registry = collect(without=without)
    known = {name for p in registry.plugins for name in (p.name, p.distribution)}
    for name in without:
        if any(p.distribution == CORE and name in (p.name, p.distribution) for p in registry.plugins):
            raise UserError(f"{name} is part of prunebench and cannot be left out: name a plugin of another package")
        if name not in known:
            raise UserError(
                f"there is no plugin {name!r} to leave out{spec.near(name, known)}: see `prunebench plugins`"
            )
    return registry


_without: tuple[str, ...] = ()


def leave_out(names: Sequence[str]) -> None:
    """``--no-plugin``: from now on `installed` loads nothing of these plugins or distributions."""
    global _without
    _without = tuple(names)


def left_out() -> tuple[str, ...]:
    """What `leave_out` was told."""
    return _without


def installed() -> Registry:
    """The registry of this process, loaded once.

    Raises:
        UserError: a plugin to be left out is not there, or is built in.
    """
    return _installed(_without, os.environ.get("PRUNEBENCH_PLUGINS"))
