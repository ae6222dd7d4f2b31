"""JSON that others wrote: its size is looked at first, and what it holds is plain, shallow and of ordinary size.

What passes can be written, printed and computed with; everything else is a ValueError with the reason.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

LIMIT = 64 * 2**20  # bytes
DEPTH = 64  # of brackets inside each other
_WHOLE = 2**64  # what no integer reaches


def read_object(path: Path, limit: int = LIMIT) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ValueError: larger than ``limit`` bytes, no UTF-8, no JSON, no object, nested deeper than `DEPTH`, or an integer
            of more than 64 bits; the message says which.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    if size > limit:
        raise ValueError(f"{size} bytes, {limit} are allowed")
    return parsed(path.read_bytes())


def plain_bytes(path: Path, limit: int = LIMIT) -> bytes:
    """What is in a plain file; nobody waits for whoever might write into a pipe.

    Raises:
        ValueError: larger than ``limit`` bytes, or a pipe, a socket or a device.
        OSError: it cannot be read.
    """
    with open(path, "rb", buffering=0, opener=_at_once) as stream:
        told = os.fstat(stream.fileno())
        if not stat.S_ISREG(told.st_mode):
            raise ValueError("a pipe, a socket or a device, not a plain file")
        if told.st_size > limit:
            raise ValueError(f"{told.st_size} bytes, {limit} are allowed")
        return stream.read()


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def parsed(content: bytes) -> dict[str, Any]:
    """As `read_object`, of what was read.

    Raises:
        ValueError: as there.
    """
    try:
        found = DECODER.decode(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("no UTF-8 text") from None
    except json.JSONDecodeError as wrong:
        raise ValueError(f"no JSON: {wrong}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    refuse_deep(found)
    return found


def _whole(text: str) -> int:
    if len(text) > 20 or abs(int(text)) >= _WHOLE:  # 2^64 has 20 digits
        raise ValueError(f"an integer of {len(text)} digits")
    return int(text)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


DECODER = json.JSONDecoder(parse_int=_whole, parse_constant=_no_number)


def refuse_deep(found: Any) -> None:
    """Raises:
    ValueError: nested deeper than `DEPTH`.
    """
    level = [found]
    for _ in range(DEPTH):
        inside = [part for value in level for part in (value.values() if isinstance(value, dict) else value)]
        level = [part for part in inside if isinstance(part, (dict, list))]
        if not level:
            return
    raise ValueError("nested too deeply")
