"""What a model folder says of its networks: configurations, read and looked at before any weights are.

Keys that a file leaves out have the defaults of the diffusers class, so a cost can be told from the file alone.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prunebench import UserError

from .hub import WAY_OUT

WEIGHTS = "diffusion_pytorch_model.safetensors"
COUNTS = {  # what must be a whole number of at least 1
    "DiTTransformer2DModel": (
        *("num_attention_heads", "attention_head_dim", "in_channels", "num_layers"),
        *("sample_size", "patch_size", "num_embeds_ada_norm"),
    ),
    "AutoencoderKL": ("in_channels", "out_channels", "latent_channels", "layers_per_block", "norm_num_groups"),
}
AMOUNTS = {"DiTTransformer2DModel": ("norm_eps",), "AutoencoderKL": ("scaling_factor",)}  # what must be above 0


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        UserError: the file cannot be read or is damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"drd: {path} is not JSON ({error}); put the right file there, {WAY_OUT}") from error
    if not isinstance(found, dict):
        raise UserError(f"drd: {path} must hold a JSON object; put the right file there, {WAY_OUT}")
    return found


def reason(error: Exception) -> str:
    """The first line of an error, or its type where it says nothing."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def read_config(kind: Any, folder: Path, part: str, also: Sequence[str] = ()) -> dict[str, Any]:
    """The configuration of one network of a folder in diffusers' layout, defaults filled in.

    Args:
        kind: the diffusers class.
        also: older names under which configurations call it.

    Raises:
        UserError: the file is missing, damaged, of another class, or says something that no such network can be.
    """
    path = folder / part / "config.json"
    if not path.is_file():
        raise UserError(f"drd: {part}/config.json is missing in {folder}; put it there, {WAY_OUT}")
    said = read_json(path)
    if said.get("_class_name") not in (kind.__name__, *also):
        raise UserError(
            f"drd: {path} is of a {said.get('_class_name')}, not of a {kind.__name__}; use a model that has one, "
            f"{WAY_OUT}"
        )
    defaults = {name: p.default for name, p in inspect.signature(kind.__init__).parameters.items() if name != "self"}
    config = {**defaults, **said}
    wrong = wrong_number(kind.__name__, config) or wrong_shape(kind.__name__, config)
    if wrong:
        raise UserError(f"drd: {path} says {wrong}; put the right file there, {WAY_OUT}")
    return config


def wrong_number(kind: str, config: Mapping[str, Any]) -> str:
    """The first number that no such network can have, and what it must be; "" where all are well."""
    for name in COUNTS.get(kind, ()):
        if not whole(config[name]):
            return f"{name}={config[name]!r}, which must be a whole number of at least 1"
    for name in AMOUNTS.get(kind, ()):
        value = config[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            return f"{name}={value!r}, which must be a number above 0"
    return ""


def wrong_shape(kind: str, config: Mapping[str, Any]) -> str:
    """What of its numbers does not go together, "" where all does."""
    if kind == "DiTTransformer2DModel":
        if config["sample_size"] % config["patch_size"]:
            return f"sample_size={config['sample_size']}, which patch_size={config['patch_size']} does not divide"
        outputs = config["out_channels"]
        if outputs is not None and not whole(outputs, config["in_channels"]):
            return f"out_channels={outputs!r}, which must be null or at least in_channels={config['in_channels']}"
    if kind == "AutoencoderKL":
        widths = config["block_out_channels"]
        if not isinstance(widths, list | tuple) or not widths or not all(whole(width) for width in widths):
            return f"block_out_channels={widths!r}, which must be a list of whole numbers of at least 1"
        for name in ("down_block_types", "up_block_types"):
            kinds = config[name]
            if not isinstance(kinds, list | tuple) or len(kinds) != len(widths):
                return (
                    f"{name}={kinds!r}, which must be a list of {len(widths)} names, as block_out_channels has widths"
                )
    return ""


def whole(value: Any, low: int = 1, high: float = float("inf")) -> bool:
    """An integer, no bool, from ``low`` to ``high``."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def check_fit(folder: Path, transformer: Mapping[str, Any], vae: Mapping[str, Any] | None) -> None:
    """Refuse a transformer on latents without the VAE that makes them.

    Raises:
        UserError: naming the numbers of channels.
    """
    channels = transformer["in_channels"]
    if vae is not None and vae["latent_channels"] != channels:
        raise UserError(
            f"drd: the VAE in {folder} makes latents of {vae['latent_channels']} channels, its transformer takes "
            f"{channels}; put the VAE there that it was trained with, {WAY_OUT}"
        )
    if vae is None and channels not in (1, 3):
        raise UserError(
            f"drd: the transformer in {folder} takes {channels} channels, so it works on latents, and vae/ is missing; "
            f"put it there, {WAY_OUT}"
        )
