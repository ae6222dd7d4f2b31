"""What is done to a training split before anything is scored: the benchmark's settings beside the clean one.

    --imbalance exp:r       class c keeps round(n_c r^(c/(C-1))) examples: from all of class 0 down to a share r
                            (Cui et al., CVPR 2019)
    --corrupt gaussian:p    a share p of the pictures gets Gaussian noise of deviation 0.38 of the grey range, severity
                            5 of Hendrycks, Dietterich (ICLR 2019); gaussian:p:s takes the deviation s
    --label-noise ...       wrong labels, see `noisy_labels`

In this order. The test split stays clean. Who is affected depends on the keys alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..seeds import seed_for
from ..types import Dataset, Split, details_at
from .corruption import NoisyImages
from .noisy_labels import drawn, from_file

SEVERE = 0.38  # standard deviation


@dataclass(frozen=True)
class Setting:
    """The three options as given; empty is clean."""

    label_noise: str = ""
    imbalance: str = ""
    corrupt: str = ""

    def __str__(self) -> str:
        """As it stands in records and headings: paths by their last part, as only this machine knows the rest."""
        noise = self.label_noise
        if noise.startswith("file:"):
            path, column = _file(noise.removeprefix("file:"))
            noise = ":".join(["file", path.name, *([column] if column else [])])
        told = {"imbalance": self.imbalance, "corrupt": self.corrupt, "label-noise": noise}
        return " ".join(f"{name} {value}" for name, value in told.items() if value)

    def apply(self, dataset: Dataset) -> Dataset:
        """The data set under this setting.

        ``details`` gain (N,) arrays of the truth: ``clean_labels`` and ``mislabelled``, or ``corrupted``.

        Raises:
            UserError: an option of another form, out of range, or with a file that does not fit.
        """
        if self.imbalance:
            _, (ratio, *_) = _share(self.imbalance, "--imbalance", ("exp",))
            dataset = imbalanced(dataset, ratio)
        if self.corrupt:
            _, (share, *severity) = _share(self.corrupt, "--corrupt", ("gaussian",), severity=True)
            dataset = corrupted(dataset, share, severity[0] if severity else SEVERE)
        if self.label_noise:
            dataset = mislabelled(dataset, self.label_noise)
        return replace(dataset, setting=str(self))


def imbalanced(dataset: Dataset, ratio: float) -> Dataset:
    """Exponentially fewer examples from class to class; at least one of each."""
    split, classes = dataset.train, len(dataset.classes)
    kept: list[int] = []
    for c in range(classes):
        members = np.flatnonzero(split.labels == c).tolist()
        members.sort(key=lambda i: seed_for("imbalance", split.keys[i]))
        count = int(len(members) * ratio ** (c / max(1, classes - 1)) + 0.5)
        kept += members[: max(1, count)]
    return _taken(dataset, np.sort(np.array(kept, dtype=np.int64)))


def _taken(dataset: Dataset, rows: np.ndarray) -> Dataset:
    """Some examples of the training split, with what the details say of them."""
    split = dataset.train
    train = Split(split.images.take(rows), split.labels[rows], tuple(split.keys[i] for i in rows))
    return replace(dataset, train=train, details=details_at(rows, dataset.details, len(split)))


def corrupted(dataset: Dataset, share: float, sigma: float) -> Dataset:
    """A share of the training pictures, whatever their class, with Gaussian noise."""
    keys = dataset.train.keys
    seeds = np.array([seed_for("corrupt", key) for key in keys], dtype=np.int64)
    worse = np.zeros(len(keys), dtype=bool)
    worse[np.argsort(seeds, kind="stable")[: int(share * len(keys) + 0.5)]] = True
    train = replace(dataset.train, images=NoisyImages(dataset.train.images, np.where(worse, sigma, 0.0), seeds))
    return replace(dataset, train=train, details={**dataset.details, "corrupted": worse})


def mislabelled(dataset: Dataset, text: str) -> Dataset:
    """Other labels for some training examples; the details keep the true ones."""
    split = dataset.train
    if text.startswith("file:"):
        labels = from_file(split, *_file(text.removeprefix("file:")), dataset.classes)
    else:
        kind, (share, *_) = _share(text, "--label-noise", ("sym", "asym"), also="file:CSV")
        labels = drawn(split, kind, share, dataset.classes)
    truth = np.asarray(dataset.details.get("clean_labels", split.labels))
    wrong = (labels != truth) | np.asarray(dataset.details.get("mislabelled", np.zeros(len(split), dtype=bool)))
    details = {**dataset.details, "clean_labels": truth, "mislabelled": wrong}
    return replace(dataset, train=replace(split, labels=labels), details=details)


def _file(text: str) -> tuple[Path, str | None]:
    """``PATH`` or ``PATH:COLUMN``."""
    path, colon, column = text.rpartition(":")
    return (Path(path), column) if colon and not Path(text).exists() else (Path(text), None)


def _share(
    text: str, option: str, kinds: Sequence[str], *, severity: bool = False, also: str = ""
) -> tuple[str, tuple[float, ...]]:
    """``kind:share``, the share in (0, 1), with ``:deviation`` where there is a severity.

    Raises:
        UserError: anything else.
    """
    kind, *numbers = text.split(":")
    forms = [f"{name}:0.1{'[:deviation]' if severity else ''}" for name in kinds] + ([also] if also else [])
    try:
        found = tuple(float(number) for number in numbers)
    except ValueError:
        found = ()
    if kind not in kinds or not 1 <= len(found) <= 1 + severity or not 0 < found[0] < 1 or min(found) <= 0:
        raise UserError(f"{option} is {' or '.join(forms)} with a share between 0 and 1, got {text!r}")
    return kind, found
