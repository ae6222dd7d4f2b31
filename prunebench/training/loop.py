"""One training loop for reference runs (epochs, recorded) and trials (steps).

Initial weights, data order and augmentation each have their own seed, named by (model, seed), (seed) and (seed) alone:
within a seed every method trains from the same start on the same streams. On the CPU a training is the same bit for bit
for one number of threads; CUDA runs in bfloat16 autocast.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import CellError
from ..seeds import generator_for, global_rng, seed_for
from ..types import Images
from .augment import augment
from .backoff import Parts
from .batches import Plan
from .checkpoints import Checkpoints, Clock, Generators, Sittings, under
from .evaluation import accuracy as accuracy
from .evaluation import autocast, evaluated, pixels_of
from .evaluation import extract_features as extract_features
from .evaluation import predict as predict
from .models import Network, build, canonical
from .policies import Plain, Policy, Presentation
from .recipes import Recipe, one_cycle
from .recorder import Recorder

Progress = Callable[..., Iterable[Any]]  # (iterable, total, text) -> iterable
Look = Callable[[int, Network], None]  # (steps done, network): sees the network between steps, and leaves it as it is


@dataclass
class Trained:
    """A trained network and what it took."""

    network: Network
    train_loss: float  # mean over the last pass, or over as many steps as all examples fill
    steps: int
    forward: int  # examples, training passes only
    backward: int
    seconds: float  # of the training passes, over all sittings
    losses: np.ndarray  # (steps,) float32, each batch's mean
    epoch_end_forward: int = 0  # examples through the evaluation passes that a recorder asked for
    epoch_end_seconds: float = 0.0
    resumed: int = 0  # how often it went on from a checkpoint
    batch_parts: int = 1  # that a batch was taken in, in the end

    def remarks(self) -> dict[str, int]:
        """What its records tell beside their numbers, where it did not go as usual."""
        usual = {"resumed": 0, "batch_parts": 1}
        return {name: getattr(self, name) for name, value in usual.items() if getattr(self, name) != value}


def train(
    images: Images,
    labels: np.ndarray | Tensor,
    classes: int,
    *,
    model: str,
    recipe: Recipe,
    seed: int,
    steps: int | None = None,
    epochs: int | None = None,
    schedule_epochs: int | None = None,
    indices: np.ndarray | Tensor | Sequence[int] | None = None,
    weights: np.ndarray | Tensor | None = None,
    policy: Policy | None = None,
    pretrained: bool | str = False,
    device: str | torch.device = "cpu",
    recorder: Recorder | None = None,
    look: Look | None = None,
    checkpoints: Checkpoints | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train ``model`` on ``indices`` of ``images``: for ``epochs``, or ``steps`` (default the recipe's), as in `Plan`.

    Args:
        images: all N pictures; batches are gathered from memory, on the device, where they fit.
        labels: (N,) int64 in 0..C-1, as trained on.
        classes: C.
        schedule_epochs: length of the learning-rate schedule when ``epochs`` cut it short.
        indices: (k,) which examples to train on, default all; a recorder's positions count in this order.
        weights: (k,) loss weights, brought to mean 1; the factors of a policy multiply them.
        policy: which of these examples are presented when, default all in every pass; fresh for each training.
        pretrained: start from pretrained weights instead of random ones, as in `build`.
        recorder: with ``epochs`` only; sees each batch before its update, and an evaluation pass after each epoch.
        look: called after every step; what it takes is not counted as training.
        checkpoints: written along the way; the training goes on from the last one.

    Raises:
        CellError: the training diverged.
        ValueError: arguments that contradict each other.
    """
    device = torch.device(device)
    chosen = torch.arange(len(images)) if indices is None else torch.as_tensor(np.asarray(indices), dtype=torch.int64)
    steps = recipe.steps if steps is None and epochs is None else steps
    plan = Plan(len(chosen), recipe.batch, steps, epochs, schedule_epochs)
    if recorder is not None and epochs is None:
        raise ValueError("a recorder needs a training in epochs")
    network = initialised(model, classes, images.size, seed, pretrained)
    fit = _Fit(network.to(device), recipe, plan, device)
    examples = _Examples(images, labels, chosen, weights, recipe, seed, device)
    policy, clock = policy or Plain(), Clock()
    generators = Generators({"augment": examples.draws}, device)
    sittings = Sittings(checkpoints, clock, recorder, fit=fit, policy=policy, look=look, generators=generators)
    with global_rng(seed_for("dropout", seed)):
        text = f"train {model}" + (f" from step {fit.step}" if sittings.resume() else "")
        if isinstance(policy, Plain):  # others draw while they go on
            examples.expect(p for p, *_ in Plain().batches(plan, generator_for("order", seed), fit.step))
        batches = policy.batches(plan, generator_for("order", seed), fit.step)
        shown = progress(batches, plan.total - fit.step, text) if progress else batches
        _run(shown, examples, fit, policy, recorder, look, sittings)
    return fit.trained(clock, len(chosen))


