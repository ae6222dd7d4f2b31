"""What a record owes before its method is called: a signature, options, a card, and an entry module that is light."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any

from .. import registry as plugins
from ..cards.reading import card_of
from ..errors import UserError
from ..methods import Entry, Plugin
from ..spec import bind

Check = tuple[str, Callable[[], None]]
UNDER_TEST = Plugin("under-test", "under-test", "0", "under_test")  # of a record that no installed plugin offers
LIGHT_SECONDS = 0.3  # of a core, to import an entry module
HEAVY = ("torch", "torchvision", "timm", "sklearn", "scipy", "pandas", "matplotlib", "transformers", "diffusers")
FRESH = f"""
import importlib, sys, time
import prunebench.hookspecs
started = time.process_time()
importlib.import_module(sys.argv[1])
print(time.process_time() - started, *(name for name in {HEAVY} if name in sys.modules))
"""


def record_checks(entry: Entry) -> Iterator[tuple[str, Callable[[], None] | str]]:
    """(title, check), or (title, why it does not apply)."""
    yield "the function is named lazily or can be inspected", partial(_signature, entry)
    yield "options can be written to JSON", partial(_options, entry)
    if entry.kind == "selector":
        yield "ranks says whether scores are ranked", _ranks(entry)
    yield "the docstring says what it computes", partial(_documented, entry)
    yield "the card is complete", partial(_complete, entry)
    light = partial(_light, entry.plugin)
    yield "the entry module is light", "no installed plugin offers it" if entry.plugin == UNDER_TEST else light


def offered(kind: str, record: Any) -> Plugin:
    """The installed plugin that offers this very record, or `UNDER_TEST`."""
    for entry in plugins.installed().entries[kind].values():
        if entry.record == record:
            return entry.plugin
    return UNDER_TEST


def _signature(entry: Entry) -> None:
    entry.call_signature()
    assert callable(entry.function()), f"{entry.record.fn} is not callable: name a function"


def _options(entry: Entry) -> None:
    try:
        json.dumps(dict(entry.call_signature().options))
    except TypeError as wrong:
        raise AssertionError(f"an option's default cannot be written to JSON ({wrong}): use a literal") from None
    signature, cheap = entry.call_signature(), entry.record.checked_with
    assert isinstance(cheap, Mapping), f"its record's checked_with is no dictionary of options: {cheap!r}"
    try:
        bind(signature.options, cheap, f"the {entry.kind} {entry.record.name}", signature.numbers)
    except UserError as wrong:
        raise AssertionError(f"its record's checked_with: {wrong}") from None


def _ranks(entry: Entry) -> Callable[[], None] | str:
    if "inner" in entry.call_signature().inputs:
        return "what stands inside ranks"

    def holds() -> None:
        named = "hardness" in entry.call_signature().inputs
        way_out = 'ranks="none" is for those that name no hardness, "set" or "class" for those that do'
        assert named == (entry.record.ranks != "none"), f"its record says ranks={entry.record.ranks!r}: {way_out}"

    return holds


def _documented(entry: Entry) -> None:
    assert entry.call_signature().doc.strip(), "write a docstring: the equation, shapes, and the source"


def _complete(entry: Entry) -> None:
    card = card_of(entry)
    assert card.title, "the module of the method needs a docstring: a title, then the definition in symbols and words"
    untold = [name for name, _, meaning in card.options if not meaning]
    assert not untold, f"say under 'Args:' in the function's docstring what {', '.join(untold)} means"


def _light(plugin: Plugin) -> None:
    seconds, heavy = entry_import(plugin.module.partition(":")[0])
    way_out = 'name the function lazily, fn="package.module:name", and import what it needs there'
    assert not heavy, f"{plugin.module} imports {', '.join(heavy)} when plugins are listed: {way_out}"
    assert seconds < LIGHT_SECONDS, f"importing {plugin.module} takes {seconds:.2f} s of a core: {way_out}"


@lru_cache(maxsize=64)
def entry_import(module: str) -> tuple[float, tuple[str, ...]]:
    """Seconds of a core to import a module in a fresh process, the best of three where need be, and what is heavy.

    Raises:
        AssertionError: it cannot be imported there.
    """
    best, heavy = float("inf"), tuple[str, ...]()
    for _ in range(3):
        told = subprocess.run(
            [sys.executable, "-c", FRESH, module],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        assert told.returncode == 0, f"{module} cannot be imported in a fresh process: {_last_line(told.stderr)}"
        seconds, *found = told.stdout.splitlines()[-1].split()
        best, heavy = min(best, float(seconds)), tuple(found)
        if best < LIGHT_SECONDS or heavy:
            break
    return best, heavy


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
