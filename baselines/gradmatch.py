"""GRAD-MATCH: few weighted gradients whose sum is that of all (Killamsetty et al., ICML 2021).

    S, w = argmin_{|S| <= k, w >= 0} || sum_{s in S} w_s g_s - sum_i g_i ||_2^2 + lambda || w ||_2^2

by orthogonal matching pursuit: i = argmax_{i not in S} <g_i, r>, then w of S by ridge regression and the residual
r = sum_i g_i - sum_s w_s g_s, until k are found or no gradient points along r; at the end w >= 0 by non-negative least
squares. g: gradients in the last linear layer at the end of the reference training. Class by class, as the authors do;
their configuration for CIFAR-10 (decile-team/cords) has lambda = 0.5 and, of the layer, the row of that class alone.

Weights are brought to sum to n_c in each class of n_c: ridge shrinks those of a class the more the smaller its
gradients are, and a class that is learned well would count for nothing in a new training. Where the pursuit ends early,
and where w is 0, the authors add random examples of weight 1; here the ones whose gradient points most along the sum
are added, with weight 1, of the n_c that are shared out.

Differs from DeepCore, which divides gradients by the size of the batch B, so that its lambda = 1 is B^2 here and those
of the last batch count for more, and whose last step solves || (G + lambda I) w - G 1 || with w >= 0, which is another
problem where w = 0 binds.

Time O(n_c k_c (C + D + k_c)) a class; memory: N (C + D) numbers, and n_c x k_c of one class at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.linalg import solve_triangular
from scipy.optimize import nnls
from torch import Tensor

from prunebench import Chosen, UserError

from .geometry import first_best
from .last_layer import last_layer_gradients, parts


def gradmatch(
    images: Any,
    labels: Tensor,
    features: Callable[[], Tensor],
    network: Callable[[], Any],
    seeds: Tensor,
    device: torch.device,
    budget: int,
    *,
    ridge: float = 0.5,
    start: str = "ridge",
    by: str = "class",
    quota: str = "proportional",
) -> Chosen:
    """k examples whose weighted gradients add up to the gradient of all.

    Args:
        images: N pictures.
        labels: (N,) int64.
        features: called for the (N, D) penultimate features of the reference network.
        network: called for that network.
        seeds: (N,) int64, of equally good examples the smallest seed wins.
        device: where the network is asked.
        ridge: lambda > 0, in units of a squared gradient norm.
        start: the first weight is that of "ridge", as all others, or as in the released codes the "projection" without
            lambda, which changes what is chosen second.
        by: "class", each class by itself, or "set".
        quota: how k is divided among classes, "proportional" or "equal".

    Returns:
        k examples, class by class in the order of selection, with weights > 0 whose sum is the number of examples in
        the classes that are kept from: N, where k is at least the number of classes; details: ``filled``, how many
        have their weight of 1 by the rule above.

    Raises:
        UserError: an option is none of the above or out of range, or the network diverged.
    """
    if not 0 < ridge < float("inf"):
        raise UserError(f"ridge must be above 0 and finite, got {ridge}")
    if start not in ("ridge", "projection"):
        raise UserError(f"start must be 'ridge' or 'projection', got {start!r}")
    g, ordered, order = last_layer_gradients(images, labels, features, network, seeds, device)
    kept, weights, filled = [], [], 0
    for members, k in parts(ordered, budget, by, quota):
        own = g.of(members)
        target = own.onto_sum()
        column = lambda new, own=own: own.inner(slice(None), new).squeeze(1)  # noqa: E731
        chosen, w = matching_pursuit(column, target, k, ridge, start)
        chosen, w, idle = completed(chosen, w, target, k)
        kept.append(order[members[chosen]])
        weights.append(w)
        filled += idle
    return Chosen(torch.cat(kept), weights=torch.cat(weights), details={"filled": filled})


def matching_pursuit(
    column: Callable[[Tensor], Tensor], target: Tensor, budget: int, ridge: float, start: str = "ridge"
) -> tuple[Tensor, Tensor]:
    """Orthogonal matching pursuit in inner products alone.

    Args:
        column: called with one example (1,), gives <g_i, g_j> for all i, (n,).
        target: (n,) <g_i, b> of what is to be matched.
        budget: k, at most n.
        ridge: lambda > 0.
        start: as in `gradmatch`.

    Returns:
        (t,) int64 in the order of selection and (t,) float64 weights >= 0, t <= k.
    """
    scale = float(target.abs().max())
    gram = torch.empty(len(target), budget, dtype=target.dtype, device=target.device)  # <g_i, g_s>
    factor = np.zeros((budget, budget))  # L, lower triangular: L L^T = <g_s, g_s'> + lambda I
    halfway = np.zeros(budget)  # L^-1 <g_s, b>
    left = torch.ones(len(target), dtype=torch.bool, device=target.device)
    along, chosen = target, list[int]()  # <g_i, r>
    while len(chosen) < budget and float((best := along.where(left, -torch.inf)).max()) > 1e-12 * scale:
        t, new = len(chosen), first_best(best, scale)
        chosen.append(new)
        left[new] = False
        gram[:, t] = column(torch.tensor([new], device=target.device))
        with_chosen = gram[chosen, t].cpu().numpy()
        factor[t, :t] = solve_triangular(factor[:t, :t], with_chosen[:-1], lower=True) if t else 0
        pivot = with_chosen[-1] + ridge - factor[t, :t] @ factor[t, :t]  # at least lambda, but for rounding
        factor[t, t] = np.sqrt(max(pivot, 1e-15 * (with_chosen[-1] + ridge)))
        halfway[t] = (float(target[new]) - factor[t, :t] @ halfway[:t]) / factor[t, t]
        w = solve_triangular(factor[: t + 1, : t + 1], halfway[: t + 1], lower=True, trans="T")
        if t == 0 and start == "projection":
            w = np.array([float(target[new]) / with_chosen[0]])
        along = target - gram[:, : t + 1] @ torch.from_numpy(w).to(target)
    return torch.tensor(chosen, dtype=torch.int64), torch.from_numpy(
        not_negative(factor[: len(chosen), : len(chosen)], halfway[: len(chosen)])
    )


def not_negative(factor: np.ndarray, halfway: np.ndarray) -> np.ndarray:
    """argmin_{w >= 0} w^T L L^T w - 2 w^T L h = argmin || L^T w - h ||: lower triangular (t, t), (t,) -> (t,)."""
    if not len(halfway) or not halfway.any():
        return np.zeros(len(halfway))
    return nnls(factor.T, halfway, maxiter=30 * len(halfway))[0]


def completed(chosen: Tensor, w: Tensor, target: Tensor, budget: int) -> tuple[Tensor, Tensor, int]:
    """Exactly k of n examples with weights > 0 that sum to n, and how many of these have weight 1 for want of one.

    Args:
        chosen: (t,) int64, t <= k.
        w: (t,) weights >= 0.
        target: (n,) <g_i, sum_j g_j>; where t < k, those with the largest follow, of equal ones the lowest index.
        budget: k.

    Returns:
        (k,) int64, those chosen first; (k,) float64; the number of examples without a positive weight of their own.
    """
    n, left = len(target), target.cpu().clone()
    left[chosen] = -torch.inf
    more = torch.argsort(left, descending=True, stable=True)[: budget - len(chosen)]
    w = torch.cat([w, torch.zeros(len(more), dtype=w.dtype)])
    idle = w <= 1e-12 * w.max() if len(w) else w > 0
    if bool(idle.all()):
        return torch.cat([chosen, more]), torch.full_like(w, n / budget), budget
    shared = n - int(idle.sum())
    weights = torch.where(idle, torch.ones_like(w), shared * w / w[~idle].sum())
    return torch.cat([chosen, more]), weights, int(idle.sum())
