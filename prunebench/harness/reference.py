"""Reference trainings: made once, stored by content, shared by every scorer that watches them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError
from ..methods import Method
from ..seeds import seed_for
from ..store import Record, identify
from ..store.publishing import second_name
from .metering import Charge, nobody_pays
from .shared import Harness, hash_array
from .watching import STANDARD, Watched

if TYPE_CHECKING:
    from pathlib import Path

    from ..training.loop import Trained
    from ..training.models import Network


@dataclass(eq=False)
class Reference:
    """One training of the reference network on the training split, or on some of it, or on other labels.

    ``labels`` (N,) and ``indices`` (n,) are in the harness's order; ``epochs`` cuts the schedule, or lengthens it; with
    0 nothing is trained, and the network is as it was initialised.
    """

    harness: Harness
    seed: int
    labels: np.ndarray | None = None
    indices: np.ndarray | None = None
    epochs: int | None = None
    watched: Mapping[str, Watched] = field(default_factory=dict)

    @property
    def run_epochs(self) -> int:
        return self.harness.epochs if self.epochs is None else self.epochs

    @property
    def schedule_epochs(self) -> int:
        return max(self.run_epochs, self.harness.epochs)

    @property
    def outputs(self) -> int:
        """C, or as many as the given labels need: there may be more clusters than classes."""
        classes = len(self.harness.dataset.classes)
        return classes if self.labels is None else max(classes, int(self.labels.max()) + 1)

    def identity(self, what: str) -> dict[str, Any]:
        """Of one thing this training leaves: no watch is part of the training's own identity."""
        split = self.harness.dataset.train
        given = self.labels is not None
        return {
            **self.harness.conditions(),
            "data": split.images_fingerprint if given else split.fingerprint,
            "labels": hash_array(self.labels) if given else None,
            "indices": None if self.indices is None else hash_array(self.indices),
            "reference": self.harness.reference_conditions(),
            "epochs_run": self.run_epochs,
            "schedule": self.schedule_epochs,
            "seed": self.seed,
            "what": what,
        }

    def statistic_identity(self, name: str) -> dict[str, Any]:
        return self.identity("history") | {"statistic": name, "definition": self.watched[name].definition}

    def ensure(self) -> Record:
        """The record of the training; it is run where it, or a statistic to be watched, is missing."""
        store, identity = self.harness.store, self.identity("training")
        if (record := self._standing()) is not None:
            return record
        with store.lock(identify("evidence", identity)):
            return self._standing() or self._train()

    def _standing(self) -> Record | None:
        store = self.harness.store
        if any(store.get("evidence", self.statistic_identity(name)) is None for name in self.watched):
            return None
        if store.get("models", self.identity("network")) is None:
            return None
        return store.get("evidence", self.identity("training"))

    def _train(self) -> Record:
        from ..training.loop import train
        from ..training.recorder import Recorder

        h = self.harness
        if self.run_epochs == 0:
            return self._initialise()
        if self.outputs < 2:
            raise UserError(f"{h.dataset.name} has one class only: a reference training needs at least two")
        n = len(h.train) if self.indices is None else len(self.indices)
        watches = {name: (w.fn, w.at) for name, w in self.watched.items()}
        definitions = {name: w.definition for name, w in self.watched.items()}
        need = 4 * n * self.run_epochs * len(watches)
        with (
            h.checkpoints("evidence", self.identity("training"), watched=definitions) as checkpoints,
            h.store.working(checkpoints.folder / "history", need) as folder,
        ):
            recorder = Recorder(watches, n, self.run_epochs, folder) if watches else None
            trained = train(
                h.train.images,
                h.train.labels if self.labels is None else self.labels,
                self.outputs,
                model=h.reference,
                recipe=h.recipe,
                seed=self.seed,
                epochs=self.run_epochs,
                schedule_epochs=self.schedule_epochs,
                indices=self.indices,
                device=h.device,
                recorder=recorder,
                checkpoints=checkpoints,
                progress=h.progress,
            )
            return self._stored(trained, recorder.close() if recorder else {})

    def _stored(self, trained: Trained, histories: Mapping[str, Path]) -> Record:
        """The record of the training comes last; until then the histories stay where a checkpoint counts on them."""
        store = self.harness.store
        provenance = self.harness.provenance() | trained.remarks()
        passes = {"seconds": trained.epoch_end_seconds, "forward": trained.epoch_end_forward}
        for name, path in histories.items():
            identity = self.statistic_identity(name)
            if store.get("evidence", identity) is None:
                told = passes if self.watched[name].at == "epoch_end" else {}
                store.put("evidence", identity, told, files={"history.npy": second_name(path)}, provenance=provenance)
        self._publish(trained.network)
        result = {
            "seconds": trained.seconds,
            "forward": trained.forward,
            "backward": trained.backward,
            "steps": trained.steps,
            "train_loss": trained.train_loss,
        }
        return store.put("evidence", self.identity("training"), result, provenance=provenance)

    def _initialise(self) -> Record:
        from ..training.loop import initialised

        if self.watched:
            raise UserError("a training of 0 epochs presents no example, so nothing can be watched: leave out watch")
        h = self.harness
        self._publish(initialised(h.reference, self.outputs, h.dataset.image_size, self.seed))
        told = {"seconds": 0.0, "forward": 0, "backward": 0, "steps": 0, "train_loss": None}
        return h.store.put("evidence", self.identity("training"), told, provenance=h.provenance())

    def _publish(self, network: Network) -> None:
        from safetensors.torch import save_file

        store = self.harness.store
        weights = network.weights()
        with store.scratch("network", sum(tensor.nbytes for tensor in weights.values())) as scratch:
            save_file(weights, scratch / "network.safetensors")
            files = {"network": scratch / "network.safetensors"}
            store.put("models", self.identity("network"), {}, files=files, provenance=self.harness.provenance())

    def history(self, name: str) -> np.ndarray:
        """(epochs, n) float32, copy-on-write map."""
        from ..arrays import map_npy

        self.ensure()
        record = self.harness.store.get("evidence", self.statistic_identity(name))
        assert record is not None
        return map_npy(record.file("history.npy"))

    def network(self) -> Network:
        """A fresh frozen copy, in evaluation mode, on the device."""
        from safetensors.torch import load_file

        from ..training.models import build

        self.ensure()
        h = self.harness
        record = h.store.get("models", self.identity("network"))
        assert record is not None
        network = build(h.reference, self.outputs, h.dataset.image_size, seed=self.seed)
        network.load_state_dict(load_file(record.file("network")))
        return network.to(h.device).eval().requires_grad_(False)

    def logits(self) -> np.ndarray:
        """(N, C) float32 of all N training pictures, without augmentation."""
        from ..training.evaluation import predict

        return predict(self.network(), self.harness.train.images, self.harness.device).numpy()

    def charge_passes(self, names: Iterable[str], charge: Charge) -> None:
        """Charge the passes at the ends of epochs that some statistics were watched in: the same for all of them."""
        training = self.ensure()
        for name in names:
            if self.watched[name].at == "epoch_end":
                record = self.harness.store.get("evidence", self.statistic_identity(name))
                assert record is not None
                charge(f"{training.id} epoch ends", record.result)

    def features(self, charge: Charge = nobody_pays) -> np.ndarray:
        """(N, D) float32 of all N training pictures, without augmentation, copy-on-write map."""
        from ..arrays import map_npy
        from ..training.evaluation import extract_features

        store, identity = self.harness.store, self.identity("features")
        record = store.get("evidence", identity)
        if record is None:
            network, started = self.network(), time.perf_counter()
            found = extract_features(network, self.harness.train.images, self.harness.device)
            told = {"seconds": time.perf_counter() - started, "forward": len(found)}
            with store.scratch("features", found.nbytes) as scratch:
                np.save(scratch / "features.npy", found.cpu().numpy(), allow_pickle=False)
                record = store.put("evidence", identity, told, files={"features.npy": scratch / "features.npy"})
        charge(record.id, record.result)
        return map_npy(record.file("features.npy"))


