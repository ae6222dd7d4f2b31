"""What a training keeps while it lasts, so that one that was killed goes on, on the CPU bit for bit.

A checkpoint is a folder ``at-STEP`` that appears whole or not at all: the tensors of every part of the training in one
safetensors file, and a card with the training's identity, the SHA-256 of that file, and of what stands so far in the
files that are appended to. One is written when so many seconds have passed, and so seldom that writing takes no more
than one `SHARE`-th of the time: a short training writes none. When they are written changes no number.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .. import __version__
from ..errors import CellError, MethodError, VerifyError
from ..json_files import read_object
from ..store import canonical, card_hash, file_sha256
from ..store.publishing import fsync, write
from .recorder import Recorder

SHARE = 50
FORMAT = 1  # changes whenever what a part keeps means something else
_CARD_LIMIT = 2**20  # bytes
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)  # of a card that is none
log = logging.getLogger("prunebench")


@runtime_checkable
class Resumable(Protocol):
    """A part of a training: what `state` told, `restore` brings back, in another process too."""

    def state(self) -> dict[str, Tensor]: ...

    def restore(self, state: Mapping[str, Tensor]) -> None: ...


@dataclass(eq=False)
class Checkpoints:
    """Those of one training, in a ``folder`` that nobody else works in; it is made when the first one is written.

    ``identity`` is all that the numbers depend on: a checkpoint of another one is not gone on with. As a context it
    lasts until the training's record stands.
    """

    folder: Path
    identity: Mapping[str, Any]
    every: float  # seconds between two

    def __post_init__(self) -> None:
        self._last, self._took = time.monotonic(), 0.0

    @property
    def due(self) -> bool:
        """Whether the last one is long enough ago."""
        wait = max(self.every, SHARE * self._took) if self.every else 0.0
        return time.monotonic() - self._last >= wait

    def save(self, step: int, parts: Mapping[str, Resumable], written: Mapping[Path, tuple[int, str]]) -> float:
        """Keep ``parts`` as they stand after ``step`` steps; returns the seconds it took.

        ``written``: of each file in ``folder`` that is appended to, how many bytes stand and their SHA-256. Where there
        is no room, the training goes on without.
        """
        started = time.monotonic()
        part = self.folder / f"part-{secrets.token_hex(4)}"
        try:
            part.mkdir(parents=True)
            self._write(part, parts, written)
            part.rename(self.folder / f"at-{step:09d}")
            fsync(self.folder)
            for older in self._standing()[1:]:
                shutil.rmtree(older)
        except (OSError, SafetensorError) as failure:  # safetensors tells a full disk in a kind of its own
            told = getattr(failure, "strerror", None) or failure
            log.warning("no checkpoint in %s (%s): the training goes on without", self.folder, told)
            shutil.rmtree(part, ignore_errors=True)
        self._last = time.monotonic()
        self._took = self._last - started
        return self._took

    def _write(self, part: Path, parts: Mapping[str, Resumable], written: Mapping[Path, tuple[int, str]]) -> None:
        tensors = {
            f"{name}/{key}": tensor.detach().cpu().contiguous()
            for name, kept in parts.items()
            for key, tensor in kept.state().items()
        }
        state = part / "state.safetensors"
        save_file(tensors, state)
        fsync(state)
        files = {path.relative_to(self.folder).as_posix(): told for path, told in written.items()}
        card = {"conditions": self._conditions(), "state": file_sha256(state), "files": files}
        write(part / "card.json", canonical({"card": card, "sha256": card_hash(card)}).encode())
        fsync(part)

    def restore(self, parts: Mapping[str, Resumable]) -> bool:
        """Bring ``parts`` to where the last sound checkpoint was written; False where there is none.

        One that is torn, or of another training, is set aside.
        """
        for path in self._standing():
            try:
                state = self._read(path)
            except (OSError, SafetensorError, VerifyError, *_UNREADABLE) as unsound:
                log.warning("the checkpoint %s is set aside (%s)", path, unsound)
                path.rename(path.with_name(f"aside-{secrets.token_hex(4)}"))
                continue
            for name, kept in parts.items():
                kept.restore(under(name, state))
            return True
        return False

    def _read(self, path: Path) -> dict[str, Tensor]:
        told = read_object(path / "card.json", _CARD_LIMIT)
        card = told["card"]
        if told["sha256"] != card_hash(card):
            raise VerifyError("its card was altered after it was written")
        if canonical(card["conditions"]) != canonical(self._conditions()):
            raise VerifyError("it is of another training or another version")
        if file_sha256(path / "state.safetensors") != card["state"]:
            raise VerifyError("its tensors are torn or were altered")
        for name, (length, digest) in card["files"].items():
            if _digest_of_first(self.folder / name, length) != digest:
                raise VerifyError(f"{name} is torn or was altered")
        return load_file(path / "state.safetensors")

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        """Nothing is left once the record stands, or where the same training would only fail again."""
        if kind is None or issubclass(kind, (CellError, MethodError)):
            shutil.rmtree(self.folder, ignore_errors=True)

    def _standing(self) -> list[Path]:
        return sorted(self.folder.glob("at-*"), reverse=True)

    def _conditions(self) -> dict[str, Any]:
        versions = {"prunebench": __version__, "torch": torch.__version__}
        return {"format": FORMAT, "identity": dict(self.identity), **versions}


def under(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What lies under ``name/``, by the rest of its key."""
    return {key.removeprefix(f"{name}/"): value for key, value in state.items() if key.startswith(f"{name}/")}


