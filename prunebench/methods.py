"""A record with its options bound: what a text like ``ccs(cutoff=0.3)`` stands for, and what a method may name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import spec
from .errors import UserError

VALUES = {  # name -> what it is; docs/build.py makes pages of it
    "images": "the pictures, without labels or keys: `len`, `take(indices)`, `pixels(indices, size=None) -> "
    "(B, 3, S, S) uint8`, `size` and `flip`, whether they may be mirrored",
    "labels": "(N,) int64, as trained on: with their noise, where a run adds some",
    "classes": "the names of the C classes, in the order of the labels",
    "seeds": "(N,) int64, one per example, the same for all options of a scorer; "
    "`prunebench.noise(seeds, draw, shape)` makes noise of them that is the same on every device",
    "history": "(R, E, N) float32: what the record's `watch` names, per reference run, epoch and example; a dictionary "
    "of these where `watch` is a tuple",
    "held_out": "(N,) bool, one in ten by key hash; whoever tunes leaves these out",
    "device": "the torch device that features and networks are on",
    "generator": "a CPU generator, seeded by the method's name, the data, the keep ratio and the seed; the only source "
    "of chance beside `seeds`",
    "progress": "`progress(iterable, total, text)` shows how far a loop is; the text may be a function that is asked "
    "anew",
    "hardness": "(N,) float64, high = hard: the scorer's numbers, turned by its own `hard`",
    "budget": "k, how many examples to keep",
    "details": "a dictionary of what the scorer told beside its numbers",
}
FUNCTIONS = {
    "features": "`features(run=0) -> (N, D)` float32: the penultimate features of the reference network after its last "
    "epoch, in evaluation mode, without augmentation",
    "network": "`network(run=0, epoch=None)`: a fresh frozen copy of the reference network (`net(x)`, "
    "`net.features(x)`, `net.stages(x)`), after all epochs or `epoch` of them, 0 = as initialised",
    "embeddings": "`embeddings(encoder) -> (N, D)` float32 of a frozen encoder that saw no labels of this data set: "
    "`pixels`, `pca`, a local folder or a timm name",
    "neighbours": "`neighbours(x, k)`: distances (N, k) and indices (N, k) of the nearest other rows of x (N, D)",
    "score": "`score(text) -> (N,)` float64: another scorer's hardness",
    "observe": "`observe(labels=None, indices=None, epochs=None, seed=0, watch=())`: another reference training, on "
    "given labels or clusters: `.history[name]` (epochs, n); `.features()`, `.logits()` (N, C) and `.network()` after "
    "it",
    "judge": "`judge(indices, weights=None)`: accuracy on the whole training split of the reference model trained as a "
    "trial",
    "stored": "`stored(name, spec, make, shared=False)`: a folder of the method's own, made by `make(folder)` where it "
    "is missing; it survives a kill while it is made. With `shared=True` it belongs to all methods of the "
    "distribution, made by `make(folder, generator)`",
    "blocks": "`blocks(compute, order=None, rows=64) -> (N,)`: resumable, shardable work per example, by "
    "`compute(indices (rows,)) -> (rows,)`",
    "inner": "`inner(indices, budget)`, of combinators: the selector inside, on some examples; its weights are handed "
    "on unless the combinator returns its own",
}
SELECTOR_ONLY = ("hardness", "budget", "details", "inner")
LABELLED = ("labels", "history", "features", "network", "judge")  # naming one of these reaches labels
DEPENDS = ("score", "observe")  # label-free as long as what is called is


@dataclass(frozen=True)
class Plugin:
    """One entry point of the group ``prunebench``."""

    name: str
    distribution: str
    version: str
    module: str
    problem: str = ""  # empty: loaded
    skipped: bool = False  # left out by the user


@dataclass(frozen=True)
class Entry:
    """A record with the plugin that offers it and, where the file tells, its signature."""

    kind: str
    record: Any
    plugin: Plugin
    signature: spec.Signature | None

    @property
    def key(self) -> str:
        return f"{self.plugin.distribution}/{self.record.name}"

    @property
    def definition(self) -> int | str:
        """What identity holds of the method's version: its own number, else its distribution's version."""
        declared = getattr(self.record, "definition", None)
        return self.plugin.version if declared is None else declared

    def call_signature(self) -> spec.Signature:
        """The signature; resolves the function where the file could not tell.

        Raises:
            UserError: the function cannot be imported, or breaks the rules for methods.
        """
        if self.signature is not None:
            return self.signature
        try:
            found = spec.signature_of(self.function())
            assert found is not None
            check_inputs(self.kind, self.record.name, found)
        except ValueError as wrong:
            raise UserError(f"{self.key} of {self.plugin.distribution} {self.plugin.version}: {wrong}") from None
        return found

    def function(self) -> Any:
        """The function itself, imported now.

        Raises:
            UserError: it cannot be imported.
        """
        try:
            return spec.resolve(self.record.fn)
        except (ImportError, LookupError) as missing:
            raise UserError(
                f"{self.key} of {self.plugin.distribution} {self.plugin.version} cannot be loaded: {missing}"
            ) from missing


@dataclass(frozen=True)
class Method:
    """A scorer or selector with its options: what a text stands for."""

    entry: Entry
    options: Mapping[str, Any]
    inner: Method | None = None

    @property
    def text(self) -> str:
        """Canonical: full key, every option in signature order."""
        return spec.write(self.entry.key, self.options, self.inner.text if self.inner else None)

    @property
    def label(self) -> str:
        """For people: the bare name and only the options that differ from their defaults."""
        defaults = self.entry.call_signature().options
        changed = {k: v for k, v in self.options.items() if v != defaults[k]}
        if not changed and self.inner is None:
            return self.entry.record.name
        return spec.write(self.entry.record.name, changed, self.inner.label if self.inner else None)

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.entry.call_signature().inputs

    @property
    def identity(self) -> dict[str, Any]:
        """What a record's identity holds of the method."""
        found: dict[str, Any] = {"text": self.text, "definition": self.entry.definition}
        if self.inner:
            found["inner"] = self.inner.identity
        return found

    @property
    def needs(self) -> tuple[str, ...]:
        """All that is named, by this method and the one inside it."""
        return tuple(dict.fromkeys((*self.inputs, *(self.inner.needs if self.inner else ()))))

    @property
    def first_epoch(self) -> int:
        """The least ``epoch`` it may be asked for: 0, as initialised, where it names networks and no history."""
        return 0 if "network" in self.needs and "history" not in self.needs else 1

    @property
    def label_free(self) -> str:
        """``yes``, ``no``, or ``depends`` on what it calls."""
        if any(name in LABELLED for name in self.needs):
            return "no"
        pretrained = "embeddings" in self.needs and self.options.get("encoder", "pixels") not in ("pixels", "pca")
        return "depends" if pretrained or any(name in DEPENDS for name in self.needs) else "yes"

    @property
    def oracle(self) -> bool:
        """Whether this selector, or the one inside it, is marked as one that is never ranked."""
        return bool(getattr(self.entry.record, "oracle", False)) or (self.inner is not None and self.inner.oracle)


def refuse_labelled(method: Method) -> None:
    """A method that names labels, or what is made with them, cannot be on the label-free track.

    Raises:
        UserError: it does.
    """
    if named := [name for name in method.needs if name in LABELLED]:
        raise UserError(
            f"{method.label} needs {', '.join(named)}, which takes labels of the whole training split: it has no place "
            f"on the label-free track; leave it out, or run with --track open"
        )


def check_inputs(kind: str, name: str, signature: spec.Signature) -> None:
    """Refuse what no method may name.

    Raises:
        ValueError: an unknown input (near ones are suggested), or an option that bears the name of an input.
    """
    allowed = [*VALUES, *FUNCTIONS]
    if kind == "scorer":
        allowed = [x for x in allowed if x not in SELECTOR_ONLY]
    for given in signature.inputs:
        if given not in allowed:
            raise ValueError(f"{name} names {given!r}, which a {kind} is not given{spec.near(given, allowed)}")
    if signature.defaulted:
        raise ValueError(
            f"{name} gives {signature.defaulted[0]!r} a default: inputs stand before the *, options after it"
        )
    for option in signature.options:
        if option in (*VALUES, *FUNCTIONS):
            raise ValueError(f"option {option!r} of {name} bears the name of an input: call it something else")
