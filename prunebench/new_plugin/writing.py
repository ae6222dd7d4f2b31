"""The files of a new plugin: all of them in one step, or none."""

from __future__ import annotations

import os
import shlex
import tempfile
from pathlib import Path

import click
from jinja2 import Environment, PackageLoader, StrictUndefined

from .. import __version__
from ..errors import UserError
from ..registry import installed
from .names import Names, named


def new_plugin(name: str, folder: Path | None, selector: bool = False) -> Path:
    """Write the package of a scorer, or selector, and say what to do with it.

    Args:
        name: of the plugin, as `named` reads it.
        folder: where it goes, which must be empty or not there; by default the distribution's name.

    Raises:
        UserError: a name that cannot be, or a folder that holds something or cannot be written.
    """
    names = named(name, "selector" if selector else "scorer", installed())
    place = folder or Path(names.distribution)
    files = files_of(names)
    _write(place, files)
    pairs = f"--scorer aum --selector {names.name}" if selector else f"--scorer {names.name} --selector hardest"
    click.echo(f"written: {place} ({len(files)} files)\n")
    click.echo(f"  pip install -e {shlex.quote(str(place))}")
    click.echo(f"  prunebench check {names.kind}:{names.name}")
    click.echo(f"  prunebench run {pairs}\n")
    click.echo(f"The method is in {place / names.module / names.name}.py: change it into yours.")
    return place


def files_of(names: Names) -> dict[str, str]:
    """Every file of the package, by its path inside."""
    environment = Environment(  # text, not HTML
        loader=PackageLoader("prunebench.new_plugin"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    templates = {
        "pyproject.toml": "pyproject.toml.j2",
        "README.md": "README.md.j2",
        ".gitignore": "gitignore.j2",
        ".github/workflows/test.yml": "test.yml.j2",
        f"{names.module}/__init__.py": "__init__.py.j2",
        f"{names.module}/{names.name}.py": f"{names.kind}.py.j2",
        f"tests/test_{names.name}.py": "test.py.j2",
    }
    told = {
        "kind": names.kind,
        "record": names.kind.capitalize(),
        "name": names.name,
        "module": names.module,
        "distribution": names.distribution,
        "title": names.title,
        "prunebench": __version__,
    }
    return {path: environment.get_template(template).render(told) for path, template in templates.items()}


def _write(place: Path, files: dict[str, str]) -> None:
    """Whole or not at all; nothing is written over.

    Raises:
        UserError: the place is no folder, holds something, or cannot be written.
    """
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise UserError(f"{place} is a file or a link: give a folder that is empty or not there")
    try:
        there = place.is_dir()
        if there and any(place.iterdir()):
            raise UserError(f"{place} is not empty, and nothing is written over: give another folder")
        place.absolute().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-plugin-", dir=place if there else place.absolute().parent) as new:
            for path, text in files.items():
                file = Path(new, "files", path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            if not there:
                os.rename(Path(new, "files"), place)
            for part in Path(new, "files").iterdir() if there else ():
                os.rename(part, place / part.name)
    except OSError as failure:
        raise UserError(f"cannot write {place} ({failure.strerror}): give a folder that can be written") from None
