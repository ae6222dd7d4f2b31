"""Resumable, shardable per-example work: fixed blocks of a fixed order, each stored when it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..harness.shared import hash_array
from ..store import Store
from .account import Account


class ShardDone(BaseException):
    """This shard's blocks stand; the others are for other machines. Not an error, so no method can swallow it."""

    def __init__(self, done: int, total: int) -> None:
        super().__init__(f"{done} of {total} blocks stand")
        self.done, self.total = done, total


class Blocks:
    """Call it with ``compute(indices (rows,)) -> (rows,)``; it returns (N,) float64.

    The blocks are cut from ``order`` (default: the canonical order), the last one padded by repeating its last index,
    so that every block is computed at one size and gives the same numbers on any machine of a kind. Each block's record
    tells what it cost, and that is charged whoever computed it and when: an interrupted or a sharded scoring has the
    cost of an undisturbed one.
    """

    def __init__(
        self, store: Store, identity: Mapping[str, Any], n: int, shard: tuple[int, int] | None, account: Account
    ) -> None:
        self.store, self.identity, self.n, self.shard, self.account = store, identity, n, shard, account
        self.calls = 0

    def __call__(self, compute: Callable[[Tensor], Any], order: Any = None, rows: int = 64) -> Tensor:
        whole = np.arange(self.n) if order is None else np.asarray(order, dtype=np.int64)
        if not np.array_equal(np.sort(whole), np.arange(self.n)):
            raise ValueError(f"blocks needs an order of all {self.n} examples, each exactly once")
        values = np.full(self.n, np.nan)
        starts = range(0, self.n, rows)
        named = {**self.identity, "what": "block", "call": self.calls, "rows": rows, "order": hash_array(whole)}
        self.calls += 1
        for number, start in enumerate(starts):
            if self.shard and number % self.shard[1] != self.shard[0]:
                continue
            block = whole[start : start + rows]
            values[block] = self._block(compute, {**named, "block": number}, block, rows)
        if self.shard and self.shard[1] > 1:
            self._gather(values, whole, named, rows)
        return torch.from_numpy(values)

    def _block(self, compute: Callable[[Tensor], Any], identity: dict, block: np.ndarray, rows: int) -> np.ndarray:
        record = self.store.get("evidence", identity)
        if record is None:
            padded = np.concatenate([block, np.full(rows - len(block), block[-1])])
            with self.account.making() as made:
                computed = torch.as_tensor(compute(torch.from_numpy(padded)))
                found = np.asarray(computed.detach().cpu(), dtype=np.float64)
            if found.shape != (rows,):
                raise ValueError(f"a block of {rows} indices gave {found.shape} values, ({rows},) are expected")
            if not np.isfinite(found).all():
                bad = int(padded[np.flatnonzero(~np.isfinite(found))[0]])
                raise ValueError(f"the value of example {bad} is not finite")
            record = self.store.put("evidence", identity, made.told(), arrays={"values": found[: len(block)]})
        self.account.charge_made(record.id, record.result)
        return record.arrays["values"]

    def _gather(self, values: np.ndarray, whole: np.ndarray, named: dict, rows: int) -> None:
        total, done = -(-self.n // rows), 0
        for number in range(total):
            record = self.store.get("evidence", {**named, "block": number})
            if record is not None:
                values[whole[number * rows : (number + 1) * rows]] = record.arrays["values"]
                self.account.charge_made(record.id, record.result)
                done += 1
        if done < total:
            raise ShardDone(done, total)
