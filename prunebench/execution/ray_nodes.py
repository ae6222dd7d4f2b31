"""What a node of a Ray cluster must have before it is given work: the store itself, this folder, the same packages."""

from __future__ import annotations

import importlib.metadata
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..datasets.threads import cores
from ..errors import UserError
from ..store import Store

if TYPE_CHECKING:
    from ..harness.shared import Harness
    from ..planning.plans import Plan

ANSWER = 90.0  # seconds that a node has to look around: its first Python process may be slow to start
SEEN = 5.0  # seconds within which a shared file system shows here what was written there
FORWARDED = (  # what changes numbers, plugins or waiting threads, and so must be everywhere as it is here
    *("GOMP_SPINCOUNT", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUBLAS_WORKSPACE_CONFIG"),
    *("PRUNEBENCH_PLUGINS", "PRUNEBENCH_STRICT_PLUGINS", "TORCHINDUCTOR_CACHE_DIR"),
)


@dataclass(frozen=True)
class Needs:
    """What the tasks of a run need of every node.

    Attributes:
        store: where they leave their records.
        threads: CPUs that one task takes; ``gpus`` of this machine, where a task takes one, else 0.
        data: the data root, where this run has one.
        packages: version of each distribution that the run uses.
    """

    store: Path
    threads: int = 1
    gpus: int = 0
    data: Path | None = None
    packages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Node:
    """``slots``: tasks that it can do side by side."""

    id: str
    name: str
    slots: int


def node_of(told: Mapping[str, Any], needs: Needs) -> Node:
    """From what ``ray.nodes()`` tells of one."""
    resources = told["Resources"]
    slots = int(resources.get("CPU", 0)) // needs.threads
    if needs.gpus:
        slots = min(slots, int(resources.get("GPU", 0)))
    return Node(told["NodeID"], f"{told['NodeManagerHostname']} ({told['NodeManagerAddress']})", slots)


def environment(search_path: str | None) -> dict[str, str]:
    """Of a worker: as many threads as a worker process of this machine would have, and its modules where it is here."""
    found = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(cores()))}  # else Ray sets it
    found |= {name: os.environ[name] for name in FORWARDED if name in os.environ}
    return found | ({"PYTHONPATH": search_path} if search_path else {})


Ask = Callable[
    [Node, Callable[..., Any], Mapping[str, Any]], Any
]  # starts look_around there; a reference to its answer


def look_around() -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """What a node is asked, as a function that travels whole: prunebench may be missing there."""

    def there(asked: Mapping[str, Any]) -> dict[str, Any]:
        import importlib.metadata
        import os

        found: dict[str, Any] = {"folder": os.path.isdir(asked["folder"]), "versions": {}, "store": "missing"}
        found["data"] = asked["data"] is None or os.path.isdir(asked["data"])
        for name in asked["packages"]:
            try:
                found["versions"][name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                found["versions"][name] = None
        try:
            with open(os.path.join(asked["probe"], "here"), encoding="utf-8") as stream:
                found["store"] = "shared" if stream.read() == asked["word"] else "other"
            with open(os.path.join(asked["probe"], asked["node"]), "x", encoding="utf-8") as stream:
                stream.write(asked["word"])
        except FileNotFoundError:
            pass
        except OSError as failure:
            found["store"] = f"{failure.strerror}"
        return found

    return there


def refuse_unfit(nodes: Sequence[Node], needs: Needs, ask: Ask, answer: Callable[[Any], dict[str, Any]]) -> None:
    """Every node looks around, all at once.

    Args:
        ask: has a function called on a node; returns what ``answer`` turns into what it returned.

    Raises:
        UserError: the first node that cannot do this run's work, and the way out.
    """
    word = secrets.token_hex(16)
    asked: dict[str, Any] = {"folder": os.getcwd(), "data": str(needs.data.absolute()) if needs.data else None}
    asked |= {"word": word, "packages": list(needs.packages)}
    with Store(needs.store).scratch("probe") as folder:
        probe = folder.absolute()
        asked |= {"probe": str(probe)}
        (probe / "here").write_text(word, encoding="utf-8")
        answers = [(node, ask(node, look_around(), {**asked, "node": node.id})) for node in nodes]
        for node, reference in answers:
            if wrong := unfit(answer(reference), needs, asked) or _not_heard(probe / node.id, word, needs):
                raise UserError(f"the Ray node {node.name} {wrong}")


def unfit(found: Mapping[str, Any], needs: Needs, asked: Mapping[str, Any]) -> str:
    """Why a node that found this cannot do the work, and the way out; nothing where it can."""
    for name, version in found["versions"].items():
        if version != needs.packages[name]:
            has = f"has {name} {version}" if version else f"lacks {name}"
            return f"{has}, this run uses {needs.packages[name]}: install the same version on every node"
    root = needs.store.absolute()
    if found["store"] in ("missing", "other"):
        return f"does not see the store {root}: give a --store on a file system that all nodes share"
    if found["store"] != "shared":
        return f"cannot write the store {root} ({found['store']}): give a --store that every node can write"
    if not found["folder"]:
        return f"has no folder {asked['folder']}: give the command in a folder that all nodes share"
    if not found["data"]:
        return f"has no data root {asked['data']}: give a --data-root that all nodes share"
    return ""


def _not_heard(path: Path, word: str, needs: Needs) -> str:
    """Whether what the node wrote is to be read here, at once or when a network file system shows it."""
    deadline = time.monotonic() + SEEN
    while time.monotonic() < deadline:
        if path.exists() and path.read_text(encoding="utf-8") == word:
            return ""
        time.sleep(0.1)
    return f"writes into another store than {needs.store.absolute()}: give a --store that all nodes share"


def needs_of(harness: Harness, plan: Plan) -> Needs:
    """Of a run: its methods' and data set's packages, and torch, whose versions differ in the last bits."""
    import torch

    from ..planning.plans import pairs

    used = {harness.registry.dataset(plan.dataset)[0].plugin.distribution, "prunebench", "torch"}
    for scorer, selector in pairs(plan):
        for kind, text in (("scorer", scorer), ("selector", None if selector == "full" else selector)):
            method = harness.registry.method(kind, text) if text else None
            while method is not None:
                used.add(method.entry.plugin.distribution)
                method = method.inner
    gpus = torch.cuda.device_count() if harness.device.type == "cuda" else 0
    root = Path(plan.data_root)
    return Needs(harness.store.root, plan.threads, gpus, root if root.is_dir() else None, versions(sorted(used)))


def versions(names: Sequence[str]) -> dict[str, str]:
    """Of distributions that are installed here."""
    return {name: importlib.metadata.version(name) for name in names}
