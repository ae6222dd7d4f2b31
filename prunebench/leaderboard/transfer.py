"""Transfer gap: the gain that a method has on the network that scored and not on other networks.

The form is the field's cross-architecture table, scores of one network and trainings on several (DRD, appendix D;
DeepCore's ``--cross``; ELFS from ResNet-18 to ResNet-50). The one number is ours: for a method at a keep ratio, on
architecture m and seed s,

    g_m(s) = a_m(s) - b_m(s)                               accuracy above class-balanced random, paired
    gap(s) = g_ref(s) - mean of g_m(s) over all m != ref

with mean and 95 % interval over the seeds that all these trainings have. Positive: the others see less of the gain.
One's own trainings and those that others report are not mixed. What no network scored, an index file, has no gap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .comparisons import partner
from .groups import unscored
from .rows import Row
from .statistics import Difference, paired
from .table import Table

_OWN = ("model", "recipe", "steps")  # conditions in which the tables of several architectures differ


@dataclass(frozen=True)
class Transfer:
    """One method at one keep ratio, over the seeds that the reference and all the others have."""

    row: Row  # on the reference architecture
    reference: str
    others: tuple[str, ...]
    on_reference: Difference  # gain over the rival
    on_others: Difference  # mean gain over the rival
    gap: Difference


def transfers(tables: Sequence[Table], rival: str) -> list[Transfer]:
    """Of all methods that were trained on the network that scored and on at least one other, in the tables' order."""
    alike: dict[str, dict[str, list[Table]]] = defaultdict(lambda: defaultdict(list))
    for table in tables:
        alike[_shared(table)][table.conditions["model"]].append(table)
    found = []
    for table in tables:
        if table.conditions["model"] == table.conditions["reference"]:
            models = alike[_shared(table)]
            beside = {m: _beside(table, models[m]) for m in sorted(models) if m != table.conditions["model"]}
            found += _of_table(table, {m: other for m, other in beside.items() if other}, rival)
    return found


def _shared(table: Table) -> str:
    """What the tables of several architectures have in common where they can be compared."""
    return repr(sorted(({k: v for k, v in table.conditions.items() if k not in _OWN} | dict(table.split)).items()))


def _beside(table: Table, candidates: Sequence[Table]) -> Table | None:
    """The table of another architecture: the only one, or of several the one of as many steps."""
    if len(candidates) == 1:
        return candidates[0]
    return next((t for t in candidates if t.conditions["steps"] == table.conditions["steps"]), None)


def _of_table(table: Table, others: Mapping[str, Table], rival: str) -> list[Transfer]:
    found = []
    named = {m: {_named(row): row for row in reversed(other.rows)} for m, other in others.items()}
    for row in table.rows:
        if row.oracle or unscored(row.trials[0]):
            continue
        own = _gains(row, table, rival)
        elsewhere = {m: _gains(named[m].get(_named(row)), other, rival) for m, other in others.items()}
        elsewhere = {m: gains for m, gains in elsewhere.items() if own.keys() & gains.keys()}
        seeds = [s for s in own if all(s in gains for gains in elsewhere.values())] if elsewhere else []
        if seeds:
            means = {s: sum(gains[s] for gains in elsewhere.values()) / len(elsewhere) for s in seeds}
            found.append(_transfer(row, table, tuple(elsewhere), {s: own[s] for s in seeds}, means))
    return found


def _transfer(
    row: Row, table: Table, others: tuple[str, ...], own: Mapping[int, float], means: Mapping[int, float]
) -> Transfer:
    nothing = dict.fromkeys(own, 0.0)
    on_reference, on_others = paired(own, nothing, row.runs), paired(means, nothing, row.runs)
    gap = paired(own, means, row.runs)
    assert on_reference and on_others and gap  # the same seeds, at least one
    return Transfer(row, table.conditions["model"], others, on_reference, on_others, gap)


def _named(row: Row) -> tuple[Any, ...]:
    """Method, keep ratio, variant and source."""
    return row.scorer, row.selector, row.keep, row.variant, row.own


def _gains(row: Row | None, table: Table, rival: str) -> dict[int, float]:
    """Seed -> accuracy above the rival's of the same source, in 0..1."""
    against = partner(row, table.rows, rival) if row else None
    if row is None or against is None or against.own != row.own:
        return {}
    theirs = against.by_seed
    return {seed: accuracy - theirs[seed] for seed, accuracy in row.by_seed.items() if seed in theirs}
