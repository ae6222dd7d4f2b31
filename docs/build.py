"""Writes what docs tell of methods and measurements: `python docs/build.py`, where the plugin `drd` is.

    docs/methods/*.md    a card per method of ours, from its record and docstrings, with the tests that prove it, and
                         the tables of scorers and selectors
    docs/scale.md        the tables of what benchmarks/records/scale.json tells
    docs/recipes_on_digits.md   the tables of the recipes' figures, from docs/figures/*.csv
    docs/plugins/*.md    a page per hook and per thing a method may be given, and their table in docs/plugins.md
    docs/commands/*.md   a page per command, from what it says with --help
    docs/api/*.md        every public name of Python, from its signature and docstring

A test proves a method where it bears the mark `proves("NAME", "golden" | "closed form" | "property")`, the name as
`scorer:NAME` or `selector:NAME` where both kinds have it. Marks are read from the files; no test is imported.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prunebench.cards.formats import as_markdown, link, table
from prunebench.cards.reading import Card, card_of
from prunebench.registry import collect

sys.path.insert(0, str(Path(__file__).parent))
from api_pages import api_pages
from command_pages import command_pages
from plugin_pages import plugin_pages
from recipe_tables import with_tables

ROOT = Path(__file__).resolve().parents[1]
TESTS = ("tests", "plugins/drd/tests")
FOLDERS = ("methods", "plugins", "commands", "api")  # of docs/: every page in them is written
OURS = ("prunebench", "prunebench-drd")
BY = ("golden", "closed form", "property")  # the authors' own numbers; the formula written out; what must hold
Proof = tuple[str, str, str]  # by what, file, test
TIMES = "| what | size | ours, s | plain, s | ratio | goal |\n|---|---|---|---|---|---|\n"
MEMORY = "| what | size | bytes per example | bound | CPU s |\n|---|---|---|---|---|\n"

INDEX = """# Methods

One card per method: definition, options, cost, what differs from the authors' code, citation, and the tests that prove
it. The same in a terminal: `prunebench ls NAME`. These pages are written by `python docs/build.py`.

