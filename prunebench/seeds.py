"""Every random draw has a named seed: nothing depends on the clock or on global state."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def seed_for(*names: Any) -> int:
    """A seed in [0, 2^63) that depends on all ``names`` and on nothing else."""
    text = "\0".join(str(name) for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator_for(*names: Any) -> torch.Generator:
    """A CPU generator seeded by `seed_for`."""
    import torch

    return torch.Generator().manual_seed(seed_for(*names))


def example_seeds(scorer: str, score_seed: int, keys: Sequence[str]) -> np.ndarray:
    """(N,) int64: one seed per example from (scorer name, score seed, key), options excluded, so noise is paired."""
    return _seeds_for_keys(scorer, score_seed, keys=keys)


def key_order(keys: Sequence[str]) -> np.ndarray:
    """(N,) int64: positions sorted by a hash of the key, the order in which ties are broken."""
    hashes = [hashlib.sha256(key.encode()).digest()[:16] for key in keys]
    return np.array(sorted(range(len(hashes)), key=lambda i: (hashes[i], i)), dtype=np.int64)


def held_out(keys: Sequence[str]) -> np.ndarray:
    """(N,) bool: one example in ten, by key hash, so it needs no labels and no seed."""
    return _seeds_for_keys("held_out", keys=keys) % 10 == 0


def _seeds_for_keys(*names: Any, keys: Sequence[str]) -> np.ndarray:
    """(N,) int64: ``seed_for(*names, key)`` of every key, with what they share hashed once."""
    begun = hashlib.sha256("".join(f"{name}\0" for name in names).encode())

    def digest(key: str) -> bytes:
        whole = begun.copy()
        whole.update(key.encode())
        return whole.digest()[:8]

    return (np.frombuffer(b"".join(map(digest, keys)), dtype=">u8") >> 1).astype(np.int64)


def noise(seeds: Tensor, draw: int, shape: Sequence[int], device: Any = "cpu") -> Tensor:
    """(B, *shape) float32 standard normal noise, row i a function of (seeds[i], draw) alone.

    Counter-based (NumPy's Philox, key = seed and draw) on the CPU, then moved: the same numbers on every device, in
    every batch and in every shard.
    """
    import torch

    rows = np.empty((len(seeds), *shape), dtype=np.float32)
    for row, seed in zip(rows, np.asarray(seeds.cpu(), dtype=np.int64), strict=True):
        key = np.array([np.uint64(seed), np.uint64(draw)], dtype=np.uint64)
        row[...] = np.random.Generator(np.random.Philox(key=key)).standard_normal(shape, dtype=np.float32)
    return torch.from_numpy(rows).to(device)


@contextmanager
def global_rng(seed: int | None = None) -> Iterator[None]:
    """Seed the global generators for a block of library code (model initialisation), and put them back after."""
    import torch

    cuda = torch.cuda.is_available()
    states = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    cuda_states = torch.cuda.get_rng_state_all() if cuda else None
    if seed is not None:
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if cuda_states is not None:
            torch.cuda.set_rng_state_all(cuda_states)
