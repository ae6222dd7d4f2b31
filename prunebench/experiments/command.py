"""``prunebench recipe ls | show | run``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from ..console.options import as_json, options
from ..errors import UserError
from . import PROFILES


@click.group()
def recipe() -> None:
    """Run the figures and tables of papers. List them, look at one, run it."""


@recipe.command("ls")
@as_json
def list_recipes(as_json: bool) -> None:
    """List the recipes: what each ends in, and where the paper has it."""
    from .recipe import named, names

    found = [named(name) for name in names()]
    if as_json:
        told = ("name", "title", "paper", "place", "ending", "references")
        click.echo(json.dumps([{**{k: getattr(e, k) for k in told}, "profiles": list(e.profiles)} for e in found]))
        return
    width = max(len(e.name) for e in found)
    for e in found:
        click.echo(f"{e.name:<{width}}  {e.title}{f' ({e.place})' if e.place else ''}")


@recipe.command("show")
@click.argument("name")
@click.option("--profile", type=click.Choice(PROFILES), help="Only this one.")
@as_json
def show(name: str, profile: str | None, as_json: bool) -> None:
    """Show a recipe: what it shows, what it runs, and the numbers that were published."""
    from .reporting import tell_recipe

    tell_recipe(name, profile, as_json)


run_options = options(
    click.option("--profile", type=click.Choice(PROFILES), default="cpu", show_default=True, help="How much is run."),
    click.option("--dataset", help="In place of the profile's data sets."),
    click.option("--data-root", help="Where data sets lie [default: data]."),
    click.option("--download", is_flag=True, help="Fetch a published set that is missing, over https, checked."),
    click.option("--seeds", type=int, help="In place of the recipe's."),
    click.option("--store", default="runs", show_default=True, help="Where records are kept and found again."),
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        default="figures",
        show_default=True,
        metavar="DIR",
        help="Where figures, CSV and the JSON record go.",
    ),
    click.option("--device", help="auto, cpu, cuda, cuda:1 ..."),
    click.option("--threads", type=int, help="CPU threads, part of every record [default: the recipe's]."),
    click.option("--jobs", type=int, help="Pieces of work side by side [default: one per GPU, or cores // threads]."),
    click.option("--dry-run", is_flag=True, help="Say what is to do and what it takes; writes nothing."),
)


@recipe.command("run")
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every recipe, on one store.")
@run_options
def run(names: tuple[str, ...], everything: bool, dry_run: bool, **given: Any) -> None:
    """Run recipes (or files NAME.toml of your own): score, select, train, draw, and compare with what was published."""
    from . import reporting
    from .recipe import names as known

    if everything == bool(names):
        raise UserError("name the recipes to run, or give --all (`prunebench recipe ls` lists them)")
    for name in ("seeds", "threads", "jobs"):
        if given[name] is not None and given[name] < 1:
            raise UserError(f"--{name} must be at least 1, got {given[name]}")
    wanted = known() if everything else tuple(dict.fromkeys(names))
    if dry_run:
        reporting.tell_ahead(wanted, **given)
    elif reporting.run_recipes(wanted, **given):
        sys.exit(3)
