"""From a task and the options to a diffusion model and the levels at which DDIM visits it."""

from __future__ import annotations

from torch import Tensor

from prunebench import UserError

from .dit import recipe_for
from .hub import WAY_OUT
from .imagenet import are_wnids
from .models import Chosen, choose_model, resolve_model
from .schedule import ddim_levels
from .task import Task

STEPS = 50  # DDIM steps


def opened(
    task: Task, model: str = "auto", dit: str = "auto", dit_steps: int | str = "auto", spacing: str = "leading"
) -> tuple[Chosen, Tensor]:
    """(the model, loaded or trained, and its ``STEPS`` levels (STEPS,) int64, ascending).

    Raises:
        UserError: an option out of range, before anything trains; or a model that is not here or does not fit.
    """
    name = resolve_model(model, are_wnids(task.classes), task.images.size)
    recipe = recipe_for(task.images.size, dit, dit_steps, flip=bool(task.images.flip))
    ddim_levels(1000, STEPS, spacing)
    chosen = choose_model(name, task, recipe)
    timesteps = len(chosen.denoiser.abar) - 1
    if timesteps < STEPS:
        raise UserError(
            f"drd: the model {chosen.name} has {timesteps} timesteps, fewer than the {STEPS} steps of DDIM; use one "
            f"with more, {WAY_OUT}"
        )
    return chosen, ddim_levels(timesteps, STEPS, spacing)
