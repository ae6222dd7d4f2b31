"""Printing leaderboards: records are read, nothing is trained, and torch is not imported."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from .. import registry as plugins
from ..display import tell
from ..errors import UserError


def say(text: str = "") -> None:
    """To standard error: standard output is for results."""
    tell(text, sys.stderr)


def label(kind: str, text: str) -> str:
    """A method's canonical text as people write it: bare name, options that differ from the defaults."""
    if text in ("full", "subset"):
        return text
    try:
        return plugins.installed().method(kind, text).label
    except UserError:  # a record of a plugin that is not installed here
        return text


def classes_of(dataset: str, fingerprint: str) -> Any:
    """(N,) labels of a data set that can be read by its text alone, as for the score atlas; None where it cannot be, or
    is not the one of that fingerprint (another setting, folder or picture size)."""
    from ..datasets.loading import load

    try:
        found = load(plugins.installed(), dataset, Path("data"), tell=False)
    except UserError:
        return None
    return found.train.labels if found.fingerprint == fingerprint else None


def print_board(found: Any, form: str, out: Path | None, shown: str = "results") -> None:
    from ..leaderboard.formats import render

    text = render(found, form, shown)
    if out is None:
        click.echo(text)
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
    except OSError as failure:
        raise UserError(f"cannot write {out} ({failure.strerror})") from None
    say(f"written: {out}")


def leaderboard_of(
    stores: Sequence[Path],
    group_by: Sequence[str],
    form: str,
    out: Path | None,
    track: str = "open",
    shown: str = "results",
    margin: float = 0.5,
    data: Path | None = None,
) -> None:
    """The leaderboard of stores, printed or written, with its columns of results, tests or cost; HTML as a folder,
    with pictures where ``data`` says where they lie."""
    from ..leaderboard import leaderboard
    from ..leaderboard.stores import opened_sources

    for store in stores:
        if not store.exists():
            raise UserError(f"there is no store at {store}: run `prunebench run` first, or name one")
    if form == "html" and out is None:
        raise UserError("--format html writes a folder of pages: name it with --out DIR")
    opened = opened_sources(stores)
    found = leaderboard(opened, group_by=tuple(group_by), labels=label, track=track, margin=margin)
    if form == "html" and out is not None:
        from ..leaderboard_page import write_page

        classes = classes_of if data else None
        write_page(found, out, plugins.installed(), opened, labels=label, data_root=data, classes=classes)
        say(f"written: {out}; open {out / 'index.html'} in a browser")
        return
    print_board(found, form, out, shown)


def report_of(
    stores: Sequence[Path], out: Path, group_by: Sequence[str], only: Sequence[str], data: Path | None
) -> None:
    """Every figure that stores and bundles have data for, written into a folder; pictures where ``data`` says where
    they lie."""
    from ..figures.report import Material, report
    from ..leaderboard import leaderboard
    from ..leaderboard.stores import opened_sources

    opened = opened_sources(stores)
    found = leaderboard(opened, group_by=tuple(group_by), labels=label)
    made = report(Material(found, opened, label, classes_of if data else None, data), out, only)
    say(f"{len(made.figures)} figures in {out}, {len(made.changed)} files changed; begin with {out / 'index.md'}")
    for each in made.left_out:
        say(f"left out: {each}")
