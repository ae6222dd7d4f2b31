"""The built-in methods: a catalogue of records, read without importing the methods or torch."""

from __future__ import annotations

from prunebench import Scorer, Selector, hookimpl

from .scorers import SCORERS
from .selectors import SELECTORS


@hookimpl
def prunebench_scorers() -> tuple[Scorer, ...]:
    """The built-in scorers."""
    return SCORERS


@hookimpl
def prunebench_selectors() -> tuple[Selector, ...]:
    """The built-in selectors."""
    return SELECTORS
