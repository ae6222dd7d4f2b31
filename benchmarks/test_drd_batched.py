"""P1, P2: pictures rebuilt in one batch from their own steps, against diffusers picture by picture.

The plain form is the usual one: for every picture noise it, then `DiTTransformer2DModel` and `DDIMScheduler.step` at
batch 1, fp32, down to clean. Both sides start from the same noised latents at the same mixed steps, on one thread, and
are timed in its own CPU seconds, so that whatever else the machine does counts for neither. Equality comes first
(within 1e-5 of the numbers' size), then the ratio, which is told and fails nothing. The network is a DiT of 6 layers,
384 wide, with random weights, on latents of 4x16x16.

P2 sets ours against what the stock pipeline does: a pair of evaluations at every step for guidance, from the picture's
step (same result where the guidance weighs 1), and from pure noise down all 50 steps (its cost alone: it makes
another picture).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from prunebench_drd.folders import DiTDenoiser
from prunebench_drd.reconstruct import reconstruct
from prunebench_drd.schedule import ddim_levels, linear_abar
from torch import Tensor

PICTURES, CLASSES, STEPS = 6, 10, 50
NULL = CLASSES  # the class of an unconditional evaluation
CONFIG = {
    "num_attention_heads": 6,
    "attention_head_dim": 64,
    "in_channels": 4,
    "out_channels": 8,  # noise and variance, as published DiTs have it
    "num_layers": 6,
    "sample_size": 16,
    "num_embeds_ada_norm": CLASSES,
}


class World:
    """A random DiT, and pictures with their classes, steps and noises."""

    def __init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network = DiTTransformer2DModel(**CONFIG).eval().requires_grad_(False)
        generator = torch.Generator().manual_seed(1)
        self.z_0, self.eps = (torch.randn(PICTURES, 4, 16, 16, generator=generator) for _ in range(2))
        self.c = torch.randint(CLASSES, (PICTURES,), generator=generator)
        self.start = torch.linspace(13, 27, PICTURES).round().long()  # over the window where t* is sought
        self.levels = ddim_levels(1000, STEPS)
        self.scheduler = DDIMScheduler(clip_sample=False)  # leading spacing, ends at abar = 1
        self.scheduler.set_timesteps(STEPS)

    def denoiser(self, precision: str = "float32") -> DiTDenoiser:
        """Ours, as a scoring has it."""
        cpu = torch.device("cpu")
        return DiTDenoiser(self.network, None, linear_abar(), torch.arange(CLASSES), cpu, precision=precision)

    def batched(self, denoiser: DiTDenoiser) -> Tensor:
        return reconstruct(denoiser, self.z_0, self.c, self.start, self.eps, self.levels)

    @torch.inference_mode()
    def one_by_one(self) -> Tensor:
        rebuilt = []
        for z_0, eps, c, start in zip(self.z_0, self.eps, self.c, self.start.tolist(), strict=True):
            timesteps = self.scheduler.timesteps[STEPS - 1 - start :]
            x = self.scheduler.add_noise(z_0[None], eps[None], timesteps[:1])
            for t in timesteps:
                noise = self.network(x, timestep=t[None], class_labels=c[None]).sample[:, :4]
                x = self.scheduler.step(noise, t, x).prev_sample
            rebuilt.append(x)
        return torch.cat(rebuilt)

    @torch.inference_mode()
    def guided(self, pictures: int = PICTURES, full: bool = False, weight: float = 1.0) -> Tensor:
        """A pair of evaluations a step; ``full``: from the noise alone, all 50 steps."""
        rebuilt = []
        for i in range(pictures):
            timesteps = self.scheduler.timesteps[0 if full else STEPS - 1 - int(self.start[i]) :]
            x = self.eps[i : i + 1] if full else self.scheduler.add_noise(self.z_0[[i]], self.eps[[i]], timesteps[:1])
            labels = torch.stack([self.c[i], torch.tensor(NULL)])
            for t in timesteps:
                both = self.network(torch.cat([x, x]), timestep=t.expand(2), class_labels=labels).sample[:, :4]
                own, null = both.chunk(2)
                x = self.scheduler.step(null + weight * (own - null), t, x).prev_sample
            rebuilt.append(x)
        return torch.cat(rebuilt)


Run = Callable[[], Tensor]


def timed(run: Run) -> tuple[Tensor, float]:
    start = time.thread_time()
    result = run()
    return result, time.thread_time() - start


def in_turns(ours: Run, plain: Run, rounds: int = 2) -> tuple[Tensor, Tensor, float, float]:
    """Both results, and the best time of each; taken in turns so that a change in clock speed hits both."""
    pairs = [(timed(ours), timed(plain)) for _ in range(rounds)]
    (a, _), (b, _) = pairs[0]
    return a, b, min(mine[1] for mine, _ in pairs), min(theirs[1] for _, theirs in pairs)


def largest_difference(a: Tensor, b: Tensor) -> float:
    """Between any two numbers, in units of the root mean square of b."""
    return float((a - b).abs().max() / b.square().mean().sqrt())


@pytest.fixture
def told(benchmark, recorded):
    """``told(name, ours, plain, goal=...)``: the ratio beside the timings, printed, and recorded with ``--record``."""

    def write(name: str, ours: float, plain: float, goal: float | None, **more: float) -> None:
        size = f"{PICTURES} pictures, DiT of {CONFIG['num_layers']} layers, 384 wide, latents 4x16x16"
        figures = {"ours_seconds": ours, "plain_seconds": plain, "ratio": plain / ours, "goal": goal, **more}
        benchmark.extra_info.update(figures)
        recorded(name, size=size, **figures)

    return write


@pytest.fixture(scope="module")
def world():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield World()
    torch.set_num_threads(threads)


def test_batched_against_one_by_one(benchmark, told, world):
    denoiser = world.denoiser()
    a, b, ours, plain = in_turns(lambda: world.batched(denoiser), world.one_by_one)
    assert largest_difference(a, b) <= 1e-5
    told("P1 DRD, fp32", ours, plain, goal=1.15, largest_difference=largest_difference(a, b))
    benchmark.pedantic(world.batched, args=(denoiser,), rounds=1)


def test_batched_in_half_precision_against_one_by_one(benchmark, told, world):
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this CPU has no bf16 arithmetic")
    denoiser = world.denoiser("bfloat16")
    a, b, ours, plain = in_turns(lambda: world.batched(denoiser), world.one_by_one)
    error = float((a - b).norm() / b.norm())
    assert error < 0.02
    told("P1 DRD, bf16", ours, plain, goal=1.8, relative_error=error)
    benchmark.pedantic(world.batched, args=(denoiser,), rounds=1)


def test_batched_against_guided_pairs(benchmark, told, world):
    denoiser = world.denoiser()
    a, b, ours, plain = in_turns(lambda: world.batched(denoiser), world.guided, rounds=1)
    assert largest_difference(a, b) <= 1e-5  # guidance of weight 1 is none
    told("P2 DRD, guided from t*", ours, plain, goal=None, largest_difference=largest_difference(a, b))
    benchmark.pedantic(world.batched, args=(denoiser,), rounds=1)


def test_batched_against_the_stock_pipeline(benchmark, told, world):
    denoiser = world.denoiser()
    _, _, ours, one = in_turns(lambda: world.batched(denoiser), lambda: world.guided(1, full=True), rounds=1)
    evaluations = 2 * STEPS * PICTURES / float((world.start + 1).sum())  # theirs for each of ours
    told("P2 DRD, stock 50 guided steps", ours, one * PICTURES, goal=2.3, by_count=evaluations)
    benchmark.pedantic(world.batched, args=(denoiser,), rounds=1)
