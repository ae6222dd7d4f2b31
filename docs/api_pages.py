"""The pages of docs/api: every public name of `prunebench`, with signature, fields, methods and docstring.

    docs/api/data.md ...         the names of a topic
    docs/api/README.md           the index of all

`docs/build.py` writes them.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import prunebench
from prunebench.cards.formats import table
from prunebench.cards.reading import arguments

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "api"
WIDTH = 88  # characters of a signature's line
COMMENT = re.compile(r"^    (?P<name>\w+): .+?  # (?P<told>.+)$", re.MULTILINE)
TOPICS = {  # page -> title, what it is about, names
    "data": (
        "Data sets",
        "What is scored and trained on: pictures, labels, and a key for each example.",
        ("Dataset", "Split", "Images", "MemoryImages", "FileImages"),
    ),
    "scores": (
        "Score and select",
        "From pictures, arrays, recorded logits or your own training loop to scores, and from scores to a subset.",
        ("score", "select", "prune", "score_log", "Recorder", "Scores", "Selection", "statistic"),
    ),
    "files": (
        "Files",
        "Score and selection files, as [Files](../files.md) describes them.",
        ("save_scores", "load_scores", "save_selection", "load_selection"),
    ),
    "run": (
        "Run",
        "What `prunebench run` and `prunebench leaderboard` do.",
        ("Plan", "run", "TrialResult", "Cost", "leaderboard"),
    ),
    "plugins": (
        "Plugins",
        "The records that a plugin returns, and what its methods and commands may use. How: [plugins](../plugins.md).",
        (
            *("Scorer", "Selector", "DatasetEntry", "Command", "hookimpl", "Scored", "Chosen"),
            *("installed", "offered", "Call", "call_of", "data_options", "harness_options", "as_json"),
            *("progress_display", "budget_for", "class_budgets", "seed_for", "generator_for", "noise"),
        ),
    ),
    "errors": (
        "Errors",
        "Each is told in one sentence: what, where, and the way out. A command ends with the error's exit code.",
        ("PrunebenchError", "UserError", "MethodError", "CellError", "StoreError", "VerifyError"),
    ),
}
HEADINGS = ("Args:", "Attributes:", "Returns:", "Raises:")  # of a docstring
MARK = "Marks a function of a plugin as one of the [hooks](../plugins/README.md): `@hookimpl`."
ADDING = ("data_options", "harness_options", "as_json")  # decorators made of others
INDEX = """# Python

Everything that `import prunebench as pb` offers; nothing else is promised to stay. Importing takes milliseconds, what a
name needs is imported when it is first used. `pb.__version__` is the version. Letters: N examples, C classes,
D features, R reference runs, E epochs, B batch, S side of a picture in pixels, k budget. These pages are written by
`python docs/build.py` from the docstrings.
"""


def api_pages() -> dict[Path, str]:
    """Every page by its path.

    Raises:
        ValueError: a public name stands in no topic, or has no docstring.
    """
    told = [name for _, _, names in TOPICS.values() for name in names]
    if set(told) != (public := set(prunebench.__all__) - {"__version__"}) or len(told) != len(public):
        raise ValueError(f"docs/api_pages.py must give each public name its topic: {set(told) ^ public}")
    pages = {FOLDER / f"{page}.md": topic(*of) for page, of in TOPICS.items()}
    return pages | {FOLDER / "README.md": index()}


def index() -> str:
    """All names, by topic."""
    parts = [INDEX.rstrip()]
    for page, (title, _, names) in TOPICS.items():
        rows = [(f"[`{name}`]({page}.md#{name.lower()})", first_sentence(name)) for name in names]
        parts += [f"## [{title}]({page}.md)", table(("name", "is"), rows)]
    return "\n\n".join(parts) + "\n"


def topic(title: str, about: str, names: tuple[str, ...]) -> str:
    """The names of a topic, one after the other."""
    parts = [f"# {title}", about]
    for name in names:
        parts += [f"## `{name}`", *described(name, named(name))]
    return "\n\n".join(parts) + "\n"


def named(name: str) -> Any:
    """What a public name stands for: `leaderboard` is a package too, once that is imported."""
    found = getattr(prunebench, name)
    return getattr(found, name) if isinstance(found, ModuleType) else found


def described(name: str, found: Any) -> Iterator[str]:
    """Signature or fields, docstring, and the public methods of a class."""
    if name == "hookimpl" or name in ADDING:
        yield doc_of(name)
        return
    if not isinstance(found, type):
        yield signature(name, found)
        yield from prose(name, doc_of(name))
        return
    if issubclass(found, BaseException):
        yield from prose(name, doc_of(name))
        yield f"Exit code {found.exit_code}; based on {', '.join(f'`{base.__name__}`' for base in found.__bases__)}."
        return
    if not inspect.isabstract(found) and not dataclasses.is_dataclass(found):
        yield signature(name, found)
    yield from prose(name, doc_of(name))
    if dataclasses.is_dataclass(found):
        yield fields(found)
    for method, function in methods(found):
        yield f"### `{name}.{method}`"
        if callable(function):
            yield signature(f"{name[0].lower()}{name[1:]}" if method == "__call__" else method, function, bound=True)
        yield from prose(f"{name}.{method}", inspect.getdoc(function) or "")


def methods(owner: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties of a class and of its bases here, in the order of the source."""
    own = [base for base in reversed(owner.__mro__) if base.__module__.startswith("prunebench")]
    for name, found in {name: value for base in own for name, value in vars(base).items()}.items():
        told = found.func if isinstance(found, cached_property) else found
        if isinstance(told, classmethod | staticmethod):
            told = told.__func__
        if not (inspect.isfunction(told) or isinstance(told, property)) or not inspect.getdoc(told):
            continue
        if (name == "__call__" or not name.startswith("_")) and name not in getattr(owner, "__dataclass_fields__", ()):
            yield name, told if not isinstance(found, cached_property) else property(told)


