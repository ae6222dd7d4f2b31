"""Train a class-conditional DiT on the data set's own training split, resumable bit for bit on CPU.

    min E || eps - eps_theta(sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps, t, c) ||^2,   t uniform in 1..T,
    c dropped (the null class) once in ten.

Step s draws everything from a generator named (seed, s), and the order of epoch e from (seed, e): a checkpoint holds
weights, averages and moments, no generator state.
"""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from prunebench import generator_for

from .dit import Recipe, build
from .equations import q_sample
from .schedule import linear_abar
from .task import Task

log = logging.getLogger("prunebench_drd")
CHECKPOINT = "checkpoint.safetensors"
CHECKPOINT_SECONDS = 20.0  # between two


class Pictures:
    """Training pictures as (B, channels, S, S) floats in [-1, 1]; kept in memory where they fit in 2 GiB."""

    def __init__(self, images: Any, size: int) -> None:
        self.images, self.size, self.held = images, size, None
        if len(images) * 3 * size * size <= 2**31:
            chunks = torch.arange(len(images)).split(4096)
            self.held = torch.cat([images.pixels(chunk, size) for chunk in chunks])
        self.channels = 3
        if self.held is not None and bool((self.held == self.held[:, :1]).all()):
            self.channels = 1  # grey: one channel says everything
            self.held = self.held[:, :1].clone()

    def __call__(self, indices: Tensor) -> Tensor:
        pixels = self.images.pixels(indices, self.size) if self.held is None else self.held[indices]
        return pixels.float() / 127.5 - 1


class Training:
    """The state of a training: weights, their moving average, AdamW moments, the loss of every step."""

    def __init__(self, recipe: Recipe, channels: int, classes: int, seed: int, device: torch.device) -> None:
        self.recipe, self.seed, self.classes, self.device = recipe, seed, classes, device
        self.model = build(recipe, channels, classes, seed).to(device)
        self.parameters = dict(self.model.named_parameters())
        self.average = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.optimiser = torch.optim.AdamW(
            self.parameters.values(), lr=recipe.learning_rate, weight_decay=0.0, fused=True
        )
        self.abar = linear_abar().to(device)
        self.losses = torch.zeros(recipe.steps)
        self.step = 0
        self.seconds = 0.0  # of the sittings before this one

    def recent_loss(self) -> Tensor:
        """Mean of the last hundred steps."""
        return self.losses[max(0, self.step - 100) : self.step].mean()

    def rate(self) -> float:
        """Linear warm-up, then cosine to zero."""
        warm = min(1.0, (self.step + 1) / min(self.recipe.warmup, self.recipe.steps))
        turn = torch.tensor(torch.pi * self.step / self.recipe.steps, dtype=torch.float64)
        return self.recipe.learning_rate * warm * 0.5 * (1 + float(torch.cos(turn)))

    def advance(self, x_0: Tensor, c: Tensor) -> None:
        """One optimiser step on clean pictures (B, ...) and classes (B,)."""
        generator = generator_for("drd step", self.seed, self.step)
        rows = len(x_0)
        t = torch.randint(1, len(self.abar), (rows,), generator=generator).to(self.device)
        eps = torch.randn(x_0.shape, generator=generator).to(self.device)
        dropped = torch.rand(rows, generator=generator) < self.recipe.label_dropout
        mirrored = (torch.rand(rows, generator=generator) < 0.5).to(self.device)
        x_0, c = x_0.to(self.device), torch.where(dropped, self.classes, c).to(self.device)
        if self.recipe.flip:
            x_0 = torch.where(mirrored[:, None, None, None], x_0.flip(-1), x_0)
        x_t = q_sample(x_0, self.abar[t].float()[:, None, None, None], eps)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            eps_hat = self.model(x_t, timestep=t - 1, class_labels=c).sample
        loss = F.mse_loss(eps_hat.float(), eps)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        self.optimiser.step()
        self.losses[self.step] = loss.detach()
        self.step += 1
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.values()), [p.detach() for p in self.parameters.values()], 1 - decay)

    def save(self, path: Path, seconds: float = 0.0) -> None:
        """Everything in one safetensors file, on the disk before it takes the name; ``seconds`` of this sitting."""
        spent = torch.tensor(self.seconds + seconds, dtype=torch.float64)
        tensors = {"losses": self.losses, "step": torch.tensor(self.step), "seconds": spent}
        for name, parameter in self.parameters.items():
            tensors[f"weight/{name}"], tensors[f"average/{name}"] = parameter.detach(), self.average[name]
            for moment, value in self.optimiser.state[parameter].items():
                tensors[f"{moment}/{name}"] = value
        part = path.with_suffix(".part")
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)

    @torch.no_grad()
    def load(self, path: Path) -> None:
        """Go on where `save` left off."""
        with safe_open(path, framework="pt", device=str(self.device)) as file:
            self.step, self.losses = int(file.get_tensor("step")), file.get_tensor("losses").cpu()
            self.seconds = float(file.get_tensor("seconds")) if "seconds" in file.keys() else 0.0  # noqa: SIM118
            for name, parameter in self.parameters.items():
                parameter.copy_(file.get_tensor(f"weight/{name}"))
                self.average[name].copy_(file.get_tensor(f"average/{name}"))
                moments = ("step", "exp_avg", "exp_avg_sq")
                self.optimiser.state[parameter] = {key: file.get_tensor(f"{key}/{name}") for key in moments}


