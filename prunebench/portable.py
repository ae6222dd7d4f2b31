"""Text without what only one machine knows, for records that travel: no folders, host, user or secret of this machine.

A method's options keep a path, as whoever repeats the run needs it, with ``~`` in place of the home folder; `expanded`
gives it back to the method. A note of a failure keeps the last two parts of a path, which tell the picture.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PATH = re.compile(r"(?<![\w.~/:])~?/(?:[^\s/'\"`:;,()\[\]{}<>|]+/)+(?=[^\s/'\"`:;,()\[\]{}<>|]+/)")
_HOMES = re.compile(r"(?<![\w.~/:])/(?:home|Users)/[^/\s'\"`:;,()]+")
_ABSOLUTE = re.compile(r"(?<![\w.~/:])/[^\s/'\"`:;,()\[\]{}<>|\\]+/[^\s'\"`:;,()\[\]{}<>|\\]+")
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE|^USER$|^LOGNAME$|^HOSTNAME$")
_COMMON = ("root", "user", "admin", "localhost")  # tell nothing, and stand in other words
_SHORTEST = 4  # characters of what is looked for


def with_tilde(value: Any) -> Any:
    """A text in which ``~`` stands for the home folder; anything else as it is."""
    home = _home()
    if not home or not isinstance(value, str):
        return value
    return re.sub(rf"(?<![\w.~/-]){re.escape(home)}(?![\w.-])", "~", value)


def expanded(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as a method is given them: a leading ``~/`` is the home folder again."""
    home = _home()
    return {
        name: home + value[1:] if home and isinstance(value, str) and value.startswith("~/") else value
        for name, value in options.items()
    }


def anonymous(value: Any) -> Any:
    """Texts, also inside lists and dictionaries, whose paths are cut to their last two parts, without names of this
    machine and user and without the values of variables that hold secrets.
    """
    if isinstance(value, Mapping):
        return {key: anonymous(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [anonymous(part) for part in value]
    if not isinstance(value, str):
        return value
    told = value.replace(str(Path.cwd()) + os.sep, "") if len(Path.cwd().parts) > 2 else value
    told = _PATH.sub("…/", _HOMES.sub("~", with_tilde(told)))
    for name, text in _private().items():
        told = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", f"[{name}]", told)
    return told


def private_part(text: str) -> str:
    """What in a text tells of this machine: a path outside the home folder, or the name of what it repeats; else ""."""
    if found := _ABSOLUTE.search(text) or _HOMES.search(text):
        return found[0]
    told = (name for name, part in _private().items() if re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text))
    return next(told, "")


def _home() -> str:
    """The home folder without a last slash; "" where there is none, or it is the root of everything."""
    home = os.path.expanduser("~").rstrip("/")
    return home if os.path.isabs(home) else ""


def _private() -> dict[str, str]:
    """Name -> text that no record may hold; the longest first, as one may stand in another."""
    import socket

    found = {name: text for name, text in os.environ.items() if _SECRET.search(name)}
    found["host"] = socket.gethostname()
    usable = {k: v for k, v in found.items() if len(v) >= _SHORTEST and v.lower() not in _COMMON}
    return dict(sorted(usable.items(), key=lambda item: -len(item[1])))