def fields(record: type) -> str:
    """The fields of a dataclass with type, default and the comment beside them.

    Raises:
        ValueError: one has no comment.
    """
    told = {match["name"]: match["told"] for match in COMMENT.finditer(inspect.getsource(record))}
    if lacking := [field.name for field in dataclasses.fields(record) if field.name not in told]:
        raise ValueError(f"{record.__name__}.{lacking[0]} needs a comment beside it, which says what it is")
    rows = []
    for field in dataclasses.fields(record):
        default = "" if field.default is dataclasses.MISSING else f"`{value(field.default)}`"
        if field.default_factory is not dataclasses.MISSING:
            default = f"`{value(field.default_factory())}`"
        rows.append((f"`{field.name}`", f"`{annotation(field.type)}`", default, escaped(told[field.name])))
    return table(("field", "type", "default", "meaning"), rows)


def value(found: Any) -> str:
    """A default as it stands in the source."""
    if dataclasses.is_dataclass(found):
        return f"{type(found).__name__}()"
    return found.__name__ if inspect.isfunction(found) else repr(found)


def signature(name: str, found: Callable[..., Any], bound: bool = False) -> str:
    """A call as one would read it in the source, a parameter on each line where one line is too short."""
    of = inspect.signature(found)
    given = list(of.parameters.values())[1 if bound else 0 :]
    given = [p.replace(annotation=annotation(p.annotation)) if p.annotation is not p.empty else p for p in given]
    returned = "" if of.return_annotation is of.empty else f" -> {annotation(of.return_annotation)}"
    parts = written(given)
    line = f"{name}({', '.join(parts)}){'' if isinstance(found, type) else returned}"
    if len(line) > WIDTH:
        inside = "".join(f"    {part},\n" for part in parts)
        line = f"{name}(\n{inside}){'' if isinstance(found, type) else returned}"
    return f"```text\n{line}\n```"


def written(given: list[inspect.Parameter]) -> list[str]:
    """Parameters as text, a bare star before those that go by name only."""
    parts: list[str] = []
    for i, parameter in enumerate(given):
        named = parameter.kind is parameter.KEYWORD_ONLY
        if named and not any(p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL) for p in given[:i]):
            parts.append("*")
        typed = re.sub(r": '([^']*)'", r": \1", str(parameter.replace(default=parameter.empty)))
        spaced = " = " if ": " in typed else "="
        parts.append(typed if parameter.default is parameter.empty else f"{typed}{spaced}{value(parameter.default)}")
    return parts


def annotation(found: Any) -> str:
    """A type as it stands in the source."""
    return found if isinstance(found, str) else getattr(found, "__name__", str(found))


def doc_of(name: str) -> str:
    """The docstring of a public name.

    Raises:
        ValueError: it has none of its own.
    """
    found = named(name)
    doc = {"hookimpl": MARK}.get(name) or (adding(found) if name in ADDING else inspect.getdoc(found) or "")
    if not doc or (dataclasses.is_dataclass(found) and doc.startswith(f"{name}(")):
        raise ValueError(f"prunebench.{name} needs a docstring")
    return doc


def adding(decorator: Callable[..., Any]) -> str:
    """What a decorator of commands adds."""

    def command() -> None: ...

    options = [param.opts[0] for param in reversed(decorator(command).__click_params__)]
    return f"Decorator of a plugin's command. It adds {', '.join(f'`{option}`' for option in options)}."


def first_sentence(name: str) -> str:
    """Of what a name is."""
    if name == "hookimpl":
        return MARK
    text = " ".join(sections(doc_of(name))[""].split("\n\n")[0].split())
    return escaped(re.split(r"(?<=[a-z)`\]])[.;:](?= [A-Z`])", text)[0].removesuffix(".") + ".")


def prose(name: str, doc: str) -> Iterator[str]:
    """A docstring as Markdown: paragraphs, then what it takes, gives and refuses."""
    parts = sections(doc)
    for block in re.split(r"\n\n+", parts.pop("")):
        if block.strip():
            yield f"```text\n{textwrap.dedent(block)}\n```" if block.startswith("    ") else escaped(block)
    for heading, text in parts.items():
        told = arguments(text) if heading in ("Args", "Attributes", "Raises") else {}
        if told:
            rows = "\n".join(f"- `{entry}`: {escaped(meaning)}" for entry, meaning in told.items())
            yield f"**{heading}**\n\n{rows}"
        else:
            yield f"**{heading}** {escaped(text)}"


def sections(doc: str) -> dict[str, str]:
    """A docstring's text under "", and what stands under its headings, dedented; text may go on after these."""
    found, heading = dict[str, list[str]]({"": []}), ""
    for line in doc.splitlines():
        if line in HEADINGS:
            heading = line.removesuffix(":")
            found[heading] = []
            continue
        if line and not line.startswith("    "):
            heading = ""
        found[heading].append(line[4:] if heading else line)
    return {name: "\n".join(lines).strip("\n") for name, lines in found.items()}


def escaped(text: str) -> str:
    """Prose of a docstring as one paragraph of Markdown: code spans as they are, stars and brackets what they are."""
    parts = re.split(r"(``.+?``|`.+?`)", " ".join(text.split()))
    return "".join(
        f"`{part.strip('`')}`" if i % 2 else re.sub(r"[*<]|(?<!\w)_(?=\w)|(?<=\w)_(?!\w)", r"\\\g<0>", part)
        for i, part in enumerate(parts)
    )
