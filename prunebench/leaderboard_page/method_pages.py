"""What a method's page says: the cards of its scorer and selector, and its results in every table."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from ..cards.reading import Card, card_of
from ..errors import UserError
from ..methods import Method as Installed
from ..registry import Registry
from .colours import Look
from .names import Method, method_of, text
from .overview import Group, Line

_CODE = re.compile(r"(``.+?``|`.+?`)")
_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")

Prose = tuple[tuple[bool, str], ...]  # (whether it is code, text) in turn


@dataclass(frozen=True)
class Block:
    """A paragraph of a definition, in words or in symbols."""

    symbols: str  # lines as they are; "" for a paragraph in words
    prose: Prose


@dataclass(frozen=True)
class MethodCard:
    """A card as the page shows it."""

    card: Card
    definition: tuple[Block, ...]
    summary: Prose
    options: tuple[tuple[str, str, str, Prose], ...]  # name, value here, default, meaning
    returns: Prose
    costs: tuple[Prose, ...]
    differs: tuple[Prose, ...]
    paper: str
    link: str  # "" where the paper is no address


@dataclass(frozen=True)
class MethodPage:
    """A method: a scorer and a selector with their options."""

    method: Method
    label: str
    look: Look
    texts: tuple[tuple[str, str], ...]  # (kind, canonical text)
    cards: tuple[MethodCard, ...]
    unknown: tuple[str, ...]  # of which no card is known here
    results: tuple[tuple[Group, tuple[Line, ...]], ...]


def method_pages(groups: Sequence[Group], registry: Registry) -> list[MethodPage]:
    """A page for every method that stands in a table, in the order in which it first stands there."""
    lines: dict[Method, list[tuple[Group, Line]]] = {}
    for group in groups:
        for line in group.lines:
            lines.setdefault(method_of(line.row), []).append((group, line))
    known: dict[tuple[str, str], tuple[MethodCard, ...]] = {}
    return [_page(method, found, registry, known) for method, found in lines.items()]


def _page(
    method: Method,
    found: Sequence[tuple[Group, Line]],
    registry: Registry,
    known: dict[tuple[str, str], tuple[MethodCard, ...]],
) -> MethodPage:
    scorer, selector, _ = method
    texts = [("scorer", scorer)] * bool(scorer) + [("selector", selector)] * (selector not in ("full", "subset"))
    for kind_and_text in texts:
        if kind_and_text not in known:
            known[kind_and_text] = _cards(*kind_and_text, registry)
    cards = tuple(card for each in texts for card in known[each])
    first = found[0][1]
    variant = f" [{first.row.variant}]" if first.row.variant else ""
    by_group: dict[str, tuple[Group, list[Line]]] = {}
    for group, line in found:
        by_group.setdefault(group.id, (group, []))[1].append(line)
    return MethodPage(
        method=method,
        label=text(first.row.label.removesuffix(variant)),
        look=first.look,
        texts=tuple((kind, text(told)) for kind, told in texts),
        cards=cards,
        unknown=tuple(text(told) for kind, told in texts if not known[kind, told]),
        results=tuple((group, tuple(lines)) for group, lines in by_group.values()),
    )


def _cards(kind: str, told: str, registry: Registry) -> tuple[MethodCard, ...]:
    """The card of a method and of the one inside it; none where the plugin is not installed here."""
    try:
        method: Installed | None = registry.method(kind, told)
        found = []
        while method is not None:
            found.append(_card(card_of(method.entry), method))
            method = method.inner
        return tuple(found)
    except UserError:
        return ()


def _card(card: Card, method: Installed) -> MethodCard:
    address = _ARXIV.fullmatch(card.paper)
    link = f"https://arxiv.org/abs/{address[1]}" if address else card.paper if _https(card.paper) else ""
    options = [(n, repr(method.options.get(n, d)), repr(d), prose(meaning)) for n, d, meaning in card.options]
    return MethodCard(
        card=card,
        definition=tuple(map(_block, card.definition)),
        summary=prose(card.summary),
        options=tuple(options),
        returns=prose(card.returns),
        costs=tuple(map(prose, card.costs)),
        differs=tuple(map(prose, card.differs)),
        paper=text(card.paper),
        link=link,
    )


def _https(address: str) -> bool:
    return re.fullmatch(r"https://[\w./?=&#%:~+-]+", address) is not None


def _block(block: str) -> Block:
    if block.startswith("    "):
        return Block(textwrap.dedent(block), ())
    return Block("", prose(block))


def prose(told: str) -> Prose:
    """A docstring's paragraph as text and code in turn, in one line."""
    parts = _CODE.split(" ".join(told.split()))
    return tuple((i % 2 == 1, part.strip("`") if i % 2 else part) for i, part in enumerate(parts) if part)
