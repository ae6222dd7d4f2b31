"""Denoisers: the small protocol, and the diffusers DiT folder that speaks it.

Anything with these four members can be scored with, ``drd(model="package.module:factory")``; the factory is called
with the tuple of class names. Nothing is ever downloaded here, and only safetensors are read.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from prunebench import UserError

IMAGENET_DIT = "facebook/DiT-XL-2-256"
_WAY_OUT = "or train one on this data set, which needs no download: model='own'"


class Denoiser(Protocol):
    """A class-conditional noise predictor on pictures or latents z.

    ``abar (T+1,)``, abar[0] = 1, is the schedule it was trained for; t indexes it: z_t has signal sqrt(abar[t]).
    An optional integer ``size`` is the side of the pictures it wants; without it, the data set's own.
    """

    abar: Tensor

    def predict_noise(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """x_t (B, ...) float32; t int64 (1,) in 1..T; c int64 (1,) or (B,), class index of the data set -> (B, ...)."""

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) uint8 -> z (B, ...) float32."""

    def decode(self, z: Tensor) -> Tensor:
        """z (B, ...) -> (B, 3, S, S) float in [0, 1]."""


class DiTDenoiser:
    """diffusers' DiT layout: transformer, scheduler and, for latent models, vae; without vae it works on pixels."""

    def __init__(self, transformer: Any, vae: Any, abar: Tensor, class_ids: Tensor, device: torch.device) -> None:
        self.transformer = transformer.to(device).eval().requires_grad_(False)
        self.vae = None if vae is None else vae.to(device).eval().requires_grad_(False)
        self.abar = abar.to(device)
        self.class_ids = class_ids.to(device)
        self.channels = int(transformer.config.in_channels)
        scale = 1 if vae is None else 2 ** (len(vae.config.block_out_channels) - 1)
        self.size = int(transformer.config.sample_size) * scale

    def predict_noise(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """The network's noise; the learned variance of published DiTs is dropped, nothing is guided."""
        predicted = self.transformer(x_t, timestep=t - 1, class_labels=self.class_ids[c]).sample
        return predicted[:, : self.channels].float()

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels in [-1, 1] (one channel for a grey model), or the VAE's posterior mean times its scale."""
        z = pixels.float() / 127.5 - 1
        if self.vae is None:
            return z[:, : self.channels]
        return self.vae.encode(z).latent_dist.mean * self.vae.config.scaling_factor

    @torch.inference_mode()
    def decode(self, z: Tensor) -> Tensor:
        """Back to (B, 3, S, S) in [0, 1]."""
        if self.vae is not None:
            z = self.vae.decode(z / self.vae.config.scaling_factor).sample
        return (z / 2 + 0.5).clamp(0, 1).expand(-1, 3, -1, -1)


def load_factory(text: str, classes: Sequence[str]) -> Denoiser:
    """The denoiser that ``package.module:factory`` makes for these classes.

    Raises:
        UserError: it cannot be imported, or does not keep the protocol.
    """
    module, _, name = text.partition(":")
    try:
        factory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"drd: the denoiser factory {text!r} cannot be imported ({error})") from error
    try:
        denoiser = factory(tuple(classes))
    except TypeError as error:
        raise UserError(f"drd: the denoiser factory {text!r} must take the tuple of class names ({error})") from error
    lacking = [member for member in ("abar", "predict_noise", "encode", "decode") if not hasattr(denoiser, member)]
    if lacking:
        raise UserError(f"drd: the denoiser made by {text!r} lacks {', '.join(lacking)}")
    if abs(float(denoiser.abar[0]) - 1) > 1e-6:
        raise UserError(f"drd: the denoiser made by {text!r} must have abar[0] = 1, got {float(denoiser.abar[0]):g}")
    return denoiser


def find_folder(model: str) -> Path:
    """The local folder that ``model`` names: a path, or a hub id whose files are already in the hub cache.

    Raises:
        UserError: neither is there.
    """
    if Path(model).is_dir():
        return Path(model)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        raise UserError(
            f"drd: model {model!r} is neither a folder in diffusers' layout nor a hub id; give one, {_WAY_OUT}"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, local_files_only=True))
    except LocalEntryNotFoundError as error:
        folder = Path(HF_HUB_CACHE) / f"models--{model.replace('/', '--')}"
        raise UserError(
            f"drd: transformer/diffusion_pytorch_model.safetensors of {model} is not on this machine (looked in "
            f"{folder}); fetch it once with 'hf download {model}', or give a local folder as model=, {_WAY_OUT}"
        ) from error


