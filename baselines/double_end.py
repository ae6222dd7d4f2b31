"""Double-end pruning (ELFS; Zheng, Tsai et al., ICLR 2025): drop the hardest, keep the next, drop the easy rest.

    S = ranks int(beta N) .. int(beta N) + k - 1        rank 0: highest hardness, that is lowest accumulated margin

One contiguous window, without strata or classes. The cut-off beta is given, or searched for:

    beta* = first best of  0, step, 2 step, ... <= 1 - k/N  by agreement with the labels on the held-out examples of the
            reference network trained on (window without the held-out examples, labels)

`double_end` searches with the scorer's pseudo-labels. `double_end_oracle` searches with true labels, as the released
code does (there, by the best test accuracy of any epoch): it looks at labels that a label-free method does not have, so
it is marked and never ranked.

Differs from the released code, whose slice ``[cut:-chop]`` is empty where nothing easy is left to drop (beta = 1 - k/N)
and beyond; here k examples are kept, or the sentence below is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from prunebench import Chosen, UserError

from .bws import start_grid
from .window import ranking


class Search(NamedTuple):
    """The windows tried and how far each one's network agrees with the labels on held-out examples."""

    starts: np.ndarray  # (W,) fractions
    agreements: np.ndarray  # (W,) 0..1; NaN where there is but one window, so that nothing had to be trained

    @property
    def best(self) -> float:
        """The first best start."""
        return float(self.starts[int(np.argmax(self.agreements))]) if len(self.starts) > 1 else float(self.starts[0])


def double_end(
    hardness: Tensor,
    seeds: Tensor,
    budget: int,
    details: Mapping[str, Any],
    observe: Callable[..., Any],
    held_out: Tensor,
    *,
    cutoff: float | str = 0.3,
    step: float = 0.1,
) -> Chosen:
    """The k examples after the hardest share ``cutoff``.

    Args:
        hardness: (N,), meant to be that of `elfs`.
        seeds: (N,) int64, which break ties.
        details: the scorer's; a search needs its ``pseudo_labels`` (N,).
        observe: called by a search, once per window.
        held_out: (N,) bool, the examples a search judges by and does not train on.
        cutoff: beta in [0, 1 - k/N], or "search". The released code's commands have 0.4 (CIFAR-10) and 0.3 (ImageNet)
            where a tenth is kept. Where all N are to be kept there is nothing to drop, and it does not matter.
        step: between the starts of a search.

    Returns:
        (k,) int64, hardest first; details: ``cutoff``, of a search also ``starts`` and ``agreements``.

    Raises:
        UserError: cut-off and budget together exceed all examples, an option is out of range, or there are no
            pseudo-labels to search with.
    """
    order = ranking(hardness, seeds, hardest_first=True)
    if cutoff != "search":
        return Chosen(order[first_rank(cutoff, len(order), budget) :][:budget], details={"cutoff": cutoff})
    if "pseudo_labels" not in details:
        raise UserError(
            "cutoff='search' needs the pseudo_labels that elfs leaves in its details, and these scores have none: "
            "score with elfs, or give a cutoff"
        )
    pseudo = torch.as_tensor(np.asarray(details["pseudo_labels"]))
    return searched(order, budget, pseudo, held_out, observe, step)


def double_end_oracle(
    hardness: Tensor,
    seeds: Tensor,
    budget: int,
    labels: Tensor,
    observe: Callable[..., Any],
    held_out: Tensor,
    *,
    step: float = 0.1,
) -> Chosen:
    """`double_end` with the cut-off that true labels of all examples would choose: a bound, not a contender.

    Args:
        hardness: (N,), meant to be that of `elfs`.
        seeds: (N,) int64, which break ties.
        labels: (N,) int64, the true ones, trained on and judged by.
        observe: called once per window.
        held_out: (N,) bool, the examples judged by and not trained on.
        step: between the starts.

    Returns:
        (k,) int64, hardest first; details: ``cutoff``, ``starts`` and ``agreements``.

    Raises:
        UserError: ``step`` is out of range, or nothing is held out.
    """
    order = ranking(hardness, seeds, hardest_first=True)
    return searched(order, budget, labels, held_out, observe, step)


def first_rank(cutoff: Any, examples: int, budget: int) -> int:
    """int(beta N), where k examples are left after it.

    Raises:
        UserError: they are not, or the cut-off is no share.
    """
    if isinstance(cutoff, str) or not 0 <= cutoff <= 1:
        raise UserError(f"cutoff must be a number from 0 to 1 or 'search', got {cutoff!r}")
    first = math.floor(cutoff * examples + 1e-9)
    if budget == examples:
        return 0
    if first + budget > examples:
        most = math.floor((examples - budget) / examples * 1e4) / 1e4
        raise UserError(
            f"cutoff={cutoff} drops {first} of {examples} examples, which leaves fewer than the {budget} to be kept: "
            f"choose a cutoff from 0 to {most}, or keep fewer"
        )
    return first


def searched(
    order: Tensor, budget: int, labels: Tensor, held_out: Tensor, observe: Callable[..., Any], step: float
) -> Chosen:
    """The window of the first best start, and the search in the details."""
    found = search(order, budget, labels, held_out.cpu(), observe, step)
    first = first_rank(found.best, len(order), budget)
    told = {"cutoff": found.best, "starts": found.starts, "agreements": found.agreements}
    return Chosen(order[first : first + budget], details=told)


def search(
    order: Tensor, budget: int, labels: Tensor, held_out: Tensor, observe: Callable[..., Any], step: float = 0.1
) -> Search:
    """Train on every window without ``held_out``, and see what share of the held-out labels comes out.

    A window of held-out examples alone teaches nothing: its agreement is 0.

    Args:
        order: (N,) int64, hardest first.
        labels: (N,) int64, trained on and compared with.
        held_out: (N,) bool.
        observe: called with ``labels`` and the ``indices`` to train on; what it returns has ``logits() -> (N, C)``.

    Raises:
        UserError: ``step`` lies outside (0, 1], or nothing is held out.
    """
    if not 0 < step <= 1:
        raise UserError(f"step must lie in (0, 1], got {step}")
    starts = start_grid(len(order), budget, step)
    if len(starts) == 1:
        return Search(starts, np.full(1, np.nan))
    if not bool(held_out.any()):
        raise UserError(f"none of the {len(order)} examples is held out, so no cut-off can be judged: give a cutoff")
    agreements = []
    for start in starts.tolist():
        first = min(math.floor(start * len(order) + 1e-9), len(order) - budget)
        kept = order[first : first + budget].cpu()
        inside = kept[~held_out[kept]].sort().values
        if not len(inside):
            agreements.append(0.0)
            continue
        predicted = observe(labels=labels, indices=inside).logits().cpu().argmax(dim=1)
        agreements.append(float((predicted == labels.cpu())[held_out].double().mean()))
    return Search(starts, np.array(agreements))
