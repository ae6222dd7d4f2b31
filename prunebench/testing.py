"""The contract, as checks that anyone can run on a scorer or selector.

In a plugin's test file::

    @pytest.mark.parametrize("title, check", [c for r in prunebench_scorers() for c in checks(r)])
    def test_contract(title, check):
        check()

Without pytest: ``prunebench check NAME``. All runs on the CPU: on the ``planted`` pictures in a temporary store and,
where a method trains nothing of its own, in worlds that are drawn (`prunebench.drawn`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from . import registry as plugins
from .account import Account
from .budgets import budget_for
from .calling import call, checked_indices, checked_values
from .datasets.loading import load
from .drawn import KINDS, World, drawable, hardness_of, kept_in, own_memory, threads, values_in, world
from .errors import UserError
from .evidence import Evidence
from .harness import Harness, temporary_store
from .hookspecs import Scorer, Selector
from .methods import Entry, Method, Plugin, check_inputs
from .scoring import ask
from .types import Chosen, Scored, Split

Check = tuple[str, Callable[[], None]]
KEEPS = (0.004, 0.1, 0.37, 0.5, 1.0)
DATA = "planted(train=120,test=24,mislabelled=0.1,duplicates=0.1,rare=0.1)"
EPOCHS, MANY_EPOCHS = 10, 30  # of the reference training; many for a method whose own option `epochs` asks for more
RUNS = 2  # independent trainings at most, whatever the method's option `runs` says by default
SIGNED = ("negative", "huge")  # hardness of these kinds may be refused, in a sentence: some methods weigh by the score
ROUNDING = 1e-6  # relative
SLACK = 2**16  # bytes for what does not grow with the examples


def checks(record: Scorer | Selector | Entry) -> Iterator[Check]:
    """(title, check) for all that the contract asks of a record; a check raises AssertionError and says what to do."""
    entry = entry_of(record)
    yield "the function is named lazily or can be inspected", lambda: _signature(entry)
    yield "options can be written to JSON", lambda: _options(entry)
    yield "the docstring says what it computes", lambda: _documented(entry)
    subject = Subject(entry)
    yield from _scorer_checks(subject) if entry.kind == "scorer" else _selector_checks(subject)


def entry_of(record: Any) -> Entry:
    """A record of its own as an entry of the registry, and an entry as it is.

    Raises:
        ValueError: the method names what it is not given.
    """
    from . import spec

    if isinstance(record, Entry):
        return record
    kind = "scorer" if isinstance(record, Scorer) else "selector"
    signature = spec.signature_of(record.fn)
    if signature is not None:
        check_inputs(kind, record.name, signature)
    return Entry(kind, record, Plugin("under-test", "under-test", "0", "under_test"), signature)


def _signature(entry: Entry) -> None:
    entry.call_signature()
    assert callable(entry.function()), f"{entry.record.fn} is not callable: name a function"


def _options(entry: Entry) -> None:
    try:
        json.dumps(dict(entry.call_signature().options))
    except TypeError as wrong:
        raise AssertionError(f"an option's default cannot be written to JSON ({wrong}): use a literal") from None


def _documented(entry: Entry) -> None:
    assert entry.call_signature().doc.strip(), "write a docstring: the equation, shapes, and the source"


class Subject:
    """A method with its default options (but for `RUNS`) on the planted data set, under a fixed seed."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        options = dict(entry.call_signature().options)
        if isinstance(options.get("runs"), int):
            options["runs"] = min(options["runs"], RUNS)
        epochs = options.get("epochs")
        self.epochs = MANY_EPOCHS if isinstance(epochs, int) and epochs > EPOCHS else EPOCHS
        inner = plugins.installed().method("selector", "hardest") if "inner" in entry.call_signature().inputs else None
        self.method = Method(entry, options, inner)

    def scores(self, seed: int = 0, garbled: bool = False) -> tuple[np.ndarray, Account]:
        harness = planted_harness(self.epochs, garbled)
        account = Account(self.method.label)
        found, _ = call(self.method, Evidence(self.method, account, seed, 0, harness, ask=ask))
        return checked_values(
            found.values if isinstance(found, Scored) else found, len(harness.train), self.method
        ), account

    def chosen(
        self, hardness: np.ndarray, keep: float, seed: int = 0, garbled: bool = False
    ) -> tuple[np.ndarray, Account]:
        harness = planted_harness(self.epochs, garbled)
        budget = budget_for(keep, len(harness.train))
        values = {"hardness": hardness, "budget": budget, "details": {}}
        account = Account(self.method.label)
        evidence = Evidence(self.method, account, seed, 0, harness, values=values, keep=keep, ask=ask)
        found, _ = call(self.method, evidence)
        return checked_indices(
            found.indices if isinstance(found, Chosen) else found, len(harness.train), budget, self.method
        ), account

    def outcome(self, seed: int = 0, garbled: bool = False) -> tuple[np.ndarray, Account]:
        """A scorer's numbers, or the positions in ascending order of what a selector keeps of distinct scores."""
        if self.entry.kind == "scorer":
            return self.scores(seed, garbled)
        kept, account = self.chosen(planted_hardness("distinct"), 0.37, seed, garbled)
        return np.sort(kept), account

    @cached_property
    def first(self) -> tuple[np.ndarray, Account]:
        """The outcome under seed 0."""
        return self.outcome()


@lru_cache(maxsize=4)
def planted_harness(epochs: int = EPOCHS, garbled: bool = False) -> Harness:
    """A small world with known truth, shared by the checks of a process; ``garbled``: under labels without meaning."""
    data = load(plugins.installed(), DATA, Path("."), image_size=None)
    if garbled:
        labels = np.random.default_rng(0).integers(0, len(data.classes), len(data.train))
        data = replace(data, train=Split(data.train.images, labels, data.train.keys))
    registry = plugins.installed()
    return Harness(data, temporary_store(), registry, reference_epochs=epochs, threads=1, device_name="cpu")