def scoring_run(
    harness: Harness,
    score_seed: int,
    run: int,
    watched: Mapping[str, Watched] | None = None,
    epoch: int | None = None,
) -> Reference:
    """Run r of scoring s: shared by all scorers of that scoring; always records the standard statistics.

    With ``epoch`` < E it is the same training, seeds and schedule alike, cut after so many epochs and recorded nowhere.
    """
    seed = seed_for("reference", score_seed, run)
    if epoch is not None and epoch != harness.epochs:
        _refuse_beyond(harness.epochs, epoch, f"network(run={run}) asks for epoch {epoch}", 0)
        return Reference(harness, seed, epochs=epoch)
    return Reference(harness, seed, watched={**STANDARD, **(watched or {})})


def refuse_epochs_beyond(epochs: int, *methods: Method) -> None:
    """``epoch``, and ``epochs`` of a method that names history, count finished epochs; told before any training.

    Raises:
        UserError: some ask for more than E of them; the one that asks for most is named.
    """
    asked = []
    for method in methods:
        if "history" in method.inputs and isinstance(many := method.options.get("epochs"), int):
            asked.append((many, f"{method.label} asks for {many} epochs", 1))
        if isinstance(one := method.options.get("epoch"), int):
            asked.append((one, f"{method.label} asks for epoch {one}", method.first_epoch))
    for found in sorted(asked, key=lambda a: -a[0]):
        _refuse_beyond(epochs, *found)


def _refuse_beyond(epochs: int, asked: int, told: str, first: int) -> None:
    if not first <= asked <= epochs:
        raise UserError(
            f"{told}, the reference training has {epochs} epochs: lower the option or raise --reference-epochs"
        )
