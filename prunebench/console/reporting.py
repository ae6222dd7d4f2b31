"""What the commands print: steps as they are done, the leaderboard, and where everything lies."""

from __future__ import annotations

import math
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..arrays import read_npy, read_npz
from ..datasets.threads import cores
from ..display import tell
from ..errors import CellError, MethodError, PrunebenchError, UserError, VerifyError, kind_and_text
from ..evidence.selecting import keep_index_file
from ..execution.tasks import Outcome, describe
from ..harness.shared import Harness
from ..harness.trials import run_trial
from ..interop import recorded, selecting
from ..interop.files import load_scores, load_selection, refuse_unwritable, save_scores, save_selection
from ..interop.fitting import fitted
from ..matching import places_of
from ..planning.plans import Cell, Plan, cell_id, cells, open_harness
from ..running import Workers, note_failure, run
from ..types import Scores, Selection, TrialResult
from .boards import label, print_board, say

SLOW_SECONDS = 2.0  # after which a check is told to be under way


def workers_for(plan: Plan, executor: str, jobs: int | None, timeout: float | None, ray_address: str) -> Workers:
    """As many as were asked for, or as this machine takes; a cluster knows for itself how much it can do."""
    joined = executor == "ray" and ray_address != "local"
    return Workers(executor, jobs or (0 if joined else default_jobs(plan)), timeout, ray_address)


def run_and_report(plan: Plan, as_json: bool, how: Workers) -> int:
    """Run, print the leaderboard, say where the records lie; the number of failed cells."""
    from ..leaderboard import board

    harness = open_harness(plan)
    wanted = cells(plan, harness)
    describe_plan(plan, harness, wanted)
    started, results = time.monotonic(), []
    for result in run(plan, how, harness=harness):
        results.append(result)
        say(line(result, len(results), len(wanted), time.monotonic() - started))
    noted = harness.store.failures()
    mine = {cell_id(harness, plan, cell) for cell in wanted} if noted else set()
    failures = [failure for failure in noted if failure["id"] in mine]
    print_board(board(results, failures, labels=label, track=plan.track), "json" if as_json else "table", None)
    say_failures(failures)
    if plan.shard is not None:
        say(f"this is one share; all that the store holds: prunebench leaderboard {plan.store}")
    if not as_json:
        say_where(harness, results)
    return len(failures)


