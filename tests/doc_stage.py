"""Where the commands of README and docs run in a test: a folder with the files that they name, and smaller data.

Each command keeps its own words. What makes it short stands behind them, where click takes the last: generated
pictures, one seed, two steps, a network of a few thousand weights; and trainings run in this process, not in workers.
"""

from __future__ import annotations

import glob
import shutil
from pathlib import Path

import numpy as np
from doc_blocks import ROOT, blocks_of

DATA = "planted(train=60,test=20)"
DRD = "drd(dit='nano', dit_steps=2, samples=2, noises=2, draws=1)"
CPU = ["--device", "cpu", "--reference", "test_resnet", "--reference-epochs", "5"]
TRIALS = [*CPU, "--seeds", "1", "--threads", "1", "--model", "test_resnet", "--steps", "2"]
SMALL = {  # what stands behind the words of a command; the data only where it names no folder
    "run": [*TRIALS, "--dataset", DATA, "--jobs", "1"],
    "train": [*TRIALS, "--dataset", DATA],
    "verify": ["--retrain", "1"],
    "check": ["-x"],
    "score": [*CPU, "--dataset", DATA],
    "drd timesteps": [*CPU, "--dataset", DATA, "--scorer", DRD],
    "drd explain": [*CPU, "--dataset", DATA],
    "drd estimate": ["--seconds", "0.1"],
    "report": ["--only", "curves,pareto"],
    "recipe run": ["--dry-run"],
}
VARIABLES = {"GITHUB_RUN_ID": "1", "SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "16", "SLURM_SUBMIT_DIR": "."}
PLACES = {"folder:DIR": "folder:pictures", "/shared/": "", "folder:/shared/": "folder:"}
FILES = {"docs/recipes.md": "mine.toml"}  # the TOML of a page, under the name that its commands have for it
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
    for page, name in FILES.items():
        (block,) = [block for block in blocks_of(ROOT / page) if block.kind == "toml"]
        (folder / name).write_text(block.code)
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
                pixels = draw.integers(100 * label, 100 * label + 120, (24, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{name}-{split}-{i}.png")


def filled(stage: Path, target: Path, store: Path) -> Path:
    """A copy of the stage, with a store of trials as ``runs`` and as ``other/runs``."""
    shutil.copytree(stage, target)
    for place in ("runs", "other/runs"):
        shutil.copytree(store, target / place)
    return target


def planned(words: list[str]) -> list[str]:
    """The words of a command that trains for minutes, and behind them that it only say what it would do.

    A plan measures a step of each network that it needs, so the network is a small one.
    """
    return [*map(_moved, words), "--dry-run", "--model", "test_resnet", "--reference", "test_resnet"]


def shortened(words: list[str]) -> list[str]:
    """The words of a command after ``prunebench``, its places moved into the stage, and `SMALL` behind them."""
    moved = [_moved(word) for word in words]
    kept = [one for word in moved for one in (sorted(glob.glob(word)) if "*" in word else [word])]
    if kept[0] in ("run", "score") and {"--dry-run", "--from-log"} & set(kept):
        return kept
    more = next((list(SMALL[name]) for name in (" ".join(kept[:2]), kept[0]) if name in SMALL), [])
    if any(word.startswith("folder:") for word in kept):
        more = _without(more, "--dataset")
        more += ["--store", "of-pictures"] if kept[0] == "run" else []  # one bundle is of one data set
    if "--budget" in kept:  # in epochs
        more = [*_without(more, "--steps"), "--epochs", "1"]
    if kept[0] == "score" and "drd" in kept:
        more += ["--scorer", DRD]
    return [*kept, *more]


def _moved(word: str) -> str:
    for before, after in PLACES.items():
        if word.startswith(before):
            return after + word[len(before) :]
    return word


def _without(words: list[str], option: str) -> list[str]:
    at = words.index(option) if option in words else len(words)
    return [*words[:at], *words[at + 2 :]]
