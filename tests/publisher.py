"""A driver that publishes records of every kind, as the harness does, and acknowledges each on a line; without torch.

    python tests/publisher.py STORE [SEED]

What it publishes does not depend on the seed, which only gives the order. Work that stands is not done again. A line is
the word ``made`` or ``found``, the kind and the id; it is written when the record is published, never before.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
from safetensors.numpy import save

from prunebench.store import Record, Store, identify
from prunebench.store import directory as store_module

EACH = 3  # records of each kind
CLOCK = SimpleNamespace(perf_counter=lambda: 0.0)  # of the one time that a record tells: stores compare byte for byte
NOTED = {"error": "out of luck", "keep": 0.1}
Told = Callable[[str], Any]


def values(number: int, n: int = 500) -> np.ndarray:
    return np.random.Generator(np.random.Philox(number)).normal(size=n)


def card_alone(store: Store, identity: Mapping[str, Any], number: int) -> Record:
    return store.put("trials", identity, {"accuracy": number / 10, "scorer": "größe"})


def arrays(store: Store, identity: Mapping[str, Any], number: int) -> Record:
    keys = np.array([f"train:{i}" for i in range(20)])
    return store.put("scores", identity, {"hard": "low"}, arrays={"values": values(number), "keys": keys})


def one_file(store: Store, identity: Mapping[str, Any], number: int) -> Record:
    with store.scratch("history") as scratch:
        np.save(scratch / "history.npy", values(number).reshape(5, -1), allow_pickle=False)
        return store.put("evidence", identity, {}, files={"history.npy": scratch / "history.npy"})


def weights(store: Store, identity: Mapping[str, Any], number: int) -> Record:
    with store.scratch("network") as scratch:
        (scratch / "network.safetensors").write_bytes(save({"weight": values(number), "bias": values(99 - number)}))
        return store.put("models", identity, {}, files={"network": scratch / "network.safetensors"})


def folder(store: Store, identity: Mapping[str, Any], number: int) -> Record:
    def make(place: Path) -> None:
        (place / "inside").mkdir(exist_ok=True)
        for step in range(3):
            part, whole = place / f"{step}.part", place / "inside" / f"step{step}.npy"
            if not whole.exists():  # a checkpoint: what is there when it is killed is gone on with
                with part.open("wb") as stream:
                    np.save(stream, values(10 * number + step), allow_pickle=False)
                    stream.flush()
                    os.fsync(stream.fileno())
                part.replace(whole)

    with patch.object(store_module, "time", CLOCK):
        return store.make_folder(identity, make)


KINDS = {"card": ("trials", card_alone), "npz": ("scores", arrays), "npy": ("evidence", one_file)}
KINDS |= {"safetensors": ("models", weights), "folder": ("models", folder)}
Work = tuple[str, str, dict[str, Any], int]  # name, kind, identity, number


def work(each: int = EACH) -> list[Work]:
    return [(name, KINDS[name][0], {"what": name, "n": n}, n) for n in range(each) for name in KINDS]


def do(store: Store, name: str, kind: str, identity: dict[str, Any], number: int) -> tuple[str, Record]:
    """One record as the harness publishes it: read where it stands, else made by whoever holds its lock."""
    if (record := store.get(kind, identity)) is not None:
        return "found", record
    if name == "folder":  # takes its lock itself
        return "made", KINDS[name][1](store, identity, number)
    with store.lock(identify(kind, identity)):
        if (record := store.get(kind, identity)) is not None:
            return "found", record
        return "made", KINDS[name][1](store, identity, number)


def publish(root: Path, say: Told, seed: int = 0, each: int = EACH) -> None:
    """Everything of `work` in the order of a seed; while a record is made, a note of failure stands for it."""
    store, todo = Store(root), work(each)
    random.Random(seed).shuffle(todo)
    for name, kind, identity, number in todo:
        id = identify(kind, identity)
        store.note_failure(id, NOTED)
        say(f"noted failures {id}")
        how, _ = do(store, name, kind, identity, number)
        say(f"{how} {kind} {id}")
        store.forget_failure(id)


def content(root: Path) -> dict[str, bytes]:
    """Every file of a store by its name; a file ``.lock`` holds nothing, it is there for the system's lock on it."""
    found = (path for path in root.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


if __name__ == "__main__":
    publish(Path(sys.argv[1]), lambda line: print(line, flush=True), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
