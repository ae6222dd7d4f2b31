"""P5: what recording a training costs, and what is saved where several scorers share one.

    .venv/bin/pytest benchmarks/test_recorder_overhead.py -s [--record]

The overhead is that of all statistics of the presentation, against the same training without a recorder. The plain way
to four scorers is the released codes': a training for each of them, which keeps its own statistic and nothing else.
Weights and scores are equal bit for bit. EL2N needs an evaluation pass, which is no presentation: with it among the
four, both sides make one after every epoch.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from prunebench_baselines.aum import aum
from prunebench_baselines.confidence import confidence
from prunebench_baselines.correctness import correctness
from prunebench_baselines.el2n import el2n
from prunebench_baselines.forgetting import forgetting

from prunebench.datasets.digits import digits
from prunebench.training.loop import Trained, train
from prunebench.training.recipes import recipe
from prunebench.training.recorder import Recorder
from prunebench.training.statistics import STANDARD

EXAMPLES, EPOCHS = 640, 2
DATA = digits()
SIZE = f"{EXAMPLES} digits, resnet18, {EPOCHS} epochs"
PRESENTED = [name for name, (_, at) in STANDARD.items() if at == "presentation"]
Score = tuple[str, Callable[[torch.Tensor], torch.Tensor]]  # the statistic it watches, and what it makes of (1, E, N)
SCORERS: dict[str, Score] = {
    "forgetting": ("correct", forgetting),
    "aum": ("logit_margin", aum),
    "correctness": ("correct", correctness),
    "confidence": ("true_probability", confidence),
    "el2n": ("el2n", lambda history: el2n(history, epoch=EPOCHS)),
}


def trained(folder: Path | None, *names: str) -> tuple[Trained, dict[str, torch.Tensor]]:
    """A reference training, and the histories (1, E, N) of the statistics that it watched."""
    recorder = None
    if folder is not None:
        recorder = Recorder({name: STANDARD[name] for name in names}, EXAMPLES, EPOCHS, folder)
    found = train(
        DATA.train.images,
        DATA.train.labels,
        len(DATA.classes),
        model="resnet18",
        recipe=recipe(DATA, "resnet18"),
        seed=0,
        indices=range(EXAMPLES),
        epochs=EPOCHS,
        recorder=recorder,
    )
    files = recorder.close() if recorder else {}
    return found, {name: torch.from_numpy(np.load(path, allow_pickle=False))[None] for name, path in files.items()}


def test_recording_presentations(against, tmp_path):
    def equal(ours: tuple, plain: tuple) -> None:
        weights, others = ours[0].network.state_dict(), plain[0].network.state_dict()
        assert all(torch.equal(weights[name], others[name]) for name in others)
        assert set(ours[1]) == set(PRESENTED)

    ours, plain = (lambda: trained(tmp_path, *PRESENTED)), (lambda: trained(None))
    size = f"{SIZE}, {len(PRESENTED)} statistics"
    against("P5 recording", ours, plain, equal, goal=1 / 1.05, size=size, plain_rounds=3)


@pytest.mark.parametrize("fourth", ["confidence", "el2n"])
def test_four_scorers_of_one_training(against, tmp_path, fourth):
    scorers = {name: SCORERS[name] for name in ("forgetting", "aum", "correctness", fourth)}

    def ours() -> list[torch.Tensor]:
        _, histories = trained(tmp_path, *{watched for watched, _ in scorers.values()})
        return [score(histories[watched]) for watched, score in scorers.values()]

    def plain() -> list[torch.Tensor]:
        return [score(trained(tmp_path, watched)[1][watched]) for watched, score in scorers.values()]

    def equal(mine: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))

    name = f"P5 four scorers, {fourth} among them"
    against(name, ours, plain, equal, goal=3.5, size=SIZE, rounds=2, plain_rounds=1)
