"""The search for t* inside one class, eq. (8) and (9).

One noise set is shared by all classes, pictures and steps, so what is subtracted is paired, and the evaluations of a
level serve the steps on both its sides: n candidates cost n + 2 levels, not 3 n.

``exhaustive`` looks at every candidate with every noise. ``fast`` looks at every second candidate with a fifth of the
noises, then at the best and its two neighbours with a quarter of them; nothing is evaluated twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .batching import Room
from .denoisers import FINITE, Denoiser
from .equations import information, information_curve, own_log_posterior, q_sample, squared_error
from .rivals import Rivals

SEARCHES = ("fast", "exhaustive")


class Posterior:
    """log p(own class | x_t) of B pictures at the levels and with the noises that are asked for, eq. (8).

    Args:
        z_0: (B, ...) clean pictures of one class.
        levels: (n + 2,) int64: those of the candidate steps and one on either side.
        eps: (M, ...) the shared noise set.
        rows: network batch.
        room: what was found to fit before.
        whose: the class and the model, for a message.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        z_0: Tensor,
        rivals: Rivals,
        levels: Tensor,
        eps: Tensor,
        reduction: str,
        rows: int,
        room: Room | None = None,
        whose: str = "pictures of one class",
    ) -> None:
        self.denoiser, self.z_0, self.rivals, self.levels = denoiser, z_0, rivals, levels.tolist()
        self.eps, self.reduction, self.rows = eps, reduction, rows
        self.room, self.whose = room or Room(), whose
        self.abar = denoiser.abar.to(z_0.device, torch.float64)
        self.errors = [torch.empty(len(z_0), len(rivals), 0) for _ in self.levels]  # (B, K, noises so far)
        self.evaluations = 0

    def log_p(self, place: int, noises: int) -> Tensor:
        """(B,) float64 at ``levels[place]``, errors averaged over the first ``noises``.

        Raises:
            ValueError: the denoiser returned something that is not finite.
        """
        done = self.errors[place].shape[2]
        if done < noises:
            found = self._evaluated(self.levels[place], self.eps[done:noises])
            self.errors[place] = torch.cat([self.errors[place], found], dim=2)
        mean = self.errors[place][:, :, :noises].double().mean(dim=2)
        return own_log_posterior(mean - self.rivals.log_weights)

    @torch.inference_mode()
    def _evaluated(self, level: int, eps: Tensor) -> Tensor:
        """(B, K, m) float32 on the CPU: || eps - eps_hat(x_t, t, k) ||^2."""
        pictures, noises = len(self.z_0), len(eps)
        target = eps.repeat(pictures, *[1] * (eps.dim() - 1))
        x_t = q_sample(self.z_0.repeat_interleave(noises, dim=0), self.abar[level].float(), target)  # (B * m, ...)
        t = torch.tensor([level], device=x_t.device)
        together = max(1, self.rows // len(x_t))  # rivals in one network call
        found = [self._errors(x_t, target, t, names) for names in self.rivals.names.T.split(together)]
        errors = torch.cat(found).reshape(len(self.rivals), pictures, noises).transpose(0, 1).cpu()
        self.evaluations += errors.numel()
        if not bool(torch.isfinite(errors).all()):
            raise ValueError(
                f"drd: the denoiser returned noise that is not finite at level {level} for {self.whose}; {FINITE}"
            )
        return errors

    def _errors(self, x_t: Tensor, target: Tensor, t: Tensor, names: Tensor) -> Tensor:
        """(k * B * m,) of the rivals ``names`` (k, B)."""
        if bool((names == names[0, 0]).all()):  # one (t, c) in the batch: conditioning is computed once
            c = names[:1, 0].to(x_t.device)

            def of_one(x: Tensor, eps: Tensor) -> Tensor:
                return squared_error(eps, self.denoiser.predict_noise(x, t, c), self.reduction)

            return self.room.in_rows("noise", of_one, self.rows, x_t, target)

        def of_each(x: Tensor, eps: Tensor, c: Tensor) -> Tensor:
            return squared_error(eps, self.denoiser.predict_noise(x, t, c), self.reduction)

        every = [part.repeat(len(names), *[1] * (x_t.dim() - 1)) for part in (x_t, target)]
        each = names.flatten().repeat_interleave(len(x_t) // names.shape[1]).to(x_t.device)
        return self.room.in_rows("noise", of_each, self.rows, *every, each)

    def slope(self, candidate: int, noises: int) -> float:
        """Eq. (9) at one candidate, which stands between levels[candidate] and levels[candidate + 2]."""
        return float(information(self.log_p(candidate, noises), self.log_p(candidate + 2, noises)))


def log_posteriors(
    denoiser: Denoiser,
    z_0: Tensor,
    rivals: Rivals | Sequence[int],
    levels: Tensor,
    eps: Tensor,
    reduction: str,
    rows: int,
    room: Room | None = None,
    whose: str = "pictures of one class",
) -> Tensor:
    """log p(own class | x_t) (B, n) float64 of every picture at all levels, with all noises; as `Posterior`."""
    among = rivals if isinstance(rivals, Rivals) else Rivals.same(rivals, len(z_0))
    posterior = Posterior(denoiser, z_0, among, levels, eps, reduction, rows, room, whose)
    return torch.stack([posterior.log_p(place, len(eps)) for place in range(len(levels))], dim=1)


def exhaustive(posterior: Posterior) -> tuple[Tensor, Tensor]:
    """Every candidate with every noise: (curve (n,) float64, noises behind each value (n,) int64)."""
    n, noises = len(posterior.levels) - 2, len(posterior.eps)
    log_p = torch.stack([posterior.log_p(place, noises) for place in range(n + 2)], dim=1)
    return information_curve(log_p), torch.full((n,), noises)


def fast(posterior: Posterior) -> tuple[Tensor, Tensor]:
    """Coarse, then fine: as `exhaustive`, with NaN and 0 noises at candidates that were passed over."""
    n, noises = len(posterior.levels) - 2, len(posterior.eps)
    few, more = max(1, noises // 5), max(1, noises // 4)
    curve, used = torch.full((n,), float("nan"), dtype=torch.float64), torch.zeros(n, dtype=torch.int64)
    for candidate in range(0, n, 2):
        curve[candidate], used[candidate] = posterior.slope(candidate, few), few
    best = int(curve.nan_to_num(-1.0).argmax())
    for candidate in range(max(0, best - 1), min(n, best + 2)):
        curve[candidate], used[candidate] = posterior.slope(candidate, more), more
    return curve, used


def best_step(curve: Tensor, used: Tensor, steps: Sequence[int]) -> int:
    """t*_c: the step where the curve is highest (first of equals), among those judged by the most noises.

    Where the curve is flat at zero, the middle step.
    """
    judged = torch.where(used == used.max(), curve, -1.0)
    return steps[int(judged.argmax())] if bool((judged > 0).any()) else steps[len(steps) // 2]
