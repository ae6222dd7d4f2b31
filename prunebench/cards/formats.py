"""A method card for a terminal and as Markdown: pure functions of cards."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from .reading import Card

NO_DIFFERENCE = "Nothing that is known."


def as_text(cards: Sequence[Card], width: int = 100) -> str:
    """For a terminal of ``width`` columns; equations keep their lines, and what one module says stands once."""
    told: set[tuple[str, ...]] = set()
    parts = []
    for card in cards:
        parts.append(_text(card, width, (card.title, *card.definition) not in told))
        told.add((card.title, *card.definition))
    return "\n".join(parts)


def _text(card: Card, width: int, whole: bool) -> str:
    rows = _wrapped(f"{card.kind} {card.key} ({card.version}): {card.direction}", 0, width, 4)
    rows += [*_wrapped(card.call, 4, width, 8), ""]
    rows += [*_wrapped(card.title, 2, width), ""] if whole else []
    for block in card.definition if whole else ():
        rows += [*(_verbatim(block, 2, width) if _in_symbols(block) else _wrapped(_plain(block), 2, width)), ""]
    rows += _section("what it gives", [_plain(card.summary), _plain(card.returns)], width)
    if card.options:
        rows += ["  options"]
        for name, default, meaning in card.options:
            rows += _wrapped(f"{name} = {default!r}: {_plain(meaning)}", 4, width, 8)
        rows += [""]
    free = f"label-free: {card.label_free}"
    rows += _section("cost and memory", [f"needs: {card.needs}; {free}", *map(_plain, card.costs)], width)
    if whole:
        rows += _section("what differs", [_plain(told) for told in card.differs] or [NO_DIFFERENCE], width)
    if card.refuses:
        rows += _section("refuses", [_plain(line) for line in _entries(card.refuses)], width)
    rows += _section("as a method", [f"--method {name}" for name in card.presets], width)
    rows += _section("paper", [card.paper, f"citation: prunebench ls {card.kind}:{card.name} --bibtex"], width)
    return "\n".join(rows)


def as_markdown(cards: Sequence[Card]) -> str:
    """One page for all cards of a name: a scorer, a selector, or both."""
    parts = [f"# `{cards[0].name}`"]
    shown = None
    for card in cards:
        if len(cards) > 1:
            parts.append(f"## As a {card.kind}")
        if (card.title, card.definition) != shown:  # what one module says of both stands once
            parts += [_escaped(card.title), *map(_block, card.definition)]
            shown = (card.title, card.definition)
        parts += _page_of(card)
    differs = list(dict.fromkeys(told for card in cards for told in card.differs))
    parts += ["## What differs, and why", *(map(_escaped, differs) if differs else [NO_DIFFERENCE])]
    bibtex = list(dict.fromkeys(card.bibtex for card in cards if card.bibtex))
    parts += ["## Citation", *dict.fromkeys(link(card.paper) for card in cards if card.paper)]
    parts += [f"```bibtex\n{entry}\n```" for entry in bibtex]
    return "\n\n".join(parts) + "\n"


def link(paper: str) -> str:
    """Where a paper is, as a Markdown link: an arXiv number or an address."""
    if paper.startswith("arXiv:"):
        return f"[{paper}](https://arxiv.org/abs/{paper.removeprefix('arXiv:')})"
    return f"[{short(paper)}]({paper})" if paper.startswith("https://") else paper


def short(paper: str) -> str:
    """An address as people cite it."""
    for start, name in (("https://doi.org/", "doi:"), ("https://openreview.net/forum?id=", "OpenReview:")):
        if paper.startswith(start):
            return name + paper.removeprefix(start)
    return paper


def _page_of(card: Card) -> list[str]:
    facts = [("text", f"`{card.call}`"), ("direction", card.direction), ("needs", card.needs)]
    facts += [("label-free", card.label_free)]
    if card.presets:
        facts.append(("as a method", ", ".join(f"`--method {name}`" for name in card.presets)))
    parts = [table(("", f"{card.kind} `{card.key}`"), facts), _escaped(card.summary)]
    if card.options:
        rows = [(f"`{name}`", f"`{default!r}`", _escaped(meaning)) for name, default, meaning in card.options]
        parts.append(table(("option", "default", "meaning"), rows))
    if card.returns:
        parts.append(f"**Returns** {_escaped(card.returns)}")
    if card.refuses:
        parts.append("**Refuses**\n\n" + "\n".join(f"- {_escaped(line)}" for line in _entries(card.refuses)))
    return [*parts, "**Cost and memory**\n\n" + "\n".join(f"- {_escaped(told)}" for told in card.costs)]


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; pipes in cells are kept apart from those between them."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in line) + " |" for line in lines)


def _in_symbols(block: str) -> bool:
    return block.startswith("    ")


def _block(block: str) -> str:
    return f"```text\n{textwrap.dedent(block)}\n```" if _in_symbols(block) else _escaped(block)


def _escaped(text: str) -> str:
    """Prose of a docstring as one Markdown paragraph: code spans as they are, stars and underscores not as emphasis."""
    parts = re.split(r"(``.+?``|`.+?`)", " ".join(text.split()))
    return "".join(f"`{part.strip('`')}`" if i % 2 else _kept(part) for i, part in enumerate(parts))


def _kept(text: str) -> str:
    return re.sub(r"(?<!\w)_(?=\S)|(?<=\S)_(?!\w)|\*(?=\S)|(?<=\S)\*|<(?=[A-Za-z/!])", r"\\\g<0>", text)


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("``", "").replace("`", "")


def _entries(text: str) -> Iterator[str]:
    yield from (" ".join(entry.split()) for entry in re.split(r"\n(?=\S)", text))


def _wrapped(text: str, indent: int, width: int, further: int | None = None) -> list[str]:
    after = " " * (indent if further is None else further)
    return textwrap.wrap(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=after,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _verbatim(block: str, indent: int, width: int) -> list[str]:
    """Lines as they are; one that is too long goes on below where it has a gap, or else between words."""
    rows: list[str] = []
    for line in block.splitlines():
        parts = [line] if len(line) + indent <= width else re.split(r"(?<=\S) {3,}(?=\S)", line)
        for i, part in enumerate(parts):
            start = indent + 8 if i else indent
            rows += _wrapped(part, start, width, start + 8) or [""]
    return rows


def _section(heading: str, lines: Sequence[str], width: int) -> list[str]:
    told = [line for line in lines if line]
    return [f"  {heading}", *(row for line in told for row in _wrapped(line, 4, width)), ""] if told else []
