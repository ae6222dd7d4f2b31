"""P6: nine keep ratios from scores that are computed once, against scoring again for every ratio.

    .venv/bin/pytest benchmarks/test_keep_sweep.py -s [--record]

The plain form is that of a script that takes one fraction: it trains its proxy network, scores and selects, and is run
once per fraction. Ours keeps the scores as a record and only selects. Both must keep the same examples at every ratio.
"""

import numpy as np

from prunebench.evidence.scoring import score
from prunebench.evidence.selecting import select
from prunebench.planning.plans import Plan, open_harness

RATIOS = tuple(i / 10 for i in range(1, 10))
PLAN = Plan(
    scorers=("el2n(epoch=2)",),
    selectors=("ccs",),
    dataset="digits(train=300)",
    reference_epochs=2,
    threads=1,
    device="cpu",
)


def kept(store: str, ratios: tuple[float, ...]) -> list[list[int]]:
    """The examples kept at each ratio, in an empty store."""
    plan = Plan(**{**vars(PLAN), "keep": ratios, "store": store})
    harness = open_harness(plan)
    scores = score(harness, harness.registry.method("scorer", plan.scorers[0]))
    ccs = harness.registry.method("selector", plan.selectors[0])
    found = [select(harness, scores, ccs, keep, 0, 0).indices.tolist() for keep in ratios]
    assert len(list(harness.store.records("scores"))) == 1  # made here, and once
    return found


def equal(ours: list[list[int]], plain: list[list[int]]) -> None:
    assert ours == plain and [len(rows) for rows in ours] == [int(np.rint(keep * 300)) for keep in RATIOS]


def test_a_sweep_over_nine_ratios(against, tmp_path):
    stores = (str(tmp_path / f"store{i}") for i in range(100))
    kept(next(stores), (0.5,))  # what is loaded at first use counts for neither side

    def ours() -> list[list[int]]:
        return kept(next(stores), RATIOS)

    def plain() -> list[list[int]]:
        return [rows for keep in RATIOS for rows in kept(next(stores), (keep,))]

    size = "300 digits, ResNet-18 for 2 epochs, el2n + ccs, keep 0.1 to 0.9"
    against("P6 nine ratios", ours, plain, equal, goal=8, size=size, rounds=2, plain_rounds=1)
