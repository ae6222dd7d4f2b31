"""The contract, as checks that anyone can run on a scorer or selector.

In a plugin's test file::

    @pytest.mark.parametrize("title, check", [c for r in prunebench_scorers() for c in checks(r)])
    def test_contract(title, check):
        check()

Without pytest: ``prunebench check NAME``. All runs on the CPU: on the ``planted`` pictures in a temporary store and,
where a method trains nothing of its own, in worlds that are drawn (`prunebench.testing.drawn`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import registry as plugins
from ..budgets import budget_for
from ..datasets.loading import load
from ..errors import MethodError, UserError
from ..evidence.account import Account
from ..evidence.calling import call, call_selector, checked_details, checked_values
from ..evidence.given import Evidence
from ..evidence.scoring import ask
from ..harness.shared import Harness, temporary_store
from ..hookspecs import Scorer, Selector
from ..methods import Entry, Method, check_inputs
from ..spec import bind, signature_of
from ..types import Scored, Split
from .drawn import KINDS, drawable, hardness_of
from .drawn_checks import MANY_EPOCHS, drawn_checks, outcome
from .edges import EDGES, EXAMPLES, NETWORK, edge_harness, edge_world
from .record_checks import Check, offered, record_checks
from .stream_checks import stream_checks

FINITE = ": compute something finite there, or raise prunebench.UserError with what is wrong"
EXACT = ": return exactly the budget of distinct positions, or raise prunebench.UserError with what is wrong"
Part = tuple[str, Callable[[], None] | str]  # title, and the check or why it does not apply
KEEPS = (0.004, 0.1, 0.37, 0.5, 1.0)
DATA = "planted(train=120,test=24,mislabelled=0.1,duplicates=0.1,rare=0.1)"
EPOCHS = 10  # of the reference training; `MANY_EPOCHS` for a method whose own option `epochs` asks for more
SHORT_EPOCHS = 2  # of one on data at the edge
RUNS = 2  # independent trainings at most, whatever the method's option `runs` says by default
SIGNED = ("negative", "huge")  # hardness of these kinds may be refused, in a sentence: some methods weigh by the score


def checks(record: Scorer | Selector | Entry, /, **options: Any) -> Iterator[Check]:
    """(title, check) for all that the contract asks of a record, cheap ones first.

    A check raises AssertionError, and says what to do. What does not apply is left out: `skipped` tells.

    Args:
        options: of the method, instead of its defaults and of what its record says in ``checked_with``.

    Raises:
        UserError: the method has no such option.
    """
    for title, check in _everything(entry_of(record), options):
        if not isinstance(check, str):
            yield title, check


def skipped(record: Scorer | Selector | Entry, /, **options: Any) -> Iterator[tuple[str, str]]:
    """(title, reason) of the checks that do not apply to a record."""
    for title, check in _everything(entry_of(record), options):
        if isinstance(check, str):
            yield title, check


def _everything(entry: Entry, options: Mapping[str, Any]) -> Iterator[Part]:
    """(title, check), or (title, why it does not apply)."""
    yield from record_checks(entry)
    subject = Subject(entry, options)
    yield from drawn_checks(subject.method)
    if entry.kind == "scorer":
        yield from stream_checks(subject.method)
    yield from _scorer_checks(subject) if entry.kind == "scorer" else _selector_checks(subject)
    yield from _edge_checks(subject)


def entry_of(record: Any) -> Entry:
    """A record as an entry of the registry, of the installed plugin that offers it if there is one; an entry as it is.

    Raises:
        ValueError: the method names what it is not given.
    """
    if isinstance(record, Entry):
        return record
    kind = "scorer" if isinstance(record, Scorer) else "selector"
    signature = signature_of(record.fn)
    if signature is not None:
        check_inputs(kind, record.name, signature)
    return Entry(kind, record, offered(kind, record), signature)


class Subject:
    """A method on the planted data set, under a fixed seed.

    Its options are the defaults (but for `RUNS`), those of its record's ``checked_with``, and ``given`` before both.
    ``short``: for data at the edge, one training of `SHORT_EPOCHS`, where the options `runs` and `epoch` ask for more.
    """

    def __init__(self, entry: Entry, given: Mapping[str, Any] | None = None, short: bool = False) -> None:
        self.entry, self.given = entry, dict(given or {})
        options = options_of(entry, self.given)
        for name, most in {"runs": 1, "epoch": SHORT_EPOCHS}.items() if short else {"runs": RUNS}.items():
            if isinstance(options.get(name), int) and (short or name not in self.given):
                options[name] = min(options[name], most)
        asked = [options[name] for name in ("epoch", "epochs") if isinstance(options.get(name), int)]
        self.epochs = MANY_EPOCHS if max(asked, default=0) > EPOCHS else EPOCHS
        self.epochs = SHORT_EPOCHS if short else self.epochs
        inner = plugins.installed().method("selector", "hardest") if "inner" in entry.call_signature().inputs else None
        self.method = Method(entry, options, inner)

    def scores(
        self, seed: int = 0, garbled: bool = False, harness: Harness | None = None
    ) -> tuple[np.ndarray, Account]:
        harness = harness or planted_harness(self.epochs, garbled)
        account = Account(self.method.label)
        found, _ = call(self.method, Evidence(self.method, account, seed, 0, harness, ask=ask))
        scored = found if isinstance(found, Scored) else Scored(found)
        checked_details(scored.details, self.method)
        return checked_values(scored.values, len(harness.train), self.method), account

    def chosen(
        self,
        hardness: np.ndarray,
        keep: float,
        seed: int = 0,
        garbled: bool = False,
        harness: Harness | None = None,
    ) -> tuple[np.ndarray, Account]:
        harness = harness or planted_harness(self.epochs, garbled)
        budget = budget_for(keep, len(harness.train))
        values = {"hardness": hardness, "budget": budget, "details": {}}
        account = Account(self.method.label)
        evidence = Evidence(self.method, account, seed, 0, harness, values=values, keep=keep, ask=ask)
        found, _ = call_selector(self.method, evidence, len(harness.train), budget)
        checked_details(found.details, self.method)
        return np.asarray(found.indices), account

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


def options_of(entry: Entry, given: Mapping[str, Any]) -> dict[str, Any]:
    """All options that a method is checked with.

    Raises:
        UserError: it has no such option, or not of this type.
    """
    signature, what = entry.call_signature(), f"the {entry.kind} {entry.record.name}"
    cheap = entry.record.checked_with
    try:
        own = bind(signature.options, cheap if isinstance(cheap, Mapping) else {}, what, signature.numbers)
    except UserError:  # a check of the record tells
        own = dict(signature.options)
    found = bind(signature.options, {**own, **given}, what, signature.numbers)
    for name in ("epoch", "epochs"):
        asked = found.get(name)
        if "history" in signature.inputs and isinstance(asked, int) and asked > MANY_EPOCHS:
            raise UserError(
                f"{what} asks for {name}={asked}, the checks record {MANY_EPOCHS} epochs: check it with fewer, "
                f'`prunebench check "{entry.record.name}({name}=10)"` or checked_with={{"{name}": 10}} in its record'
            )
    return found


@lru_cache(maxsize=4)
def planted_harness(epochs: int = EPOCHS, garbled: bool = False) -> Harness:
    """A small world with known truth, shared by the checks of a process; ``garbled``: under labels without meaning."""
    data = load(plugins.installed(), DATA, Path("."), image_size=None)
    if garbled:
        labels = np.random.default_rng(0).integers(0, len(data.classes), len(data.train))
        data = replace(data, train=Split(data.train.images, labels, data.train.keys))
    registry = plugins.installed()
    return Harness(
        data,
        temporary_store(),
        registry,
        reference=NETWORK,
        reference_epochs=epochs,
        threads=1,
        device_name="cpu",
    )


def planted_hardness(kind: str) -> np.ndarray:
    """(N,) float64 for the planted examples, of one of the kinds of `prunebench.testing.drawn`."""
    return hardness_of(kind, len(planted_harness().train), np.random.default_rng(KINDS.index(kind)))


def _scorer_checks(subject: Subject) -> Iterator[Part]:
    def one_finite_number_each() -> None:
        assert len(subject.first[0]) == len(planted_harness().train)

    def same_seed_same_scores() -> None:
        first, second = subject.first[0], subject.outcome()[0]
        assert np.array_equal(first, second), "two calls under one seed differ: draw from `generator` or `seeds` only"

    yield "one finite number per example; inputs and global generators untouched", one_finite_number_each
    yield "the same scores under the same seed", same_seed_same_scores
    yield from _common_checks(subject)


def _selector_checks(subject: Subject) -> Iterator[Part]:
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


def _common_checks(subject: Subject) -> Iterator[Part]:
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

    another = "another outcome under another seed"
    yield another, another_seed_another_outcome if "generator" in method.inputs else "it draws nothing"
    yield "label-free means label-free", label_free_means_label_free


# data at the edge


def _edge_checks(subject: Subject) -> Iterator[Check]:
    for kind in EDGES:
        holds = partial(_holds_at_edge, Subject(subject.entry, subject.given, short=True), kind)
        yield f"something finite, or a refusal in a sentence: {kind}", holds


def _holds_at_edge(subject: Subject, kind: str) -> None:
    method = subject.method
    rank = np.random.default_rng(0).permutation(EXAMPLES).astype(float)
    budgets = (0,) if method.entry.kind == "scorer" else (1, EXAMPLES // 2, EXAMPLES)
    for budget in budgets:
        try:
            if drawable(method):
                outcome(edge_world(kind, method), method, budget)  # its history is long enough for any option
            elif method.entry.kind == "scorer":
                subject.scores(harness=edge_harness(kind, subject.epochs))
            else:
                subject.chosen(rank, budget / EXAMPLES, harness=edge_harness(kind, subject.epochs))
        except UserError:
            continue
        except MethodError as wrong:
            raise AssertionError(f"{wrong}{_way_out(str(wrong))}") from wrong


def _way_out(told: str) -> str:
    """What to do about a method at the edge, where what it is told does not say so."""
    if " changed " in told or " drew " in told:
        return ""
    return EXACT if " kept " in told else FINITE
