"""Worker processes of this machine, forked from a server that has imported everything.

A worker does one task after the other, each alone in its process, and keeps what it has loaded; after a failure it is
replaced by a fresh one. It leads a process group of its own, which ends with it; it ends when the run's own process
does, however that ended.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver, util
from multiprocessing.connection import Connection, wait
from typing import Any

from ..terminal import inert_stream
from .tasks import Outcome, Task, perform_alone

PRELOAD = ("prunebench.execution.steps", "prunebench.training.loop")
SOCKET_FOLDER = 108 - 1 - len("/pymp-12345678/listener-12345678")  # bytes of a temporary folder's path, at most
GRACE = 2.0  # seconds that a worker without a task has to go by itself


class Local:
    """``jobs`` workers at most.

    Args:
        setting: what every task is performed in; pickled once per worker.
        preload: modules that the server imports before it forks.
        devices: of the values of CUDA_VISIBLE_DEVICES that the workers are given in turn; none are set without any.
    """

    def __init__(self, setting: Any, jobs: int, preload: Sequence[str] = PRELOAD, devices: Sequence[str] = ()) -> None:
        self.setting, self.jobs, self.devices = setting, jobs, devices
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload([__name__, *preload])
        _start_server()
        self.workers: list[Worker] = []

    def slots(self) -> int:
        return self.jobs - sum(w.task is not None for w in self.workers)

    def start(self, task: Task) -> None:
        for worker in [w for w in self.workers if w.task is None and not w.process.is_alive()]:
            self._dismiss(worker)
        worker = next((w for w in self.workers if w.task is None), None) or self._hire()
        worker.task = task
        with suppress(OSError):  # one that died since is found by poll
            worker.pipe.send(task)

    def _hire(self) -> Worker:
        taken = {w.slot for w in self.workers}
        slot = next(i for i in range(len(taken) + 1) if i not in taken)
        device = self.devices[slot % len(self.devices)] if self.devices else None
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=work, args=(self.setting, theirs, device))
        process.start()
        theirs.close()
        self.workers.append(Worker(process, ours, slot))
        return self.workers[-1]

    def poll(self, seconds: float) -> list[tuple[str, Outcome]]:
        busy = [w for w in self.workers if w.task is not None]
        heard = wait([w.pipe for w in busy], seconds)
        found = []
        for worker in [w for w in busy if w.pipe in heard]:
            task = worker.task
            assert task is not None
            outcome = worker.hear()
            worker.task = None
            if not outcome.done:
                self._dismiss(worker)
            found.append((task.key, outcome))
        return found

    def kill(self, key: str) -> None:
        for worker in [w for w in self.workers if w.task is not None and w.task.key == key]:
            self._dismiss(worker)

    def _dismiss(self, worker: Worker) -> None:
        worker.end()
        self.workers.remove(worker)

    def close(self) -> None:
        for worker in self.workers:
            worker.pipe.close()  # tells those without a task to go
        for worker in self.workers:
            if worker.task is None:
                worker.process.join(GRACE)
        for worker in list(self.workers):
            self._dismiss(worker)


def _start_server() -> None:
    """The server imports for seconds, and an interrupt at the terminal is for the run's own process alone."""
    _shorten_socket_folder()
    if threading.current_thread() is not threading.main_thread():
        forkserver.ensure_running()
        return
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which it inherits
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, heard)


def _shorten_socket_folder() -> None:
    """A socket in ``/tmp`` where its path below TMPDIR would be longer than the system takes (gh-132124)."""
    chosen: dict[str, Any] = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    if chosen.get("tempdir") is None and len(os.fsencode(tempfile.gettempdir())) > SOCKET_FOLDER:
        chosen["tempdir"] = folder = tempfile.mkdtemp(prefix="pymp-", dir="/tmp")
        util.Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-100)


@dataclass(eq=False)
class Worker:
    """One process and the task it is at."""

    process: Any
    pipe: Connection
    slot: int
    task: Task | None = None

    def hear(self) -> Outcome:
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(GRACE)
            return Outcome("died", f"its process died ({_manner(self.process.exitcode)})")

    def end(self) -> None:
        """The worker and everything that it started."""
        with suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _manner(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def devices_for(name: str) -> list[str]:
    """What CUDA_VISIBLE_DEVICES is to hold for one worker after the other, where ``--device`` leaves the choice."""
    if name not in ("auto", "cuda"):
        return []
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not torch.cuda.is_available():
        return []
    if visible is not None:
        return [part.strip() for part in visible.split(",") if part.strip()]
    return [str(i) for i in range(torch.cuda.device_count())]


def work(setting: Any, pipe: Connection, device: str | None = None) -> None:
    """A worker's life."""
    os.setsid()  # the run's process hears interrupts, and ends this group
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(OSError):  # nobody may be there to read it
        os.dup2(2, 1)  # what a plugin prints is no part of the run's own output
    sys.stdout = sys.stderr = inert_stream(sys.stderr)
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            os._exit(0)
        pipe.send(perform_alone(setting, task))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.killpg(0, signal.SIGKILL)
