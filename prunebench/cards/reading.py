"""What there is to know of a method, from its record, its signature and its docstrings; nothing is imported for it.

The docstring of a method's module opens with its title, then says the definition in symbols (indented) and in words.
A paragraph that begins "Differs from" tells what is not as elsewhere, and sentences "Time O(...).", "Cost: ..." and
"Memory: ..." what it takes. The docstring of the function has the meaning of every input and option under "Args:", then
"Returns:" and "Raises:".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..methods import FUNCTIONS, Entry, Method
from ..planning.presets import PRESETS, methods_of
from ..spec import module_doc, write

NEEDS = {  # input -> what people call it
    "labels": "labels",
    "history": "training",
    "features": "trained features",
    "network": "trained network",
    "embeddings": "embeddings",
    "neighbours": "neighbours",
    "score": "other scores",
    "observe": "own trainings",
    "judge": "trial trainings",
    "stored": "own model",
    "images": "pictures",
    "inner": "a selector",
}
COSTS = {  # input -> what asking for it sets going
    "history": "the shared reference training, watched",
    "features": "the shared reference training, and one pass for its penultimate features",
    "network": "the shared reference training, for its network",
    "embeddings": "one pass of a frozen encoder that saw no labels",
    "neighbours": "the nearest neighbours of every example, shared and stored",
    "score": "another score, and what that needs",
    "observe": "a reference training of its own",
    "judge": "a trial's training for every subset judged",
    "stored": "a model of its own, trained once and kept, or a pretrained one",
    "inner": "the selector inside, and what that needs",
}
DIFFERS = "Differs from"
COST = re.compile(r"(?:Time\s+O\(|Cost:|Memory:).*?\.(?=\s|$)", re.DOTALL)  # a sentence


@dataclass(frozen=True)
class Card:
    """A scorer or selector as people read of it."""

    kind: str
    name: str
    key: str
    version: str
    call: str  # the text with all options at their defaults
    direction: str
    needs: str
    label_free: str  # yes, no, depends
    title: str
    definition: tuple[str, ...]  # blocks; those in symbols are indented
    summary: str
    options: tuple[tuple[str, Any, str], ...]  # name, default, meaning
    returns: str
    refuses: str
    costs: tuple[str, ...]  # sentences, memory last
    differs: tuple[str, ...]
    presets: tuple[str, ...]  # the named methods in which it stands
    paper: str
    bibtex: str


def card_of(entry: Entry) -> Card:
    """The card of a scorer or selector.

    Raises:
        UserError: the function cannot be imported, or breaks the rules for methods.
    """
    signature, record = entry.call_signature(), entry.record
    about, blocks = sections(signature.doc), list(_blocks(module_doc(record.fn)))
    meaning = arguments(about.get("Args", ""))
    told = [" ".join(found.split()) for block in blocks for found in COST.findall(block)]
    prose = [COST.sub("", block).rstrip() for block in blocks[1:]]
    return Card(
        kind=entry.kind,
        name=record.name,
        key=entry.key,
        version=entry.plugin.version,
        call=write(record.name, signature.options, "SELECTOR" if "inner" in signature.inputs else None),
        direction=direction(entry),
        needs=needs(entry),
        label_free=Method(entry, signature.options).label_free,
        title=blocks[0] if blocks else "",
        definition=tuple(b for b in prose if b and not b.startswith(DIFFERS)),
        summary=about[""],
        options=tuple((name, default, meaning.get(name, "")) for name, default in signature.options.items()),
        returns=about.get("Returns", ""),
        refuses=about.get("Raises", ""),
        costs=(*costs(entry, meaning), *told, *memory(record.bytes_per_example, told)),
        differs=tuple(b for b in prose if b.startswith(DIFFERS)),
        presets=tuple(name for name, found in PRESETS.items() if (entry.kind, record.name) in methods_of(found)),
        paper=record.paper,
        bibtex=record.bibtex,
    )


def needs(entry: Entry) -> str:
    """For people: what a method is given that costs something or tells something."""
    return ", ".join(NEEDS[name] for name in entry.call_signature().inputs if name in NEEDS) or "nothing"


def direction(entry: Entry) -> str:
    """Which end is hard, or what is ranked, in words."""
    if entry.kind == "scorer":
        comparable = "; compares inside a class only" if entry.record.comparable == "class" else ""
        return f"{entry.record.hard} is hard{comparable}"
    ranks = {
        "set": "ranks all examples together",
        "class": "ranks each class by itself",
        "none": "asks for no score",
    }[entry.record.ranks]
    oracle = "; an oracle: it looks at what no contender may see, its rows are marked and never ranked"
    return ranks + (oracle if entry.record.oracle else "")


def costs(entry: Entry, meaning: Mapping[str, str]) -> Iterator[str]:
    """One sentence for everything that a method asks for and that has to be made."""
    signature = entry.call_signature()
    for name in signature.inputs:
        if name not in COSTS:
            continue
        told = COSTS[name]
        if name == "history":
            told = f"{told}: {watched(entry.record)}"
            if "runs" in signature.options:
                told += f"; {signature.options['runs']} of it, or as many as the option runs says"
        elif name in FUNCTIONS and name in meaning and name != "features":
            told = f"{told}: {meaning[name].rstrip('.')}"
        yield f"{told}."
    if not any(name in COSTS for name in signature.inputs):
        yield "nothing is trained or computed for it."


def memory(bound: int | None, told: Sequence[str]) -> Iterator[str]:
    """The declared bound; that there is none, only where the docstring does not tell of memory either."""
    if bound:
        yield f"memory: at most {bound} bytes per example of its own."
    elif not any("memory" in sentence.lower() for sentence in told):
        yield "memory: no bound is declared."


def watched(record: Any) -> str:
    """The names of the statistics that a record watches."""
    watch = record.watch if isinstance(record.watch, (tuple, list)) else (record.watch,)
    names = [w.rpartition(":")[2] if isinstance(w, str) else getattr(w, "__name__", "its own") for w in watch]
    return " and ".join(f"`{name}`" for name in names)


def sections(doc: str) -> dict[str, str]:
    """A docstring's opening under "", and what stands under Args, Returns and Raises, dedented."""
    found, heading = dict[str, list[str]]({"": []}), ""
    for line in doc.splitlines():
        if line in ("Args:", "Returns:", "Raises:"):
            heading = line[:-1]
            found[heading] = []
        else:
            found[heading].append(line[4:] if heading else line)
    return {name: "\n".join(lines).strip() for name, lines in found.items()}


def arguments(text: str) -> dict[str, str]:
    """``"a, b: meaning"`` per entry, further lines indented -> meaning by name, in one line."""
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", text):
        names, colon, told = entry.partition(":")
        if colon:
            found |= {name.strip(): " ".join(told.split()) for name in names.split(",")}
    return found


def _blocks(doc: str) -> Iterator[str]:
    """The paragraphs; indented ones that follow each other are one, and tables of symbols keep their lines."""
    held: list[str] = []
    for block in re.split(r"\n\s*\n", doc):
        if block.startswith("    "):
            held.append(block)
            continue
        if held:
            yield "\n\n".join(held)
            held = []
        if block.strip():
            yield block
    if held:
        yield "\n\n".join(held)
