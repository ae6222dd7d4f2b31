"""The deviation of every picture: draw noise from its own seed, rebuild, compare; in fixed blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from prunebench import noise

from .agreement import reliability, warn_if_unsteady
from .batching import network_rows
from .denoisers import FINITE
from .equations import deviation
from .models import Chosen
from .perceptual import Features
from .pictures import in_blocks
from .reconstruct import evaluations, reconstruct
from .task import Task

ROUNDING = 1e-2  # how far a decoded picture may leave [0, 1]: the rounding of bfloat16


@dataclass(frozen=True, eq=False)
class Deviations:
    """Eq. (7) for the pictures of one data set, each from the step of its class."""

    task: Task
    chosen: Chosen
    steps: Tensor  # (C,) int64 t*
    levels: Tensor  # (steps,) int64
    features: Features
    target: str

    @torch.inference_mode()
    def of(self, indices: Tensor, draws: int) -> Tensor:
        """(rows,) indices -> (draws, rows) deviations on the CPU; all draws of a block are rebuilt in one batch.

        Where memory does not suffice, the batch is halved, for later blocks as well.

        Raises:
            ValueError: the denoiser returned something that is not finite, of a wrong shape, or no picture.
        """
        pixels = self.task.pixels(indices, self.chosen.size)
        z_0 = self.chosen.room.in_rows("encode", self.chosen.denoiser.encode, len(indices), pixels)
        if not bool(torch.isfinite(z_0).all()):
            which = self.task.named(self._first(z_0, indices), self.chosen.name)
            raise ValueError(f"drd: the denoiser encodes {which} as NaN or infinite; {FINITE}")
        eps = torch.cat(
            [noise(self.task.seeds[indices], draw, z_0.shape[1:], self.task.device) for draw in range(draws)]
        )
        rebuilt = self._rebuilt(z_0.repeat(draws, *[1] * (z_0.dim() - 1)), indices.repeat(draws), eps)
        per_picture = rebuilt.reshape(draws, *z_0.shape).transpose(0, 1)  # (rows, draws, ...)
        return self.chosen.room.in_rows("compare", self._compared, len(indices), pixels, z_0, per_picture, indices).T

    def _rebuilt(self, z_0: Tensor, indices: Tensor, eps: Tensor) -> Tensor:
        """`reconstruct` in one batch, or in halves of it; (draws * rows, ...), finite."""
        labels = self.task.labels[indices]
        work = (z_0, labels.to(self.task.device), self.steps[labels], eps)

        def rebuild(z_0: Tensor, c: Tensor, start: Tensor, eps: Tensor) -> Tensor:
            return reconstruct(self.chosen.denoiser, z_0, c, start, eps, self.levels)

        rebuilt = self.chosen.room.in_rows("rebuild", rebuild, len(z_0), *work)
        if not bool(torch.isfinite(rebuilt).all()):
            row = int((~torch.isfinite(rebuilt.flatten(1)).all(dim=1)).nonzero()[0])
            alone = z_0[row], work[1][row], work[2][row], eps[row]
            step = first_bad_step(self.chosen, *alone, self.levels)
            which = self.task.named(int(indices[row]), self.chosen.name)
            raise ValueError(
                f"drd: the denoiser returned NaN or infinite noise for {which} at DDIM step {step}; {FINITE}"
            )
        return rebuilt

    def _compared(self, pixels: Tensor, z_0: Tensor, rebuilt: Tensor, indices: Tensor) -> Tensor:
        """(B, 3, S, S), (B, ...), (B, draws, ...) -> (B, draws) deviations; what is real goes through once."""
        real = self._decoded(z_0, pixels, indices) if self.target == "vae" else pixels.float() / 255
        stages = self.features(real)
        return torch.stack(
            [
                deviation(stages, self.features(self._decoded(draw, pixels, indices))).cpu()
                for draw in rebuilt.unbind(dim=1)
            ],
            dim=1,
        )

    def _decoded(self, z: Tensor, pixels: Tensor, indices: Tensor) -> Tensor:
        """The pictures of z (B, 3, S, S), looked at: this is the last thing before a value is stored."""
        pictures = self.chosen.denoiser.decode(z).float()
        if pictures.shape != pixels.shape:
            raise ValueError(
                f"drd: the denoiser decodes to {tuple(pictures.shape)} what it encoded from {tuple(pixels.shape)}"
            )
        if not bool(((pictures >= -ROUNDING) & (pictures <= 1 + ROUNDING)).all()):  # NaN is no picture either
            which = self.task.named(self._first(pictures, indices, ROUNDING), self.chosen.name)
            raise ValueError(
                f"drd: the denoiser decodes {which} outside of [0, 1] (from {float(pictures.min()):g} to "
                f"{float(pictures.max()):g}); clamp it in decode()"
            )
        return pictures.clamp(0, 1)

    @staticmethod
    def _first(found: Tensor, indices: Tensor, beyond: float | None = None) -> int:
        """The index of the first picture with a number that is not finite, or lies outside of [0, 1]."""
        good = torch.isfinite(found)
        if beyond is not None:
            good = (found >= -beyond) & (found <= 1 + beyond)
        return int(indices[int((~good.flatten(1).all(dim=1)).nonzero()[0])])

    def rows(self, draws: int) -> int:
        """Pictures per block, so that all their draws together fill one network batch."""
        z = self.chosen.denoiser.encode(self.task.pixels(torch.tensor([0]), self.chosen.size))
        return min(len(self.task.labels), max(1, network_rows(z[0].numel()) // draws))

    def all(self, draws: int, blocks: Callable[..., Tensor]) -> Tensor:
        """(N,) mean over the draws; neighbours in the order of work share their start."""
        rows = self.rows(draws)
        order = torch.argsort(self.steps[self.task.labels], stable=True)
        return in_blocks(
            *(self.task, blocks, lambda own: self.of(own, draws).mean(dim=0), order, rows, "rebuilding every picture")
        )

    def scored(self, draws: int, blocks: Callable[..., Tensor]) -> tuple[Tensor, dict[str, float], int]:
        """`all`, `reliability`, a warning where that is low, and the evaluations of both."""
        values = self.all(draws, blocks)
        told, spent = self.reliability(draws)
        warn_if_unsteady("drd", told, draws, "draw", "more draws")
        return values, told, evaluations(self.steps[self.task.labels], draws) + spent

    def reliability(self, draws: int) -> tuple[dict[str, float], int]:
        """How well the draws agree, on up to 20 pictures of each class, and the evaluations it took."""
        told, few, repeats = reliability(self.task, self.of, self.rows, draws)
        return told, evaluations(self.steps[self.task.labels[few]], repeats)


def first_bad_step(chosen: Chosen, z_0: Tensor, c: Tensor, start: Tensor, eps: Tensor, levels: Tensor) -> str:
    """The DDIM step at which one picture (...) stops being finite, found by rebuilding it once more."""
    seen: list[int] = []

    class Watched:
        abar = chosen.denoiser.abar

        @staticmethod
        def predict_noise(x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
            eps_hat = chosen.denoiser.predict_noise(x_t, t, c)
            if not bool(torch.isfinite(eps_hat).all()):
                seen.append(int(torch.searchsorted(levels, t.cpu())))
            return eps_hat

    reconstruct(Watched(), z_0[None], c[None], start[None], eps[None], levels)  # type: ignore[arg-type]  # all that reconstruct calls
    return str(seen[0]) if seen else "unknown (alone, it is finite)"
