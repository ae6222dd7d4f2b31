"""A training on 8-pixel pictures whose convolutions leave out the taps that meet only padding, against torch's own.

    .venv/bin/pytest benchmarks/test_live_taps.py -s [--record]

Both sides train the same network from the same weights on the same batches, with our own loop; the losses agree until
rounding has grown.
"""

import numpy as np

from prunebench.datasets.digits import digits
from prunebench.training import models
from prunebench.training.loop import train
from prunebench.training.recipes import recipe

DATA, STEPS = digits(), 20


def test_live_taps(against, monkeypatch):
    model = "resnet18"
    chosen = recipe(DATA, model)

    def ours() -> np.ndarray:
        labels, classes = DATA.train.labels, len(DATA.classes)
        return train(DATA.train.images, labels, classes, model=model, recipe=chosen, seed=0, steps=STEPS).losses

    def plain() -> np.ndarray:
        with monkeypatch.context() as patch:
            patch.setattr(models, "leave_out_dead_taps", lambda backbone: None)
            return ours()

    def equal(mine: np.ndarray, theirs: np.ndarray) -> None:
        np.testing.assert_allclose(mine[:5], theirs[:5], rtol=1e-3)

    size = f"digits (8 px), {STEPS} steps of {chosen.batch}"
    against(f"live taps, {model}", ours, plain, equal, goal=None, size=size, plain_rounds=3)
