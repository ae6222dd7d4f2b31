"""What a task does: train the reference network, score, select, or train and test one cell; each leaves a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import PrunebenchError
from ..evidence.blocks import ShardDone
from ..evidence.scoring import score
from ..evidence.scoring import standing as standing_scores
from ..evidence.selecting import fitting, identified, select
from ..harness.equal_cost import COST, selection_cost, standing_within, within
from ..harness.reference import scoring_run
from ..harness.shared import Harness
from ..harness.trials import Selected, Trial, everything, everything_named, read_trial, run_trial, standing_record
from ..harness.watching import Watched, watched
from ..planning.plans import Cell, Plan, open_harness
from ..types import Scores, TrialResult
from .tasks import Record


@dataclass(frozen=True, eq=False)
class Opened:
    """A plan with its harness, for work in the process that opened it."""

    plan: Plan
    harness: Harness


_here: list[Opened] = []  # of this worker, which serves one plan


def perform(setting: Plan | Opened, step: str, **args: Any) -> Record | None:
    """One step of a plan, in whatever process this is."""
    own = setting if isinstance(setting, Opened) else opened(setting)
    return STEPS[step](own.harness, own.plan, **args)


def opened(plan: Plan) -> Opened:
    """The plan with its harness, which a worker opens once."""
    if not _here or _here[0].plan != plan:
        _here[:] = [Opened(plan, open_harness(plan))]
    return _here[0]


def train(harness: Harness, plan: Plan, score_seed: int, run: int) -> Record:
    """Run r of scoring s, with everything that the plan's scorers watch: one training for all of them."""
    return "evidence", scoring_run(harness, score_seed, run, watched_by(harness, plan)).ensure().id


def watched_by(harness: Harness, plan: Plan) -> dict[str, Watched]:
    """All that the plan's scorers watch: one training records it for all of them."""
    wanted: dict[str, Watched] = {}
    for text in plan.scorers_named():
        entry = harness.registry.method("scorer", text).entry
        wanted |= watched(entry.record.watch, entry.record.watch_at, entry.key, entry.definition)
    return wanted


def shard(harness: Harness, plan: Plan, scorer: str, score_seed: int, part: int, of: int) -> None:
    """The blocks of one shard of a scoring; they are gathered by `scored`."""
    harness.shard = (part, of)
    try:
        score(harness, harness.registry.method("scorer", scorer), score_seed)
    except ShardDone:
        pass
    finally:
        harness.shard = None


def scored(harness: Harness, plan: Plan, scorer: str, score_seed: int) -> Record:
    found = scores_of(harness, scorer, score_seed)
    assert found.id is not None
    return "scores", found.id


def scores_of(harness: Harness, scorer: str, score_seed: int) -> Scores:
    """The scores, read or made once per process."""
    name = f"scores {scorer} {score_seed}"
    if name not in harness.cache:
        harness.cache[name] = score(harness, harness.registry.method("scorer", scorer), score_seed)
    return harness.cache[name]


def selected(harness: Harness, plan: Plan, scorer: str | None, selector: str, keep: float, seed: int) -> Record:
    score_seed = seed % plan.score_seeds
    scores = scores_of(harness, scorer, score_seed) if scorer else None
    method = fitting(harness.registry, harness.registry.method("selector", selector), _comparable(scores))
    found = select(harness, scores, method, keep, seed, score_seed)
    assert found.id is not None
    return "selections", found.id


def trial(harness: Harness, plan: Plan, **cell: Any) -> Record:
    return "trials", trained(harness, plan, Cell(**cell)).id


STEPS: Mapping[str, Callable[..., Record | None]] = {  # in the order in which workers side by side should do them
    **{"train": train, "shard": shard, "score": scored, "select": selected, "trial": trial}
}


def trained(harness: Harness, plan: Plan, cell: Cell) -> TrialResult:
    """Score, select, train and test; what stands is read."""
    wanted, score_seed = plan.trial(cell.model, cell.seed, cell.selector), cell.seed % plan.score_seeds
    if cell.selector in plan.of_everything:
        whole = everything(harness, cell.selector, cell.keep)
        return run_trial(harness, within(harness, wanted), whole, None, score_seed)
    scores = scores_of(harness, cell.scorer, score_seed) if cell.scorer else None
    method = fitting(harness.registry, harness.registry.method("selector", cell.selector), _comparable(scores))
    selection = select(harness, scores, method, cell.keep, cell.seed, score_seed)
    spent = (scores.cost, selection.cost) if scores else (selection.cost,)
    return run_trial(harness, within(harness, wanted, *spent), selection, scores, score_seed)


def _comparable(scores: Scores | None) -> str:
    return scores.comparable if scores else "set"


# -- what stands ------------------------------------------------------------------------------------------------------


def standing_trial(harness: Harness, plan: Plan, cell: Cell) -> TrialResult | None:
    """The cell's result where its record stands: nothing is computed, and no selection need be read."""
    wanted: Trial | None = plan.trial(cell.model, cell.seed, cell.selector)
    assert wanted is not None
    if cell.selector in plan.of_everything:
        chosen: Selected | None = everything_named(harness, cell.keep, wanted.policy)
        wanted = standing_within(harness, wanted)
    else:
        chosen = selection_to_be(harness, plan, cell.scorer, cell.selector, cell.keep, cell.seed)
        wanted = _within_standing(harness, plan, cell, wanted, chosen) if chosen else None
    record = standing_record(harness, wanted, chosen) if chosen and wanted else None
    result = read_trial(record) if record else None
    if result and plan.track == "label-free" and cell.selector != "full" and not result.label_free:
        return None  # it has no place there, which the cell itself tells
    return result


def _within_standing(harness: Harness, plan: Plan, cell: Cell, wanted: Trial, chosen: Selected) -> Trial | None:
    """The trial with its steps; budget "cost" needs the records of scores and selection to tell them."""
    if wanted.budget != COST:
        return wanted
    selection = harness.store.by_id("selections", chosen.id)
    scores = scores_standing(harness, cell.scorer, cell.seed % plan.score_seeds) if cell.scorer else None
    if selection is None:
        return None
    spent = [scores.cost] if scores else []
    return standing_within(harness, wanted, *spent, selection_cost(selection))


def selection_to_be(
    harness: Harness, plan: Plan, scorer: str | None, selector: str, keep: float, seed: int
) -> Selected | None:
    """Which selection record a cell has or will have; None while its scores do not stand, or cannot be told."""
    score_seed, scores = seed % plan.score_seeds, None
    if scorer and (scores := scores_standing(harness, scorer, score_seed)) is None:
        return None
    try:
        method = fitting(harness.registry, harness.registry.method("selector", selector), _comparable(scores))
    except PrunebenchError:  # told by the cell itself
        return None
    return identified(harness, scores, method, keep, seed, score_seed)


def scores_standing(harness: Harness, scorer: str, score_seed: int) -> Scores | None:
    name = f"scores {scorer} {score_seed}"
    if name not in harness.cache:
        found = standing_scores(harness, harness.registry.method("scorer", scorer), score_seed)
        if found is None:
            return None
        harness.cache[name] = found
    return harness.cache[name]
