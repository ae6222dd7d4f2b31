"""``--config FILE.toml``: a command's options from a file, by their names on the command line, which wins over it.

    scorer = ["drd", "el2n(epoch=5)"]       an option that repeats: a list, or one text
    keep = [0.1, 0.3]                       numbers: a list, one number, or the text of the command line
    label-noise = "sym:0.2"
    fail-fast = true                        a flag

A file is data: it may say what the command line may, except name Python code (``model="package.module:factory"``).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from ..errors import UserError
from ..spec import CODE, Spec, near, parse
from .options import Numbers, Shard, Words

LIMIT = 2**16  # bytes
_METHODS = ("scorers", "selectors", "methods", "scorer", "selector")


def _read(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    if path is not None:
        ctx.default_map = {**(ctx.default_map or {}), **options_of(ctx.command, path)}


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_read,
    metavar="FILE.toml",
    help="Options from a TOML file; the command line wins.",
)


def options_of(command: click.Command, path: Path) -> dict[str, Any]:
    """The options of ``command`` that a file gives, by the names of its parameters, as click takes them.

    Raises:
        UserError: no such file, larger than `LIMIT`, no flat TOML table, an option that the command does not have, a
            value of another type, or a method that names code.
    """
    known = {_name(param): param for param in command.params if isinstance(param, click.Option)}
    known = {name: param for name, param in known.items() if name not in ("config", "help")}
    found: dict[str, Any] = {}
    for name, value in toml_table(path, "options").items():
        if isinstance(value, dict):
            raise UserError(f"{path}: [{name}] is a section: write the options without one, name = value")
        param = known.get(name)
        if param is None or param.name is None:
            hint = near(name, known) or f" (its options: {', '.join(sorted(known))})"
            raise UserError(f"{path}: {command.name} has no option {name!r}{hint}")
        taken = _taken(param, value)
        if taken is None:
            raise UserError(f"{path}: {name} must be {_wanted(param)}, got {str(value)[:60]!r}")
        if param.name in _METHODS:
            refuse_code(taken if isinstance(taken, list) else [taken], path)
        found[param.name] = taken
    return found


def _name(param: click.Option) -> str:
    """As on the command line, without the dashes."""
    return max(param.opts, key=len).lstrip("-")


def toml_table(path: Path, of: str) -> dict[str, Any]:
    """The table in a TOML file of ``of``.

    Raises:
        UserError: no such file, larger than `LIMIT`, or no TOML.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(LIMIT + 1)
    except OSError as failure:
        raise UserError(f"{path} cannot be read ({failure.strerror}): name a TOML file of {of}") from None
    if len(text) > LIMIT:
        raise UserError(f"{path} is larger than {LIMIT} bytes, which no table of {of} is")
    try:
        return tomllib.loads(text.decode())
    except (ValueError, RecursionError) as wrong:  # tomllib's own error is a ValueError
        told = "nested too deeply" if isinstance(wrong, RecursionError) else str(wrong)
        raise UserError(f"{path} is no TOML file of {of} ({told}): write name = value, one a line") from None


def _taken(param: click.Option, value: Any) -> Any:
    """The value as click takes it, None where it is of another type."""
    if isinstance(param.type, (Numbers, Words)):
        kinds = (int, float, str) if isinstance(param.type, Numbers) else (str,)
        many = value if isinstance(value, list) else [value]
        fitting = many and all(isinstance(one, kinds) and not isinstance(one, bool) for one in many)
        return [str(one) for one in many] if fitting else None
    if param.multiple:
        many = value if isinstance(value, list) else [value]
        return many if all(isinstance(one, str) for one in many) else None
    if param.is_flag:
        return value if isinstance(value, bool) else None
    if isinstance(value, bool):  # an option that may stand alone, as --pretrained
        return param.flag_value if value and isinstance(param.flag_value, str) else None
    if param.type is click.INT or param.type is click.FLOAT:
        return value if isinstance(value, (int,) if param.type is click.INT else (int, float)) else None
    return value if isinstance(value, str) else None


def _wanted(param: click.Option) -> str:
    if param.is_flag:
        return "true or false"
    if isinstance(param.type, Numbers):
        return "a number or a list of numbers"
    if param.multiple or isinstance(param.type, Words):
        return "a text or a list of texts"
    if isinstance(param.type, Shard):
        return 'a text of the form "i/n"'
    return {id(click.INT): "a whole number", id(click.FLOAT): "a number"}.get(id(param.type), "a text")


def refuse_code(texts: list[str], path: Path | str) -> None:
    """Raises:
    UserError: a method's text that came from the file ``path`` names Python code.
    """
    for text in texts:
        code = next((value for value in _texts(parse(text)) if CODE.fullmatch(value)), None)
        if code is not None:
            raise UserError(
                f"{path}: {text[:80]!r} names Python code ({code}), which no file may: give it on the command line"
            )


def _texts(spec: Spec) -> Iterator[str]:
    """The texts among the options of a method, of the one inside it, and of methods that are named in such texts."""
    for value in spec.options.values():
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str):
                yield text
                with suppress(UserError):
                    yield from _texts(parse(text))
    if spec.inner is not None:
        yield from _texts(spec.inner)
