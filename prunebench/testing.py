"""The contract, as checks that anyone can run on a scorer or selector.

In a plugin's test file::

    @pytest.mark.parametrize("title, check", [c for r in prunebench_scorers() for c in checks(r)])
    def test_contract(title, check):
        check()

Without pytest: ``prunebench check NAME``. All runs on the ``planted`` pictures, on the CPU, in a temporary store.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from . import registry as plugins
from .account import Account
from .budgets import budget_for
from .calling import call, checked_indices, checked_values
from .datasets.loading import load
from .evidence import Evidence
from .harness import Harness, temporary_store
from .hookspecs import Scorer, Selector
from .methods import Entry, Method, Plugin, check_inputs
from .scoring import ask
from .types import Chosen, Scored

Check = tuple[str, Callable[[], None]]
KEEPS = (0.004, 0.1, 0.37, 0.5, 1.0)
DATA = "planted(train=120,test=24)"


def checks(record: Scorer | Selector | Entry) -> Iterator[Check]:
    """(title, check) for all that the contract asks of a record; a check raises AssertionError and says what to do."""
    entry = record if isinstance(record, Entry) else _entry(record)
    yield "the function is named lazily or can be inspected", lambda: _signature(entry)
    yield "options can be written to JSON", lambda: _options(entry)
    yield "the docstring says what it computes", lambda: _documented(entry)
    subject = Subject(entry)
    yield from _scorer_checks(subject) if entry.kind == "scorer" else _selector_checks(subject)


def _entry(record: Any) -> Entry:
    from . import spec

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
    """A method on the planted data set, under a fixed seed."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        options = dict(entry.call_signature().options)
        inner = plugins.installed().method("selector", "hardest") if "inner" in entry.call_signature().inputs else None
        self.method = Method(entry, options, inner)

    def scores(self, seed: int = 0) -> tuple[np.ndarray, Account]:
        harness = planted_harness()
        account = Account(self.method.label)
        found, _ = call(self.method, Evidence(self.method, account, seed, 0, harness, ask=ask))
        return checked_values(
            found.values if isinstance(found, Scored) else found, len(harness.train), self.method
        ), account

    def chosen(self, hardness: np.ndarray, keep: float, seed: int = 0) -> tuple[np.ndarray, Account]:
        harness = planted_harness()
        budget = budget_for(keep, len(harness.train))
        values = {"hardness": hardness, "budget": budget, "details": {}}
        account = Account(self.method.label)
        evidence = Evidence(self.method, account, seed, 0, harness, values=values, keep=keep, ask=ask)
        found, _ = call(self.method, evidence)
        return checked_indices(
            found.indices if isinstance(found, Chosen) else found, len(harness.train), budget, self.method
        ), account


@lru_cache(maxsize=1)
def planted_harness() -> Harness:
    """A small world with known truth, shared by the checks of a process."""
    registry = plugins.installed()
    return Harness(load(registry, DATA, Path("."), image_size=None), temporary_store(), registry, device_name="cpu")


def _scorer_checks(subject: Subject) -> Iterator[Check]:
    def one_finite_number_each() -> None:
        subject.scores()

    def same_seed_same_scores() -> None:
        first, second = subject.scores()[0], subject.scores()[0]
        assert np.array_equal(first, second), "two calls under one seed differ: draw from `generator` or `seeds` only"

    def label_free_means_label_free() -> None:
        _, account = subject.scores()
        told = subject.method.label_free
        assert told != "yes" or not account.reached, f"it reached labels by {account.reached}"

    yield "one finite number per example; inputs and global generators untouched", one_finite_number_each
    yield "the same scores under the same seed", same_seed_same_scores
    yield "label-free means label-free", label_free_means_label_free


def _selector_checks(subject: Subject) -> Iterator[Check]:
    n = len(planted_harness().train)
    draw = np.random.default_rng(0)
    worlds = {
        "distinct": draw.permutation(n).astype(float),
        "constant": np.zeros(n),
        "negative": -1.0 - draw.random(n),
        "huge": draw.standard_normal(n) * 1e300,
        "tied": draw.integers(0, 3, n).astype(float),
    }
    for world, hardness in worlds.items():

        def exact_budgets(hardness: np.ndarray = hardness) -> None:
            for keep in KEEPS:
                subject.chosen(hardness, keep)

        yield f"exactly k distinct examples, {world} scores", exact_budgets

    def same_seed_same_choice() -> None:
        first, second = (np.sort(subject.chosen(worlds["distinct"], 0.37)[0]) for _ in range(2))
        assert np.array_equal(first, second), "two calls under one seed differ: draw from `generator` only"

    yield "the same examples under the same seed", same_seed_same_choice
