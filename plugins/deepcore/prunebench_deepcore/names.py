"""What a method is called inside DeepCore, and the scorer and selector that it stands for.

DRD, CCS, MODERATE ...     a paper's pair, as of `prunebench ls methods`
ACCUMULATED_MARGIN ...     a scorer that no such pair is named after, its hardest examples
PB_el2n__ccs, PB_kcenter   scorer and selector with their default options; a selector that ranks nothing
prunebench:el2n(runs=2)+ccs(cutoff=0.1)    any options, as on prunebench's own command line
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass

from prunebench import UserError, installed, offered

PREFIX = "prunebench:"
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}


@dataclass(frozen=True)
class Pair:
    """A scorer's text, None where nothing is ranked, and a selector's."""

    scorer: str | None
    selector: str

    def __str__(self) -> str:
        return " + ".join(text for text in (self.scorer, self.selector) if text)

    def checked(self, balance: bool) -> Pair:
        """The pair as it runs: with ``balance`` a selector that ranks all classes together works class by class.

        Raises:
            UserError: an unknown name or option, or a selector that ranks without a scorer.
        """
        method = installed().method("selector", self.selector)
        if self.scorer:
            installed().method("scorer", self.scorer)
        elif "hardness" in method.needs:
            raise UserError(f"{self.selector} ranks by a score: write {PREFIX}SCORER+{self.selector}")
        if balance and method.entry.record.ranks == "set":
            return Pair(self.scorer, f"per_class({self.selector})")
        return self


def known() -> dict[str, Callable[[float], Pair]]:
    """Name -> the pair at a keep ratio, of everything installed; the order is that of the module's table."""
    found: dict[str, Callable[[float], Pair]] = {}
    for name, preset in offered(installed()).items():
        found[_plain(name).upper()] = lambda keep, preset=preset: Pair(*preset.at(keep))  # type: ignore[misc]
    scorers = [entry.record.name for entry in installed().entries["scorer"].values()]
    for scorer in scorers:
        found.setdefault(_plain(scorer).upper(), _always(Pair(scorer, "hardest")))
    for entry in installed().entries["selector"].values():
        selector = entry.record.name
        if "inner" in entry.call_signature().inputs:
            continue
        if entry.record.ranks == "none":
            found[f"PB_{_plain(selector)}"] = _always(Pair(None, selector))
        else:
            found |= {f"PB_{_plain(s)}__{_plain(selector)}": _always(Pair(s, selector)) for s in scorers}
    return found


def written(text: str) -> Pair:
    """``prunebench:SCORER+SELECTOR`` or ``prunebench:SELECTOR``, each with options.

    Raises:
        UserError: there is nothing on one side of the plus.
    """
    parts = [part.strip() for part in _split(text.removeprefix(PREFIX))]
    if not all(parts) or len(parts) > 2:
        raise UserError(f"cannot read {text!r}: write {PREFIX}SCORER+SELECTOR, for example {PREFIX}drd+bws")
    return Pair(None if len(parts) == 1 else parts[0], parts[-1])


def nearest(name: str, names: list[str]) -> str:
    """What may have been meant, as the end of a sentence."""
    by_case = {other.lower(): other for other in reversed(names)}
    near = difflib.get_close_matches(name.lower(), by_case, n=3, cutoff=0.6)
    return f"; did you mean {', '.join(by_case[one] for one in near)}?" if near else ""


def _always(pair: Pair) -> Callable[[float], Pair]:
    return lambda keep: pair


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _split(text: str) -> list[str]:
    """Parted at every plus outside brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        depth += 0 if quote else _BRACKETS.get(letter, 0)
        if letter == "+" and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return parts
