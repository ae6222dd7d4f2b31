"""Named methods as people cite them: a scorer and a selector with the options of the paper."""

from __future__ import annotations

from .errors import UserError
from .spec import near

# name -> (scorer or None, selector)
PRESETS: dict[str, tuple[str | None, str]] = {
    "random": (None, "random"),
    "balanced": (None, "balanced"),
    "forgetting": ("forgetting", "hardest"),
    "el2n": ("el2n(runs=10)", "hardest"),
    "aum": ("aum", "hardest"),
    "ccs": ("accumulated_margin", "ccs"),
    "bws": ("forgetting", "bws"),
    "moderate": ("moderate", "moderate"),
    "elfs": ("elfs", "double_end"),
    "drd": ("drd", "bws(order='easiest', furthest=0.5)"),
}


def preset(name: str) -> tuple[str | None, str]:
    """The scorer and selector that a paper's method stands for.

    Raises:
        UserError: no such method; near names are suggested.
    """
    if name not in PRESETS:
        raise UserError(f"there is no method {name!r}{near(name, PRESETS)} (known: {', '.join(PRESETS)})")
    return PRESETS[name]
