"""What is there: methods, data sets, plugins, this machine. Nothing here imports torch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
from collections.abc import Sequence
from typing import Any

import click

from .errors import UserError
from .methods import Entry, Method
from .registry import installed
from .spec import near, write

KINDS = ("scorer", "selector", "dataset")
NEEDS = {  # input -> what people call it
    "labels": "labels",
    "history": "training",
    "features": "trained features",
    "network": "trained network",
    "embeddings": "embeddings",
    "neighbours": "neighbours",
    "score": "other scores",
    "observe": "own trainings",
    "judge": "trial trainings",
    "stored": "own model",
    "images": "pictures",
    "inner": "a selector",
}


def show(what: str | None, bibtex: bool, as_json: bool) -> None:
    """All kinds, one kind, or one entry.

    Raises:
        UserError: nothing bears that name.
    """
    registry = installed()
    kinds = {"scorers": ("scorer",), "selectors": ("selector",), "datasets": ("dataset",), None: KINDS}.get(what)
    if kinds is None:
        found = entries_named(str(what))
        if as_json:
            click.echo(json.dumps([told(entry) for entry in found], indent=1))
        else:
            for entry in found:
                _card(entry, bibtex)
        return
    if as_json:
        click.echo(json.dumps({f"{k}s": [told(e) for e in registry.entries[k].values()] for k in kinds}, indent=1))
        return
    for kind in kinds:
        _table(kind, list(registry.entries[kind].values()))
    problems = [p for p in registry.plugins if p.problem]
    if problems:
        click.echo(f"{len(problems)} plugins could not be loaded: see `prunebench plugins --problems`")
    if not any(e.record.name == "drd" for e in registry.entries["scorer"].values()) and "scorer" in kinds:
        click.echo("drd is a package of its own: pip install prunebench-drd (in a clone: pip install -e plugins/drd)")


def entries_named(name: str, kinds: Sequence[str] = KINDS) -> list[Entry]:
    """The entries of a name; ``scorer:NAME`` picks one kind.

    Raises:
        UserError: nothing bears that name.
    """
    registry = installed()
    kind, colon, rest = name.partition(":")
    if colon and kind in KINDS:
        return [_find(kind, rest)]
    known = [e for k in kinds for e in registry.entries[k].values() if name in (e.record.name, e.key)]
    if not known:
        names = {e.record.name for k in kinds for e in registry.entries[k].values()}
        reason = registry.why_missing(name)  # before a resemblance
        raise UserError(f"nothing is called {name!r}{reason or near(name, names) or ': see `prunebench ls`'}")
    return known


def _find(kind: str, name: str) -> Entry:
    distribution, slash, bare = name.rpartition("/")
    return installed().find(kind, bare, distribution if slash else None)


def told(entry: Entry) -> dict[str, Any]:
    """An entry as plain values."""
    signature = entry.call_signature()
    row = {"kind": entry.kind, "key": entry.key, "name": entry.record.name, "version": entry.plugin.version}
    row |= {"options": dict(signature.options)}
    if entry.kind == "dataset":
        return row | {"expects": entry.record.expects}
    row |= {"needs": list(signature.inputs), "label_free": Method(entry, signature.options).label_free}
    row |= {"paper": entry.record.paper, "definition": entry.definition, "summary": _summary(signature.doc)}
    if entry.kind == "scorer":
        return row | {"hard": entry.record.hard}
    return row | {"ranks": entry.record.ranks} | ({"oracle": True} if entry.record.oracle else {})


def needs(entry: Entry) -> str:
    """For people: what a method is given that costs something or tells something."""
    return ", ".join(NEEDS[name] for name in entry.call_signature().inputs if name in NEEDS) or "nothing"


def _summary(doc: str) -> str:
    return " ".join(doc.split("\n\n")[0].split())


def _table(kind: str, entries: list[Entry]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{kind}s", title_justify="left", box=None, pad_edge=False)
    columns = {
        "scorer": ("name", "hard is", "needs", "label-free", "paper", "package"),
        "selector": ("name", "ranks", "needs", "label-free", "paper", "package"),
        "dataset": ("name", "expects", "package"),
    }[kind]
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for entry in sorted(entries, key=lambda e: e.record.name):
        table.add_row(*(Text(printable(cell)) for cell in _row(kind, entry)))
    Console(width=100, soft_wrap=False).print(table)
    click.echo()


def _row(kind: str, entry: Entry) -> tuple[str, ...]:
    record, package = entry.record, f"{entry.plugin.distribution} {entry.plugin.version}"
    if kind == "dataset":
        return record.name, record.expects, package
    label_free = Method(entry, entry.call_signature().options).label_free
    way = record.hard if kind == "scorer" else record.ranks
    return record.name, way, needs(entry), label_free, record.paper, package


def printable(text: str) -> str:
    """Text of a plugin without control characters."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in str(text))


