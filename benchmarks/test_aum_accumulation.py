"""P7: AUM from the batches of a training, vectorised, against one dictionary entry per example.

The plain form is the usual one: a margin per example of the batch, added to sums and counts kept by example id. Ours
writes each batch's margins into the epoch's row, as the recorder does, and takes the mean at the end. Both see the same
logits in the same order, on one thread; equality comes first, then the ratio, which is reported and fails nothing.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator

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


def seconds(function: Callable[[list[Batch]], torch.Tensor], presented: list[Batch]) -> float:
    start = time.perf_counter()
    function(presented)
    return time.perf_counter() - start


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("classes", [10, 1000])
def test_aum_accumulation(benchmark, classes):
    presented = list(batches(classes))
    torch.testing.assert_close(vectorised(presented), by_dictionary(presented), atol=1e-6, rtol=0)
    plain = seconds(by_dictionary, presented)
    ours = min(seconds(vectorised, presented) for _ in range(3))
    benchmark.extra_info["ratio"] = plain / ours
    benchmark.extra_info["plain_seconds"] = plain
    benchmark.extra_info["examples"] = EXAMPLES * EPOCHS
    benchmark.pedantic(vectorised, args=(presented,), rounds=5)
