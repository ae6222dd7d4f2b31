"""The loop that every backend runs under: what is ready is started, what ended is judged by the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

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
    """
    waiting = {task.key: task for task in tasks}
    under_way: dict[str, Task] = {}
    started: dict[str, float] = {}
    tries: dict[str, int] = {}
    ended: dict[str, Outcome] = {}

    def end(task: Task, outcome: Outcome) -> Iterator[tuple[Task, Outcome]]:
        ended[task.key] = outcome
        yield task, outcome
        if not outcome.done:
            for other in [t for t in waiting.values() if task.key in t.needs]:
                del waiting[other.key]
                yield from end(other, outcome)

    def ready() -> Task | None:
        unmet = waiting.keys() | under_way.keys()
        return next((task for task in waiting.values() if unmet.isdisjoint(task.needs)), None)

    try:
        while waiting or under_way:
            while backend.slots() and (task := ready()) is not None:
                under_way[task.key] = waiting.pop(task.key)
                started[task.key] = time.monotonic()
                backend.start(task)
            if not under_way:
                raise ValueError(f"tasks need each other in a circle: {', '.join(t.name for t in waiting.values())}")
            for key, outcome in backend.poll(POLL):
                task = under_way.pop(key)
                if outcome.done and not stands(task, outcome):
                    outcome = Outcome("died", f"{task.name}: its process said that it was done and left no record")
                tries[key] = tries.get(key, 0) + 1
                if outcome.kind == "died" and tries[key] < ATTEMPTS:
                    waiting = {key: task, **waiting}
                    continue
                yield from end(task, outcome)
            for key in [k for k in under_way if timeout and time.monotonic() - started[k] > timeout]:
                backend.kill(key)
                told = f"took longer than the {timeout:g} s that --timeout allows; what it had stored is kept"
                yield from end(under_way.pop(key), Outcome("timeout", told))
    finally:
        backend.close()
