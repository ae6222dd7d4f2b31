"""Which diffusion model scores this data set: trained here, a folder, a hub id, or the user's own object."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prunebench import UserError

from .batching import Room
from .denoisers import Denoiser, load_factory
from .dit import Recipe
from .folders import DiTDenoiser, folder_digest, load_folder
from .hub import IMAGENET_DIT, find_model
from .pretrain import train
from .task import Task


@dataclass(frozen=True)
class Chosen:
    """A denoiser, and what of it belongs in the record and in the names of what is stored."""

    denoiser: Denoiser
    name: str  # of a hub model with the commit: owner/name@commit
    identity: dict[str, Any]
    size: int  # px, the side of the pictures it is given
    latent: bool
    folder: Path | None = None  # where it lies
    room: Room = field(default_factory=Room)

    def digest(self) -> str:
        """SHA-256 of what tells this model from others, whatever numbers it runs in."""
        told = {key: value for key, value in self.identity.items() if key != "precision"}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def resolve_model(model: Any, imagenet: bool, size: int) -> str:
    """``auto``: DiT-XL/2 where all classes are ImageNet wnids and pictures have 128 px or more, else our own.

    Raises:
        UserError: no text.
    """
    if not isinstance(model, str):
        raise UserError(f"drd: model must be auto, own, a folder, a hub id or package.module:factory, got {model!r}")
    if model != "auto":
        return model
    return IMAGENET_DIT if imagenet and size >= 128 else "own"


def choose_model(model: str, task: Task, recipe: Recipe) -> Chosen:
    """Load or train the resolved ``model``.

    Raises:
        UserError: it is not here, cannot be read, or does not know these classes.
    """
    if model == "own":
        trained = recipe.spec()
        folder = task.stored("dit", trained, lambda folder, draws: train(folder, task, recipe, draws), shared=True)
        denoiser = load_folder(folder, task.classes, task.device)
        return Chosen(denoiser, "own", trained | precision_of(denoiser), recipe.pixels, latent=False, folder=folder)
    if is_factory(model):
        made = load_factory(model, task.classes)
        size = getattr(made, "size", task.images.size)
        source = {"source": source_digest(model)}
        return Chosen(made, model, {"model": model, **source, **getattr(made, "identity", {})}, size, latent=False)
    found = find_model(model)
    denoiser = load_folder(found.folder, task.classes, task.device)
    identity = {"model": folder_digest(found.folder)} | precision_of(denoiser)
    if found.commit is not None:
        identity["commit"] = found.commit
    return Chosen(denoiser, found.name, identity, denoiser.size, denoiser.vae is not None, found.folder)


def is_factory(model: str) -> bool:
    """Whether the text names a ``package.module:factory``."""
    return ":" in model and "://" not in model and not os.path.exists(model)


def source_digest(factory: str) -> str:
    """SHA-256 of the file that ``package.module:factory`` is in; "" where there is none."""
    origin = getattr(sys.modules.get(factory.partition(":")[0]), "__file__", None)
    return hashlib.sha256(Path(origin).read_bytes()).hexdigest() if origin else ""


def precision_of(denoiser: DiTDenoiser) -> dict[str, str]:
    """What the identity says of numbers other than float32: they give other values."""
    return {} if denoiser.precision == "float32" else {"precision": denoiser.precision}


def refuse_unconditional(denoiser: Denoiser, timestep: int | str) -> None:
    """Refuse to search t* with a denoiser that ignores the class: eq. (8) would be flat at log 1/C.

    Raises:
        UserError: naming the way out.
    """
    if timestep == "ib" and not getattr(denoiser, "conditional", True):
        raise UserError(
            "drd: this denoiser ignores the class, so timestep='ib' has nothing to search by; give a DDIM step for all "
            "classes: timestep=20"
        )
