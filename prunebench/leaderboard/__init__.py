"""The leaderboard: what the records of any number of runs say, and nothing that cannot be compared side by side."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from .ranking import Board, board
from .rows import Row
from .stores import leaderboard
from .table import Table

__all__ = ["Board", "Row", "Table", "board", "leaderboard"]


class _Callable(ModuleType):
    """`prunebench.leaderboard` is this package once it is imported, and the public function of that name before."""

    def __call__(self, *args: Any, **kwargs: Any) -> Board:
        return leaderboard(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