Proofs: *golden*, the numbers of the authors' own code; *closed form*, the formula written out or a case solved by hand;
*property*, what must hold for any input. Each card names its tests. Which other definitions go by the same names, and
the option that gives each: [definitions](../definitions.md). Not here yet: VoG, DeepFool, CAL, GLISTER.
"""


def cards() -> dict[str, list[Card]]:
    """The cards of every method of ours by name, scorer before selector.

    Raises:
        SystemExit: the plugin is not installed, or could not be loaded.
    """
    registry = collect()
    found: dict[str, list[Card]] = {}
    for kind in ("scorer", "selector"):
        for entry in registry.entries[kind].values():
            if entry.plugin.distribution in OURS:
                found.setdefault(entry.record.name, []).append(card_of(entry))
    if "drd" not in found:
        raise SystemExit("the cards of drd are missing: pip install -e plugins/drd (see `prunebench plugins`)")
    return dict(sorted(found.items()))


def proofs(known: dict[str, list[Card]]) -> dict[tuple[str, str], list[Proof]]:
    """(kind, name) -> the tests that bear its mark, golden ones first.

    Raises:
        ValueError: a mark names no method, both kinds at once, or another way of proving.
    """
    found: dict[tuple[str, str], list[Proof]] = {(c.kind, c.name): [] for same in known.values() for c in same}
    for file, test, name, by in marks():
        kind, colon, bare = name.rpartition(":")
        kinds = [kind] if colon else [card.kind for card in known.get(bare, ())]
        if len(kinds) != 1 or (kinds[0], bare) not in found:
            raise ValueError(f"{file}, {test}: proves({name!r}) must name one method, as scorer:NAME where two have it")
        if by not in BY:
            raise ValueError(f"{file}, {test}: {name} is proved by one of {', '.join(BY)}, not by {by!r}")
        found[kinds[0], bare].append((by, file, test))
    return {key: sorted(tests, key=lambda proof: BY.index(proof[0])) for key, tests in found.items()}


def marks() -> Iterator[tuple[str, str, str, str]]:
    """(file, test, name, by) of every mark `proves` of a test function."""
    for folder in TESTS:
        for path in sorted((ROOT / folder).glob("test_*.py")):
            for node in ast.parse(path.read_text()).body:
                for mark in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.proves":
                        name, by = map(ast.literal_eval, mark.args)
                        yield path.relative_to(ROOT).as_posix(), node.name, name, by


def page(same: list[Card], proved: dict[tuple[str, str], list[Proof]]) -> str:
    """A card with its proofs, those of a scorer and a selector of one name apart."""
    parts = [as_markdown(same), "## Proof\n"]
    for card in same:
        heading = f"The {card.kind}:\n\n" if len(same) > 1 else ""
        rows = [f"- {by}: `{test}` in [{file}](../../{file})" for by, file, test in proved[card.kind, card.name]]
        parts.append(heading + ("\n".join(rows) if rows else "No test bears its mark.") + "\n")
    return "\n".join(parts)


def tables(known: dict[str, list[Card]], proved: dict[tuple[str, str], list[Proof]]) -> str:
    """The scorers and the selectors, linked to their cards."""
    shown = {
        "scorer": ("scorer", "paper", "needs", "high is", "definition", "proof"),
        "selector": ("selector", "paper", "needs", "ranks", "keeps", "proof"),
    }
    parts = []
    for kind, heading in shown.items():
        rows = []
        for card in (card for same in known.values() for card in same if card.kind == kind):
            by = ", ".join(dict.fromkeys(by for by, *_ in proved[kind, card.name])) or "-"
            name = f"[`{card.name}`]({card.name}.md)"
            rows.append((name, link(card.paper), card.needs, way(card), told(card), by))
        parts.append(table(heading, rows))
    return "\n\n".join(parts) + "\n"


def way(card: Card) -> str:
    """The end that high values mean, or what is ranked, in a word."""
    if card.kind == "scorer":
        return "hard" if card.direction.startswith("high") else "easy"
    return {"ranks all": "all", "ranks each": "each class", "asks for": "nothing"}[" ".join(card.direction.split()[:2])]


def told(card: Card) -> str:
    """The first sentence of what it gives, without its full stop."""
    return " ".join(card.summary.split("\n\n")[0].split()).replace("``", "`").removesuffix(".")


def scale(text: str, record: dict[str, dict[str, Any]]) -> str:
    """``text`` with its tables of times and of memory as the record tells them.

    Raises:
        ValueError: a table is not there.
    """
    times, memory = [], []
    for name, found in sorted(record.items(), key=lambda item: _goal_first(item[0])):
        if "ratio" in found:
            seconds = f"{found['ours_seconds']:g} | {found['plain_seconds']:g} | {found['ratio']:g}x"
            goal = "" if found["goal"] is None else f"{found['goal']}x"
            times.append(f"| {name} | {found['size']} | {seconds} | {goal} |\n")
        else:
            figures = f"{found['bytes_per_example']:,} | {found['bound']:,} | {found['seconds']:,}"
            memory.append(f"| {name} | {found['size']} | {figures} |\n")
    return _filled(_filled(text, TIMES, times), MEMORY, memory)


def _goal_first(name: str) -> tuple[bool, int, str]:
    """P1 to P18 by number, then what is no goal."""
    goal = re.match(r"P(\d+) ", name)
    return goal is None, int(goal[1]) if goal else 0, name


def _filled(text: str, head: str, rows: list[str]) -> str:
    """``text`` with these rows, and no others, below a table's head."""
    before, found, after = text.partition(head)
    if not found:
        raise ValueError(f"docs/scale.md must have the lines {head!r}")
    lines = after.splitlines(keepends=True)
    last = next((i for i, line in enumerate(lines) if not line.startswith("|")), len(lines))
    return before + head + "".join(rows + lines[last:])


def pages() -> dict[Path, str]:
    """Every file that is written, with its text, but `command_pages` and `api_pages`: they import what they tell of."""
    known = cards()
    proved = proofs(known)
    found = {ROOT / "docs" / "methods" / f"{name}.md": page(same, proved) for name, same in known.items()}
    found[ROOT / "docs" / "methods" / "README.md"] = f"{INDEX}\n{tables(known, proved)}"
    measured = json.loads((ROOT / "benchmarks" / "records" / "scale.json").read_text())
    found[ROOT / "docs" / "scale.md"] = scale((ROOT / "docs" / "scale.md").read_text(), measured)
    on_digits = ROOT / "docs" / "recipes_on_digits.md"
    found[on_digits] = with_tables(on_digits.read_text())
    return found | plugin_pages(collect())


def main() -> None:
    """Write the pages, remove those of methods that are gone, and say which methods nothing proves."""
    written = pages() | command_pages() | api_pages()
    for folder in FOLDERS:
        for path in (ROOT / "docs" / folder).glob("*.md"):
            if path not in written:
                path.unlink()
    for path, text in written.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    lacking = [f"{kind} {name}" for (kind, name), tests in proofs(cards()).items() if not tests]
    print(f"{len(written)} pages written")
    if lacking:
        sys.exit(f"no test bears the mark of {', '.join(lacking)}")


if __name__ == "__main__":
    main()
