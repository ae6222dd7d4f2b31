"""GraNd, the gradient norm early in training (Paul, Ganguli, Dziugaite, NeurIPS 2021).

    GraNd(i) = 1/R sum_r || grad_theta CE(f_{theta_{r,t}}(x_i), y_i) ||_2        after t epochs, R initialisations

theta: all parameters, or those of the last linear layer, its bias included, where the gradient is (p - y) [h 1]^T and

    || grad_{W,b} CE ||_2 = || p - onehot(y) ||_2 sqrt(1 + || h ||_2^2)        h: penultimate features

Networks are in evaluation mode: batch norm uses its running statistics, and an example's gradient is its own. The
loss is that of one example.

Differs from DeepCore, which divides the gradient of an example (last layer only) by the size of its batch, so that
those of the last, smaller batch come out larger and are kept first; here nothing depends on who stands beside whom.

Cost: R trainings of t epochs, then R forward and backward passes per example (R forward passes for the last layer).
Memory: the R networks, and the gradients of all parameters of one example (on CUDA of as many as fit into BYTES).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from prunebench import UserError

from .last_layer import errors_of

BYTES = 2**28  # of per-example gradients at a time
ROWS = 64  # examples per stored block


def grand(
    images: Any,
    labels: Tensor,
    network: Callable[..., Any],
    blocks: Callable[..., Tensor],
    device: torch.device,
    *,
    parameters: str = "all",
    epoch: int = 10,
    runs: int = 10,
) -> Tensor:
    """Mean gradient norm after ``epoch`` finished epochs of ``runs`` reference trainings.

    Args:
        images: N pictures.
        labels: (N,) int64.
        network: called with a run and an epoch for the network of that reference training on the way.
        blocks: does the work in blocks that are stored.
        device: where it is done, in float32.
        parameters: "all", or "last" for the last linear layer with its bias.
        epoch: how many epochs are finished, 0 (as initialised; the paper too, whose claim for it is disputed) to E.
        runs: R, independent initialisations and trainings (the paper: 10).

    Returns:
        (N,) float64, at least 0, high = hard.

    Raises:
        UserError: an option is none of the above or out of range.
    """
    if parameters not in ("all", "last"):
        raise UserError(f"parameters must be 'all' or 'last', got {parameters!r}")
    if runs < 1:
        raise UserError(f"runs must be at least 1, got {runs}")
    norms = gradient_norms if parameters == "all" else last_layer_norms
    networks = [network(run, epoch=epoch).to(device) for run in range(runs)]

    def mean(rows: Tensor) -> Tensor:  # (B,) -> (B,)
        total = torch.zeros(len(rows), dtype=torch.float64, device=device)
        for net in networks:
            total += norms(net, images.pixels(rows, net.size).to(device), labels[rows].to(device))
        return total / runs

    return blocks(mean, rows=ROWS)


def gradient_norms(network: nn.Module, x: Tensor, y: Tensor, chunk: int | None = None) -> Tensor:
    """Norms of the gradients of each example's loss by all parameters: pictures (B, ...), (B,) -> (B,) float64.

    ``chunk`` examples at a time. Default: one by one on the CPU, where a convolution with a gradient of its weights per
    example takes several times as long, else as many as BYTES hold. The network must not mix examples, as
    one in evaluation mode does not.
    """
    theta = {name: value.detach() for name, value in network.named_parameters()}
    state = dict(network.named_buffers())
    if chunk is None:
        chunk = 1 if x.device.type == "cpu" else max(1, BYTES // (4 * sum(v.numel() for v in theta.values())))

    def loss(theta: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        logits = functional_call(network, (theta, state), (x[None],))  # (1, C)
        return F.cross_entropy(logits.float(), y[None])

    def norm(x: Tensor, y: Tensor) -> Tensor:
        gradients = grad(loss)(theta, x, y)
        return torch.stack([g.square().sum() for g in gradients.values()]).double().sum().sqrt()

    if chunk == 1:
        return torch.stack([norm(*example) for example in zip(x, y, strict=True)])
    theta = {name: value.contiguous() for name, value in theta.items()}  # vmap has no rules for channels last
    return vmap(norm, chunk_size=chunk)(x, y)


def last_layer_norms(network: Any, x: Tensor, y: Tensor) -> Tensor:
    """The same by the last linear layer and its bias, in closed form: (B, 3, S, S), (B,) -> (B,) float64."""
    with torch.no_grad():
        h = network.features(x).double()  # (B, D)
        return errors_of(network(x), y).norm(dim=1) * (1 + h.square().sum(dim=1)).sqrt()
