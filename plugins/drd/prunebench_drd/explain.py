"""Where a deviation comes from: original, noised picture, reconstruction and score of chosen examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prunebench import Call, Scores, UserError, load_scores, noise

from .equations import q_sample
from .figures import MOST, Row, save_sheet, short_names
from .models import is_factory
from .opening import opened
from .reconstruct import reconstruct
from .task import Task

PLACES = ("lowest", "middle", "highest")
ROWS = 120  # in one sheet
Line = tuple[str, list[int | None]]  # of a sheet: its name, and a position in the training split for every place


def explained(
    file: Path, examples: str | None, each: int, out: Path, called: Callable[[str], tuple[Call, Task]]
) -> tuple[Path, list[str]]:
    """Draw the sheet of a score file; (where it is, lines to print).

    Raises:
        UserError: no scores of ``drd``, of another data set, made with another model, or positions that are not there.
    """
    scores = load_scores(file)
    if not {"t_star", "perceptual"} <= set(scores.details):
        raise UserError(f"{file} holds scores of {scores.scorer}, which rebuild no picture: explain shows drd's scores")
    if not 1 <= each <= ROWS:
        raise UserError(f"--each must be at least 1 and at most {ROWS}, got {each}")
    call, task = called(scores.scorer)
    if scores.fingerprint != call.dataset.fingerprint:
        raise UserError(f"{file} scores another data set than {call.dataset.name}: give its --dataset and --data-root")
    if scores.details.get("seed", str(task.seed)) != str(task.seed):
        raise UserError(f"{file} is of another independent scoring: give its --score-seed")
    if examples is not None:
        title, lines = "chosen examples", chosen_lines(call, examples, len(scores))
    else:
        title, lines = extreme_lines(scores, call, each)
    chosen, levels = opened(task, *(call.options[name] for name in ("model", "dit", "dit_steps", "spacing")))
    if scores.details.get("model_digest", chosen.digest()) != chosen.digest():
        raise UserError(
            f"{file} was scored with another model than {chosen.name} is now: score again with this one, or put back "
            "the files (or the factory) of then"
        )
    place = np.argsort(call.order)  # where each position of the data set stands in the order that methods see
    steps = torch.from_numpy(np.asarray(scores.details["t_star"]))
    rows, told = [], []
    for name, positions in lines:
        there = [i for i in positions if i is not None]
        tiles = iter(shown(task, chosen, levels, steps, torch.from_numpy(place[there])))
        fours = [(None,) * 4 if i is None else (*next(tiles), None) for i in positions]  # a gap between examples
        captions = [text for i in positions for text in ("", "", "" if i is None else f"{scores.values[i]:.3g}", "")]
        rows.append(Row(name, [tile for four in fours for tile in four][:-1], captions))
        full = " ".join(call.dataset.classes[call.dataset.train.labels[there[0]]].split())
        told += [f"{full}  {scores.keys[i] if scores.keys else i}: {scores.values[i]:.4g}" for i in there]
    columns = [
        text for first in (PLACES if examples is None else ("picture",)) for text in (first, "noised", "rebuilt", "")
    ]
    draws = int(scores.details.get("draws", 1))
    mean = f", the mean of {draws} draws of which the first is shown" if draws > 1 else ""
    save_sheet(out, f"{call.dataset.name}: {title}\n(deviation over the reconstruction{mean})", columns, rows)
    return out, told


def refuse_code(file: Path, model: Any, factory: str | None) -> None:
    """A score file is data: the code that it names as its model runs only where the user names it too.

    Raises:
        UserError: ``model`` is a ``package.module:factory`` other than ``factory``.
    """
    if isinstance(model, str) and is_factory(model) and model != factory:
        raise UserError(
            f"{file} names Python code as its model, {model}, which would run: if it is yours, say so by "
            f"--factory {model}"
        )


def found_only(task: Task, way_out: str) -> Task:
    """The task, whose stored things are found and never made.

    Raises:
        UserError: by its ``stored``, where it would have to make something.
    """

    def stored(name: str, spec: Any, make: Callable[..., Any], **more: Any) -> Path:
        def refuse(*given: Any) -> None:
            raise UserError(f"the model behind these scores is not in the store, and explain trains none: {way_out}")

        return task.stored(name, spec, refuse, **more)

    return replace(task, stored=stored)


def chosen_lines(call: Call, examples: str, n: int) -> list[Line]:
    """A line for each position asked for: its name, and the position.

    Raises:
        UserError: not positions, or too many for a sheet.
    """
    asked = [part.strip() for part in examples.split(",")]
    wrong = [part for part in asked if not part.isdecimal() or int(part) >= n]
    if wrong:
        raise UserError(f"--examples must be positions from 0 to {n - 1} with commas between them, got {wrong[0]!r}")
    if len(asked) > ROWS:
        raise UserError(f"--examples takes {ROWS} positions at once, got {len(asked)}: draw several sheets")
    labels, names = call.dataset.train.labels, short_names(call.dataset.classes)
    return [(f"{int(i)} ({names[labels[int(i)]]})", [int(i)]) for i in asked]


def extreme_lines(scores: Scores, call: Call, each: int) -> tuple[str, list[Line]]:
    """The title, and ``each`` lines of every class (fewer of a small one), each of `PLACES` in its column.

    No picture stands in two of them: of two there is no middle, and a single one is the lowest.
    """
    labels, names = call.dataset.train.labels, short_names(call.dataset.classes)
    filled = [c for c in range(len(names)) if bool((labels == c).any())]
    most = min(MOST, max(1, ROWS // each))
    lines: list[Line] = []
    for c in filled[:most]:
        own = np.flatnonzero(labels == c)
        ranked = own[np.argsort(scores.values[own], kind="stable")]
        high = min(each, max(1, len(ranked) // 3))
        middle = max(0, (len(ranked) - high) // 2)
        ends = (ranked[:high], ranked[middle : middle + high], ranked[::-1][:high])
        for i in range(high):
            low, mid, top = (int(end[i]) for end in ends)
            once = [low, None if mid == low else mid, None if top == low else top]
            lines.append((names[c] if i == 0 else "", once))
    part = f" (the first {most} of {len(filled)})" if len(filled) > most else ""
    return f"{', '.join(PLACES)} deviation of each class{part}", lines


@torch.inference_mode()
def shown(
    task: Task, chosen: Any, levels: Tensor, steps: Tensor, indices: Tensor
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Three tiles (3, S, S) for every index: the picture, what the first draw's noise makes of it, what is rebuilt."""
    pixels = task.pixels(indices, chosen.size)
    denoiser, z_0 = chosen.denoiser, chosen.denoiser.encode(pixels)
    eps = noise(task.seeds[indices], 0, z_0.shape[1:], task.device)
    start = steps[task.labels[indices]]
    abar = denoiser.abar.cpu().double()[levels[start]].float().reshape(-1, *[1] * (z_0.dim() - 1)).to(task.device)
    noised = denoiser.decode(q_sample(z_0, abar, eps))
    rebuilt = denoiser.decode(reconstruct(denoiser, z_0, task.labels[indices].to(task.device), start, eps, levels))
    return list(zip(pixels.float() / 255, noised, rebuilt, strict=True))
