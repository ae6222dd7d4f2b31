"""What a method must leave as it found it: settings of its process, which the next method's numbers depend on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


def _folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # removed under us: nothing to go back to
        return None


def _to(folder: str | None) -> None:
    if folder is not None:
        os.chdir(folder)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {  # what it is -> how to look at it, and set it
    "the working directory": (_folder, _to),
    "the file mode mask": (_umask, os.umask),
    "torch's default type": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "whether torch keeps gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
    "whether torch is deterministic": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
}


@contextmanager
def as_it_was() -> Iterator[list[str]]:
    """Puts `SETTINGS` back; the list tells, afterwards, which were changed."""
    before = {name: look() for name, (look, _) in SETTINGS.items()}
    changed: list[str] = []
    try:
        yield changed
    finally:
        for name, (look, put) in SETTINGS.items():
            if look() != before[name]:
                changed.append(name)
                put(before[name])
