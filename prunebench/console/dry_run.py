"""What ``run --dry-run`` tells: the cells, which of them stand, and what the others will take. Nothing is written."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import click

from ..errors import UserError
from ..execution.steps import standing_trial
from ..foresight.forecast import Work, by_kind, elapsed, longest_chain
from ..foresight.foreseen import Foreseen
from ..foresight.rates import Pace, Rate, free_bytes, measured
from ..harness.metering import resident_peak
from ..harness.shared import Harness
from ..planning.plans import Plan, cells, open_harness
from ..store import Store
from .boards import say


@dataclass(frozen=True)
class Outlook:
    """What is to do, and what it takes with so many jobs."""

    jobs: int
    works: tuple[Work, ...]  # by kind
    rates: dict[str, Rate]  # by model
    seconds: float
    longest_chain: float
    memory: int  # bytes at the highest point of one job, pictures and the program included
    device_memory: int  # bytes of that, on a GPU
    disk: int  # bytes
    free: int  # bytes, where the store is
    unknown: dict[str, str]  # what these figures do not hold, by method

    @property
    def forward(self) -> int:
        return sum(work.forward for work in self.works)

    @property
    def backward(self) -> int:
        return sum(work.backward for work in self.works)


def dry_run(plan: Plan, jobs: int, as_json: bool) -> None:
    """Print the cells of a plan, and the outlook on those that do not stand.

    Raises:
        UserError: as `open_harness`.
    """
    harness = _opened(plan)
    wanted = cells(plan, harness)
    rows = [{**asdict(cell), "stands": standing_trial(harness, plan, cell) is not None} for cell in wanted]
    todo = [cell for cell, row in zip(wanted, rows, strict=True) if not row["stands"]]
    found = outlook(Foreseen(plan, harness, todo, jobs), harness, jobs)
    if as_json:
        told = {**asdict(found), "forward": found.forward, "backward": found.backward}
        click.echo(json.dumps({"cells": rows, "to_do": told}))
        return
    for row in rows:
        scorer = f"{row['scorer']} x " if row["scorer"] else ""
        state = "stands" if row["stands"] else "to do "
        click.echo(f"{state}  {scorer}{row['selector']} keep {row['keep']:g}, {row['model']}, seed {row['seed']}")
    click.echo(f"{len(rows)} trainings, {sum(row['stands'] for row in rows)} stand")
    if todo:
        show(found, plan, harness)


def _opened(plan: Plan) -> Harness:
    try:
        return open_harness(replace(plan, download=False), Store(plan.store, writes=False))
    except UserError as missing:
        if plan.download and "--download" in str(missing):
            raise UserError(f"{missing} without --dry-run, which fetches nothing") from None
        raise


def outlook(found: Foreseen, harness: Harness, jobs: int) -> Outlook:
    """The steps counted together, at the speed of this machine: recorded, or measured now."""
    program = resident_peak()  # with all that a job imports, and the data
    rates = rates_of(found.pace, sorted({step.work.model for step in found.steps.values() if step.work.model}), harness)
    speeds = {model: rate.examples_per_second for model, rate in rates.items()}
    works = by_kind(found.steps.values())
    cuda = harness.device.type == "cuda"
    alive = found.data.resident + max((work.memory for work in works), default=0)
    return Outlook(
        jobs=jobs,
        works=tuple(works),
        rates=rates,
        seconds=elapsed(found.steps, speeds, jobs),
        longest_chain=longest_chain(found.steps, speeds),
        memory=program + (found.data.resident if cuda else alive),
        device_memory=alive if cuda else 0,
        disk=sum(work.disk for work in works),
        free=free_bytes(harness.store.root.resolve()),
        unknown=found.unknown,
    )


def rates_of(pace: Pace, models: list[str], harness: Harness) -> dict[str, Rate]:
    """Training examples a second of each model: from records where there are any, else measured now."""
    found = {}
    for model in models:
        rate = pace.rate(model)
        if rate is None:
            say(f"measuring {model}: a few training steps")
            rate = measured(harness, model)
        found[model] = rate
    return found


def show(found: Outlook, plan: Plan, harness: Harness) -> None:
    """For people."""
    speeds = {model: rate.examples_per_second for model, rate in found.rates.items()}
    click.echo(f"\n{'to do':<34}{'number':>7}{'forward':>15}{'backward':>15}{'disk':>9}{'seconds':>10}")
    for work in found.works:
        seconds = work.seconds(speeds) or 0.0
        name = f"{work.what}, {work.model}" if work.model else work.what
        click.echo(
            f"  {name:<32}{work.count:>7,}{work.forward:>15,}{work.backward:>15,}{size(work.disk):>9}{seconds:>10,.1f}"
        )
    click.echo(
        f"time    about {duration(found.seconds)} with {found.jobs} job{'s' if found.jobs > 1 else ''} "
        f"(no less than {duration(found.longest_chain)}: steps that need each other)"
    )
    click.echo(
        f"memory  about {size(found.jobs * found.memory)}: {found.jobs} x {size(found.memory)}"
        + (f", and {size(found.device_memory)} on the GPU of each" if found.device_memory else "")
    )
    click.echo(f"disk    about {size(found.disk)} in {plan.store}, where {size(found.free)} are free")
    for model, rate in found.rates.items():
        click.echo(f"rate    {model}: {rate.examples_per_second:,.0f} examples/s in training ({rate.source})")
    for line in not_counted(found.unknown, plan, harness):
        click.echo(line)


def not_counted(unknown: Mapping[str, str], plan: Plan, harness: Harness) -> list[str]:
    """One line per kind of work that these figures do not hold."""
    told = []
    for why in sorted({why for why in unknown.values() if why}):
        names = [name for name, their in unknown.items() if their == why]
        told.append(f"beside  {why}: {', '.join(names)}{_who_tells(names, plan, harness)}")
    arithmetic = [name for name, why in unknown.items() if not why]
    if arithmetic:
        told.append(
            f"beside  arithmetic on what they are given, of which no record here tells: {', '.join(arithmetic)}"
        )
    return told


def _who_tells(names: Sequence[str], plan: Plan, harness: Harness) -> str:
    """The command of a plugin that estimates the cost of one of its scorers, where it has one."""
    scorers = harness.registry.entries["scorer"].values()
    for entry in harness.registry.entries["command"].values():
        offered = {s.record.name for s in scorers if s.plugin.distribution == entry.plugin.distribution}
        mine = [name for name in names if name.partition("(")[0].rpartition("/")[2] in offered]
        if mine and "estimate" in getattr(entry.function(), "commands", ()):
            command = f"prunebench {entry.record.name} estimate --dataset {shlex.quote(plan.dataset)}"
            return f" (`{command} --scorer {shlex.quote(mine[0])}` tells)"
    return ""


def size(count: int) -> str:
    """Bytes with a unit of powers of 1000: 12 kB, 4.1 GB."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    return f"{value:.3g} {unit}"


def duration(seconds: float) -> str:
    """Seconds, minutes, hours or days, two digits."""
    for limit, each, unit in ((90, 1, "s"), (5400, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / each:.2g} {unit}"
    return f"{seconds / 86400:.3g} days"
