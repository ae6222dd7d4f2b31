"""Dynamics scores of a training loop of one's own: it is told each batch's logits, and when an epoch ends.

What is held, beside the epoch that is under way, does not grow with the epochs: each scorer that is watched has a
stream (`Scorer.stream`), which takes up one epoch at a time. A scorer without one, or ``history=True``, keeps the
(E, N) float32 of the statistics it watches. A statistic that needs the logits of the epoch before (TDDS) has them in a
temporary file, (N, C) float32.
"""

from __future__ import annotations

import json
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import registry as plugins
from ..arrays import as_numpy
from ..errors import MethodError, UserError, kind_and_text
from ..evidence.calling import checked_values
from ..methods import Method
from ..store.publishing import replace as publish
from ..types import Scores
from .scoring import score
from .streams import (
    OpenEpoch,
    Watch,
    checked_batch,
    methods_of,
    refuse_incomplete,
    refuse_relabelled,
    refuse_repeated,
    refuse_unevaluated,
    refuse_unfit,
    statistics_of,
)

FORMAT = 1  # of the state
AT = ("presentation", "epoch_end")


class Recorder:
    """Records a training of ``n`` examples, whose positions are 0..n-1, and tells every dynamics score of it.

    Call it with each batch as it is trained on, before the update, and `end_epoch` after each epoch, or say ``epoch=``
    with each batch. Scorers whose statistic is taken in evaluation mode (EL2N) are told by `evaluated`.

    Args:
        n: N.
        epochs: E, where it is known: more are refused.
        watch: texts of the scorers to be asked for, such as ``("aum", "el2n(epoch=5)")``. Default: every installed one
            that needs the history of training only, with its default options, and takes O(N) memory.
        history: also keep the (E, N) of all statistics of these scorers, so that other options can be asked for later.
        keys: (N,) names of the examples, which go with the scores.
        fingerprint: of the data set (`Dataset.fingerprint`), which goes with the scores.

    Raises:
        UserError: a size that is none, or a scorer that logits cannot tell.
    """

    def __init__(
        self,
        n: int,
        epochs: int | None = None,
        watch: str | Sequence[str] | None = None,
        *,
        history: bool = False,
        keys: Sequence[str] | None = None,
        fingerprint: str | None = None,
    ) -> None:
        for name, value in (("n", n), *((("epochs", epochs),) if epochs is not None else ())):
            if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
                raise UserError(f"a recorder needs {name} as a whole number from 1 on, got {value!r}")
        n, epochs = int(n), None if epochs is None else int(epochs)
        self.n, self.epochs, self.epoch, self.classes = n, epochs, 0, 0
        self.keys = None if keys is None else tuple(keys)
        if self.keys is not None and not len(self.keys) == len(set(self.keys)) == n:
            raise UserError(f"{n} examples need as many different keys, got {len(set(self.keys))} of {len(self.keys)}")
        self.fingerprint = fingerprint
        self._watches = [Watch(method, n) for method in methods_of(watch, epochs)]
        wanted = {name: w for each in self._watches for name, w in each.statistics.items()}
        whole = {name for each in self._watches if history or each.stream is None for name in each.statistics}
        self._kept = {name: list[Tensor]() for name in wanted if name in whole}
        self._open = {at: OpenEpoch(at, wanted, n) for at in AT}
        self._labels = torch.full((n,), -1, dtype=torch.int32)

    # -- being told ---------------------------------------------------------------------------------------------------

    def __call__(self, indices: Any, logits: Any, labels: Any, epoch: int | None = None) -> None:
        """One batch as trained on: positions (B,), logits (B, C) in any precision, labels (B,).

        Raises:
            UserError: what does not fit, or an example that came already; nothing of the batch is recorded then.
        """
        self._record("presentation", indices, logits, labels, epoch)

    def evaluated(self, indices: Any, logits: Any, labels: Any, epoch: int | None = None) -> None:
        """One batch of a pass in evaluation mode, without augmentation, after an epoch's updates and before its end."""
        self._record("epoch_end", indices, logits, labels, epoch)

    def _record(self, at: str, indices: Any, logits: Any, labels: Any, epoch: int | None) -> None:
        self._turn_to(epoch)
        places, z, y = checked_batch(indices, logits, labels, self.n, self.classes)
        now = y.to("cpu", torch.int32)
        refuse_repeated(places, self._open[at].seen, self.epoch)
        refuse_relabelled(places, self._labels[places], now)
        self._open[at].record(places, z, y, self.epoch)
        self._labels[places], self.classes = now, z.shape[1]

    def _turn_to(self, epoch: int | None) -> None:
        if epoch is not None and epoch == self.epoch + 1 and self._begun:
            self.end_epoch()
        if epoch is not None and epoch != self.epoch:
            raise UserError(f"epoch {epoch} was told while epoch {self.epoch} is recorded: epochs count 0, 1, 2, ..")
        if self.epochs is not None and self.epoch >= self.epochs:
            raise UserError(f"all {self.epochs} epochs are recorded already: make the recorder with more epochs")

    @property
    def _begun(self) -> bool:
        return any(bool(part.seen.any()) for part in self._open.values())

    def end_epoch(self) -> None:
        """Take up the epoch that was told.

        Raises:
            UserError: an example did not come, or all epochs are recorded already.
        """
        self._turn_to(None)
        for part in self._open.values():
            part.refuse_missing(self.epoch)
        rows = {name: row for part in self._open.values() for name, row in part.rows()}
        for watch in self._watches:
            watch.add(rows, self.epoch)
        for name, kept in self._kept.items():
            kept.append(rows[name])
        self._clear()
        self.epoch += 1

    # -- telling ------------------------------------------------------------------------------------------------------

    def scores(self, scorer: str) -> Scores:
        """The scores of all finished epochs.

        Raises:
            UserError: the scorer is not watched, asks for epochs that there are not, or was never told what it needs.
        """
        method = plugins.installed().method("scorer", scorer)
        if self._begun:
            self.end_epoch()
        if not self.epoch:
            raise UserError("no epoch is recorded yet: call end_epoch() after each epoch")
        watch = next((w for w in self._watches if w.method.text == method.text and w.stream is not None), None)
        found = self._of_history(method) if watch is None else self._of_stream(watch)
        return replace(found, keys=self.keys, fingerprint=self.fingerprint)

    def _of_stream(self, watch: Watch) -> Scores:
        method = watch.method
        try:
            values = as_numpy(watch.stream.values(self.epoch))
        except UserError:
            raise
        except Exception as failure:
            raise MethodError(f"the stream of {method.label} failed: {kind_and_text(failure)}") from failure
        refuse_unevaluated(method, watch.statistics, (values,))
        record, told = method.entry.record, checked_values(values, self.n, method)
        return Scores(told, record.hard, method.text, record.comparable, label_free=False)

    def _of_history(self, method: Method) -> Scores:
        record = method.entry.record
        refuse_unfit(method)
        statistics = statistics_of(method)
        if absent := [name for name in statistics if name not in self._kept]:
            here = ", ".join(watch.method.label for watch in self._watches)
            known = {name for watch in self._watches for name in watch.statistics}
            raise UserError(
                f"this recorder watches {here}, and keeps no {absent[0]} for {method.label}: make it with "
                f"watch=({method.label!r},), beside what else is wanted"
                + (", or with history=True" if known.issuperset(statistics) else "")
            )
        histories = {name: torch.stack(self._kept[name]).float()[None] for name in statistics}  # (1, E, N)
        given = histories if isinstance(record.watch, tuple) else next(iter(histories.values()))
        try:
            return score(method.text, None, given={"history": given, "labels": self._labels.numpy().astype(np.int64)})
        except MethodError:
            refuse_unevaluated(method, statistics, histories.values())
            raise

    # -- several ranks ------------------------------------------------------------------------------------------------

    def merge(self, *others: Recorder, repeats: str = "refuse") -> None:
        """Take up what recorders of other ranks were told of the epoch under way; call it before `end_epoch`.

        The others stay as they are: go on with this one, or bring them along by ``load_state_dict(this.state_dict())``
        after `end_epoch`.

        Args:
            repeats: "refuse", or "first" where a sampler pads: of an example that came on two ranks the first counts.

        Raises:
            UserError: other conditions, another epoch, or an example that came on two ranks.
        """
        for other in others:
            if other._told() != self._told():
                raise UserError("recorders of other examples, epochs or scorers cannot be merged: make them alike")
            self._take_up(other._open_state(), repeats)

    def gather(self, repeats: str = "refuse") -> None:
        """`merge` over all ranks of ``torch.distributed``, on every rank; nothing is pickled."""
        import torch.distributed as ranks

        if not (ranks.is_available() and ranks.is_initialized()):
            raise UserError("gather() needs torch.distributed: initialise its process group, or use merge(...)")
        device = "cuda" if ranks.get_backend() == "nccl" else "cpu"
        mine = {name: tensor.clone() for name, tensor in sorted(self._open_state().items())}
        for rank in range(ranks.get_world_size()):
            theirs = {}
            for name, tensor in mine.items():
                sent = (tensor.clone() if rank == ranks.get_rank() else torch.zeros_like(tensor)).to(device)
                ranks.broadcast(sent, src=rank)
                theirs[name] = sent.cpu()
            if rank == 0:
                self._clear()
            self._take_up(theirs, repeats)

    def _take_up(self, theirs: Mapping[str, Tensor], repeats: str) -> None:
        if repeats not in ("refuse", "first"):
            raise UserError(f"repeats must be 'refuse' or 'first', got {repeats!r}")
        if needy := [row.name for part in self._open.values() for row in part.watched if row.wants_previous]:
            raise UserError(
                f"{needy[0]} needs an example's logits of the epoch before, which another rank may have: leave its "
                "scorer out of watch, or record on one rank"
            )
        if int(theirs["epoch"]) != self.epoch:
            raise UserError(f"another rank is at epoch {int(theirs['epoch'])}, this one at epoch {self.epoch}")
        both = torch.nonzero((self._labels >= 0) & (theirs["labels"] >= 0)).flatten()
        refuse_relabelled(both, self._labels[both], theirs["labels"][both])
        if 0 not in (self.classes, int(theirs["classes"])) and self.classes != int(theirs["classes"]):
            raise UserError(f"another rank has logits of {int(theirs['classes'])} classes, this one of {self.classes}")
        for part in self._open.values():
            part.take_up(theirs, repeats, self.epoch)
        self._labels = torch.where(self._labels < 0, theirs["labels"], self._labels)
        self.classes = max(self.classes, int(theirs["classes"]))

    def _clear(self) -> None:
        for part in self._open.values():
            part.seen.zero_()

    # -- going on after a stop ----------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Tensor]:
        """All that was told, as tensors, the epoch under way included: for ``torch.save`` or safetensors."""
        found = self._open_state() | {"told": torch.tensor(list(json.dumps(self._told()).encode()), dtype=torch.uint8)}
        for watch in self._watches:
            if watch.stream is not None:
                found |= {f"stream/{watch.method.text}/{name}": t for name, t in watch.stream.state.items()}
        for name, kept in self._kept.items():
            if kept:
                found[f"history/{name}"] = torch.stack(kept)
        for at, part in self._open.items():
            if part.previous is not None:
                found[f"previous/{at}"] = part.previous
        return {name: tensor.clone() for name, tensor in found.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state_dict` of a recorder that was made with the same arguments.

        Raises:
            UserError: it is of another one, or incomplete.
        """
        try:
            told = json.loads(bytes(state["told"].tolist()))
        except (KeyError, ValueError, AttributeError, TypeError):
            raise UserError("this is no state of a recorder: give what state_dict() or save() made") from None
        if told != self._told():
            differ = sorted(k for k in {*told, *self._told()} if told.get(k) != self._told().get(k))
            raise UserError(f"the state is of a recorder with other {', '.join(differ)}: make this one like it")
        mine = {name: tuple(tensor.shape) for name, tensor in self.state_dict().items()}
        refuse_incomplete(state, {k: shape for k, shape in mine.items() if not k.startswith(("history/", "previous/"))})
        refuse_incomplete(state, self._grown(state))
        self.epoch, self.classes = int(state["epoch"]), int(state["classes"])
        self._labels = state["labels"].clone()
        for part in self._open.values():
            part.restore(state)
        for watch in self._watches:
            if watch.stream is not None:
                for name, tensor in watch.stream.state.items():
                    tensor.copy_(state[f"stream/{watch.method.text}/{name}"])
        for name in self._kept:
            self._kept[name] = list(state[f"history/{name}"].clone()) if f"history/{name}" in state else []

    def _grown(self, state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
        """What a state must hold besides once something was told: the history kept, and the logits before."""
        epoch = int(state["epoch"])
        found: dict[str, tuple[int, ...]] = {f"history/{name}": (epoch, self.n) for name in self._kept if epoch}
        for at, part in self._open.items():
            if part.wants_previous and (bool(state[f"seen/{at}"].any()) or (at == "presentation" and epoch)):
                found[f"previous/{at}"] = (self.n, int(state["classes"]))
        return found

    def save(self, path: str | Path) -> Path:
        """`state_dict` as one safetensors file, which appears whole or not at all."""
        from safetensors.torch import save

        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            publish(path, save(self.state_dict()))
        except OSError as failure:
            raise UserError(f"cannot write {path} ({failure.strerror}): give a path that can be written") from None
        return path

    def load(self, path: str | Path) -> None:
        """Go on from a file of `save`."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if not Path(path).is_file():
            raise UserError(f"there is no file {path}")
        try:
            state = load_file(path)
        except (SafetensorError, OSError, ValueError) as damaged:
            raise UserError(f"{path} is no safetensors file of a recorder ({damaged}): save it again") from None
        self.load_state_dict(state)

    def _told(self) -> dict[str, Any]:
        """What two recorders must share to be one recording."""
        scorers = [watch.method.identity for watch in self._watches]
        kept = sorted(self._kept)
        told = {"format": FORMAT, "n": self.n, "epochs": self.epochs, "watch": scorers, "history": kept}
        return json.loads(json.dumps(told))

    def _open_state(self) -> dict[str, Tensor]:
        """The epoch under way, in tensors whose names and shapes are the same on every rank."""
        found = {"epoch": torch.tensor(self.epoch), "classes": torch.tensor(self.classes), "labels": self._labels}
        for part in self._open.values():
            found |= part.state()
        return found