def planted_hardness(kind: str) -> np.ndarray:
    """(N,) float64 for the planted examples, of one of the kinds of `prunebench.drawn`."""
    return hardness_of(kind, len(planted_harness().train), np.random.default_rng(KINDS.index(kind)))


def _scorer_checks(subject: Subject) -> Iterator[Check]:
    def one_finite_number_each() -> None:
        assert len(subject.first[0]) == len(planted_harness().train)

    def same_seed_same_scores() -> None:
        first, second = subject.first[0], subject.outcome()[0]
        assert np.array_equal(first, second), "two calls under one seed differ: draw from `generator` or `seeds` only"

    yield "one finite number per example; inputs and global generators untouched", one_finite_number_each
    yield "the same scores under the same seed", same_seed_same_scores
    yield from _common_checks(subject)


def _selector_checks(subject: Subject) -> Iterator[Check]:
    oracle = subject.method.oracle  # may train at every step of a search, and is never ranked
    for kind in KINDS[:1] if oracle else KINDS:

        def exact_budgets(kind: str = kind) -> None:
            for keep in KEEPS[1:4] if oracle else KEEPS:
                try:
                    subject.chosen(planted_hardness(kind), keep)
                except UserError:
                    if kind not in SIGNED:
                        raise

        yield f"exactly k distinct examples, {kind} scores", exact_budgets

    def same_seed_same_choice() -> None:
        first, second = subject.first[0], subject.outcome()[0]
        assert np.array_equal(first, second), "two calls under one seed differ: draw from `generator` only"

    yield "the same examples under the same seed", same_seed_same_choice
    yield from _common_checks(subject)


def _common_checks(subject: Subject) -> Iterator[Check]:
    method = subject.method

    def another_seed_another_outcome() -> None:
        first = subject.first[0]
        differs = any(not np.array_equal(first, subject.outcome(seed)[0]) for seed in (1, 2, 3))
        assert differs, "four seeds give the same: name `generator` only to draw from it"

    def label_free_means_label_free() -> None:
        found, account = subject.first
        told = method.label_free
        assert told != "yes" or not account.reached, f"it reached labels by {account.reached}"
        if not account.reached:
            again, _ = subject.outcome(garbled=True)
            assert np.array_equal(found, again), "other labels, another outcome: labels are reached unseen"

    if "generator" in method.inputs:
        yield "another outcome under another seed", another_seed_another_outcome
    yield "label-free means label-free", label_free_means_label_free
    if drawable(method):
        yield from _drawn_checks(method)


# in worlds that are drawn


def _drawn_checks(method: Method) -> Iterator[Check]:
    def no_place_counts() -> None:
        for seed, examples in enumerate((12, 60, 60)):
            order = np.random.default_rng(seed).permutation(examples)
            same_in_any_order(method, world(seed, examples), order, budget=1 + examples // 3)

    def threads_do_not_count() -> None:
        large = world(0, 3000, width=24)
        with threads(1):
            alone = outcome(large, method, budget=300)
        with threads(2):
            together = outcome(large, method, budget=300)
        assert _same(method, alone, together), "one thread and two give different results: reduce in a fixed order"

    if "generator" not in method.needs:  # a draw is by position
        yield "an example's result goes with it, wherever it stands", no_place_counts
    yield "the same on one thread and on two", threads_do_not_count
    if method.entry.record.bytes_per_example is not None and method.inner is None:
        yield "memory within bytes_per_example", lambda: memory_as_declared(method)


def outcome(world: World, method: Method, budget: int, seed: int = 0) -> np.ndarray:
    """A scorer's numbers in a world, or the positions in ascending order of what a selector keeps."""
    return values_in(world, method, seed) if method.entry.kind == "scorer" else kept_in(world, method, budget, seed)


def same_in_any_order(method: Method, world: World, order: np.ndarray, budget: int, rounding: float = ROUNDING) -> None:
    """The examples of a world in another order have the same numbers, or the same ones are kept.

    Raises:
        AssertionError: they do not.
    """
    here, there = outcome(world, method, budget), outcome(world.moved(order), method, budget)
    expected = here[order] if method.entry.kind == "scorer" else here
    found = there if method.entry.kind == "scorer" else np.sort(order[there])
    told = "the result depends on where an example stands: break ties by `seeds`, add up in an order of their own"
    assert _same(method, expected, found, rounding), told


def _same(method: Method, a: np.ndarray, b: np.ndarray, rounding: float = ROUNDING) -> bool:
    if method.entry.kind == "selector" or rounding == 0:
        return np.array_equal(a, b)
    return np.allclose(a, b, rtol=rounding, atol=rounding * float(np.abs(a).max(initial=0)))


def memory_as_declared(method: Method) -> None:
    """The method stays within its record's ``bytes_per_example``.

    Raises:
        AssertionError: it needs more.
    """
    wide = any(name in method.inputs for name in ("features", "embeddings", "neighbours"))
    examples = 1000 if wide else 50_000
    epochs = MANY_EPOCHS if "history" in method.inputs else 1
    large = world(0, examples, classes=2, epochs=epochs, width=512 if wide else 1)
    with threads(1):
        found = own_memory(large, method, budget=examples // 10)
    declared = method.entry.record.bytes_per_example
    told = f"it needs {found / examples:.0f} bytes per example, its record says {declared}"
    assert found <= declared * examples + SLACK, told
