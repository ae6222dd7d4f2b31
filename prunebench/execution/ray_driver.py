"""The process that speaks to Ray: Ray Core tasks alone, each on a node that was looked at, none tried again by Ray.

A task, the setting and the outcome travel; results travel through the store, which all nodes share. What a task says
goes to a file in the store, which is removed when the task is done.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.parse import quote

from ..datasets.threads import cores
from ..errors import PrunebenchError, UserError
from .ray_access import AGAIN, HERE, answers, endpoint
from .ray_nodes import ANSWER, Needs, Node, environment, node_of, refuse_unfit
from .ray_worker import heard, perform_there
from .tasks import Outcome, Task, describe

LOOK = 2.0  # seconds between two looks at the cluster
GONE = 8.0  # seconds without an answer after which its head counts as gone; after 60, Ray ends this process
LEAVE = 4.0  # seconds to leave a cluster in good order
OBJECTS = 80 * 2**20  # bytes of Ray's object store, which holds nothing of ours
LOGS = ".logs"  # of the store


@dataclass(frozen=True)
class UnderWay:
    """A task on a node; ``result`` is Ray's reference to its outcome."""

    task: Task
    node: Node
    result: Any


class Driver:
    """One connection to Ray, for one run."""

    # -- the cluster --------------------------------------------------------------------------------------------------

    def open(self, setting: bytes, jobs: int, address: str, needs: Needs, folder: str) -> None:
        """Reach the cluster and look at its nodes.

        Raises:
            UserError: it cannot be reached, or a node of it cannot do this run's work.
        """
        self.setting, self.jobs, self.address, self.needs = setting, jobs, address, needs
        self.under_way: dict[str, UnderWay] = {}
        self.nodes: dict[str, Node] = {}
        self.refused: set[str] = set()  # nodes that are gone, or came later and cannot do the work
        self.asked: set[str] = set()  # nodes that came later and have not answered
        self.met: SimpleQueue[tuple[Node, str]] = SimpleQueue()  # those that have, with what they lack
        self.said: list[str] = []  # what the user is to be warned of
        self.died_on: dict[str, str] = {}  # of a task: the node on which its process died last
        self.looked = self.heard = time.monotonic()
        self.folder, self.family = folder, Family()
        self._join()
        self._meet(self._alive())
        if not self.nodes:
            gpu = " and a GPU" if needs.gpus else ""
            raise UserError(f"no Ray node has {needs.threads} CPUs{gpu}: give fewer --threads, {HERE}")

    def _join(self) -> None:
        import ray

        self.ray, self.work = ray, ray.remote(perform_there)
        started: dict[str, Any] = {}
        if self.address == "local":
            jobs = self.jobs or max(1, cores() // self.needs.threads)
            started = {
                "num_cpus": jobs * self.needs.threads,
                "num_gpus": self.needs.gpus,
                "_temp_dir": f"{self.folder}/ray",
            }
            started |= {"include_dashboard": False, "object_store_memory": OBJECTS}
        try:
            ray.init(self.address, log_to_driver=False, configure_logging=False, **started)
        except (OSError, RuntimeError, ValueError, ImportError, ray.exceptions.RayError) as failure:
            told = " ".join(str(failure).split())[:300]
            if started:
                raise UserError(f"Ray cannot be started here ({told}): {HERE}") from failure
            client = self.address.startswith("ray://")
            wanted = 'here, pip install "ray[client]"' if client else "one of its nodes has to run on this machine"
            raise UserError(
                f"cannot join the Ray cluster at {self.address} ({told}): {wanted}, with the same Python, the same Ray "
                f"and the token of {_token_place()}"
            ) from failure
        context = ray.get_runtime_context()
        self.own_node = "" if self.address.startswith("ray://") else context.get_node_id()
        self.head = endpoint(context.gcs_address if started else self.address)
        self.name = "that was started here" if started else f"at {self.address}"

    def _alive(self) -> list[Node]:
        found = [node_of(told, self.needs) for told in self.ray.nodes() if told["Alive"]]
        return [node for node in found if node.slots and node.id not in self.refused]

    def _meet(self, nodes: list[Node]) -> None:
        """Take these nodes, all of which must be fit."""
        refuse_unfit(nodes, self.needs, self._ask, self._answer)
        self.nodes |= {node.id: node for node in nodes}

    def _ask(self, node: Node, function: Any, asked: Mapping[str, Any]) -> tuple[Node, Any]:
        return node, self.ray.remote(function).options(num_cpus=0, **self._there(node)).remote(asked)

    def _answer(self, asked: tuple[Node, Any]) -> dict[str, Any]:
        node, result = asked
        try:
            return self.ray.get(result, timeout=ANSWER)
        except self.ray.exceptions.GetTimeoutError:
            raise UserError(f"the Ray node {node.name} did not answer within {ANSWER:g} s: leave it out") from None
        except self.ray.exceptions.RayError as failure:
            told = " ".join(str(failure).split())[:300]
            raise UserError(f"the Ray node {node.name} cannot run Python as here ({told}): leave it out") from failure

    def _there(self, node: Node) -> dict[str, Any]:
        """Options of a Ray task on that node, once; with this process's modules where it is this machine."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = os.environ.get("PYTHONPATH") if node.id == self.own_node else None
        return {
            "max_retries": 0,
            "runtime_env": {"env_vars": environment(here)},
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node.id, soft=False),
        }

    def _look(self) -> None:
        """Now and then: whether the head answers, which nodes went, which came."""
        now = time.monotonic()
        if now - self.looked < LOOK:
            return
        self.looked = now
        if self.address == "local" and (dead := self.family.dead()):
            raise PrunebenchError(f"the Ray cluster {self.name} is gone, its {dead} ended: {AGAIN}")
        if self.head is not None and not answers(self.head):
            if now - self.heard > GONE:
                raise PrunebenchError(f"the head of the Ray cluster {self.name} is gone: {AGAIN}")
            return
        self.heard = now
        alive = {node.id: node for node in self._alive()}
        self.nodes = {id: node for id, node in self.nodes.items() if id in alive}
        for node in [node for id, node in alive.items() if id not in self.nodes and id not in self.asked]:
            self.asked.add(node.id)
            threading.Thread(target=self._consider, args=(node,), daemon=True).start()  # it may take its time
        while not self.met.empty():
            node, lacks = self.met.get()
            self.asked.discard(node.id)
            if lacks:
                self.refused.add(node.id)
                self.said.append(f"left out: {lacks}")
            elif node.id in alive:
                self.nodes[node.id] = node

    def _consider(self, node: Node) -> None:
        lacks = ""
        try:
            refuse_unfit([node], self.needs, self._ask, self._answer)
        except PrunebenchError as failure:
            lacks = str(failure)
        self.met.put((node, lacks))

    # -- tasks --------------------------------------------------------------------------------------------------------

    def slots(self) -> int:
        if not self.nodes and not self.under_way:
            raise PrunebenchError(f"no node of the Ray cluster {self.name} is left: {AGAIN}")
        free = sum(max(0, self._free(node)) for node in self.nodes.values())
        return min(free, self.jobs - len(self.under_way)) if self.jobs else free

    def _free(self, node: Node) -> int:
        return node.slots - sum(u.node.id == node.id for u in self.under_way.values())

    def start(self, task: Task) -> None:
        """On the node with most room, and not again where its process died if there is another."""
        with_room = [node for node in self.nodes.values() if self._free(node) > 0]
        node = max(with_room, key=lambda n: (n.id != self.died_on.get(task.key), self._free(n)))
        options = {"num_cpus": self.needs.threads, "num_gpus": int(self.needs.gpus > 0), **self._there(node)}
        result = self.work.options(**options).remote(self.setting, task, os.getcwd(), str(self._said(task)))
        self.under_way[task.key] = UnderWay(task, node, result)

    def _said(self, task: Task) -> Path:
        return self.needs.store.absolute() / LOGS / f"{quote(task.key, safe='')[:64]}.log"

    def poll(self, seconds: float) -> tuple[list[tuple[str, Outcome]], list[str]]:
        """What ended, and warnings."""
        self._look()
        keys = {under_way.result: key for key, under_way in self.under_way.items()}
        ended, _ = self.ray.wait(list(keys), num_returns=1, timeout=seconds)
        if ended:
            ended, _ = self.ray.wait(list(keys), num_returns=len(keys), timeout=0)
        outcomes = [(keys[result], self._outcome(self.under_way.pop(keys[result]))) for result in ended]
        warnings, self.said = self.said, []
        return outcomes, warnings

    def _outcome(self, ended: UnderWay) -> Outcome:
        errors = self.ray.exceptions
        try:
            return self.ray.get(ended.result)
        except errors.RayTaskError as failure:  # what comes before `perform`
            return Outcome("raised", f"before it began on a Ray node: {describe(failure.cause or failure)}")
        except (errors.NodeDiedError, errors.LocalRayletDiedError, errors.TaskUnschedulableError):
            self.nodes.pop(ended.node.id, None)
            self.refused.add(ended.node.id)
            self.said.append(f"the Ray node {ended.node.name} is gone")
            return Outcome("died", "the Ray node that it was on is gone")
        except errors.RayError as failure:
            said = self._said(ended.task)
            if (outcome := heard(said)) is not None:
                return outcome
            self.died_on[ended.task.key] = ended.node.id
            manner = "out of memory" if isinstance(failure, errors.OutOfMemoryError) else type(failure).__name__
            self.said.append(f"{ended.task.name}: its process died on the Ray node {ended.node.name} ({manner})")
            where = f"; what it said is in {LOGS}/{said.name} of the store" if said.exists() else ""
            return Outcome("died", f"its process on the Ray node died ({manner}){where}")  # a record names no machine

    def kill(self, key: str) -> None:
        with suppress(self.ray.exceptions.RayError):
            self.ray.cancel(self.under_way.pop(key).result, force=True)


def _token_place() -> str:
    names = [name for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH") if name in os.environ]
    return names[0] if names else "~/.ray/auth_token"


class Family:
    """All processes that this one has started, directly or not, with those whose parent is gone."""

    def __init__(self) -> None:
        self.seen: set[Any] = set()

    def look(self) -> None:
        import psutil  # Ray brings it

        self.seen |= set(psutil.Process().children(recursive=True))

    def dead(self) -> str:
        """Which of the cluster's own processes has ended, if one has."""
        import psutil

        self.look()
        ours = (p for p in psutil.Process().children() if p.name() in ("gcs_server", "raylet"))
        return next((p.name() for p in ours if p.status() == psutil.STATUS_ZOMBIE), "")

    def end(self) -> None:
        for process in self.seen:
            with suppress(Exception):  # gone already; a process that bears its number now is not it
                process.kill()


# -- the process ------------------------------------------------------------------------------------------------------


def drive(handle: int) -> None:
    """Do what the run asks through the pipe ``handle``, until standard input ends."""
    pipe, driver = Connection(handle), Driver()
    threading.Thread(target=_end_with_run, args=(driver,), daemon=True).start()
    while True:
        try:
            name, args = pipe.recv()
        except (EOFError, OSError):
            threading.Event().wait()  # the other thread ends this process
        try:
            told = False, getattr(driver, name)(*args)
        except PrunebenchError as failure:
            told = True, failure
        except Exception as failure:
            told = True, PrunebenchError(f"Ray: {describe(failure)}")
        with suppress(OSError):
            pipe.send(told)


def _end_with_run(driver: Driver) -> None:
    """Leave the cluster, in good order if that is quick, and end all that was started here."""
    sys.stdin.buffer.read()
    if hasattr(driver, "ray"):
        driver.family.look()
        leaving = threading.Thread(target=_leave, args=(driver,), daemon=True)
        leaving.start()
        leaving.join(LEAVE)
        driver.family.look()
        driver.family.end()
        shutil.rmtree(driver.folder, ignore_errors=True)
    os._exit(0)


def _leave(driver: Driver) -> None:
    for key in list(driver.under_way):
        driver.kill(key)
    driver.ray.shutdown()
