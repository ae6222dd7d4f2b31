"""The pages of docs/commands: one per command, ours and those of the plugins of this repository, from what it declares.

    docs/commands/run.md ...     the help text, how it is called, and every option; a group's commands below each other
    docs/commands/README.md      the index, exit codes, and what is read from the environment

`docs/build.py` writes them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from prunebench.cards.formats import table
from prunebench.cli import cli

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "commands"
NAME = "prunebench"
MORE = {  # command -> pages of docs/ that tell what it does
    "check": ("plugins.md",),
    "datasets": ("datasets.md",),
    "doctor": ("index.md",),
    "drd": ("drd.md",),
    "export": ("files.md",),
    "import": ("files.md",),
    "leaderboard": ("leaderboard.md", "protocol.md"),
    "ls": ("methods/README.md", "definitions.md"),
    "new-plugin": ("plugins.md",),
    "plugins": ("plugins.md",),
    "recipe": ("recipes.md",),
    "report": ("report.md",),
    "run": ("protocol.md", "scale.md", "reliability.md"),
    "score": ("files.md", "recorder.md"),
    "select": ("files.md",),
    "submit": ("submit.md",),
    "train": ("files.md", "protocol.md"),
    "verify": ("submit.md",),
}
CODES = (
    ("0", "done"),
    ("1", "the run itself could not go on: no room, a store that cannot be written, a fault of ours"),
    ("2", "what you must change, told before anything starts: an unknown name, a missing file, a refused flag"),
    ("3", "at least one cell failed; the others stand, and the same command tries again"),
    ("4", "`check` or `verify` found what must not be"),
    ("130, 143", "interrupted, terminated: the same command goes on where it was"),
)
ENVIRONMENT = (
    (
        "PRUNEBENCH_CACHE",
        "where `datasets cache` keeps pictures, in place of `prunebench-cache` in `--data-root`",
    ),
    ("PRUNEBENCH_CHECKPOINT_SECONDS", "seconds between two checkpoints of a training (30)"),
    ("PRUNEBENCH_PLUGINS", "names with commas: only these plugins are loaded, beside what is built in"),
    ("PRUNEBENCH_STRICT_PLUGINS", "`1`: a plugin that cannot be loaded ends the command with its own error"),
)
INDEX = """# Commands

What `prunebench --help` and `prunebench COMMAND --help` say, on a page for each command. These pages are written by
`python docs/build.py`.
"""


def command_pages() -> dict[Path, str]:
    """Every page by its path.

    Raises:
        ValueError: a command has no pages here that tell of it.
    """
    with click.Context(cli, info_name=NAME, **cli.context_settings) as root:
        found = {name: cli.get_command(root, name) for name in cli.list_commands(root)}
        if set(found) != set(MORE):
            raise ValueError(f"docs/command_pages.py must know what tells of {', '.join(set(found) ^ set(MORE))}")
        pages = {FOLDER / f"{name}.md": page(name, command, root) for name, command in found.items() if command}
        pages[FOLDER / "README.md"] = index(root)
    return pages


def page(name: str, command: click.Command, root: click.Context) -> str:
    """A command, the commands of a group after it, and where to read on."""
    parts = [part for level, one in below(command, name, root) for part in described(level, one)]
    pages = ", ".join(f"[{title(file)}](../{file})" for file in MORE[name])
    return "\n\n".join([*parts, f"More: {pages}. [All commands](README.md).\n"])


def below(command: click.Command, name: str, parent: click.Context) -> Iterator[tuple[int, click.Context]]:
    """(depth, context) of a command and of all in it, as their help is asked for."""
    with click.Context(command, info_name=name, parent=parent, **command.context_settings) as context:
        yield len(context.command_path.split()) - 1, context
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                if one := command.get_command(context, inner):
                    yield from below(one, inner, context)


def described(level: int, context: click.Context) -> Iterator[str]:
    """Heading, help text, usage and options."""
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"{'#' * level} `{context.command_path}`"
    yield escaped(inspect.cleandoc(command.help or ""))
    yield f"```text\n{usage}\n```"
    if rows := options(context):
        yield table(("option", "meaning"), rows)


def options(context: click.Context) -> list[tuple[str, str]]:
    """(names, meaning) of every option of a command but `--help`, which all have."""
    asked = [option for option in context.command.get_params(context) if isinstance(option, click.Option)]
    records = [
        record for option in asked if "--help" not in option.opts and (record := option.get_help_record(context))
    ]
    return [(f"`{names}`", escaped(" ".join(told.split()))) for names, told in records]


def index(root: click.Context) -> str:
    """All commands in a line each, exit codes and environment."""
    rows = []
    for name in cli.list_commands(root):
        command = cli.get_command(root, name)
        rows.append((f"[`{name}`]({name}.md)", escaped(command.get_short_help_str(100) if command else "")))
    return "\n\n".join(
        [
            INDEX.rstrip(),
            table(("command", "does"), rows),
            "## Before the command",
            table(("option", "meaning"), options(root)),
            "## Exit codes",
            table(("code", "means"), CODES),
            "What is wrong is told in one sentence on standard error: what, where, and the way out.",
            "## Environment",
            table(("variable", "meaning"), [(f"`{name}`", told) for name, told in ENVIRONMENT]) + "\n",
        ]
    )


def title(file: str) -> str:
    """The first heading of a page of docs/."""
    heading = re.search(r"^# (.+)$", (ROOT / "docs" / file).read_text(), re.MULTILINE)
    if heading is None:
        raise ValueError(f"docs/{file} needs a heading")
    return heading[1]


def escaped(text: str) -> str:
    """Help text as Markdown: stars and angle brackets are what they are, code spans stay."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(part if i % 2 else re.sub(r"[*<]", r"\\\g<0>", part) for i, part in enumerate(parts))
