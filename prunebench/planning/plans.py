"""What a run is asked for: the plan, its cells, and everything that can be seen to be wrong before a cell starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from .. import registry as plugins
from ..datasets.loading import load
from ..datasets.settings import Setting
from ..display import InWorker
from ..errors import UserError
from ..harness.reference import refuse_epochs_beyond
from ..harness.shared import Harness, Progress, device_named, silent
from ..harness.trials import PLAIN, Trial
from ..methods import refuse_labelled
from ..store import Store, identify
from ..training.policies import policy_label, policy_text
from ..training.recipes import recipe
from .presets import chosen

BASELINES: tuple[tuple[None, str], ...] = ((None, "full"), (None, "balanced"), (None, "random"))  # always on the board
TRACKS = ("open", "label-free")


@dataclass(frozen=True)
class Plan:
    """What ``prunebench run`` is asked for; the defaults are the command's."""

    scorers: tuple[str, ...] = ()
    selectors: tuple[str, ...] = ()  # the grid is scorers x selectors
    methods: tuple[str, ...] = ()  # presets, or "all", beside the grid
    dataset: str = "digits"
    data_root: str = "data"
    image_size: int | None = None
    keep: tuple[float, ...] = (0.05, 0.2)
    models: tuple[str, ...] = ("resnet18",)
    seeds: int = 3
    score_seeds: int = 1
    reference: str = "resnet18"
    reference_epochs: int | None = None
    budget: str = "steps"
    policy: str = PLAIN
    best_epoch: bool = False
    steps: int | None = None
    epochs: int | None = None
    pretrained: str = ""  # "timm", or a file of weights; of trial models only
    threads: int = 2
    device: str = "auto"
    track: str = "open"
    store: str = "runs"
    shard: tuple[int, int] | None = None
    fail_fast: bool = False
    download: bool = False
    label_noise: str = ""
    imbalance: str = ""
    corrupt: str = ""
    no_plugin: tuple[str, ...] = ()
    progress: Progress = field(default=silent, compare=False)

    def __post_init__(self) -> None:
        for name in ("scorers", "selectors", "methods", "keep", "models"):
            given = getattr(self, name)
            if isinstance(given, (str, int, float)):
                raise UserError(f"{name} of a plan are several: write {name}=({given!r},)")
            object.__setattr__(self, name, tuple(dict.fromkeys(given)))  # each once

    def scorers_named(self) -> list[str]:
        """Every scorer that a cell of this plan needs, once."""
        return list(dict.fromkeys(scorer for scorer, _ in pairs(self) if scorer))

    @property
    def policy_row(self) -> str | None:
        """The row that the policy makes beside the baselines, which are trained plainly; None without a policy."""
        return None if policy_text(self.policy) == PLAIN else policy_label(self.policy)

    @property
    def of_everything(self) -> tuple[str | None, ...]:
        """The rows that are trained on all examples, or draw from them themselves: nothing is selected for them."""
        return "full", self.policy_row

    def trial(self, model: str, seed: int, row: str = "") -> Trial:
        """What a cell of this plan trains."""
        pretrained = True if self.pretrained == "timm" else self.pretrained or False
        policy = policy_text(self.policy) if row and row == self.policy_row else PLAIN
        return Trial(model, seed, self.budget, self.steps, self.epochs, pretrained, policy, self.best_epoch)


@dataclass(frozen=True)
class Cell:
    """One trained network to be: a method at a keep ratio, a model and a seed."""

    scorer: str | None
    selector: str
    keep: float
    model: str
    seed: int

    @property
    def method(self) -> str:
        return f"{self.scorer or '-'} x {self.selector}"

    @property
    def name(self) -> str:
        return f"{self.method}, keep {self.keep:g}, {self.model}, seed {self.seed}"


def cell_id(harness: Harness, plan: Plan, cell: Cell) -> str:
    """The name of a cell's failure note."""
    asked: dict[str, Any] = {name: getattr(cell, name) for name in ("scorer", "selector", "keep", "model", "seed")}
    asked |= {"data": harness.dataset.fingerprint, "image_size": harness.dataset.image_size, "budget": plan.budget}
    asked |= {"pretrained": plan.pretrained} if plan.pretrained else {}
    asked |= {"steps": plan.steps, "epochs": plan.epochs, **harness.reference_conditions(), **harness.conditions()}
    return identify("failures", asked)


def open_harness(plan: Plan, store: Store | None = None) -> Harness:
    """Everything that can be seen to be wrong before a cell starts is said here; ``store`` stands in for the plan's.

    Raises:
        UserError: conflicting options, unknown names, missing data.
    """
    from ..training.models import build, canonical  # timm: not for those who only name a plan

    refuse_conflicts(plan)
    plugins.leave_out(plan.no_plugin)
    registry = plugins.installed()
    device_named(plan.device)
    for model in (*plan.models, plan.reference):
        canonical(model)
    for scorer, selector in pairs(plan):
        for kind, text in (("scorer", scorer), ("selector", None if selector in plan.of_everything else selector)):
            method = registry.method(kind, text) if text else None
            if method and plan.track == "label-free":
                refuse_labelled(method)
    dataset = load(registry, plan.dataset, Path(plan.data_root), image_size=plan.image_size, download=plan.download)
    dataset = Setting(plan.label_noise, plan.imbalance, plan.corrupt).apply(dataset)
    if plan.pretrained:
        for model in plan.models:  # weights that are missing or do not fit are told now
            build(model, len(dataset.classes), dataset.image_size, seed=0, pretrained=plan.trial(model, 0).pretrained)
    epochs = plan.reference_epochs or recipe(dataset, plan.reference).reference_epochs
    refuse_epochs_beyond(epochs, *(registry.method("scorer", scorer) for scorer, _ in pairs(plan) if scorer))
    return Harness(
        dataset,
        store or Store(plan.store),
        registry,
        reference=plan.reference,
        reference_epochs=plan.reference_epochs,
        score_seeds=plan.score_seeds,
        threads=plan.threads,
        device_name=plan.device,
        track=plan.track,
        budget=("steps" if plan.budget == "cost" else plan.budget, plan.steps, plan.epochs),
        progress=plan.progress,
    )


