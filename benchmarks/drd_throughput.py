"""P3: pictures a second rebuilt from t* = 20, and what share of the machine's matrix-multiplication peak that is.

    python benchmarks/drd_throughput.py [--size small] [--batch 8] [--dtype auto] [--out FILE]
    python benchmarks/drd_throughput.py --size xl --batch 256        # DiT-XL/2 at 256 px, on a GPU

share = pictures/s (t* + 1) FLOP / peak,   peak = the best of a few large square products in the same precision.

The operations are from our own count (`prunebench_drd.flops`), the weights random: speed does not depend on them.
Beside it stands the plain loop, diffusers at batch 1 picture by picture in the same precision; both rebuild the same
pictures first, and their relative difference is in the record. The VAE is not part of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from prunebench_drd.dit import recipe_for
from prunebench_drd.flops import DIT_XL_2_256, dit, own_config
from prunebench_drd.folders import DiTDenoiser
from prunebench_drd.reconstruct import reconstruct
from prunebench_drd.schedule import ddim_levels, linear_abar
from torch import Tensor

START, STEPS = 20, 50
CONFIGS: dict[str, dict[str, Any]] = {
    "nano": own_config(recipe_for(8), 1, 10),
    "small": own_config(recipe_for(32), 3, 10),
    "base": own_config(recipe_for(64), 3, 10),
    "xl": DIT_XL_2_256,
}


def random_dit(config: dict[str, Any], device: torch.device) -> Any:
    """A DiT with diffusers' own initialisation, made where it will run."""
    with torch.random.fork_rng(devices=[]), device:
        torch.manual_seed(0)
        return DiTTransformer2DModel(**config).to(device).eval().requires_grad_(False)


class InPrecision:
    """The plain loop's network: weights and pictures in ``dtype``."""

    def __init__(self, network: Any, dtype: torch.dtype) -> None:
        self.network, self.dtype = deepcopy(network) if dtype == torch.bfloat16 else network, dtype
        if dtype == torch.bfloat16:
            self.network.bfloat16()

    def __call__(self, x: Tensor, **given: Tensor) -> Any:
        return self.network(x.to(self.dtype), **given)


@torch.inference_mode()
def one_by_one(network: Any, z_0: Tensor, eps: Tensor, c: Tensor) -> Tensor:
    """The plain loop: (B, ...) rebuilt by diffusers' network and scheduler, one picture at a time."""
    scheduler = DDIMScheduler(clip_sample=False)
    scheduler.set_timesteps(STEPS, device=z_0.device)
    timesteps, rebuilt = scheduler.timesteps[STEPS - 1 - START :], []
    for i in range(len(z_0)):
        x = scheduler.add_noise(z_0[[i]], eps[[i]], timesteps[:1])
        for t in timesteps:
            noise = network(x, timestep=t[None], class_labels=c[[i]]).sample[:, : z_0.shape[1]]
            x = scheduler.step(noise.float(), t, x).prev_sample
        rebuilt.append(x)
    return torch.cat(rebuilt)


def best_seconds(run: Callable[[], Any], device: torch.device, rounds: int) -> float:
    """The shortest of ``rounds`` runs."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - start)
    return min(taken)


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large square product, the best of several."""
    side = 8192 if device.type == "cuda" else 1536
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / best_seconds(lambda: a @ b, device, rounds=20 if device.type == "cuda" else 6)


def measured(
    size: str, batch: int, plain: int, device: torch.device, dtype: torch.dtype, rounds: int
) -> dict[str, Any]:
    """The record's figures."""
    config = CONFIGS[size]
    network, classes = random_dit(config, device), torch.arange(config["num_embeds_ada_norm"])
    called, precision = InPrecision(network, dtype), str(dtype).removeprefix("torch.")
    denoiser = DiTDenoiser(network, None, linear_abar(), classes, device, precision=precision)
    generator = torch.Generator().manual_seed(1)
    shape = (batch, config["in_channels"], config["sample_size"], config["sample_size"])
    z_0, eps = (torch.randn(shape, generator=generator).to(device) for _ in range(2))
    c = torch.randint(len(classes), (batch,), generator=generator).to(device)
    start, levels = torch.full((batch,), START), ddim_levels(1000, STEPS)

    wanted = one_by_one(called, z_0[:plain], eps[:plain], c[:plain])
    found = reconstruct(denoiser, z_0, c, start, eps, levels)[:plain]
    ours = batch / best_seconds(lambda: reconstruct(denoiser, z_0, c, start, eps, levels), device, rounds)
    theirs = plain / best_seconds(lambda: one_by_one(called, z_0[:plain], eps[:plain], c[:plain]), device, 1)
    peak, each = matmul_peak(device, dtype), (START + 1) * dit(config).flops
    return {
        "size": size,
        "batch": batch,
        "dtype": precision,
        "t_star": START,
        "gflop_per_evaluation": dit(config).flops / 1e9,
        "pictures_per_second": ours,
        "evaluations_per_second": ours * (START + 1),
        "tflops": ours * each / 1e12,
        "matmul_peak_tflops": peak / 1e12,
        "share_of_peak": ours * each / peak,
        "plain_pictures_per_second": theirs,
        "plain_share_of_peak": theirs * each / peak,
        "ratio": ours / theirs,
        "relative_difference": float((found - wanted).norm() / wanted.norm()),
    }


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=CONFIGS, default="small")
    parser.add_argument("--batch", type=int, help="pictures at once (256 on a GPU, else 8)")
    parser.add_argument("--plain", type=int, help="pictures of the plain loop (8 on a GPU, else 2)")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto", help="auto: bf16 on a GPU")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=2, help="timed runs of ours, the best counts")
    parser.add_argument("--out", type=Path, help="write the record here")
    return parser.parse_args()


def main() -> None:
    """Measure, print, write."""
    asked = parsed()
    device = torch.device(asked.device)
    on_gpu = device.type == "cuda"
    name = ("bfloat16" if on_gpu else "float32") if asked.dtype == "auto" else asked.dtype
    batch = asked.batch or (256 if on_gpu else 8)
    plain = min(batch, asked.plain or (8 if on_gpu else 2))
    record = {
        "command": " ".join(["python", "benchmarks/drd_throughput.py", *sys.argv[1:]]),
        "device": torch.cuda.get_device_name(device) if on_gpu else f"CPU, {torch.get_num_threads()} thread(s)",
        "torch": torch.__version__,
        **measured(asked.size, batch, plain, device, getattr(torch, name), asked.rounds),
    }
    text = json.dumps(record, indent=1)
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