def default_jobs(plan: Plan) -> int:
    """One per GPU where there are any, else cores // threads, at least 1."""
    from ..execution.local import devices_for

    return len(devices_for(plan.device)) or max(1, cores() // max(1, plan.threads))


def describe_plan(plan: Plan, harness: Harness, wanted: Sequence[Cell]) -> None:
    data = harness.dataset
    say(
        f"{data.name}: {len(data.train)} training and {len(data.test)} test pictures of {data.image_size} px, "
        f"{len(data.classes)} classes"
    )
    if plan.shard is not None:
        i, n = plan.shard
        say(f"share {i} of 0..{n - 1}: {len(wanted)} of {len(cells(replace(plan, shard=None), harness))} trainings")
    say(f"{len(wanted)} trainings; records in {plan.store}/ (a repeated or interrupted run goes on from them)")


def line(result: TrialResult, number: int, total: int, seconds: float) -> str:
    """One finished cell."""
    method = f"{label('scorer', result.scorer)} x " if result.scorer else ""
    return (
        f"[{number:>{len(str(total))}}/{total}] {seconds:6.1f} s  {method}{label('selector', result.selector)} "
        f"keep {result.keep:g} ({result.examples}), {result.model}, seed {result.seed}: {100 * result.accuracy:.2f} %"
    )


def say_where(harness: Harness, results: Sequence[TrialResult]) -> None:
    """Where the records and the subset files lie."""
    root = harness.store.root
    say(f"records: {root}/trials, {root}/scores, {root}/selections (checked by `prunebench verify {root}`)")
    shown = set()
    for result in results:
        card = root / "selections" / f"{result.selection}.json"
        if result.scorer and result.seed == 0 and card.exists() and card not in shown:
            shown.add(card)
            method = f"{label('scorer', result.scorer)} x {label('selector', result.selector)}"
            say(f"subset: {method} keep {result.keep:g}: {card}")
    if shown:
        say('load one: prunebench.load_selection("….json").subset(your_dataset)')


def say_failures(failures: Sequence[dict[str, Any]]) -> None:
    """One line per cause."""
    causes: dict[str, list[str]] = {}
    for f in failures:
        cell = f"{f.get('scorer') or '-'} x {f.get('selector', '?')}, keep {f.get('keep', math.nan):g}"
        causes.setdefault(f.get("error", "?"), []).append(cell)
    for error, found in sorted(causes.items()):
        more = f" and {len(found) - 1} more cells" if len(found) > 1 else ""
        say(f"failed: {min(found)}{more}: {error}")


# -- score, select, train ---------------------------------------------------------------------------------------------


def score_dataset(plan: Plan, score_seed: int, out: Path | None) -> None:
    """Score, print the card's essentials, save where asked."""
    from ..evidence.blocks import ShardDone
    from ..evidence.scoring import score

    if out is not None:
        refuse_unwritable(out)
    harness = open_harness(replace(plan, shard=None))
    harness.shard = plan.shard
    method = harness.registry.method("scorer", plan.scorers[0])
    try:
        found = _as_cell(lambda: score(harness, method, score_seed))
    except ShardDone as part:
        click.echo(f"{part}; run the other shards on the same --store")
        return
    _tell_scores(found, out)


def score_from_log(scorer: str, file: Path, out: Path) -> None:
    """A dynamics score of recorded logits: ``logits (E, N, C)`` or ``(R, E, N, C)`` and ``labels (N,)``."""
    refuse_unwritable(out)
    if not file.is_file():
        raise UserError(f"there is no file {file}")
    try:
        arrays = read_npz(file)
    except (ValueError, OSError) as damaged:
        raise UserError(f"{file} cannot be read: {damaged}") from None
    missing = [name for name in ("logits", "labels") if name not in arrays]
    if missing:
        raise UserError(f"{file} holds {', '.join(sorted(arrays)) or 'nothing'}, `{missing[0]}` is missing")
    found = _as_cell(lambda: recorded.score_log(scorer, arrays["logits"], arrays["labels"]))
    if "keys" in arrays:
        if arrays["keys"].shape != (len(found),):
            raise UserError(f"{file} holds keys of shape {arrays['keys'].shape} for {len(found)} examples: one each")
        found = replace(found, keys=tuple(str(key) for key in arrays["keys"]))
    _tell_scores(found, out)


def _as_cell(compute: Any) -> Any:
    """An unexpected failure of the only cell of a command is that cell's."""
    try:
        return compute()
    except PrunebenchError:
        raise
    except Exception as failure:
        raise CellError(describe(failure)) from failure


def _tell_scores(scores: Scores, out: Path | None) -> None:
    written = None if out is None else save_scores(scores, out)  # first: whoever reads along may have gone
    low, middle, high = np.quantile(scores.values, [0, 0.5, 1])
    click.echo(
        f"{label('scorer', scores.scorer)}: {len(scores)} scores, lowest {low:.6g}, median {middle:.6g}, "
        f"highest {high:.6g}, {scores.hard} = hard"
    )
    for name, value in scores.details.items():
        if not isinstance(value, np.ndarray):
            click.echo(f"  {name}: {value}")
    if written is not None:
        click.echo(f"written: {written}")


def select_from_file(
    file: Path,
    selector: str,
    keep: float,
    out: Path,
    hard: Any,
    labels: Path | None,
    dataset: str | None,
    data_root: str,
    given: tuple[str, ...],
    seed: int,
    **harness_options: Any,
) -> None:
    """Select from a score file, alone or (``--dataset``) on the harness, and write the index file."""
    refuse_unwritable(out)
    scores = load_scores(file, hard)
    if dataset is not None:
        if labels is not None or given:
            raise UserError("--dataset brings labels and everything else: leave out --labels and --given")
        plan = Plan(dataset=dataset, data_root=data_root, **harness_options)
        found = _select_on_dataset(plan, scores, selector, keep, seed)
    else:
        things = {name: _given(path) for name, _, path in (part.partition("=") for part in given)}
        y = None if labels is None else _array(labels)
        found = _as_cell(lambda: selecting.select(selector, scores, keep=keep, labels=y, given=things, seed=seed))
    written = save_selection(found, out)
    click.echo(f"{label('selector', found.selector)}: kept {len(found)} of {found.size}; written: {written}")


def _select_on_dataset(plan: Plan, scores: Scores, selector: str, keep: float, seed: int) -> Selection:
    from ..evidence.selecting import fitting, select

    harness = open_harness(plan)
    method = fitting(harness.registry, harness.registry.method("selector", selector), scores.comparable)
    if scores.keys is not None:
        scores = scores.take(places_of(harness.dataset.train.keys, scores.keys, "the score file"))
    return _as_cell(lambda: select(harness, scores, method, keep, seed, seed % harness.score_seeds))


def _given(path: str) -> Any:
    if not path:
        raise UserError("--given is NAME=FILE, for example --given features=features.npy")
    file = Path(path)
    return load_scores(file) if file.with_name(file.name + ".json").exists() else _array(file)


def _array(file: Path) -> np.ndarray:
    if not file.is_file():
        raise UserError(f"there is no file {file}")
    try:
        if file.suffix == ".npz":
            return next(iter(read_npz(file).values()))
        return read_npy(file)
    except (ValueError, OSError, StopIteration) as damaged:
        raise UserError(f"{file} cannot be read: {damaged}") from None


def train_subset(plan: Plan, subset: Path, as_json: bool) -> int:
    """Train every model and seed on an index file; the number of failed cells."""
    from ..leaderboard import board

    if plan.budget == "cost":
        raise UserError(
            "--budget cost must know what scoring and selecting took, which an index file does not tell: "
            "take --budget steps or epochs"
        )
    given = load_selection(subset)
    harness = open_harness(plan)
    selection = _fitted(given, harness, subset)
    keep_index_file(harness, selection)
    results, failures, started = [], 0, time.monotonic()
    for model in plan.models:
        for seed in range(plan.seeds):
            trial, cell = plan.trial(model, seed), Cell(None, "subset", selection.keep, model, seed)
            try:
                results.append(_as_cell(lambda: run_trial(harness, trial, selection, None, 0)))  # noqa: B023
                harness.store.forget_failure(cell_id(harness, plan, cell))
                say(line(results[-1], len(results), len(plan.models) * plan.seeds, time.monotonic() - started))
            except CellError as failure:
                failures += 1
                note_failure(harness, plan, cell, Outcome("raised", describe(failure)))
    print_board(board(results, (), labels=label), "json" if as_json else "table", None)
    if results:
        say(
            "beside it, random subsets of as many and the full data: prunebench run --selector random "
            f"--keep {selection.keep:.6g} --store {plan.store}, with the same options; then all of them: "
            f"prunebench leaderboard {plan.store}"
        )
    return failures


def _fitted(given: Selection, harness: Harness, file: Path) -> Selection:
    """An index file as a selection of this data set: by the names it holds, else by its positions."""
    given, n = fitted(given, harness.dataset, str(file)), len(harness.dataset.train)
    return replace(given, scorer=None, selector="subset", keep=len(given) / n, size=n, id=None, label_free=False)


def check(name: str, stop_at_first: bool = False) -> None:
    """Run the conformance checks, one line each, and say which do not apply.

    Args:
        name: of the method; options in brackets stand before those of its record's ``checked_with``.

    Raises:
        UserError: nothing is called that, or it has no such options.
        VerifyError: some fail.
    """
    from ..testing import EXACT, FINITE, checks, options_of, skipped
    from .listing import asked, printable

    failed = 0
    entries, options = asked(name, kinds=("scorer", "selector"))
    for entry in entries:
        options_of(entry, options)  # before anything runs
        click.echo(f"{entry.kind} {entry.key} ({entry.plugin.version})")
        causes: dict[str, list[str]] = {}  # titles of the checks that failed, by what they said but for its numbers
        for title, run_check in checks(entry, **options):
            told, seconds = _tried(title, run_check)
            failed += bool(told)
            alike = causes.setdefault(re.sub(r"\d+", "#", told.removesuffix(FINITE).removesuffix(EXACT)), [])
            alike.append(title)
            if told and len(alike) > 1:
                continue
            line = f"  FAILED  {title}: {told}" if told else f"  ok      {title}"
            click.echo(printable(line + (f" ({seconds:.0f} s)" if seconds >= 1 else "")))
            if told and stop_at_first:
                raise VerifyError(f"a check failed for {name}, and those after it were not run")
        for cause, (first, *more) in causes.items():
            if cause and more:
                click.echo(printable(f"  FAILED  {len(more)} more for the reason of {first!r}: {'; '.join(more)}"))
        for title, reason in skipped(entry, **options):
            click.echo(printable(f"  skipped {title}: {reason}"))
    if failed:
        raise VerifyError(f"{failed} checks failed for {name}")


def _tried(title: str, run_check: Callable[[], None]) -> tuple[str, float]:
    """(what a check says, or nothing; seconds). A line on standard error tells what takes long while it does."""
    slow = threading.Timer(SLOW_SECONDS, tell, (f"  ...     {title}", sys.stderr))
    slow.daemon = True
    from ..testing import EXACT

    started, told = time.perf_counter(), ""
    slow.start()
    try:
        run_check()
    except AssertionError as wrong:
        told = str(wrong) or "an assertion of the method's own failed"
    except MethodError as wrong:
        told = str(wrong) + (EXACT if " kept " in str(wrong) else "")
    except Exception as wrong:
        told = kind_and_text(wrong)
    finally:
        slow.cancel()
    return told, time.perf_counter() - started
