"""The checks that are seen in drawn worlds: where an example stands, threads, direction, memory; no data set is needed.

They apply to a method that names no more than a drawn world has (`prunebench.testing.drawn`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from ..methods import Method
from .drawn import DRAWN, World, kept_in, own_memory, threads, values_in, with_wrong_labels, world

MANY_EPOCHS = 30  # of a drawn training
ROUNDING = 1e-6  # relative
SLACK = 2**16  # bytes for what does not grow with the examples
PLACE = "an example's result goes with it, wherever it stands"
DIRECTION = "wrong labels are hard"
CLASSES = "scores are compared inside a class only"
THREADS = "the same on one thread and on two"
MEMORY = "memory within bytes_per_example"


def drawn_checks(method: Method) -> Iterator[tuple[str, Callable[[], None] | str]]:
    def no_place_counts() -> None:
        for seed, examples in enumerate((12, 60, 60)):
            order = np.random.default_rng(seed).permutation(examples)
            same_in_any_order(method, world(seed, examples), order, budget=1 + examples // 3)

    def wrong_labels_are_hard() -> None:
        direction_holds(method)

    def classes_are_not_compared() -> None:
        here = world(0, 60)
        scaled = replace(here, hardness=here.hardness * 4.0**here.labels)  # exact, and another order over all
        same = np.array_equal(outcome(here, method, budget=21), outcome(scaled, method, budget=21))
        assert same, 'scores of other classes are compared: say ranks="set" in its record, or rank class by class'

    def threads_do_not_count() -> None:
        large = world(0, 3000, width=24)
        with threads(1):
            alone = outcome(large, method, budget=300)
        with threads(2):
            together = outcome(large, method, budget=300)
        assert _same(method, alone, together), "one thread and two give different results: reduce in a fixed order"

    more = next((name for name in method.needs if name not in DRAWN), "")
    not_drawn = f"it names {more}, which a drawn world does not have" if more else ""
    yield PLACE, not_drawn or ("it draws, by position" if "generator" in method.needs else no_place_counts)
    if method.entry.kind == "scorer":
        blind = "" if {"history", "labels"} & set(method.needs) else "it names neither history nor labels"
        yield DIRECTION, blind or not_drawn or wrong_labels_are_hard
    if method.entry.kind == "selector" and method.entry.record.ranks == "class":
        yield CLASSES, not_drawn or classes_are_not_compared
    yield THREADS, not_drawn or threads_do_not_count
    if method.entry.record.bytes_per_example is None:
        yield MEMORY, "its record declares none"
    else:
        held = "a combinator is held to nothing" if method.inner else ""
        yield MEMORY, held or not_drawn or (lambda: memory_as_declared(method))


def direction_holds(method: Method) -> None:
    """Wrongly labelled examples come out harder than the others, on average, in a world where it is known which are.

    Raises:
        AssertionError: they do not.
    """
    here, wrong = with_wrong_labels(0)
    found = outcome(here, method, 0)
    hardness = found if method.entry.record.hard == "high" else -found
    share = float((hardness[wrong][:, None] > hardness[~wrong]).mean())
    share += float((hardness[wrong][:, None] == hardness[~wrong]).mean()) / 2
    told = f"a wrongly labelled example is harder than another one in {share:.0%} of cases only"
    assert share > 0.5, f"{told}: is hard={method.entry.record.hard!r} the wrong end?"


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