def refuse_conflicts(plan: Plan) -> None:
    """Raises:
    UserError: options that contradict each other or lie out of range.
    """
    if plan.budget not in ("steps", "epochs", "cost"):
        raise UserError(f"--budget must be steps, epochs or cost, got {plan.budget!r}")
    if plan.track not in TRACKS:
        raise UserError(f"--track must be {' or '.join(TRACKS)}, got {plan.track!r}")
    if plan.steps is not None and plan.budget != "steps":
        raise UserError(f"--steps needs --budget steps: leave it out, or --budget {plan.budget}")
    if plan.epochs is not None and plan.budget != "epochs":
        raise UserError(f"--epochs needs --budget epochs: leave it out, or --budget {plan.budget}")
    if plan.shard is not None and not 0 <= plan.shard[0] < plan.shard[1]:
        raise UserError(f"--shard i/n counts from 0 to n - 1, got {plan.shard[0]}/{plan.shard[1]}")
    for keep in plan.keep:
        if not 0 < keep <= 1:
            raise UserError(f"--keep must lie in (0, 1], got {keep:g}")
    counts = ("seeds", "score_seeds", "threads", "steps", "epochs", "reference_epochs")
    for name in counts:
        value = getattr(plan, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    if plan.threads > 4 * (os.cpu_count() or 1):
        raise UserError(f"--threads {plan.threads} is more than four times this machine's {os.cpu_count()} cores")
    if bool(plan.scorers) != bool(plan.selectors) and not _needs_no_scorer(plan):
        missing = "--selector" if plan.scorers else "--scorer"
        raise UserError(f"{missing} is missing: a run needs both, for example --scorer drd --selector bws")
    if plan.policy_row:
        _refuse_beside_policy(plan)


def _refuse_beside_policy(plan: Plan) -> None:
    if plan.scorers or plan.selectors or plan.methods:
        raise UserError(
            f"--policy {plan.policy_row} draws from all examples while it trains: leave out --scorer, --selector and "
            "--method, or run them without it"
        )
    if plan.track != "open":
        raise UserError(
            f"--policy {plan.policy_row} reaches the label of every example: leave out --track {plan.track}"
        )
    if plan.budget == "cost":
        raise UserError(
            f"--policy {plan.policy_row} spends nothing before it trains, so --budget cost would be full training: "
            "take --budget steps or epochs"
        )


def _needs_no_scorer(plan: Plan) -> bool:
    registry = plugins.installed()
    return not plan.scorers and all(
        registry.method("selector", text).entry.record.ranks == "none" for text in plan.selectors
    )


def pairs(plan: Plan, keeps: Sequence[float] | None = None) -> list[tuple[str | None, str]]:
    """(scorer, selector) texts at some keep ratios (default: the plan's): the baselines, the grid, the presets.

    Each stands once; a preset may be another pair at another keep ratio. Class-balanced random draws by labels, so it
    is no row of the label-free track.
    """
    registry, found = plugins.installed(), list[tuple[str | None, str]](BASELINES)
    if plan.track == "label-free":
        found.remove((None, "balanced"))
    asked: list[tuple[str | None, str]] = [
        *product(plan.scorers or (None,), plan.selectors),
        *(preset.at(keep) for preset in chosen(plan.methods, registry, plan.track) for keep in keeps or plan.keep),
    ]
    for scorer, selector in asked:
        method = registry.method("selector", selector)
        if method.entry.record.ranks == "none":
            scorer = None  # run once, not once per scorer
        if (scorer, selector) not in found:
            found.append((scorer, selector))
    return [*found, (None, plan.policy_row)] if plan.policy_row else found


def cells(plan: Plan, harness: Harness) -> list[Cell]:
    """All cells, baselines first; with ``shard`` (i, n) those of rank i modulo n in the order of their ids."""
    found, at = [], {keep: pairs(plan, (keep,)) for keep in plan.keep}
    for (scorer, selector), model in product(pairs(plan), plan.models):
        for keep in _keeps(plan, selector):
            if selector == "full" or (scorer, selector) in at.get(keep, [(scorer, selector)]):
                found += [Cell(scorer, selector, keep, model, seed) for seed in range(plan.seeds)]
    if plan.shard is None:
        return found
    i, n = plan.shard
    ranked = sorted(found, key=lambda cell: cell_id(harness, plan, cell))
    mine = {id(cell) for cell in ranked[i::n]}
    return [cell for cell in found if id(cell) in mine]


def _keeps(plan: Plan, selector: str) -> tuple[float, ...]:
    """The full data have no keep ratio; nor has infobatch, unless it says how long the training is."""
    if selector == "full":
        return (1.0,)
    endless = selector == plan.policy_row and selector.startswith("infobatch") and plan.budget == "steps"
    return (1.0,) if endless else plan.keep


def for_workers(plan: Plan, jobs: int) -> Plan:
    """The plan as it travels to other processes, which show their own progress."""
    return plan if plan.progress is silent else replace(plan, progress=InWorker(alone=jobs == 1))
