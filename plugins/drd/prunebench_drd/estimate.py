"""What a DRD scoring will cost, before it starts: network evaluations, operations, hours, memory.

searching    sum_c min(B, N/C) |classes compared| sum_levels noises    exhaustive: M at each of n + 2 levels
scoring      N draws (t* + 1)
agreement    the same on up to 20 pictures of each class, 400 in all, at least two draws
training     steps batch, each three forward passes (forward, and twice that backward); own models only

hours = evaluations / (evaluations a second) + pictures seconds for the VAE.  Classes are taken to be equally large.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from prunebench import UserError

from . import search
from .flops import Count
from .pictures import MANY, PER_CLASS
from .rivals import PROBES, rival_count
from .timesteps import DISTANCE_LEVELS

BACKWARD = 3  # a training step against a forward pass
HOUR = 3600.0


@dataclass(frozen=True)
class Size:
    """A training split: N pictures, C classes, and the side in px that DRD gets them at."""

    examples: int
    classes: int
    pixels: int
    imagenet: bool = False  # whether the classes are ImageNet's, which a pretrained DiT knows
    names: tuple[str, ...] = ()  # of the classes, where the data were looked at


SIZES = {
    "cifar10": Size(50_000, 10, 32),
    "cifar100": Size(50_000, 100, 32),
    "digits": Size(1_437, 10, 8),
    "fashion-mnist": Size(60_000, 10, 28),
    "imagenet": Size(1_281_167, 1000, 256, True),
    "imagenette": Size(9_469, 10, 256, True),
    "imagewoof": Size(9_025, 10, 256, True),
    "stl10": Size(5_000, 10, 96),
    "svhn": Size(73_257, 10, 32),
    "tiny-imagenet": Size(100_000, 200, 64, True),
}


def size_of(dataset: str) -> Size:
    """The size of a known data set, by name.

    Raises:
        UserError: not a known one.
    """
    if dataset not in SIZES:
        raise UserError(f"drd: the size of {dataset!r} is not known; give one of {', '.join(SIZES)}")
    return SIZES[dataset]


def published_size(text: str, image_size: int | None = None) -> Size | None:
    """The size of ``NAME``, ``NAME(train=N)`` or ``NAME(train=N,test=M)`` of a known data set; None of all others.

    Raises:
        UserError: more pictures than the set has, or none.
    """
    found = re.fullmatch(r"\s*([\w-]+)\s*(?:\(([\s\w=,]*)\))?\s*", text)
    if found is None or found[1] not in SIZES:
        return None
    options = dict(re.findall(r"(\w+)\s*=\s*([0-9]+)", found[2] or ""))
    said = sum(bool(part.strip()) for part in (found[2] or "").split(","))
    if len(options) != said or set(options) - {"train", "test"}:
        return None
    whole = SIZES[found[1]]
    examples = int(options.get("train", whole.examples))
    if not 1 <= examples <= whole.examples:
        raise UserError(f"drd estimate: {found[1]} has {whole.examples:,} training pictures; ask for 1 to all of them")
    return replace(whole, examples=examples, pixels=image_size or whole.pixels)


def searched_pictures(size: Size, samples: int = 20) -> int:
    """Pictures the search looks at: B of every class, or all of a smaller one."""
    return size.classes * min(samples, size.examples // size.classes)


class Tally:
    """In the place of `search.Posterior`: counts the noises asked for at every level, and evaluates nothing.

    The curve of eq. (9) it tells falls off on both sides of ``peak``, a candidate.
    """

    def __init__(self, candidates: int, noises: int, peak: int) -> None:
        self.levels, self.eps, self.peak = range(candidates + 2), range(noises), peak
        self.noises = [0] * (candidates + 2)

    def log_p(self, place: int, noises: int) -> Tensor:
        """As `Posterior.log_p`; what was evaluated once is there."""
        self.noises[place] = max(self.noises[place], noises)
        return torch.zeros(1, dtype=torch.float64)

    def slope(self, candidate: int, noises: int) -> float:
        """As `Posterior.slope`."""
        self.log_p(candidate, noises)
        self.log_p(candidate + 2, noises)
        return 1 / (1 + abs(candidate - self.peak))


def noises_over_levels(how: str, candidates: int = 15, noises: int = 20, peak: int | None = None) -> int:
    """Noises that a search evaluates at all levels together, for one picture and one class compared.

    The search itself tells, run on a `Tally`; ``peak`` is the candidate it will find, the middle one if not given.

    Raises:
        UserError: no such search.
    """
    if how not in search.SEARCHES:
        raise UserError(f"drd: search must be one of {', '.join(search.SEARCHES)}, got {how!r}")
    tally: Any = Tally(candidates, noises, candidates // 2 if peak is None else peak)
    search.fast(tally) if how == "fast" else search.exhaustive(tally)
    return sum(tally.noises)


def search_evaluations(
    size: Size,
    samples: int = 20,
    noises: int = 20,
    candidates: int = 15,
    rivals: int | str = "auto",
    how: str = "fast",
) -> int:
    """Network evaluations of the search of eq. (9), and of telling which classes are near where few are compared."""
    count = rival_count(size.classes, rivals)
    near = 0 if count == size.classes - 1 else DISTANCE_LEVELS * min(PROBES, size.examples) * size.classes
    return searched_pictures(size, samples) * (1 + count) * noises_over_levels(how, candidates, noises) + near


def agreement_pictures(size: Size) -> int:
    """Pictures rebuilt once more to tell how well the draws agree."""
    classes = min(size.classes, MANY // 2)
    wanted = max(2, min(PER_CLASS, MANY // classes))
    return classes * min(wanted, size.examples // size.classes)


def rebuilding_evaluations(pictures: int, draws: int, step: float) -> int:
    """Evaluations of rebuilding pictures ``draws`` times from DDIM step t*, of which ``step`` is the mean."""
    return round(pictures * draws * (step + 1))


@dataclass(frozen=True)
class Costs:
    """Operations on one picture: of a network evaluation, of the VAE, of the perceptual features."""

    network: int
    encode: int = 0
    decode: int = 0
    features: int = 0


@dataclass(frozen=True)
class Rates:
    """What a device does: network evaluations a second, and seconds a picture for the rest."""

    evaluations: float
    encode: float = 0.0
    decode: float = 0.0
    features: float = 0.0

    @classmethod
    def at(cls, costs: Costs, flops: float) -> Rates:
        """If it sustained ``flops`` operations a second throughout.

        Raises:
            UserError: that is not a positive number.
        """
        if not 0 < flops < float("inf"):
            raise UserError(f"drd: the operations a second must be a positive number, got {flops!r}")
        return cls(flops / costs.network, costs.encode / flops, costs.decode / flops, costs.features / flops)


@dataclass(frozen=True)
class Estimate:
    """The counts of one scoring, and with `Costs` and `Rates` what they come to."""

    searching: int  # network evaluations
    scoring: int
    agreement: int
    training: int  # pictures seen by the training of an own model, 0 without
    encoded: int  # pictures
    decoded: int
    featured: int  # pictures through the perceptual network
    costs: Costs
    rates: Rates

    @property
    def evaluations(self) -> int:
        """As the record of a scoring tells them: training not among them."""
        return self.searching + self.scoring + self.agreement

    @property
    def flops(self) -> int:
        """Of everything."""
        passes = self.evaluations + BACKWARD * self.training
        others = self.encoded * self.costs.encode + self.decoded * self.costs.decode
        return passes * self.costs.network + others + self.featured * self.costs.features

    @property
    def hours(self) -> float:
        """Of everything."""
        return sum(hours for _, _, hours in self.rows())

    def rows(self) -> list[tuple[str, int, float]]:
        """(what, how many, hours) of every part that costs something: network evaluations first, then pictures."""
        evaluated = {
            "searching t*": self.searching,
            "rebuilding every picture": self.scoring,
            "agreement of draws": self.agreement,
        }
        pictures = {
            "encoding": (self.encoded, self.rates.encode),
            "decoding": (self.decoded, self.rates.decode),
            "perceptual features": (self.featured, self.rates.features),
        }
        told = [("training a model", self.training, BACKWARD * self.training / self.rates.evaluations / HOUR)]
        told += [(what, count, count / self.rates.evaluations / HOUR) for what, count in evaluated.items()]
        told += [(what, count, count * each / HOUR) for what, (count, each) in pictures.items() if each]
        return [row for row in told if row[1]]


def estimate(
    size: Size,
    costs: Costs,
    rates: Rates,
    *,
    searching: int,
    searched: int = 0,
    step: float = 20.0,
    draws: int = 1,
    training: int = 0,
    target: str = "original",
) -> Estimate:
    """The cost of scoring a data set.

    Args:
        searching: network evaluations of the search, see `search_evaluations`; 0 for a fixed step.
        searched: pictures the search encodes, see `searched_pictures`.
        step: mean DDIM step t* over the pictures; where it is searched, the middle candidate is a fair guess.
        draws: reconstructions averaged.
        training: steps times batch of an own model, 0 for one that stands.
        target: as in `drd.drd`; ``vae`` decodes every picture's own latent too.

    Raises:
        UserError: a count below zero, or no draw.
    """
    for name, value in (("searching", searching), ("searched", searched), ("step", step), ("training", training)):
        if value < 0:
            raise UserError(f"drd: {name} must not be negative, got {value!r}")
    if draws < 1:
        raise UserError(f"drd: draws must be at least 1, got {draws!r}")
    again, repeats = agreement_pictures(size), max(2, draws)
    rebuilt = size.examples * draws + again * repeats
    real = size.examples + again
    return Estimate(
        searching=searching,
        scoring=rebuilding_evaluations(size.examples, draws, step),
        agreement=rebuilding_evaluations(again, repeats, step),
        training=training,
        encoded=searched + real,
        decoded=rebuilt + (real if target == "vae" else 0),
        featured=rebuilt + real,
        costs=costs,
        rates=rates,
    )


def memory(
    network: Count, rows: int, vae: tuple[Count, ...] = (), vae_rows: int | None = None, bytes_each: int = 4
) -> int:
    """Bytes for the weights, and for what is alive with ``rows`` pictures in the network or ``vae_rows`` in the VAE.

    Latents, the pictures themselves and the kernels' own workspaces are not counted; on a GPU leave a fifth more.
    """
    weights = network.weights + sum(part.weights for part in vae)
    largest = max((part.live for part in vae), default=0)
    return bytes_each * (weights + max(rows * network.live, (vae_rows or rows) * largest))