def load_folder(folder: Path, classes: Sequence[str], device: torch.device) -> DiTDenoiser:
    """A DiT from a local folder in diffusers' layout.

    Raises:
        UserError: a file is missing or refused, or the model does not know these classes.
    """
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel

    transformer = _pretrained(DiTTransformer2DModel, folder, "transformer")
    vae = _pretrained(AutoencoderKL, folder, "vae") if (folder / "vae").is_dir() else None
    ids = class_ids(folder, classes, int(transformer.config.num_embeds_ada_norm))
    return DiTDenoiser(transformer, vae, folder_abar(folder), ids, device)


def _pretrained(kind: Any, folder: Path, part: str) -> Any:
    weights, config = "diffusion_pytorch_model.safetensors", "config.json"
    for name in (config, weights):
        if not (folder / part / name).is_file():
            raise UserError(
                f"drd: {part}/{name} is missing in {folder} (pickled .bin weights are never read: save the model once "
                f"with save_pretrained(safe_serialization=True)); put it there, {_WAY_OUT}"
            )
    try:
        with torch.random.fork_rng(devices=[]):
            return kind.from_pretrained(
                folder, subfolder=part, use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
            )
    except Exception as error:  # whatever the library finds wrong with the file, the way out is the same
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"drd: {folder / part} cannot be read as a {kind.__name__} ({reason}); {_WAY_OUT}") from error


def folder_abar(folder: Path) -> Tensor:
    """abar (T+1,) float64 of the folder's scheduler; the network must predict noise.

    Raises:
        UserError: no scheduler file, or another prediction than noise.
    """
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    path = folder / "scheduler" / "scheduler_config.json"
    if not path.is_file():
        raise UserError(f"drd: scheduler/scheduler_config.json is missing in {folder}; put it there, {_WAY_OUT}")
    scheduler = DDIMScheduler.from_config(json.loads(path.read_text()))
    if scheduler.config.prediction_type != "epsilon":
        raise UserError(f"drd: {path} says prediction_type={scheduler.config.prediction_type!r}, only 'epsilon' works")
    betas = scheduler.betas.double()
    return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - betas, dim=0)])


def class_ids(folder: Path, classes: Sequence[str], known: int) -> Tensor:
    """(C,) int64: the model's id of each class of the data set.

    By the names in ``card.json`` (models trained by this plugin), by ImageNet wnid for a model of 1000 classes, by
    position where the numbers of classes agree.

    Raises:
        UserError: the model does not know some class.
    """
    card = folder / "card.json"
    names: Sequence[str] = json.loads(card.read_text()).get("classes", ()) if card.is_file() else ()
    if not names and known == 1000 and are_wnids(classes):
        names = imagenet_wnids()
    if names:
        strangers = [name for name in classes if name not in set(names)]
        if strangers:
            raise UserError(f"drd: the model in {folder} does not know the class {strangers[0]!r}; {_WAY_OUT}")
        return torch.tensor([list(names).index(name) for name in classes])
    if known != len(classes):
        raise UserError(
            f"drd: the model in {folder} has {known} classes, the data set {len(classes)}, and no names match them up; "
            f"use a model of these classes, {_WAY_OUT}"
        )
    return torch.arange(known)


def are_wnids(classes: Sequence[str]) -> bool:
    """Whether all class names look like WordNet ids (n01440764)."""
    return len(classes) > 0 and all(re.fullmatch(r"n\d{8}", name) for name in classes)


def imagenet_wnids() -> list[str]:
    """The 1000 wnids of ILSVRC 2012 in class-id order."""
    from timm.data import ImageNetInfo

    return list(ImageNetInfo("imagenet-1k").label_names())


def folder_digest(folder: Path) -> str:
    """SHA-256 over names and contents of the files in a model folder."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in (".json", ".safetensors")):
        digest.update(os.fsencode(path.relative_to(folder).as_posix()) + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
