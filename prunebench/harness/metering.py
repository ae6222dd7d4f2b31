"""What a method's own time is made of, measured from outside: examples through networks, and peak memory.

An evaluation is one example through one network, once. Networks are torch modules that hold parameters or buffers; a
call made while another is under way is part of that one. A method of a network that is no call of it, such as
``vae.encode`` or ``network.features``, calls the network's parts instead: together they are one evaluation, which is
seen by the first of them that is called a second time.
"""

from __future__ import annotations

import resource
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, Literal

Charge = Callable[[str, Mapping[str, Any]], None]  # (id of a stored thing, what its record tells of its cost)
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_HIGH_WATER = "5"  # proc(5): the peak becomes what is resident now


def nobody_pays(id: str, told: Mapping[str, Any]) -> None:
    """The `Charge` of what no method asked for."""


class Evaluations:
    """Counts the examples that networks are called with, in the thread that counts and nowhere else.

    While a network's call is under way only that network is watched: its parts run as if nobody counted.
    """

    def __init__(self) -> None:
        self.count = 0
        self._running = False
        self._hooks: list[Any] = []  # torch's handles: on all modules, or on the network whose call is under way
        self._thread = 0
        self._depth = 0  # a network may call itself
        self._part_of: tuple[Any, ...] = ()  # the method of a network that the last parts were called by
        self._parts: set[tuple[int, int]] = set()

    @contextmanager
    def counting(self) -> Iterator[None]:
        """What is called in here counts; where that is so already, nothing changes."""
        with self._switched(on=True):
            yield

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is called in here does not count."""
        with self._switched(on=False):
            yield

    @contextmanager
    def _switched(self, on: bool) -> Iterator[None]:
        before = self._running
        if before != on:
            self._switch(on)
        try:
            yield
        finally:
            if before != on:
                self._switch(before)

    def _switch(self, on: bool) -> None:
        self._running = on
        self._watch_all() if on else self._watch_nothing()

    def _watch_nothing(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _watch_all(self) -> None:
        from torch.nn.modules import module

        self._watch_nothing()
        self._thread = threading.get_ident()
        self._hooks = [module.register_module_forward_pre_hook(self._called)]

    def _called(self, network: Any, args: Any) -> None:
        if threading.get_ident() != self._thread or not _holds_numbers(network):
            return
        self._watch_nothing()
        self._depth = 1
        self._hooks = [
            network.register_forward_pre_hook(self._called_again),
            network.register_forward_hook(self._returned, with_kwargs=True, always_call=True),
        ]

    def _called_again(self, network: Any, args: Any) -> None:
        self._depth += threading.get_ident() == self._thread

    def _returned(self, network: Any, args: Any, kwargs: Any, result: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        self._depth -= 1
        if self._depth == 0:
            self._watch_all()
            self.count += 0 if self._is_later_part(network) else _examples(args, kwargs)

    def _is_later_part(self, network: Any) -> bool:
        found = _network_method(network)
        if found is None:
            self._part_of = ()
            return False
        owner, frame = found
        place, part = (id(owner), id(frame), frame.f_code), (id(network), frame.f_lasti)
        if place != self._part_of or part in self._parts:
            self._part_of, self._parts = place, set()
        self._parts.add(part)
        return len(self._parts) > 1


def _holds_numbers(network: Any) -> bool:
    return any(True for _ in network.parameters()) or any(True for _ in network.buffers())


def _network_method(network: Any) -> tuple[Any, FrameType] | None:
    """The outermost other module in whose method ``network`` is being called, and the frame of that method."""
    from torch.nn import Module

    frame: FrameType | None = sys._getframe(1)
    found = None
    while frame is not None:
        names = frame.f_code.co_varnames
        if names[:1] == ("self",) and frame.f_code.co_argcount:
            owner = frame.f_locals.get("self")
            if isinstance(owner, Module) and owner is not network:
                found = owner, frame
        frame = frame.f_back
    return found


def _examples(args: Any, kwargs: Any) -> int:
    """B of the first tensor (B, ...) in a call; under ``vmap`` times the examples that it maps over."""
    from torch import Tensor
    from torch._C import _functorch as functorch

    waiting = [args, kwargs]
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, Tensor):
            count = value.shape[0] if value.ndim else 1
            while functorch.is_functorch_wrapped_tensor(value):
                mapped, value = functorch.maybe_get_bdim(value), functorch.get_unwrapped(value)
                count *= value.shape[mapped] if mapped >= 0 else 1
            return int(count)
        if isinstance(value, Mapping):
            waiting = [*value.values(), *waiting]
        elif isinstance(value, (list, tuple)):
            waiting = [*value, *waiting]
    return 1


class Peak:
    """The most memory the process held since this began: resident, and allocated on the GPU in use.

    Where the system cannot start the resident peak anew it is that of the whole process, and `of` says so.
    """

    _alive: ClassVar[weakref.WeakSet[Peak]] = weakref.WeakSet()

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._resident = self._allocated = 0
        for other in self._alive:  # those that this begins inside of keep what they saw
            other._note()
        self.of: Literal["step", "process"] = "step" if _resetresident_peak() else "process"
        if device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(device)
        self._alive.add(self)

    def _note(self) -> None:
        self._resident = max(self._resident, resident_peak())
        if self.device.startswith("cuda"):
            import torch

            self._allocated = max(self._allocated, torch.cuda.max_memory_allocated(self.device))

    def read(self) -> dict[str, Any]:
        """The fields of a `Cost` that tell it."""
        self._note()
        return {"peak_bytes": self._resident, "gpu_peak_bytes": self._allocated, "peak_of": self.of}


def _resetresident_peak() -> bool:
    try:
        _CLEAR.write_text(_RESET_HIGH_WATER)
    except OSError:
        return False
    return _high_water() is not None


def _high_water() -> int | None:
    """VmHWM, bytes."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), None)


def resident_peak() -> int:
    found = _high_water()
    if found is None:
        found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return found
