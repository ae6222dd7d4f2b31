"""The data behind every figure: pure functions from a board, and records where it needs them, to plain numbers.

Nothing here draws. The figures (`prunebench.figures`) and the page show the same views, so a number that stands in one
stands in the other. Names of methods and data sets are as records tell them: whoever shows them makes them inert.
"""

from .atlas import ScoreMap as ScoreMap
from .atlas import score_maps as score_maps
from .critical_difference import RankDiagram as RankDiagram
from .critical_difference import critical_differences as critical_differences
from .curves import Curve as Curve
from .curves import CurvePanel as CurvePanel
from .curves import curves as curves
from .palette import palette as palette
from .pareto import ParetoPanel as ParetoPanel
from .pareto import Price as Price
from .pareto import pareto as pareto
from .pictures import PictureRow as PictureRow
from .pictures import PictureSheet as PictureSheet
from .pictures import labelled as labelled
from .pictures import pictures as pictures
from .quintiles import CrossEvaluation as CrossEvaluation
from .quintiles import cross_evaluation as cross_evaluation
from .quotas import QuotaPanel as QuotaPanel
from .quotas import quotas as quotas
from .series import Estimate as Estimate
from .series import Method as Method
from .transfer_map import TransferMap as TransferMap
from .transfer_map import transfer_map as transfer_map
from .window_starts import StartCurve as StartCurve
from .window_starts import WindowPanel as WindowPanel
from .window_starts import window_starts as window_starts
from .worst_class import worst_class as worst_class
