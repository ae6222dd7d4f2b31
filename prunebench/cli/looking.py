"""The commands that look around: what is registered and installed, what a machine offers, whether a method keeps the
contract; and the one that begins a plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..console.options import as_json, cache_options


@click.command()
@click.argument("what", required=False)
@click.option("--bibtex", is_flag=True, help="Print the citation.")
@click.option("--markdown", is_flag=True, help="Print the method card as Markdown.")
@as_json
def ls(what: str | None, bibtex: bool, markdown: bool, as_json: bool) -> None:
    """List scorers, selectors, methods, data sets; show one. For example `ls drd`, `ls selector:moderate`."""
    from ..console import listing

    listing.show(what, bibtex, as_json, markdown)


@click.command()
@click.argument("words", nargs=-1, metavar="[show] [NAME]")
@click.option("--problems", is_flag=True, help="Only those that could not be loaded.")
@as_json
def plugins(words: tuple[str, ...], problems: bool, as_json: bool) -> None:
    """Say which plugins run here, and which could not. From which package; `show NAME` tells all of one."""
    from ..console import plugin_listing

    plugin_listing.show_plugins(words, problems, as_json)


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def datasets(ctx: click.Context, as_json: bool) -> None:
    """List data sets and the files they expect. `cache` and `verify` decode one once."""
    from ..console import listing

    if ctx.invoked_subcommand is None:
        listing.show("datasets", False, as_json)


@datasets.command("cache")
@click.argument("dataset")
@cache_options
def cache_dataset(**given: Any) -> None:
    """Decode a data set of picture files once, into a memory-mapped file that later commands find by themselves."""
    from ..console import caches

    caches.cache(**given)


@datasets.command("verify")
@click.argument("dataset")
@cache_options
def verify_dataset(**given: Any) -> None:
    """Check what `datasets cache` made, block by block."""
    from ..console import caches

    caches.verify(**given)


@click.command()
@click.argument("name")
@click.option("-x", "stop_at_first", is_flag=True, help="Stop at the first check that fails.")
def check(name: str, stop_at_first: bool) -> None:
    """Check a scorer or selector against the contract. For example `check aum`, `check "ccs(strata=20)"`."""
    from ..console import reporting

    reporting.check(name, stop_at_first)


@click.command("new-plugin")
@click.argument("name")
@click.argument("folder", required=False, metavar="[DIR]", type=click.Path(path_type=Path))
@click.option("--selector", is_flag=True, help="A selector instead of a scorer.")
def new_plugin(name: str, folder: Path | None, selector: bool) -> None:
    """Write a plugin package that installs, passes and runs. [default DIR: prunebench-NAME]"""
    from .. import new_plugin as package

    package.new_plugin(name, folder, selector)


@click.command()
@as_json
def doctor(as_json: bool) -> None:
    """Say what this machine offers, and whether it will do."""
    from ..console import listing

    listing.doctor(as_json)