def _digest_of_first(path: Path, length: int) -> str:
    digest, left = hashlib.sha256(), length
    with path.open("rb") as stream:
        while left and (part := stream.read(min(2**20, left))):
            digest.update(part)
            left -= len(part)
    return digest.hexdigest()


class Clock:
    """Seconds of a training, over all its sittings; what is taken ``apart`` is not the training's."""

    def __init__(self) -> None:
        self.epoch_end = 0.0  # seconds of evaluation passes
        self.resumed = 0  # how often it went on after a kill
        self._before, self._apart, self._started = 0.0, 0.0, time.perf_counter()

    @property
    def seconds(self) -> float:
        return self._before + time.perf_counter() - self._started - self._apart

    def take_apart(self, seconds: float) -> None:
        self._apart += seconds

    def finish_epoch(self, seconds: float) -> None:
        """What the evaluation pass took."""
        self.epoch_end += seconds
        self._apart += seconds

    def state(self) -> dict[str, Tensor]:
        times = torch.tensor([self.seconds, self.epoch_end], dtype=torch.float64)
        return {"seconds": times, "resumed": torch.tensor(self.resumed)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self._before, self.epoch_end = state["seconds"].tolist()
        self.resumed = int(state["resumed"]) + 1
        self._apart, self._started = 0.0, time.perf_counter()


@dataclass(eq=False)
class Generators:
    """Our own generators, and torch's global ones, from which networks draw."""

    own: Mapping[str, torch.Generator]
    device: torch.device

    def state(self) -> dict[str, Tensor]:
        found = {f"own/{name}": generator.get_state() for name, generator in self.own.items()}
        found["cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            found["cuda"] = torch.cuda.get_rng_state(self.device)
        return found

    def restore(self, state: Mapping[str, Tensor]) -> None:
        for name, generator in self.own.items():
            generator.set_state(state[f"own/{name}"].clone())
        torch.set_rng_state(state["cpu"].clone())
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"].clone(), self.device)


class Sittings:
    """A training that may take several: it goes on from its last checkpoint, and writes the next ones."""

    def __init__(self, checkpoints: Checkpoints | None, clock: Clock, recorder: Recorder | None, **parts: Any) -> None:
        self.checkpoints, self.clock, self.recorder = checkpoints, clock, recorder
        parts |= {"clock": clock, "recorder": recorder}
        self.parts = {name: part for name, part in parts.items() if isinstance(part, Resumable)}

    def resume(self) -> bool:
        """Whether an earlier sitting is gone on with."""
        return self.checkpoints is not None and self.checkpoints.restore(self.parts)

    def keep(self, step: int) -> None:
        """After each step: a checkpoint where one is due, in time that is not the training's."""
        if self.checkpoints is not None and self.checkpoints.due:
            written = self.recorder.written() if self.recorder else {}
            self.clock.take_apart(self.checkpoints.save(step, self.parts, written))
