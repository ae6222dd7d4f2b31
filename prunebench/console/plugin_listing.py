"""Which plugins there are, from which package and folder, what each offers, and why one could not be loaded."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Sequence
from typing import Any

import click

from ..errors import UserError
from ..methods import Plugin
from ..portable import with_tilde
from ..registry import CORE, Registry, installed
from ..spec import near, source_of
from .listing import printable

WIDTH = 12  # of the first column of a plugin's page


def show_plugins(words: Sequence[str], problems: bool, as_json: bool) -> None:
    """All plugins in a line each, those of a name, or with ``show NAME`` all there is to know of them.

    Raises:
        UserError: there is no such plugin, or more is asked for than a name.
    """
    whole = words[:1] == ("show",)
    names = words[1:] if whole else words
    if len(names) > 1 or (whole and not names):
        raise UserError("name one plugin: `prunebench plugins show NAME`; `prunebench plugins` lists them all")
    registry = installed()
    found = _named(registry, names[0]) if names else list(registry.plugins)
    found = [plugin for plugin in found if plugin.problem or not problems]
    rows = [(_page if whole else _row)(registry, plugin) for plugin in found]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        click.echo(printable("\n".join(_page_lines(row) if whole else _row_lines(row))))
    if problems and not rows:
        click.echo("every plugin could be loaded")


def _named(registry: Registry, name: str) -> list[Plugin]:
    found = [plugin for plugin in registry.plugins if name in (plugin.name, plugin.distribution)]
    if not found:
        known = {p.name for p in registry.plugins} | {p.distribution for p in registry.plugins}
        raise UserError(f"there is no plugin {name!r}{near(name, known) or ': see `prunebench plugins`'}")
    return found


def _row(registry: Registry, plugin: Plugin) -> dict[str, Any]:
    offers: dict[str, list[str]] = {}
    for entries in registry.entries.values():
        for entry in entries.values():
            if entry.plugin == plugin:
                offers.setdefault(f"{entry.kind}s", []).append(entry.record.name)
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "module": plugin.module,
        "state": "left out" if plugin.skipped else "problem" if plugin.problem else "on",
        "problem": plugin.problem,
        "offers": offers,
    }


def _page(registry: Registry, plugin: Plugin) -> dict[str, Any]:
    """A row with the hooks, where the files are, what the distribution asks of prunebench, and the way out."""
    row = _row(registry, plugin)
    return row | {
        "entry_point": f"{plugin.name} = {plugin.module}",
        "hooks": [f"prunebench_{kind}" for kind in row["offers"]],
        "from": _place(plugin),
        "requires": _requires(plugin),
        "way_out": _way_out(plugin),
    }


def _place(plugin: Plugin) -> str:
    """The file of the entry module, which is not imported for it."""
    try:
        return str(with_tilde(str(source_of(plugin.module.partition(":")[0]))))
    except (LookupError, ImportError, ValueError):
        return ""


def _requires(plugin: Plugin) -> list[str]:
    try:
        needs = importlib.metadata.requires(plugin.distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [need for need in needs if need.startswith(CORE) and "extra ==" not in need]


def _way_out(plugin: Plugin) -> str:
    if plugin.skipped:
        return "it was left out by --no-plugin or PRUNEBENCH_PLUGINS"
    if plugin.distribution == "PRUNEBENCH_PLUGINS":
        return "correct the list in the environment"
    if plugin.problem:
        if _needs_newer(plugin):
            return f"pip install -U {CORE}, or run with --no-plugin {plugin.name}"
        package = plugin.distribution
        return f"install another version of {package}, or run with --no-plugin {plugin.name}; tell its authors"
    return ""


def _needs_newer(plugin: Plugin) -> bool:
    """Whether what keeps it off is a requirement that only a newer prunebench meets."""
    from packaging.requirements import Requirement
    from packaging.version import Version

    have = Version(importlib.metadata.version(CORE))
    wanted = [part for text in _requires(plugin) for part in Requirement(text).specifier]
    least = [part.version.removesuffix(".*") for part in wanted if part.operator in (">", ">=", "~=", "==")]
    return f"this is {CORE}" in plugin.problem and any(Version(version) > have for version in least)


def _row_lines(row: dict[str, Any]) -> list[str]:
    package = f"{row['distribution']} {row['version']}".strip()
    lines = [f"{row['name']}  ({package}, {row['module']}): {row['state']}"]
    lines += [f"  {row['problem']}"] if row["problem"] else []
    return lines + [f"  {kind}: {', '.join(names)}" for kind, names in row["offers"].items()]


def _page_lines(row: dict[str, Any]) -> list[str]:
    told = {
        "package": f"{row['distribution']} {row['version']}",
        "entry point": row["entry_point"],
        "from": row["from"] or "a module that cannot be found",
        "requires": ", ".join(row["requires"]),
        "hooks": ", ".join(row["hooks"]),
        **{kind: ", ".join(names) for kind, names in row["offers"].items()},
        "problem": row["problem"],
        "way out": row["way_out"],
    }
    return [f"{row['name']}: {row['state']}", *(f"  {what:<{WIDTH}}{text}" for what, text in told.items() if text)]