def batch_indices(examples: int, batch: int, step: int, seed: int) -> Tensor:
    """(batch,) int64: positions step * batch ... of an endless stream of permutations of the examples."""
    places = torch.arange(step * batch, (step + 1) * batch)
    epochs = places // examples
    drawn = [
        torch.randperm(examples, generator=generator_for("drd epoch", seed, epoch))[places[epochs == epoch] % examples]
        for epoch in epochs.unique().tolist()
    ]
    return torch.cat(drawn)


def train(
    folder: Path, task: Task, recipe: Recipe, generator: torch.Generator, checkpoint_seconds: float | None = None
) -> None:
    """Train and leave a diffusers-layout model in ``folder``; a checkpoint found there is gone on with.

    The generator gives the seed that names every other stream of the training.

    Raises:
        ValueError: the loss is no longer finite.
    """
    pictures = Pictures(task.images, recipe.pixels)
    seed = int(torch.randint(2**62, (1,), generator=generator))
    training = Training(recipe, pictures.channels, len(task.classes), seed, task.device)
    if (folder / CHECKPOINT).is_file():
        try:
            training.load(folder / CHECKPOINT)
        except (SafetensorError, OSError, KeyError, RuntimeError) as damaged:
            log.warning("drd: the checkpoint in %s is damaged (%s); the training begins anew", folder, damaged)
            training = Training(recipe, pictures.channels, len(task.classes), seed, task.device)
    started = saved = time.monotonic()
    begun, every = training.step, CHECKPOINT_SECONDS if checkpoint_seconds is None else checkpoint_seconds

    def text() -> str:
        rate = (training.step - begun) * recipe.batch / max(time.monotonic() - started, 1e-9)
        loss = f", loss {float(training.recent_loss()):.4f}, {rate:.0f} images/s" if training.step > begun else ""
        return f"training a DiT ({recipe.size}, {recipe.pixels} px{loss})"

    for step in task.progress(range(training.step, recipe.steps), recipe.steps - training.step, text):
        chosen = batch_indices(len(task.labels), recipe.batch, step, seed)
        training.advance(pictures(chosen), task.labels[chosen])
        if not bool(torch.isfinite(training.losses[step])):
            raise ValueError(f"drd: the DiT's loss is not finite at step {step}; try another dit or dit_steps")
        if time.monotonic() - saved >= every and training.step < recipe.steps:
            training.save(folder / CHECKPOINT, time.monotonic() - started)
            saved = time.monotonic()
    publish(folder, training, task.classes, seconds=training.seconds + time.monotonic() - started)


def publish(folder: Path, training: Training, classes: tuple[str, ...], seconds: float) -> None:
    """The averaged weights in diffusers' layout, with a card; the checkpoint goes."""
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    with torch.no_grad():
        for name, parameter in training.parameters.items():
            parameter.copy_(training.average[name])
    training.model.save_pretrained(folder / "transformer", safe_serialization=True)
    DDIMScheduler(clip_sample=False).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "DiTPipeline",
        "scheduler": ["diffusers", "DDIMScheduler"],
        "transformer": ["diffusers", "DiTTransformer2DModel"],
        "vae": [None, None],
    }
    last = training.losses[-max(1, len(training.losses) // 10) :]
    card = {
        "classes": list(classes),
        "channels": int(training.model.config.in_channels),
        "recipe": training.recipe.spec(),
        "seed": training.seed,
        "loss": float(last.mean()),  # mean of the last tenth
        "seconds": round(seconds, 1),  # of all sittings
        "parameters": sum(p.numel() for p in training.parameters.values()),
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    (folder / "card.json").write_text(json.dumps(card, indent=2))
    (folder / CHECKPOINT).unlink(missing_ok=True)
