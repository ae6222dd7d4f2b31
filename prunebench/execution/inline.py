"""Tasks in this process, one after the other."""

from __future__ import annotations

from typing import Any

from .tasks import Outcome, Task, perform


class Inline:
    """Performs a task when it is asked for news; a task that takes this process with it takes the run with it."""

    def __init__(self, setting: Any) -> None:
        self.setting = setting
        self.next: Task | None = None

    def slots(self) -> int:
        return int(self.next is None)

    def start(self, task: Task) -> None:
        self.next = task

    def poll(self, seconds: float) -> list[tuple[str, Outcome]]:
        task, self.next = self.next, None
        return [(task.key, perform(self.setting, task))] if task else []

    def kill(self, key: str) -> None:
        """Nothing can be under way here while somebody else does something."""

    def close(self) -> None: ...
