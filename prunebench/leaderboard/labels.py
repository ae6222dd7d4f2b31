"""What people read instead of a canonical text: the bare name, and only the options that tell rows apart."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..errors import UserError
from ..spec import Spec, parse, write

Labels = Callable[[str, str], str]  # (kind, canonical text) -> label; kind is "scorer" or "selector"
_LONGEST = 80  # characters
_MISSING = object()
_PLUS = " + "
_PLAIN = {"full": "full data", "balanced": "balanced random", "random": "uniform random"}


def method_label(baseline: str | None, scorer: str | None, selector: str, selection: str) -> str:
    """The name of a row, from the labels of its scorer and its selector."""
    if baseline:
        return _PLAIN[baseline]
    if scorer is None and selector == "subset":
        return f"index file {selection[:8]}"
    return f"{scorer}{_PLUS}{selector}" if scorer else selector


def labels_for(kind: str, texts: Iterable[str], labels: Labels | None = None) -> dict[str, str]:
    """Canonical text -> label, each different; ``labels`` first, what differs where that does not tell texts apart."""
    wanted = sorted(set(texts))
    found = {text: labels(kind, text) for text in wanted} if labels else _by_difference(wanted)
    for alike in _alike(found):
        found |= {text: _by_difference(alike)[text] for text in alike}
    for alike in _alike(found):
        found |= {text: text for text in alike}
    return {text: _shortened(label, text) for text, label in found.items()}


def terse(labels: Sequence[str]) -> tuple[list[str], str]:
    """Labels of rows without the options that every method of a name shares among them; and those, for a note.

    ``drd + bws(order='easiest')`` and ``el2n + bws(order='easiest')`` are ``drd + bws`` and ``el2n + bws``, with the
    note ``bws(order='easiest')``. All stay as they are where two would become the same.
    """
    parts = {part: _parsed(part) for label in labels for part in label.split(_PLUS)}
    shorter = _by_difference(text for text, spec in parts.items() if spec)
    found = [_PLUS.join(shorter.get(part, part) for part in label.split(_PLUS)) for label in labels]
    if len(set(found)) < len(set(labels)):
        return list(labels), ""
    shared = defaultdict[str, dict[str, Any]](dict)
    for (name, option), values in _values(spec for top in parts.values() if top for spec in _nested(top)).items():
        if len(values) == 1:
            shared[name][option] = values[0]
    return found, ", ".join(write(name, options) for name, options in sorted(shared.items()))


def _alike(found: dict[str, str]) -> list[list[str]]:
    """Texts that bear the same label, where there are several."""
    bearers = defaultdict(list)
    for text, label in found.items():
        bearers[label].append(text)
    return [texts for texts in bearers.values() if len(texts) > 1]


def _by_difference(texts: Iterable[str]) -> dict[str, str]:
    """The bare name with the options whose values differ among texts of that name."""
    parsed = {text: _parsed(text) for text in texts}
    nested = [spec for top in parsed.values() if top for spec in _nested(top)]
    values, packages = _values(nested), defaultdict[str, set[str | None]](set)
    for spec in nested:
        packages[spec.name].add(spec.distribution)

    def label(spec: Spec) -> str:
        name = f"{spec.distribution}/{spec.name}" if len(packages[spec.name]) > 1 and spec.distribution else spec.name
        differing = {k: v for k, v in spec.options.items() if len(values[spec.name, k]) > 1}
        inner = label(spec.inner) if spec.inner else None
        return write(name, differing, inner) if differing or inner else name

    return {text: label(spec) if spec else text for text, spec in parsed.items()}


def _values(specs: Iterable[Spec]) -> dict[tuple[str, str], list[Any]]:
    """(Name, option) -> the different values it has, ``_MISSING`` where a method of the name does not say."""
    specs, options = list(specs), defaultdict[str, set[str]](set)
    found = defaultdict[tuple[str, str], list[Any]](list)
    for spec in specs:
        options[spec.name] |= set(spec.options)
    for spec in specs:
        for option in sorted(options[spec.name]):
            value = spec.options.get(option, _MISSING)
            if value not in found[spec.name, option]:
                found[spec.name, option].append(value)
    return found


def _nested(spec: Spec) -> Iterator[Spec]:
    yield spec
    if spec.inner:
        yield from _nested(spec.inner)


def _parsed(text: str) -> Spec | None:
    try:
        return parse(text)
    except UserError:
        return None


def _shortened(label: str, text: str) -> str:
    if len(label) <= _LONGEST:
        return label
    return f"{label[: _LONGEST - 9]}… {hashlib.sha256(text.encode(errors='replace')).hexdigest()[:7]}"
