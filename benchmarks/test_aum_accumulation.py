"""P7: AUM from the batches of a training, vectorised, against one dictionary entry per example.

    .venv/bin/pytest benchmarks/test_aum_accumulation.py -s [--record]

The plain form is the usual one: a margin per example of the batch, added to sums and counts kept by example id. Ours
writes each batch's margins into the epoch's row, as the recorder does, and takes the mean at the end. Both see the same
logits in the same order, on one thread; equality comes first, then the ratio, which is told and fails nothing.
"""

from collections import defaultdict
from collections.abc import Iterator

import pytest
import torch
from prunebench_baselines.aum import aum

from prunebench import statistic

EXAMPLES, EPOCHS, BATCH = 10_000, 3, 256
Batch = tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]  # epoch, logits (B, C), labels (B,), indices (B,)


def batches(classes: int) -> Iterator[Batch]:
    generator = torch.Generator().manual_seed(classes)
    labels = torch.randint(classes, (EXAMPLES,), generator=generator)
    for epoch in range(EPOCHS):
        for indices in torch.randperm(EXAMPLES, generator=generator).split(BATCH):
            yield epoch, torch.randn(len(indices), classes, generator=generator), labels[indices], indices


def by_dictionary(presented: list[Batch]) -> torch.Tensor:
    sums: dict[int, float] = defaultdict(float)
    counts: dict[int, int] = defaultdict(int)
    for _, logits, labels, indices in presented:
        for z, label, index in zip(logits, labels.tolist(), indices.tolist(), strict=True):
            others = torch.cat([z[:label], z[label + 1 :]])
            sums[index] += (z[label] - others.max()).item()
            counts[index] += 1
    return torch.tensor([sums[i] / counts[i] for i in range(EXAMPLES)], dtype=torch.float64)


def vectorised(presented: list[Batch]) -> torch.Tensor:
    history = torch.empty(1, EPOCHS, EXAMPLES)
    margin = statistic("logit_margin")
    for epoch, logits, labels, indices in presented:
        history[0, epoch, indices] = margin(logits, labels)
    return aum(history)


@pytest.mark.parametrize("classes", [10, 1000])
def test_aum_accumulation(against, classes):
    presented = list(batches(classes))

    def equal(ours: torch.Tensor, plain: torch.Tensor) -> None:
        torch.testing.assert_close(ours, plain, atol=1e-6, rtol=0)

    size = f"{EXAMPLES:,} examples, {EPOCHS} epochs, {classes} classes"
    ours, plain = (lambda: vectorised(presented)), (lambda: by_dictionary(presented))
    against(f"P7 AUM, {classes} classes", ours, plain, equal, goal=20, size=size, plain_rounds=1)
