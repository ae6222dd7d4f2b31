"""The fenced blocks of README and docs, and the commands in them, as the words that a shell makes of them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^( *)(`{3,}|~{3,})([^\n`]*)\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
ENDS = re.compile(r"^[();&|<>]+$")  # what ends a command in a shell, and what sends its output elsewhere


@dataclass(frozen=True)
class Block:
    """A fenced block: the page, the number of the fence's line, its language, and what it holds."""

    page: str
    line: int
    kind: str
    code: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every page that a user reads."""
    folders = ("docs/**/*.md", "plugins/*/README.md", "examples/**/README.md")
    return [ROOT / "README.md", ROOT / "SECURITY.md", *(p for f in folders for p in sorted(ROOT.glob(f)))]


def blocks_of(path: Path) -> list[Block]:
    text, page = path.read_text(), path.relative_to(ROOT).as_posix()
    return [
        Block(page, text[: found.start()].count("\n") + 1, found[3].strip(), found[4]) for found in FENCE.finditer(text)
    ]


def commands(code: str, variables: dict[str, str] | None = None) -> list[list[str]]:
    """The commands of a script, each as a list of words, without comments, redirections, and assignments before them.

    Args:
        variables: values of ``$NAME``; others stay as they are.
    """
    found: list[list[str]] = []
    for line in code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="();&|<>")
        lexer.commenters, lexer.whitespace_split = "#", True
        words: list[str] = []
        skip = False  # the file that output is sent to
        for word in [*lexer, ";"]:
            if ENDS.match(word):
                skip = ">" in word or "<" in word
                if words and not skip:
                    found.append(words)
                    words = []
            elif skip:
                skip = False
            else:
                words.append(_filled(word, variables or {}))
    return found


def console(code: str) -> str:
    """The script in a block that shows a terminal: what stands behind its prompts."""
    return "\n".join(line[2:] for line in code.splitlines() if line.startswith("$ "))


def _filled(word: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda m: variables.get(m[1], m[0]), word)


def parsed(group: click.Group, words: list[str]) -> click.Context:
    """The context of the command that words name, with every option and argument as click reads them; nothing runs.

    Raises:
        click.ClickException, UserError: there is no such command or option, or a value is refused.
    """
    context = group.make_context("prunebench", list(words))
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, command, rest = context.command.resolve_command(context, rest)
        assert command is not None, f"there is no command {name}"
        context = command.make_context(name, rest, parent=context)
    return context
