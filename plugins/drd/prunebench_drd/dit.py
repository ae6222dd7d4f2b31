"""Class-conditional DiTs small enough to train on the data set itself: sizes, and the published initialisation."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from prunebench import UserError, generator_for

from .configs import whole

LARGEST = 64  # px; own models work on pixels, beyond this a latent model is the right tool

SHAPES = {  # name -> layers, width, heads, fewest patches along a side
    "nano": (3, 64, 2, 7),
    "small": (6, 192, 6, 14),
    "base": (12, 384, 6, 14),
}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the trained weights, beside data and seed."""

    size: str
    pixels: int
    layers: int
    width: int
    heads: int
    patch: int
    steps: int
    batch: int
    learning_rate: float
    warmup: int
    ema: float = 0.999
    label_dropout: float = 0.1
    flip: bool = False

    def spec(self) -> dict[str, Any]:
        """As plain JSON, for the name of the stored model."""
        return asdict(self)


def recipe_for(pixels: int, size: str = "auto", steps: int | str = "auto", flip: bool = False) -> Recipe:
    """Size and steps by picture size alone.

    ======== ===== ====== ======= ===== ==========================
    pixels   size  steps  batch   rate  patch
    ======== ===== ====== ======= ===== ==========================
    .. 16    nano    1500     128  3e-3  2
    17 .. 32 small  20000     128  1e-3  2 (nano: 4)
    33 ..    base   60000     128  5e-4  4 (nano: 8), at 64 px
    ======== ===== ====== ======= ===== ==========================

    Raises:
        UserError: unknown size, steps that are not a positive number, or pictures of one pixel.
    """
    pixels = min(pixels, LARGEST)
    auto = "nano" if pixels <= 16 else "small" if pixels <= 32 else "base"
    size = auto if size == "auto" else size
    if size not in SHAPES:
        raise UserError(f"drd: dit must be auto or one of {', '.join(SHAPES)}, got {size!r}")
    if steps != "auto" and not whole(steps):
        raise UserError(f"drd: dit_steps must be auto or a positive number, got {steps!r}")
    if pixels < 2:
        raise UserError("drd: pictures of one pixel are too small for a DiT; give a larger --image-size")
    layers, width, heads, patches = SHAPES[size]
    patch = max([p for p in (2, 4, 8) if pixels // p >= patches], default=2)
    if size == "nano" and patch == 8:
        width, heads = 96, 3  # 192 numbers a patch need more than 64 to pass through
    return Recipe(
        size=size,
        pixels=patch * (pixels // patch),
        layers=layers,
        width=width,
        heads=heads,
        patch=patch,
        steps={"nano": 1500, "small": 20000, "base": 60000}[auto] if steps == "auto" else int(steps),
        batch=64 if size == "nano" and pixels > 32 else 128,
        learning_rate={"nano": 3e-3, "small": 1e-3, "base": 5e-4}[size],
        warmup=100,
        flip=flip,
    )


def build(recipe: Recipe, channels: int, classes: int, seed: int) -> Any:
    """A diffusers `DiTTransformer2DModel`, initialised as DiT publishes it (adaLN-Zero), from our own generator."""
    from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel

    with torch.random.fork_rng(devices=[]):
        transformer = DiTTransformer2DModel(
            num_attention_heads=recipe.heads,
            attention_head_dim=recipe.width // recipe.heads,
            in_channels=channels,
            num_layers=recipe.layers,
            sample_size=recipe.pixels,
            patch_size=recipe.patch,
            num_embeds_ada_norm=classes,
            dropout=0.0,
        )
    initialise(transformer, generator_for("drd dit", seed))
    return transformer.eval()  # eval throughout: its own label dropout would draw from the global generator


@torch.no_grad()
def initialise(transformer: Any, generator: torch.Generator) -> None:
    """adaLN-Zero: Xavier matrices, N(0, 0.02) embedders, zero modulations and output: blocks start as identity."""
    for module in transformer.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight.flatten(1), generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02, generator=generator)
    for block in transformer.transformer_blocks:
        embedder = block.norm1.emb.timestep_embedder
        nn.init.normal_(embedder.linear_1.weight, std=0.02, generator=generator)
        nn.init.normal_(embedder.linear_2.weight, std=0.02, generator=generator)
        nn.init.zeros_(block.norm1.linear.weight)
    for last in (transformer.proj_out_1, transformer.proj_out_2):
        nn.init.zeros_(last.weight)
