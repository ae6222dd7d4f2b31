"""A folder in diffusers' layout as a denoiser: its DiT, its VAE and its schedule; only safetensors are read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from prunebench import UserError

from .batching import Room, picture_rows
from .configs import WEIGHTS, check_fit, read_config, read_json, reason
from .denoisers import check_abar
from .hub import WAY_OUT
from .imagenet import class_ids
from .pictures import in_channels_of

PRECISIONS = ("float32", "bfloat16")
FLOATS = ("F16", "BF16", "F32", "F64")
CONSTANTS = ("pos_embed.pos_embed",)  # tables that some files hold and the network makes itself
SCHEDULERS = ("DDPM", "DDIM", "DPM", "PNDM", "UniPC", "DEIS")  # how the names of those begin that have DDPM's betas
BETAS = ("beta_start", "beta_end", "beta_schedule")
OLDER = ("Transformer2DModel",)  # what published configurations call a DiT


def precision_for(device: torch.device, precision: str | None = None) -> str:
    """The numbers that networks multiply in: ``bfloat16`` on CUDA and ``float32`` elsewhere, unless said.

    Raises:
        UserError: unknown precision.
    """
    if precision is None:
        return "bfloat16" if device.type == "cuda" else "float32"
    if precision not in PRECISIONS:
        raise UserError(f"drd: precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    return precision


def autocast(device: torch.device, precision: str) -> Any:
    """The context in which a network runs; what comes out is turned to float32, where all equations are computed."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


