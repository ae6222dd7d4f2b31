"""What the commands of recipes do, and what they print."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import click

from ..console.boards import say
from ..console.dry_run import duration, show
from ..console.reporting import default_jobs, line, say_failures
from ..display import progress_display
from ..errors import UserError
from ..planning.plans import Plan
from ..registry import left_out
from . import PROFILES
from .endings.ending import ending_of
from .measuring import accuracies, comparisons
from .outlook import parts
from .performing import opened, perform, refuse_options
from .published import published
from .recipe import Experiment, named
from .telling import compared, described
from .writing import refuse_foreign, write


def tell_recipe(name: str, profile: str | None, as_json: bool) -> None:
    """Print one recipe, with the published numbers it is compared with."""
    found = named(name)
    shown = [profile] if profile else [p for p in PROFILES if p in found.profiles]
    numbers = [entry for reference in found.references for entry in published(reference)]
    if as_json:
        click.echo(json.dumps({**asdict(found), "published": [asdict(entry) for entry in numbers]}))
        return
    for text in described(found, shown):
        click.echo(text)
    if numbers:
        click.echo(f"\n{len(numbers)} published numbers, of {', '.join(sorted({n.paper for n in numbers}))}")


def run_recipes(
    names: Sequence[str],
    profile: str,
    out: Path,
    jobs: int | None,
    **given: Any,
) -> int:
    """Run recipes one after the other on one store, print their comparisons, write their files; failed cells.

    Raises:
        UserError: what can be seen to be wrong with any of them, before the first runs.
    """
    failed, started, together = 0, time.monotonic(), list(_planned(names, profile, **given))
    for experiment, _ in together:
        refuse_foreign(out, experiment.name)
    harnesses = iter(opened([plan for _, plans in together for plan in plans]))
    for name, (experiment, plans) in zip(names, together, strict=True):
        say(f"\n{experiment.name}: {experiment.title}")
        own = list(islice(harnesses, len(plans)))
        found = perform(experiment, profile, plans, own, jobs or default_jobs(plans[0]), _tell)
        ending = ending_of(found)
        told = comparisons(
            found.harnesses[0].registry, experiment.references, [*accuracies(found.board), *ending.measured]
        )
        written = write(found, ending, told, out, _command(name, profile=profile, out=out, jobs=jobs, **given))
        click.echo(f"{experiment.name}: {experiment.title}")
        for text in (*compared(told), *ending.told):
            click.echo(text)
        say_failures(found.failures)
        click.echo(f"written: {', '.join(str(path) for path in written)} ({duration(found.seconds)})\n")
        failed += len(found.failures)
    if len(together) > 1:
        say(f"{len(together)} recipes in {duration(time.monotonic() - started)}")
    return failed


def _tell(result: Any, number: int, total: int, seconds: float) -> None:
    say(line(result, number, total, seconds))


def _planned(names: Sequence[str], profile: str, **given: Any) -> Iterator[tuple[Experiment, list[Plan]]]:
    given = {name: value for name, value in given.items() if value is not None}
    dataset = given.pop("dataset", None)
    for experiment in [named(name) for name in names]:
        plans = experiment.runs(profile, dataset, **given, no_plugin=left_out(), progress=progress_display())
        refuse_options(experiment, plans)
        yield experiment, plans


def _command(name: str, **given: Any) -> list[str]:
    """What makes the same figures again: the recipe as it was named, and the options as they were given."""
    command = ["prunebench", "recipe", "run", name]
    for option, value in given.items():
        if value is True:
            command.append(f"--{option.replace('_', '-')}")
        elif value is not None and value is not False:
            command += [f"--{option.replace('_', '-')}", str(value)]
    return command


def tell_ahead(names: Sequence[str], profile: str, out: Path, jobs: int | None, **given: Any) -> None:
    """Print what does not stand, and what it takes, all recipes together.

    Raises:
        UserError: as `run_recipes`.
    """
    plans = [plan for _, own in _planned(names, profile, **given) for plan in own]
    if not plans:
        raise UserError("there is nothing to run")
    side_by_side = jobs or default_jobs(plans[0])
    seconds, cells, stand = 0.0, 0, 0
    for part in parts(plans, side_by_side):
        setting = part.plan.label_noise or part.plan.imbalance or part.plan.corrupt
        heading = ", ".join(text for text in (part.plan.dataset, setting, part.plan.reference) if text)
        click.echo(f"{heading}: {part.cells} trainings, {part.stand} stand")
        if part.stand < part.cells:
            show(part.ahead, part.plan, part.harness)
            click.echo()
        seconds, cells, stand = seconds + part.ahead.seconds, cells + part.cells, stand + part.stand
    click.echo(
        f"{len(names)} recipe{'s' if len(names) > 1 else ''}: {cells} trainings, {stand} stand, about "
        f"{duration(seconds)} with {side_by_side} job{'s' if side_by_side > 1 else ''}, and what is told as beside"
    )
