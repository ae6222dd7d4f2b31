"""What is there: methods, data sets, plugins, this machine. Nothing here imports torch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import click

from ..cards.formats import as_markdown, as_text, short
from ..cards.reading import card_of, needs
from ..errors import UserError
from ..methods import Entry, Method
from ..planning.presets import Preset, offered
from ..registry import CORE, Registry, installed
from ..spec import near, parse, write

KINDS = ("scorer", "selector", "dataset")
WIDTH = 100  # columns at most


def show(what: str | None, bibtex: bool, as_json: bool, markdown: bool = False) -> None:
    """All kinds, one kind, the named methods, or one entry.

    Raises:
        UserError: nothing bears that name.
    """
    registry = installed()
    lists = ("methods", "scorers", "selectors", "datasets", None)
    if (bibtex or markdown) and what in lists:
        raise UserError(
            "--bibtex and --markdown show one scorer or selector: name it, as in `prunebench ls drd --bibtex`"
        )
    if what == "methods":
        _methods(offered(registry), as_json)
        return
    kinds = {"scorers": ("scorer",), "selectors": ("selector",), "datasets": ("dataset",), None: KINDS}.get(what)
    if kinds is None:
        _one(str(what), bibtex, as_json, markdown)
        return
    if as_json:
        click.echo(json.dumps({f"{k}s": [told(e) for e in registry.entries[k].values()] for k in kinds}, indent=1))
        return
    for kind in kinds:
        _table(kind, list(registry.entries[kind].values()))
    problems = [p for p in registry.plugins if p.problem]
    if problems:
        click.echo(f"{len(problems)} plugins could not be loaded: see `prunebench plugins --problems`")
    if "scorer" in kinds or "selector" in kinds:
        click.echo("prunebench ls NAME shows one with its definition; prunebench ls methods shows papers' pairs")
        _drd_missing(registry)


def _drd_missing(registry: Registry) -> None:
    if not any(e.record.name == "drd" for e in registry.entries["scorer"].values()):
        click.echo(f"drd{registry.why_missing('drd')}")


def _one(what: str, bibtex: bool, as_json: bool, markdown: bool) -> None:
    registry = installed()
    presets = offered(registry)
    if what in presets and what not in {e.record.name for kind in KINDS for e in registry.entries[kind].values()}:
        _methods({what: presets[what]}, as_json)
        return
    found = entries_named(what)
    if (bibtex or markdown) and all(entry.kind == "dataset" for entry in found):
        raise UserError(f"{what} is a data set: it has no citation or card here")
    if as_json:
        click.echo(json.dumps([told(entry) for entry in found], indent=1))
        return
    if bibtex:
        cited = dict.fromkeys(getattr(entry.record, "bibtex", "") or "no citation is recorded" for entry in found)
        click.echo(printable("\n".join(cited)))
        return
    methods = [card_of(entry) for entry in found if entry.kind != "dataset"]
    if markdown:
        click.echo(printable(as_markdown(methods)), nl=False)
        return
    for entry in found:
        if entry.kind == "dataset":
            click.echo(printable(_dataset(entry)))
    if methods:
        click.echo(printable(as_text(methods, _width())))


def _width() -> int:
    return min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)


def _methods(presets: Mapping[str, Preset], as_json: bool) -> None:
    """The named methods: which pair each stands for, up to which keep ratio, and where its options come from."""
    if as_json:
        keys = ("up_to", "scorer", "selector")
        rows = [
            {"method": name, "values": preset.values, **dict(zip(keys, step, strict=True))}
            for name, preset in presets.items()
            for step in _steps(preset)
        ]
        click.echo(json.dumps(rows, indent=1))
        return
    shown = []
    for name, preset in presets.items():
        pairs = [f"{scorer} x {selector}" if scorer else selector for _, scorer, selector in _steps(preset)]
        for (limit, *_), pair in zip(preset.up_to, pairs, strict=False):
            shown.append((name, f"{pair} to keep {limit:g}", preset.values))
        shown.append(("", f"{pairs[-1]} above", "") if preset.up_to else (name, pairs[-1], preset.values))
    _print("methods", ("method", "scorer x selector", "values of the options"), shown)
    click.echo("prunebench run --method NAME runs one, --method all every one of them.")
    if {"dual", "tdds"} & set(presets):
        click.echo("dual, and tdds up to keep 0.1, count 30 epochs: on digits add --reference-epochs 30.")
    _drd_missing(installed())


def _steps(preset: Preset) -> list[tuple[float, str | None, str]]:
    return [*preset.up_to, (1.0, preset.scorer, preset.selector)]


def entries_named(name: str, kinds: Sequence[str] = KINDS) -> list[Entry]:
    """The entries of a name; ``scorer:NAME`` picks one kind.

    Raises:
        UserError: nothing bears that name, or options stand behind it.
    """
    registry = installed()
    bare, bracket, _ = name.partition("(")
    if bracket:
        raise UserError(f"{name!r} has options: give the name without them, {bare.strip()!r}")
    kind, colon, rest = name.partition(":")
    if colon and kind in KINDS:
        return [_find(kind, rest)]
    known = [e for k in kinds for e in registry.entries[k].values() if name in (e.record.name, e.key)]
    if not known:
        names = {e.record.name for k in kinds for e in registry.entries[k].values()}
        reason = registry.why_missing(name)  # before a resemblance
        raise UserError(f"nothing is called {name!r}{reason or near(name, names) or ': see `prunebench ls`'}")
    return known


def asked(text: str, kinds: Sequence[str] = KINDS) -> tuple[list[Entry], dict[str, Any]]:
    """The entries of a name, and the options that stand behind it.

    Raises:
        UserError: nothing bears that name, or what stands behind it are no options.
    """
    name, bracket, _ = text.partition("(")
    if not bracket:
        return entries_named(text, kinds), {}
    kind, colon, rest = text.partition(":")
    wanted = parse(rest if colon and kind in KINDS else text)
    if wanted.inner is not None:
        raise UserError(
            f"{text!r} names a method inside {name.strip()}: give options only, the checks put `hardest` inside"
        )
    found, options = entries_named(name.strip(), kinds), dict(wanted.options)
    return [e for e in found if options.keys() <= e.call_signature().options.keys()] or found, options


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


def _summary(doc: str) -> str:
    return " ".join(doc.split("\n\n")[0].split())


def _table(kind: str, entries: list[Entry]) -> None:
    columns = {
        "scorer": ("name", "hard is", "needs", "label-free", "paper"),
        "selector": ("name", "ranks", "needs", "label-free", "paper"),
        "dataset": ("name", "expects"),
    }[kind]
    entries = sorted(entries, key=lambda entry: entry.record.name)
    names = [entry.record.name for entry in entries]
    _print(f"{kind}s", columns, [_row(entry, names.count(entry.record.name) == 1) for entry in entries])
    others: dict[str, list[str]] = {}
    for entry in entries:
        if entry.plugin.distribution != CORE:
            others.setdefault(f"{entry.plugin.distribution} {entry.plugin.version}", []).append(entry.record.name)
    for package, offers in others.items():
        click.echo(printable(f"from {package}: {', '.join(offers)}\n"))


def _print(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        wide = {"paper": 16, "needs": 16}.get(column)  # an arXiv number stays in one line
        table.add_column(column, overflow="fold", no_wrap=column in ("name", "method"), min_width=wide)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console(width=_width(), soft_wrap=False).print(table)
    click.echo()


def _row(entry: Entry, unique: bool) -> tuple[str, ...]:
    record = entry.record
    name = record.name if unique else entry.key
    if entry.kind == "dataset":
        return name, record.expects
    label_free = Method(entry, entry.call_signature().options).label_free
    way = record.hard if entry.kind == "scorer" else record.ranks
    return name, way, needs(entry), label_free, short(record.paper)


def printable(text: str) -> str:
    """Text of a plugin without control characters."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in str(text))


def _dataset(entry: Entry) -> str:
    row = told(entry)
    lines = [f"dataset {row['key']} ({row['version']})", f"  text: {write(row['name'], row['options'])}"]
    lines += [f"  expects: {row['expects']}"]
    doc = entry.call_signature().doc
    return "\n".join([*lines, "", *(f"  {line}".rstrip() for line in doc.splitlines()), ""])


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
