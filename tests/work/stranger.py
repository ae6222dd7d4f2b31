"""A plugin whose scorers go wrong in every way that a stranger's may, and one that works in blocks."""

from prunebench import Scorer, Selector, hookimpl

SCORERS = (
    *("blockwise", "raises", "leaves", "exits", "crashes", "hangs", "leaks"),
    *("gives_nan", "gives_inf", "one_short", "of_objects", "writes_labels", "draws_globally", "moves_away", "constant"),
    *("tells_objects", "says_nothing", "leaves_as_generator"),
)
SELECTORS = ("twice_the_same", "one_too_many", "out_of_range", "of_floats")


@hookimpl
def prunebench_scorers():
    return [Scorer(name, f"stranger_methods:{name}", hard="high", definition=1) for name in SCORERS]


@hookimpl
def prunebench_selectors():
    return [Selector(name, f"stranger_methods:{name}", definition=1) for name in SELECTORS]
