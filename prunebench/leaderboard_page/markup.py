"""Many cells at once: what a template would escape one by one is escaped in one go.

The cells of a table are joined by characters that no text of a page holds (`names.text` leaves no control character),
escaped as one text, and only then are those characters replaced by the tags between cells and rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from .bars import WIDTH, Bar

_CELL, _ROW = "\x1f", "\x1e"


def cells_with_bars(values: Iterable[tuple[str, Bar | None]]) -> Markup:
    """Numbers as right-aligned cells, those with an interval beside its bar."""
    told, bars = zip(*values, strict=True)
    found = str(escape(_joined(told))).split(_CELL)
    return Markup("".join(map(_cell, found, bars)))


def _cell(escaped: str, found: Bar | None) -> str:
    if found is None:
        return f'<td class="n">{escaped}</td>'
    return f'<td class="n"><span class="with">{bar(found)}<span>{escaped}</span></span></td>'


def bar(found: Bar) -> str:
    """An interval as a small drawing; it holds numbers only."""
    drawn = "" if found.zero is None else f'<path class="zero" d="M{found.zero:g} 0V12"/>'
    if found.low is not None and found.high is not None:
        ends = ("" if found.low_open else f"M{found.low:g} 3V9") + ("" if found.high_open else f"M{found.high:g} 3V9")
        drawn += f'<path d="M{found.low:g} 6H{found.high:g}{ends}"/>'
    size = f'viewBox="0 0 {WIDTH:g} 12" width="{WIDTH:g}" height="12"'
    return f'<svg class="bar" {size} aria-hidden="true">{drawn}<circle cx="{found.mean:g}" cy="6" r="2.6"/></svg>'


def rows(lines: Iterable[Sequence[str]]) -> Markup:
    """Whole rows, the first cell of each its heading."""
    told = list(map(_joined, lines))
    if not told:
        return Markup("")
    found = str(escape(_ROW.join(told)))
    return Markup(
        "".join(
            '<tr><th scope="row">' + line.replace(_CELL, "</th><td>", 1).replace(_CELL, "</td><td>") + "</td></tr>\n"
            for line in found.split(_ROW)
        )
    )


def _joined(line: Sequence[str]) -> str:
    """The texts of a row with a `_CELL` between any two and none of the separators inside one."""
    found = _CELL.join(line)
    if _ROW in found or found.count(_CELL) >= len(line):
        found = _CELL.join(value.replace(_CELL, " ").replace(_ROW, " ") for value in line)
    return found


def breakable(name: str) -> Markup:
    """A name that may be broken after an underscore and an opening bracket, where a narrow column has to break it."""
    return Markup(str(escape(name)).replace("_", "_<wbr>").replace("(", "(<wbr>"))


def joined(left: Sequence[Sequence[str]], right: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Row by row."""
    return [(*a, *b) for a, b in zip(left, right, strict=True)]
