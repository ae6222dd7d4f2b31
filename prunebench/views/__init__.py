"""The data behind every figure: pure functions from a board, and records where it needs them, to plain numbers.

Nothing here draws. The figures (`prunebench.figures`) and the page show the same views, so a number that stands in one
stands in the other.
"""

from .curves import Curve, CurvePanel, curves
from .pareto import ParetoPanel, Price, pareto
from .series import Estimate, Method
from .transfer_map import TransferMap, transfer_map
from .worst_class import worst_class

__all__ = [
    *("Curve", "CurvePanel", "Estimate", "Method", "ParetoPanel", "Price", "TransferMap"),
    *("curves", "pareto", "transfer_map", "worst_class"),
]
