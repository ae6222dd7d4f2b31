"""The pages of docs/plugins: one per hook, from `prunebench/hookspecs.py`, and one per thing a method may be given.

    docs/plugins/prunebench_scorers.md ...    the hook, and every field of its record with its comment
    docs/plugins/features.md ...              what it is, what it costs, who may name it, and our methods that do
    docs/plugins/README.md                    the index
    docs/plugins.md                           its table of what a method is given, between two markers

`docs/build.py` writes them.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from pathlib import Path

from prunebench import hookspecs
from prunebench.cards.formats import table
from prunebench.cards.reading import COSTS
from prunebench.methods import DEPENDS, FUNCTIONS, LABELLED, SELECTOR_ONLY, VALUES
from prunebench.registry import Registry

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "plugins.md"
BEGIN, END = "<!-- given: written by docs/build.py -->\n", "<!-- given end -->\n"
FIELD = re.compile(r"^    (?P<name>\w+): (?P<type>.+?)(?: = (?P<default>.+?))?(?:  # (?P<told>.+))?$")
RECORDS = {  # hook -> its record, and where there is a whole plugin that uses it
    "prunebench_scorers": (hookspecs.Scorer, "[examples/churn](../../examples/churn)"),
    "prunebench_selectors": (hookspecs.Selector, "[examples/gumbel](../../examples/gumbel)"),
    "prunebench_datasets": (hookspecs.DatasetEntry, "[prunebench/datasets](../../prunebench/datasets/__init__.py)"),
    "prunebench_commands": (hookspecs.Command, "[plugins/drd](../../plugins/drd/prunebench_drd/__init__.py)"),
}


def plugin_pages(registry: Registry) -> dict[Path, str]:
    """Every page by its path.

    Raises:
        ValueError: a hook has no record here, a field of a record has no comment, or docs/plugins.md no markers.
    """
    hooks = [name for name in vars(hookspecs) if name.startswith("prunebench_")]
    if set(hooks) != set(RECORDS):
        raise ValueError(f"docs/plugin_pages.py must know the record of {', '.join(set(hooks) ^ set(RECORDS))}")
    folder = ROOT / "docs" / "plugins"
    found = {folder / f"{name}.md": hook_page(name) for name in hooks}
    found |= {folder / f"{name}.md": input_page(name, registry) for name in (*VALUES, *FUNCTIONS)}
    found[folder / "README.md"] = index(hooks)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"docs/plugins.md must have the lines {BEGIN!r} and {END!r}")
    found[PAGE] = f"{before}{BEGIN}\n{given_table()}\n\n{END}{after}"
    return found


def hook_page(hook: str) -> str:
    """What the hook returns, and every field of its record."""
    record, example = RECORDS[hook]
    rows = [
        (f"`{name}`", f"`{kind}`", f"`{default}`" if default else "", told)
        for name, kind, default, told in fields(record)
    ]
    about = f"It takes no arguments and returns `{record.__name__}` records."
    return "\n\n".join(
        [
            f"# `{hook}`",
            f"{inspect.getdoc(getattr(hookspecs, hook))} {about}",
            f"## `{record.__name__}`",
            str(inspect.getdoc(record)),
            table(("field", "type", "default", "meaning"), rows),
            f"A whole plugin: {example}. [All hooks and inputs](README.md), [Write a plugin](../plugins.md).\n",
        ]
    )


def fields(record: type) -> list[tuple[str, str, str, str]]:
    """(name, type, default, comment) of every field of a record.

    Raises:
        ValueError: one has no comment.
    """
    found = []
    for line in inspect.getsource(record).splitlines():
        match = FIELD.match(line)
        if match and not match["told"]:
            raise ValueError(f"{record.__name__}.{match['name']} needs a comment in prunebench/hookspecs.py")
        if match:
            default = re.sub(r"^field\(default_factory=dict.*\)$", "{}", match["default"] or "")
            found.append((match["name"], match["type"], default, match["told"]))
    return found


def input_page(name: str, registry: Registry) -> str:
    """What it is, who may name it, what it costs, whether it reaches labels, and who names it."""
    function = name in FUNCTIONS
    told = FUNCTIONS[name] if function else VALUES[name]
    facts = [
        ("is", "a function: it costs when it is called" if function else "a value"),
        ("given to", "selectors" if name in SELECTOR_ONLY else "scorers and selectors"),
        ("sets going", COSTS.get(name, "nothing")),
        ("label-free", label_free(name)),
    ]
    parts = [f"# `{name}`", f"{told[0].upper()}{told[1:]}.", table(("", ""), facts)]
    if doc := evidence_doc(name):
        parts += [f"```python\n{doc}\n```"]
    parts += [
        f"Named by {users(name, registry)}.",
        "[All hooks and inputs](README.md), [Write a plugin](../plugins.md).\n",
    ]
    return "\n\n".join(parts)


def label_free(name: str) -> str:
    """Whether a method that names it is."""
    if name in LABELLED:
        return "a method that names it is not"
    return "as what is asked for is" if name in DEPENDS else "a method that names it may be"


def users(name: str, registry: Registry) -> str:
    """Our methods that name it, linked to their cards."""
    found = {
        entry.record.name
        for kind in ("scorer", "selector")
        for entry in registry.entries[kind].values()
        if entry.plugin.distribution in ("prunebench", "prunebench-drd") and name in entry.call_signature().inputs
    }
    return ", ".join(f"[`{method}`](../methods/{method}.md)" for method in sorted(found)) or "none of ours"


def evidence_doc(name: str) -> str:
    """Signature and docstring of what is given, from `prunebench/evidence/given.py`; nothing is imported for it."""
    tree = ast.parse((ROOT / "prunebench" / "evidence" / "given.py").read_text())
    (owner,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Evidence")
    for node in owner.body:
        if isinstance(node, ast.FunctionDef) and node.name == name and name not in ("inner", "blocks"):
            node.args.args = node.args.args[1:]
            lines = (ast.get_docstring(node) or "").splitlines()
            node.body, node.decorator_list = [ast.Pass()], []
            shown = ast.unparse(node).removesuffix("\n    pass")
            shown = re.sub(r"(?<=[\w\]])=", " = ", shown).replace("'", '"')  # as ruff writes it
            if len(shown) > 120:
                head, _, end = shown.partition("(")
                inside, _, end = end.rpartition(")")
                shown = f"{head}(\n    {inside}\n){end}"
            end = "\n" if len(lines) > 1 else ""
            doc = textwrap.indent("\n".join(lines) + end, "    ").lstrip()
            return f'{shown}\n    """{doc}{"    " if end else ""}"""'
    return ""


def index(hooks: list[str]) -> str:
    """The list of all pages."""
    named = [f"- [`{hook}`]({hook}.md): {inspect.getdoc(getattr(hookspecs, hook))}" for hook in hooks]
    given = [f"- [`{name}`]({name}.md)" for name in (*VALUES, *FUNCTIONS)]
    start = "A page per hook and per thing that a method may be given. They are written by `python docs/build.py`."
    return "\n\n".join(["# Hooks and inputs", start, "\n".join(named), "\n".join(given)]) + "\n"


def given_table() -> str:
    """What a method may name, with links to the pages."""
    rows = [(f"[`{name}`](plugins/{name}.md)", told) for name, told in (VALUES | FUNCTIONS).items()]
    return table(("name", "is"), rows)
