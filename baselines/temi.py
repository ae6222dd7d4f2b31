"""TEMI, clustering heads on frozen embeddings (Adaloglou et al., BMVC 2023): neighbours get the same cluster.

H heads, each a student s and a teacher t, t <- m t + (1 - m) s after every step, m = 0.996. For a pair of an example x
and one of its nearest neighbours x', with q(c|x) = softmax(head(x) / 0.1):

    pi(c)    <- 0.9 pi(c) + 0.1 mean of q_t(c|.) over the batch's x and x'         start: 1 / K
    w(x, x')  = mean over heads of  sum_c q_t(c|x) q_t(c|x')                       unsure pairs count less
    L(x, x')  = -log sum_c ( q_s(c|x) q_t(c|x') )^beta / pi(c)                     beta = 0.6
    loss      = mean over heads and pairs of  w(x, x') ( L(x, x') + L(x', x) ) / 2

A head is D -> width -> width/2 with a GELU between, the result brought to length 1 and compared with K unit vectors,
each times a learnt gain. AdamW, decay 1e-4, its rate rising over the first tenth of the steps and constant after. Of
the heads the one of lowest loss is taken, the mean over the last tenth of the steps (the authors': the last epoch):
no label has a part in it. ELFS's released code picks the checkpoint by accuracy on true labels: not imitated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

TEMPERATURE = 0.1  # of students and teachers
TEACHER = 0.996  # m
SHARES = 0.9  # momentum of pi
DECAY = 1e-4
ROWS = 8192  # examples labelled at a time


class Clustering(NamedTuple):
    """What the heads found."""

    labels: Tensor  # (N,) int64 in 0..K-1, the most probable cluster of the chosen head's teacher
    head: int
    losses: Tensor  # (H,) of each head, low = chosen


def temi(
    e: Tensor,
    near: Tensor,
    clusters: int,
    generator: Generator,
    *,
    candidates: int,
    epochs: int,
    batch: int,
    rate: float,
    width: int,
    beta: float = 0.6,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> Clustering:
    """Train the heads side by side and label every example by the one of lowest loss.

    Args:
        e: (N, D) embeddings, on the device to be used.
        near: (N, k) int64, each example's nearest neighbours.
        clusters: K >= 2.
        generator: on the CPU: initial weights, order and partners.
        candidates: H, heads; they share nothing but the batches and the weights w.
        epochs: passes over all examples.
        batch: pairs per step.
        rate: AdamW's, after warm-up.
        width: of the hidden layer.
    """
    student = new_heads(candidates, e.shape[1], width, clusters, generator, e.device)
    teacher = [p.detach().clone() for p in student]
    optimizer = torch.optim.AdamW(student, lr=rate, weight_decay=DECAY)
    shares = torch.full((candidates, 1, clusters), 1 / clusters, device=e.device)
    batch = min(batch, len(e))
    steps = epochs * math.ceil(len(e) / batch)
    counted = math.ceil(steps / 10)
    losses = torch.zeros(candidates, device=e.device)
    stream = pairs(near, batch, steps, generator)
    for step, (x, partner) in enumerate(progress(stream, steps, "cluster") if progress else stream):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / counted)
        both = torch.cat([e[x.to(e.device)], e[partner.to(e.device)]])  # (2 B, D)
        with torch.no_grad():
            q_t = probabilities(teacher, both)  # (H, 2 B, K)
            shares = SHARES * shares + (1 - SHARES) * q_t.mean(dim=1, keepdim=True)
        loss = pair_loss(probabilities(student, both), q_t, shares, beta)  # (H,)
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
        with torch.no_grad():
            for kept, new in zip(teacher, student, strict=True):
                kept.lerp_(new, 1 - TEACHER)
        if step >= steps - counted:
            losses += loss.detach() / counted
    head = int(losses.argmin())
    chosen = [p[head : head + 1] for p in teacher]
    with torch.no_grad():
        labels = torch.cat([probabilities(chosen, rows)[0].argmax(dim=1) for rows in e.split(ROWS)])
    return Clustering(labels.cpu(), head, losses.double().cpu())


def pair_loss(q_s: Tensor, q_t: Tensor, shares: Tensor, beta: float) -> Tensor:
    """The loss of each head: students' and teachers' (H, 2 B, K), x before x', and pi (H, 1, K) -> (H,)."""
    s, partner_s = q_s.chunk(2, dim=1)
    t, partner_t = q_t.chunk(2, dim=1)
    weight = (t * partner_t).sum(dim=2).mean(dim=0)  # (B,)
    one, other = beta_information(s, partner_t, shares, beta), beta_information(partner_s, t, shares, beta)
    return -(weight * (one + other) / 2).mean(dim=1)


def beta_information(p: Tensor, q: Tensor, shares: Tensor, beta: float) -> Tensor:
    """log sum_c (p q)^beta / pi, products kept above 1e-30 where the power has no slope: (H, B, K) twice -> (H, B)."""
    return ((p * q).clamp_min(1e-30).pow(beta) / shares).sum(dim=2).log()


def probabilities(heads: list[Tensor], x: Tensor) -> Tensor:
    """q(c|x) of every head: (B, D) -> (H, B, K)."""
    first, first_bias, second, second_bias, directions, gains = heads
    hidden = F.gelu(torch.baddbmm(first_bias, x.expand(len(first), -1, -1), first))
    z = F.normalize(torch.baddbmm(second_bias, hidden, second), dim=2)
    return torch.softmax(z @ (F.normalize(directions, dim=1) * gains) / TEMPERATURE, dim=2)


def new_heads(
    heads: int, dimensions: int, width: int, clusters: int, generator: Generator, device: torch.device
) -> list[Tensor]:
    """Initial weights, normal with deviation 0.02; biases 0, gains 1."""
    narrow = max(1, width // 2)
    weights = [
        torch.randn(heads, *shape, generator=generator) * 0.02
        for shape in ((dimensions, width), (width, narrow), (narrow, clusters))
    ]
    zeros = [torch.zeros(heads, 1, width), torch.zeros(heads, 1, narrow)]
    found = [weights[0], zeros[0], weights[1], zeros[1], weights[2], torch.ones(heads, 1, clusters)]
    return [p.to(device).requires_grad_() for p in found]


def pairs(near: Tensor, batch: int, steps: int, generator: Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of a stream of permutations, each example with one of its neighbours: ``steps`` times (B,), (B,)."""
    left = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        while len(left) < batch:
            left = torch.cat([left, torch.randperm(len(near), generator=generator)])
        x, left = left[:batch], left[batch:]
        drawn = torch.randint(near.shape[1], (batch,), generator=generator)
        yield x, near[x, drawn]
