"""Tasks on a Ray cluster, by a process of its own that speaks to Ray.

Ray prints on the output of the process that uses it, takes its signals, waits for a lost cluster without end and ends
the process after a minute of that. All this happens to the driver (`ray_driver`); the run is told in a sentence. The
driver ends when the run's process does, however that ended, and with it a cluster that was started here.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from ..errors import PrunebenchError
from .ray_access import endpoint, environment_to_join, environment_to_start, refuse_without_ray, short_folder
from .ray_nodes import Needs
from .tasks import Outcome, Task

OPENED = 300.0  # seconds in which a cluster must be reached and all its nodes must have looked around
ANSWERED = 20.0  # seconds in which the driver must answer; Ray blocks while its head is gone
ENDED = 8.0  # seconds in which the driver must have ended
AGAIN = "what stands is kept, the same command goes on from there"


class OnRay:
    """As many tasks side by side as the cluster's nodes can do.

    Args:
        setting: what every task is performed in; travels with each.
        jobs: bound on the tasks side by side; 0 for none. A cluster that is started here has room for so many.
        address: "local" starts a cluster here, which ends with this backend; else HOST:PORT or ray://HOST:PORT.
        needs: what every node must have.

    Raises:
        UserError: no Ray, no such cluster, or a node of it cannot do this run's work.
    """

    def __init__(self, setting: Any, jobs: int, address: str, needs: Needs) -> None:
        place = endpoint(address)
        refuse_without_ray()
        self.cluster = f"at {address}" if place else "that was started here"
        self.process: subprocess.Popen[bytes] | None = None
        self.folder = short_folder()
        try:
            self._drive(environment_to_join(address) if place else environment_to_start(self.folder))
            self._call(OPENED, "open", bytes(ForkingPickler.dumps(setting)), jobs, address, needs, str(self.folder))
        except BaseException:
            self.close()
            raise

    def _drive(self, environment: Mapping[str, str]) -> None:
        self.pipe, theirs = Pipe()
        code = f"from prunebench.execution.ray_driver import drive; drive({theirs.fileno()})"
        with self._words.open("wb") as words:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                env=environment,
                stdin=subprocess.PIPE,  # the driver ends when this does
                stdout=subprocess.DEVNULL,
                stderr=words,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        theirs.close()

    def _call(self, seconds: float, name: str, *args: Any) -> Any:
        """What a function of the driver returns.

        Raises:
            PrunebenchError: what it raised, or that it did not answer.
        """
        try:
            self.pipe.send((name, args))
            if not self.pipe.poll(seconds):
                raise PrunebenchError(f"the Ray cluster {self.cluster} no longer answers: {AGAIN}")
            raised, told = self.pipe.recv()
        except (EOFError, OSError):
            raise PrunebenchError(f"lost the Ray cluster {self.cluster}{self._last_words()}: {AGAIN}") from None
        if raised:
            raise told
        return told

    @property
    def _words(self) -> Path:
        return self.folder / "driver.log"

    def _last_words(self) -> str:
        lines = self._words.read_bytes()[-2000:].decode(errors="replace").split("\n") if self._words.exists() else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f" ({last[:300]})" if last else ""

    def slots(self) -> int:
        """Raises:
        PrunebenchError: no node is left.
        """
        return self._call(ANSWERED, "slots")

    def start(self, task: Task) -> None:
        self._call(ANSWERED, "start", task)

    def poll(self, seconds: float) -> list[tuple[str, Outcome]]:
        """Raises:
        PrunebenchError: the cluster is gone.
        """
        return self._call(ANSWERED + seconds, "poll", seconds)

    def kill(self, key: str) -> None:
        self._call(ANSWERED, "kill", key)

    def close(self) -> None:
        if self.process is not None:
            assert self.process.stdin is not None
            with suppress(OSError):
                self.process.stdin.close()
            try:
                self.process.wait(ENDED)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)
