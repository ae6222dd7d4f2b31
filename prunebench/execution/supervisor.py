"""The loop that every backend runs under: what is ready is started, what ended is judged by the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heappush

from .tasks import Backend, Outcome, Task

ATTEMPTS = 2  # of a task whose process dies; one that raised, or took too long, is not tried again
POLL = 0.2  # seconds between two looks at the deadlines


def supervise(
    tasks: Sequence[Task],
    backend: Backend,
    stands: Callable[[Task, Outcome], bool] = lambda task, outcome: True,
    timeout: float | None = None,
) -> Iterator[tuple[Task, Outcome]]:
    """Every task with its one outcome, as they end.

    Args:
        tasks: in the order in which they are to be started where they are ready.
        stands: whether the record that a task told of is there and sound; a bare word is not believed.
        timeout: seconds that a task may take, by a clock that nobody can set.

    A task whose needs failed is not started: it ends as they did. What a task needs that is no task here stands.

    Raises:
        ValueError: tasks need each other in a circle.
    """
    queue = Queue(tasks)
    started: dict[str, float] = {}
    deaths: dict[str, int] = {}
    try:
        while queue.waiting or started:
            while backend.slots() and (task := queue.next()) is not None:
                started[task.key] = time.monotonic()
                backend.start(task)
            if not started:
                raise ValueError(f"tasks need each other in a circle: {', '.join(sorted(queue.waiting))}")
            for key, outcome in backend.poll(POLL):
                del started[key]
                task = queue.tasks[key]
                if outcome.done and not stands(task, outcome):
                    outcome = Outcome("died", "its process said that it was done and left no sound record")
                deaths[key] = deaths.get(key, 0) + (outcome.kind == "died")
                if outcome.kind == "died" and deaths[key] < ATTEMPTS:
                    queue.again(task)
                else:
                    yield from queue.end(task, outcome)
            for key in [k for k, since in started.items() if timeout and time.monotonic() - since > timeout]:
                backend.kill(key)
                del started[key]
                told = f"took longer than the {timeout:g} s that --timeout allows; what it has stored is kept"
                yield from queue.end(queue.tasks[key], Outcome("timeout", told))
    finally:
        backend.close()


class Queue:
    """Tasks in their order, each ready when nothing it needs is left."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = {task.key: task for task in tasks}
        self.place = {key: place for place, key in enumerate(self.tasks)}
        self.unmet = {key: {n for n in task.needs if n in self.tasks} for key, task in self.tasks.items()}
        self.dependents: dict[str, list[str]] = {}
        for key, needs in self.unmet.items():
            for need in needs:
                self.dependents.setdefault(need, []).append(key)
        self.waiting = set(self.tasks)
        self.ready = [(self.place[key], key) for key, needs in self.unmet.items() if not needs]
        heapify(self.ready)

    def next(self) -> Task | None:
        """The first task that is ready, no longer waiting; None where there is none."""
        while self.ready:
            _, key = heappop(self.ready)
            if key in self.waiting:
                self.waiting.discard(key)
                return self.tasks[key]
        return None

    def again(self, task: Task) -> None:
        self.waiting.add(task.key)
        heappush(self.ready, (self.place[task.key], task.key))

    def end(self, task: Task, outcome: Outcome) -> Iterator[tuple[Task, Outcome]]:
        """The task's outcome, and of a failure that of all that needed it."""
        yield task, outcome
        for key in self.dependents.get(task.key, ()):
            if outcome.done:
                self.unmet[key].discard(task.key)
                if not self.unmet[key]:
                    heappush(self.ready, (self.place[key], key))
            elif key in self.waiting:
                self.waiting.discard(key)
                yield from self.end(self.tasks[key], outcome)
