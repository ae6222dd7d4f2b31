"""prunebench: the data-pruning benchmark. Public names are resolved when first used, so importing this is cheap."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "hookspecs": ("Command", "DatasetEntry", "Scorer", "Selector", "hookimpl"),
    "types": ("Chosen", "Cost", "Dataset", "Images", "Scored", "Scores", "Selection", "Split", "TrialResult"),
    "errors": ("CellError", "MethodError", "PrunebenchError", "StoreError", "UserError", "VerifyError"),
    "seeds": ("generator_for", "noise", "seed_for"),
    "budgets": ("budget_for", "class_budgets"),
    "datasets.memory": ("MemoryImages",),
    "datasets.files": ("FileImages",),
    "training.statistics": ("statistic",),
    "interop.files": ("load_scores", "load_selection", "save_scores", "save_selection"),
    "interop.scoring": ("score",),
    "interop.selecting": ("select",),
    "registry": ("installed",),
    "planning.presets": ("offered",),
    "interop.pruning": ("prune",),
    "interop.recorded": ("score_log",),
    "interop.own_loop": ("Recorder",),
    "planning.calls": ("Call", "call_of"),
    "planning.plans": ("Plan",),
    "running": ("run",),
    "console.options": ("as_json", "data_options", "harness_options"),
    "display": ("progress_display",),
    "leaderboard": ("leaderboard",),
}
_MODULE = {name: module for module, names in _WHERE.items() for name in names}

__all__ = sorted(["__version__", *_MODULE])


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'prunebench' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"prunebench.{_MODULE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    from .budgets import budget_for as budget_for
    from .budgets import class_budgets as class_budgets
    from .errors import CellError as CellError
    from .errors import MethodError as MethodError
    from .errors import PrunebenchError as PrunebenchError
    from .errors import StoreError as StoreError
    from .errors import UserError as UserError
    from .errors import VerifyError as VerifyError
    from .hookspecs import Command as Command
    from .hookspecs import DatasetEntry as DatasetEntry
    from .hookspecs import Scorer as Scorer
    from .hookspecs import Selector as Selector
    from .hookspecs import hookimpl as hookimpl
    from .seeds import generator_for as generator_for
    from .seeds import noise as noise
    from .seeds import seed_for as seed_for
    from .types import Chosen as Chosen
    from .types import Cost as Cost
    from .types import Dataset as Dataset
    from .types import Images as Images
    from .types import Scored as Scored
    from .types import Scores as Scores
    from .types import Selection as Selection
    from .types import Split as Split
    from .types import TrialResult as TrialResult