def _card(entry: Entry, bibtex: bool) -> None:
    if bibtex:
        click.echo(printable(getattr(entry.record, "bibtex", "") or "no citation is recorded"))
        return
    row = told(entry)
    click.echo(f"{entry.kind} {row['key']} ({entry.plugin.version})")
    click.echo(f"  text: {write(row['name'], row['options'])}")
    for name in ("hard", "ranks", "needs", "label_free", "definition", "paper", "expects"):
        if name in row:
            value = ", ".join(row[name]) if isinstance(row[name], list) else row[name]
            click.echo(f"  {name.replace('_', '-')}: {printable(value)}")
    if row.get("oracle"):
        click.echo("  oracle: it looks at what no contender may see; its rows are marked and never ranked")
    doc = entry.call_signature().doc
    if doc:
        click.echo("\n" + "\n".join(f"  {line}" for line in printable(doc).splitlines()) + "\n")


def show_plugins(name: str | None, problems: bool, as_json: bool) -> None:
    """The plugins of this installation, what each offers, or why it could not be loaded."""
    registry = installed()
    rows = []
    for plugin in registry.plugins:
        if name is not None and name not in (plugin.name, plugin.distribution):
            continue
        if problems and not plugin.problem:
            continue
        entries = [e for kind in registry.entries.values() for e in kind.values() if e.plugin == plugin]
        offers: dict[str, list[str]] = {}
        for entry in entries:
            offers.setdefault(f"{entry.kind}s", []).append(entry.record.name)
        state = "left out" if plugin.skipped else "problem" if plugin.problem else "on"
        row: dict[str, Any] = {"name": plugin.name, "distribution": plugin.distribution, "version": plugin.version}
        rows.append({**row, "module": plugin.module, "state": state, "problem": plugin.problem, "offers": offers})
    if name is not None and not rows:
        known = {p.name for p in registry.plugins} | {p.distribution for p in registry.plugins}
        raise UserError(f"there is no plugin {name!r}{near(name, known)}")
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        click.echo(
            printable(f"{row['name']}  ({row['distribution']} {row['version']}, {row['module']}): {row['state']}")
        )
        if row["problem"]:
            click.echo(printable(f"  {row['problem']}"))
        for kind, names in row["offers"].items():
            click.echo(printable(f"  {kind}: {', '.join(names)}"))
    if problems and not rows:
        click.echo("every plugin could be loaded")


def doctor(as_json: bool) -> None:
    """Versions, machine and what is missing for what."""
    packages: dict[str, str | None] = {}
    for package in ("prunebench", "prunebench-drd", "torch", "torchvision", "timm", "diffusers", "lpips"):
        try:
            packages[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            packages[package] = None
    free = shutil.disk_usage(".").free
    row: dict[str, Any] = {"python": platform.python_version(), "cores": os.cpu_count(), "packages": packages}
    row |= {"cuda": _cuda(), "free_disk_bytes": free, "problems": [p.name for p in installed().plugins if p.problem]}
    if as_json:
        click.echo(json.dumps(row, indent=1))
        return
    click.echo(f"python {row['python']}, {row['cores']} cores, {free / 1e9:.0f} GB free here, cuda: {row['cuda']}")
    why = {"prunebench-drd": "the drd scorer", "diffusers": "drd", "lpips": "drd"}
    for package, version in packages.items():
        click.echo(f"  {package}: {version or 'not installed (needed for ' + why.get(package, 'everything') + ')'}")
    for plugin in row["problems"]:
        click.echo(f"  the plugin {plugin} could not be loaded: see `prunebench plugins --problems`")


def _cuda() -> str:
    if importlib.util.find_spec("torch") is None:
        return "unknown, torch is not installed"
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
