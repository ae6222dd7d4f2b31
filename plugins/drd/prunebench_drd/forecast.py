"""From the options of ``drd`` and a data set's size to its bill, with the rate of this machine in ten seconds.

A large model is timed on two of its blocks, with random weights, and brought to the whole by its operations: these are
the same matrices at the same rate, and no weights need to be here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from prunebench import UserError

from . import flops
from .batching import network_rows, picture_rows
from .calibration import calibrate
from .configs import reason
from .dit import recipe_for
from .estimate import Costs, Estimate, Rates, Size, estimate, memory, search_evaluations, searched_pictures
from .folders import DiTDenoiser, model_configs
from .hub import IMAGENET_DIT, WAY_OUT, find_model
from .imagenet import IMAGENET, card_classes, class_ids, imagenet_wnids
from .models import is_factory, resolve_model
from .perceptual import TRUNKS, require_size, resolve_perceptual
from .schedule import linear_abar

BLOCKS = 2  # of a large model, timed
MIDDLE = 20.0  # DDIM step in the middle of the window of SNR, where t* is not known yet


@dataclass(frozen=True)
class Model:
    """What of a diffusion model decides its cost."""

    name: str
    config: Mapping[str, Any]  # of the transformer
    vae: Mapping[str, Any] | None
    training: int = 0  # pictures seen by its training, steps times batch

    @property
    def side(self) -> int:
        """Pixels of the pictures it takes."""
        scale = 1 if self.vae is None else 2 ** (len(self.vae["block_out_channels"]) - 1)
        return int(self.config["sample_size"]) * scale


def model_of(options: Mapping[str, Any], size: Size) -> Model:
    """The model that ``drd`` would take for pictures of this size.

    Raises:
        UserError: it is not here or cannot be read, or a factory, whose cost cannot be told from outside.
    """
    asked = resolve_model(options["model"], size.imagenet, size.pixels)
    if asked.partition("@")[0] == IMAGENET_DIT and not os.path.isdir(asked):
        if not size.imagenet or not set(size.names) <= set(imagenet_wnids()):
            raise UserError(
                f"drd estimate: {asked} knows the classes of ImageNet alone, and those of this data set are others, so "
                f"scoring refuses it; use a model of these classes, {WAY_OUT}"
            )
        return Model(asked, flops.DIT_XL_2_256, flops.SD_VAE)
    if asked == "own":
        recipe = recipe_for(size.pixels, options["dit"], options["dit_steps"])
        config = flops.own_config(recipe, 3, size.classes)
        return Model(f"own, {recipe.size}", config, None, recipe.steps * recipe.batch)
    if is_factory(asked):
        raise UserError(
            f"drd estimate: what {asked!r} makes cannot be seen from outside, so its cost is not known; time it on a "
            "few pictures, or give a model= that is a folder or a hub id"
        )
    found = find_model(asked)
    transformer, vae = model_configs(found.folder)
    refuse_strange(found.folder, size, transformer["num_embeds_ada_norm"])
    return Model(found.name, transformer, vae)


def refuse_strange(folder: Path, size: Size, known: int) -> None:
    """Refuse a model that scoring would refuse for its classes, as far as it can be told without the data.

    Raises:
        UserError: it does not know them.
    """
    if size.names:
        class_ids(folder, size.names, known)
        return
    few = known < size.classes if card_classes(folder, known) else known != size.classes
    if few and not (size.imagenet and known == IMAGENET):
        raise UserError(
            f"drd estimate: the model in {folder} has {known} classes, the data set {size.classes}, so scoring refuses "
            f"it; use a model of these classes, {WAY_OUT}"
        )


def forecast(
    options: Mapping[str, Any], size: Size, device: torch.device, seconds: float, rate: float | None = None
) -> tuple[Estimate, list[str]]:
    """(the bill, sentences on what it rests on).

    Args:
        options: those of ``drd``.
        seconds: of calibration, where no ``rate`` in operations a second is given.
    """
    model = model_of(options, size)
    latent, network = model.vae is not None, flops.dit(model.config)
    metric = resolve_perceptual(options["perceptual"], size.pixels)
    require_size(metric, model.side)
    vae = (flops.vae_encode(model.vae, model.side), flops.vae_decode(model.vae, model.side)) if model.vae else ()
    features = flops.lpips_flops(metric, model.side) if metric in TRUNKS else 0
    costs = Costs(network.flops, *(part.flops for part in vae or (flops.Count(), flops.Count())), features)
    where = f"on {device.type}" if rate is None else "as given"
    rate = measured(model, device, seconds) if rate is None else rate
    searched = options["timestep"] == "ib"
    told = estimate(
        size,
        costs,
        Rates.at(costs, rate),
        searching=search_evaluations(
            size, options["samples"], options["noises"], rivals=options["rivals"], how=options["search"]
        )
        if searched
        else 0,
        searched=searched_pictures(size, options["samples"]) if searched else 0,
        step=MIDDLE if searched else float(options["timestep"]),
        draws=(1 if latent else 8) if options["draws"] == "auto" else options["draws"],
        training=model.training,
        target=options["target"],
    )
    rows = network_rows(int(model.config["in_channels"]) * int(model.config["sample_size"]) ** 2)
    needed = memory(network, rows, vae, picture_rows(model.side), 2 if device.type == "cuda" else 4)
    notes = [
        f"model {model.name}: {network.flops / 1e9:.3g} GFLOP per evaluation, {network.weights / 1e6:.3g} M weights",
        f"rate {rate / 1e12:.3g} TFLOP/s {where}; mean t* {MIDDLE if searched else options['timestep']:g}",
        f"memory about {needed / 2**30:.2g} GiB at {rows} pictures per network call, halved where it does not fit",
    ]
    if metric == "features":
        notes.append("the reference network behind perceptual='features' and its training are not counted")
    return told, notes


def measured(model: Model, device: torch.device, seconds: float) -> float:
    """Operations a second of a few of the model's blocks with random weights, as `calibrate` measures them."""
    config = {**model.config, "num_layers": min(BLOCKS, int(model.config["num_layers"]))}
    shape = (int(config["in_channels"]), int(config["sample_size"]), int(config["sample_size"]))
    denoiser = DiTDenoiser(_random(config), None, linear_abar(), torch.zeros(1, dtype=torch.int64), device)
    rows = network_rows(shape[0] * shape[1] * shape[2])
    rates = calibrate(_Plain(denoiser), shape, rows, device, seconds)
    return rates.evaluations * flops.dit(config).flops


class _Plain:
    """Only the network is timed: encoding and decoding cost nothing here."""

    def __init__(self, denoiser: DiTDenoiser) -> None:
        self.abar, self.predict_noise = denoiser.abar, denoiser.predict_noise

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return z


def _random(config: Mapping[str, Any]) -> Any:
    from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel

    try:
        with torch.random.fork_rng(devices=[]):
            return DiTTransformer2DModel.from_config(dict(config))
    except Exception as error:  # whatever the library finds wrong with it
        raise UserError(
            f"drd estimate: the model's transformer/config.json makes no DiT ({reason(error)}); put the right one there"
        ) from error