def _run(
    batches: Iterable[Presentation],
    examples: _Examples,
    fit: _Fit,
    policy: Policy,
    recorder: Recorder | None,
    look: Look | None,
    sittings: Sittings,
) -> None:
    """Every batch, who is told of it, and what is kept after it."""
    k, clock = fit.plan.k, sittings.clock
    for positions, ends_epoch, factors in batches:
        x, y, w = examples.presented(positions)
        logits, losses = fit.update(x, y, w, factors)
        policy.presented(positions, losses)
        if recorder is not None:
            recorder.presented(positions[:k], logits[:k], y[:k])  # one that is alone came twice
            if ends_epoch:
                clock.finish_epoch(_finish_epoch(recorder, fit.network, examples))
        if look is not None:
            clock.take_apart(_timed(look, fit.step, fit.network))
        sittings.keep(fit.step)


def initialised(model: str, classes: int, size: int, seed: int, pretrained: bool | str = False) -> Network:
    """The network of a training of this seed before its first step, for pictures of ``size`` px."""
    return build(model, classes, size, seed=seed_for("init", canonical(model), seed), pretrained=pretrained)


class _Examples:
    """The ``chosen`` examples (k,), by their position among them: pictures as they are presented, labels, weights."""

    def __init__(
        self,
        images: Images,
        labels: np.ndarray | Tensor,
        chosen: Tensor,
        weights: np.ndarray | Tensor | None,
        recipe: Recipe,
        seed: int,
        device: torch.device,
    ) -> None:
        self.chosen, self.device, self.source = chosen, device, pixels_of(images, device)
        self.labels = torch.as_tensor(np.asarray(labels))[chosen].to(device)
        self.weights = None if weights is None else _mean_one(weights, len(chosen)).to(device)
        self.shift, self.flip, self.draws = recipe.shift, recipe.flip and images.flip, generator_for("augment", seed)

    def expect(self, batches: Iterable[Tensor]) -> None:
        """These positions come next: their pictures are decoded ahead."""
        self.source = self.source.expecting(self.chosen[positions] for positions in batches)

    def presented(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Augmented pictures (B, 3, S, S), labels (B,) and weights (B,), on the device."""
        x = augment(self.source(self.chosen[positions]), self.draws, shift=self.shift, flip=self.flip)
        on_device = positions.to(self.device)
        return x, self.labels[on_device], None if self.weights is None else self.weights[on_device]


class _Fit:
    """The network under training: one `update` per batch."""

    def __init__(self, network: Network, recipe: Recipe, plan: Plan, device: torch.device) -> None:
        self.network, self.recipe, self.plan, self.device = network.train(), recipe, plan, device
        self.optimizer = _optimizer(network, recipe)
        self.parts = Parts(network, device)
        self.losses: list[Tensor] = []
        self.seen = 0
        self.check_every = 1 if device.type == "cpu" else 50  # each look at a loss waits for the device

    @property
    def step(self) -> int:
        """Updates so far."""
        return len(self.losses)

    def update(self, x: Tensor, y: Tensor, *weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """One step; returns the logits (B, C) from before it and the loss (B,) of each example, weighted by nothing.

        loss = mean over the batch of w_i * loss_i, w_i the product of all ``weights`` (B,) that there are
        """

        def backward(rows: slice) -> tuple[Tensor, Tensor, Tensor]:
            with autocast(self.device):
                logits = self.network(x[rows])
            losses = F.cross_entropy(logits.float(), y[rows], reduction="none")
            weighted = losses
            for w in weights:
                weighted = weighted if w is None else weighted * w[rows].to(self.device)
            loss = weighted.mean() * (len(losses) / len(y))
            loss.backward()
            return logits.detach(), losses.detach(), loss.detach()

        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.peak_lr * one_cycle(self.step, self.plan.length, self.recipe.warmup)
        logits, losses, shares = zip(*self.parts(len(y), backward, self.optimizer.zero_grad), strict=True)
        self.losses.append(torch.stack(shares).sum())
        if self.step % self.check_every == 0:
            self.check()
        if self.recipe.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.seen += len(y)
        return torch.cat(logits), torch.cat(losses)

    def state(self) -> dict[str, Tensor]:
        """Weights and buffers, the optimiser's moments, every loss."""
        found = {f"weight/{name}": value for name, value in self.network.state_dict().items()}
        for name, p in self.network.named_parameters():
            moments = self.optimizer.state.get(p, {}).items()
            found |= {f"moment/{name}/{moment}": value for moment, value in moments if value is not None}
        losses = torch.stack(self.losses) if self.losses else torch.empty(0)
        return {**found, "losses": losses, "counts": torch.tensor([self.seen, self.parts.count])}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Values go where they lay, in the same layout: the optimiser walks weights and moments side by side."""
        self.network.load_state_dict(under("weight", state))
        for name, p in self.network.named_parameters():
            if moments := under(f"moment/{name}", state):
                self.optimizer.state[p] = {moment: _placed(value, p) for moment, value in moments.items()}
        self.losses = list(state["losses"].to(self.device).unbind())
        self.seen, self.parts.count = state["counts"].tolist()

    def check(self) -> None:
        recent = torch.stack(self.losses[-self.check_every :])
        finite = recent.isfinite()
        if not bool(finite.all()):
            step = len(self.losses) - len(recent) + int((~finite).to(torch.uint8).argmax())
            self._diverged(step, f"the loss became {float(recent[~finite][0])}")

    def _diverged(self, step: int, what: str) -> None:
        rate = self.recipe.peak_lr * one_cycle(step, self.plan.length, self.recipe.warmup)
        raise CellError(
            f"the training of {self.network.name} diverged: {what} at step {step} of {self.plan.total} "
            f"(learning rate {rate:.3g}); take another seed or model, or more steps, which warm up more gently"
        )

    def trained(self, clock: Clock, k: int) -> Trained:
        losses = torch.stack(self.losses).cpu()
        self.check_every = len(losses)
        self.check()
        if not all(bool(p.isfinite().all()) for p in self.network.parameters()):
            self._diverged(len(losses) - 1, "a weight became infinite")
        return Trained(
            network=self.network.eval(),
            train_loss=float(losses[-self.plan.per_epoch :].mean()),
            steps=len(losses),
            forward=self.seen,
            backward=self.seen,
            seconds=clock.seconds,
            losses=losses.numpy(),
            epoch_end_forward=k * (self.plan.epochs or 0) if clock.epoch_end else 0,
            epoch_end_seconds=clock.epoch_end,
            resumed=clock.resumed,
            batch_parts=self.parts.count,
        )


def _placed(value: Tensor, parameter: Tensor) -> Tensor:
    """A restored moment on the parameter's device, and of its layout where it has its shape."""
    if value.shape != parameter.shape:
        return value.to(parameter.device)
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            network.parameters(),
            lr=recipe.peak_lr,
            momentum=recipe.momentum,
            nesterov=True,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
    decayed = [p for p in network.parameters() if p.ndim > 1]
    free = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.peak_lr, betas=(recipe.momentum, 0.999), fused=True)


def _mean_one(weights: np.ndarray | Tensor, k: int) -> Tensor:
    w = torch.as_tensor(np.asarray(weights), dtype=torch.float32)
    if w.shape != (k,) or not bool(w.isfinite().all()) or bool((w < 0).any()) or float(w.sum()) <= 0:
        raise ValueError(f"weights must be {k} finite numbers >= 0 that are not all 0, got shape {tuple(w.shape)}")
    return w / w.mean()


def _timed(look: Look, steps: int, network: Network) -> float:
    started = time.perf_counter()
    look(steps, network)
    return time.perf_counter() - started


def _finish_epoch(recorder: Recorder, network: Network, examples: _Examples) -> float:
    """The evaluation pass where something is watched there; returns its seconds."""
    started = time.perf_counter()
    if recorder.at_epoch_end:
        network.eval()
        for positions, logits in evaluated(network, network, examples.source, examples.chosen):
            recorder.evaluated(positions, logits, examples.labels[positions.to(examples.device)])
        network.train()
    recorder.finish_epoch()
    return time.perf_counter() - started if recorder.at_epoch_end else 0.0