class DiTDenoiser:
    """diffusers' DiT layout: transformer, scheduler and, for latent models, vae; without vae it works on pixels."""

    def __init__(
        self,
        transformer: Any,
        vae: Any,
        abar: Tensor,
        class_ids: Tensor,
        device: torch.device,
        precision: str | None = None,
    ) -> None:
        self.transformer = transformer.to(device).eval().requires_grad_(False)
        self.vae = None if vae is None else vae.to(device).eval().requires_grad_(False)
        self.abar = abar.to(device)
        self.class_ids = class_ids.to(device)
        self.channels = int(transformer.config.in_channels)
        self.side = int(transformer.config.sample_size)  # of what it denoises
        self.size = self.side * (1 if vae is None else 2 ** (len(vae.config.block_out_channels) - 1))
        self.precision = precision_for(device, precision)
        self.room = Room()

    def predict_noise(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """The network's noise; the learned variance of published DiTs is dropped, nothing is guided.

        Raises:
            ValueError: x_t has another shape than the network was trained on, which it would take in silence.
        """
        takes = (self.channels, self.side, self.side)
        if x_t.shape[1:] != takes:
            raise ValueError(f"drd: this DiT denoises {takes}, got {tuple(x_t.shape[1:])}")
        with autocast(x_t.device, self.precision):
            predicted = self.transformer(x_t, timestep=t - 1, class_labels=self.class_ids[c]).sample
        return predicted[:, : self.channels].float()

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels in [-1, 1] (one channel for a grey model), or the VAE's posterior mean times its scale.

        Raises:
            ValueError: pictures of another size than the model's.
            UserError: a grey model, and pictures with colours.
        """
        if pixels.shape[1:] != (3, self.size, self.size):
            raise ValueError(f"drd: this DiT takes pictures {(3, self.size, self.size)}, got {tuple(pixels.shape[1:])}")
        if self.vae is None:
            return in_channels_of("this DiT", pixels, self.channels)
        z = pixels.float() / 127.5 - 1
        return self.room.in_rows("encode", self._vae_mean, picture_rows(self.size), z) * self.vae.config.scaling_factor

    @torch.inference_mode()
    def decode(self, z: Tensor) -> Tensor:
        """Back to (B, 3, S, S) in [0, 1]."""
        if self.vae is not None:
            z = self.room.in_rows(
                "decode", self._vae_pictures, picture_rows(self.size), z / self.vae.config.scaling_factor
            )
        return (z / 2 + 0.5).clamp(0, 1).expand(-1, 3, -1, -1)

    def _vae_mean(self, pictures: Tensor) -> Tensor:
        with autocast(pictures.device, self.precision):
            return self.vae.encode(pictures).latent_dist.mean.float()

    def _vae_pictures(self, z: Tensor) -> Tensor:
        with autocast(z.device, self.precision):
            return self.vae.decode(z).sample.float()


def load_folder(
    folder: Path, classes: Sequence[str], device: torch.device, precision: str | None = None
) -> DiTDenoiser:
    """A DiT from a local folder in diffusers' layout.

    Raises:
        UserError: a file is missing or refused, its parts do not fit, or the model does not know these classes.
    """
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel

    transformer_config, vae_config = model_configs(folder)
    ids = class_ids(folder, classes, transformer_config["num_embeds_ada_norm"])
    abar = folder_abar(folder)
    transformer = load_part(DiTTransformer2DModel, folder, "transformer")
    vae = None if vae_config is None else load_part(AutoencoderKL, folder, "vae")
    return DiTDenoiser(transformer, vae, abar, ids, device, precision)


def model_configs(folder: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The configurations of a folder's DiT and of its VAE; None where it works on pixels.

    Raises:
        UserError: one is missing, damaged or of another class, or they do not fit each other.
    """
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel

    transformer = read_config(DiTTransformer2DModel, folder, "transformer", OLDER)
    vae = read_config(AutoencoderKL, folder, "vae") if (folder / "vae").is_dir() else None
    check_fit(folder, transformer, vae)
    return transformer, vae


def load_part(kind: Any, folder: Path, part: str) -> Any:
    """One network of the folder by ``kind.from_pretrained``, safetensors only; the global generator is left alone.

    Its configuration is looked at before, by `read_config`.

    Raises:
        UserError: naming the file that is missing or damaged.
    """
    if not (folder / part / WEIGHTS).is_file():
        raise UserError(
            f"drd: {part}/{WEIGHTS} is missing in {folder} (pickled .bin weights are never read: save the model once "
            f"with save_pretrained(safe_serialization=True)); put it there, {WAY_OUT}"
        )
    refuse_whole_numbers(folder / part / WEIGHTS)
    try:
        with torch.random.fork_rng(devices=[]):
            network, told = kind.from_pretrained(
                folder,
                subfolder=part,
                use_safetensors=True,
                local_files_only=True,
                low_cpu_mem_usage=False,
                output_loading_info=True,
            )
    except Exception as error:  # whatever the library finds wrong with the file, the way out is the same
        raise UserError(
            f"drd: {folder / part} cannot be read as a {kind.__name__} ({reason(error)}); put the right files there, "
            f"{WAY_OUT}"
        ) from error
    lost = sorted(told["missing_keys"])  # the library would leave them random
    if lost:
        raise UserError(
            f"drd: {folder / part / WEIGHTS} lacks {len(lost)} of the network's tensors, first {lost[0]}; "
            f"put the whole file there, {WAY_OUT}"
        )
    strange = sorted(name for name in told["unexpected_keys"] if not name.endswith(CONSTANTS))
    if strange:  # the library would leave them out
        raise UserError(
            f"drd: {folder / part / WEIGHTS} holds {len(strange)} tensors that the network of {part}/config.json does "
            f"not have, first {strange[0]}; put the configuration there that belongs to these weights, {WAY_OUT}"
        )
    return network


def refuse_whole_numbers(weights: Path) -> None:
    """Refuse a file with tensors that are no floats, which the library would turn into some; a torn one passes here.

    Raises:
        UserError: naming the first.
    """
    try:
        with safe_open(weights, framework="pt") as file:
            kinds = {name: file.get_slice(name).get_dtype() for name in sorted(file.keys())}
    except (SafetensorError, OSError):
        return
    for name, kind in kinds.items():
        if kind not in FLOATS:
            raise UserError(
                f"drd: the tensor {name} in {weights} is in {kind}, weights are in {', '.join(FLOATS)}; put the right "
                f"file there, {WAY_OUT}"
            )


def folder_abar(folder: Path) -> Tensor:
    """abar (T+1,) float64 of the folder's scheduler; the network must predict noise.

    Raises:
        UserError: no scheduler file, one of another family or without betas, a schedule that is none, or another
            prediction than noise.
    """
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    path = folder / "scheduler" / "scheduler_config.json"
    if not path.is_file():
        raise UserError(f"drd: scheduler/scheduler_config.json is missing in {folder}; put it there, {WAY_OUT}")
    config = read_json(path)
    kind = config.get("_class_name")
    if not isinstance(kind, str) or not kind.startswith(SCHEDULERS):
        raise UserError(
            f"drd: {path} is of a {kind}, whose noise levels are not those of DDPM; put the scheduler there that the "
            f"model was trained with, such as a DDPMScheduler or a DDIMScheduler, {WAY_OUT}"
        )
    if config.get("trained_betas") is None and any(config.get(name) is None for name in BETAS):
        raise UserError(
            f"drd: {path} gives neither {', '.join(BETAS)} nor trained_betas; put the model's own there, {WAY_OUT}"
        )
    try:
        scheduler = DDIMScheduler.from_config(config)
        abar = torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - scheduler.betas.double(), dim=0)])
    except Exception as error:  # whatever the library finds wrong with its numbers
        raise UserError(
            f"drd: {path} is not a scheduler of DDPM ({reason(error)}); put its own there, {WAY_OUT}"
        ) from error
    if scheduler.config.prediction_type != "epsilon":
        raise UserError(
            f"drd: {path} says prediction_type={scheduler.config.prediction_type!r}, only 'epsilon' works; use a model "
            f"that predicts noise, {WAY_OUT}"
        )
    check_abar(abar, f"the scheduler in {path}")
    return abar


def folder_digest(folder: Path) -> str:
    """SHA-256 over names and contents of the files in a model folder."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in (".json", ".safetensors")):
        digest.update(os.fsencode(path.relative_to(folder).as_posix()) + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
