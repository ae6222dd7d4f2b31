"""Where the commands of README and docs run in a test: a folder with the files that they name, and smaller data.

Each command keeps its own words. What makes it short stands behind them, where click takes the last: generated pictures,
one seed, two steps, a network of a few thousand weights; and trainings run in this process, not in workers.
"""

from __future__ import annotations

import glob
import shutil
from pathlib import Path

import numpy as np

DATA = "planted(train=60,test=20)"
FAST = ["--seeds", "1", "--threads", "1", "--device", "cpu", "--model", "test_resnet", "--reference", "test_resnet"]
DRD = "drd(dit='nano', dit_steps=2, samples=2, noises=2, draws=1)"
SMALL = {  # what stands behind the words of a command; "--dataset" only where no folder is named
    "run": [*FAST, "--reference-epochs", "5", "--dataset", DATA, "--jobs", "1"],
    "train": [*FAST, "--reference-epochs", "5", "--dataset", DATA, "--steps", "2"],
    "verify": ["--retrain", "1"],
    "score": ["--dataset", DATA, "--reference", "test_resnet", "--reference-epochs", "2", "--device", "cpu"],
    "drd pretrain": ["--dataset", DATA, "--dit", "nano", "--steps", "2", "--device", "cpu"],
    "drd timesteps": ["--dataset", DATA, "--scorer", DRD, "--reference", "test_resnet", "--reference-epochs", "1"],
    "drd explain": ["--dataset", DATA, "--reference", "test_resnet", "--reference-epochs", "2"],
    "drd estimate": ["--seconds", "0.2"],
    "recipe run": ["--dry-run"],  # they are run in tests/test_experiments*.py
}
VARIABLES = {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "16", "SLURM_SUBMIT_DIR": "."}
PLACES = {"folder:DIR": "folder:pictures", "/shared/": "", "folder:/shared/": "folder:"}
GRID = 'scorer = ["aum"]\nselector = ["hardest", "ccs"]\nkeep = [0.1, 0.3]\n'


def build(folder: Path) -> Path:
    """Everything that a command of the pages reads and no command before it writes."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    _pictures(folder / "pictures", draw)
    (folder / "grid.toml").write_text(GRID)
    labels = np.arange(60) % 4
    np.savez(folder / "log.npz", logits=draw.normal(size=(3, 60, 4)).astype(np.float32), labels=labels)
    for name in ("theirs.csv", "el2n.csv"):
        rows = [f"{path.name},{value}" for path, value in zip(trained(folder), draw.random(24), strict=True)]
        (folder / name).write_text("\n".join(["file,value", *rows]) + "\n")
    np.save(folder / "mine.npy", np.sort(draw.permutation(60)[:12]))
    return folder


def trained(folder: Path) -> list[Path]:
    """The training pictures, whose names differ."""
    return sorted((folder / "pictures" / "train").rglob("*.png"))


def _pictures(folder: Path, draw: np.random.Generator) -> None:
    from PIL import Image

    for split, count in (("train", 12), ("val", 4)):
        for label, name in enumerate(("dark", "bright")):
            place = folder / split / name
            place.mkdir(parents=True)
            for i in range(count):
                pixels = draw.integers(100 * label, 100 * label + 120, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{name}-{split}-{i}.png")


def filled(stage: Path, target: Path, store: Path) -> Path:
    """A copy of the stage, with a store of trials as ``runs`` and as ``other/runs``."""
    shutil.copytree(stage, target)
    for place in ("runs", "other/runs"):
        shutil.copytree(store, target / place)
    return target


def shortened(words: list[str]) -> list[str]:
    """The words of a command after ``prunebench``, its places moved into the stage, and `SMALL` behind them."""
    moved = [_moved(word) for word in words]
    wild = [sorted(glob.glob(word)) if "*" in word else [word] for word in moved]
    kept = [one for found in wild for one in found]
    name = next((name for name in (" ".join(words[:2]), words[0]) if name in SMALL), None)
    more = list(SMALL[name]) if name else []
    if any("folder:" in word for word in kept) or "--from-log" in kept:
        more = _without(more, "--dataset")
    if "--from-log" in kept or "--dry-run" in kept and name != "recipe run":
        more = []
    if name == "run" and "--policy" not in kept and "--config" not in kept or name == "run" and "--config" in kept:
        more += ["--steps", "2"]
    if name == "run" and "--policy" in kept:
        more += ["--epochs", "1"]
    return [*kept, *more]


def _moved(word: str) -> str:
    for before, after in PLACES.items():
        if word.startswith(before):
            return after + word[len(before) :]
    return word


def _without(words: list[str], option: str) -> list[str]:
    at = words.index(option) if option in words else len(words)
    return [*words[:at], *words[at + 2 :]]
