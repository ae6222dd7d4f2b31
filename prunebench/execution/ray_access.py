"""How a Ray cluster is reached: its address, its token, and the folder of one that is started here.

The address is always told: neither ``RAY_ADDRESS`` nor the file of a cluster that somebody runs on this machine is
followed. What is started here wants a token of everybody, which lies in a file that only its owner can read; it shows
no dashboard, reports nothing to anybody and keeps its files in a folder of its own.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import re
import secrets
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from ..errors import UserError

SINCE = (2, 52)  # before, Ray knows no tokens, and a web page can make it run code (CVE-2025-62593)
AF_UNIX = 107  # bytes of the longest name that a socket may have
FOLDER = "pb-12345678"
SOCKETS = len(f"/{FOLDER}/ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store") + 4
PATIENCE = 5.0  # seconds that a cluster has to take a connection
ADDRESS = re.compile(r"(?:ray://)?(?P<host>\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
STARTED = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
HERE = "or leave --executor at local"
log = logging.getLogger("prunebench")


def refuse_without_ray() -> None:
    """Raises:
    UserError: Ray is not installed, or too old to be safe.
    """
    try:
        version = importlib.metadata.version("ray")
    except importlib.metadata.PackageNotFoundError:
        raise UserError(f'the executor ray needs Ray: pip install "prunebench[ray]", {HERE}') from None
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < SINCE:
        wanted = ".".join(str(part) for part in SINCE)
        raise UserError(f'Ray {version} is not safe to use: pip install "ray>={wanted}", {HERE}')


def endpoint(address: str) -> tuple[str, int] | None:
    """Host and port of an address; None where the cluster is to be started here.

    Raises:
        UserError: it is no address; ``auto``, which would follow whatever runs on this machine, is none.
    """
    if address == "local":
        return None
    found = ADDRESS.fullmatch(address)
    if not found or not 0 < int(found["port"]) < 65536:
        raise UserError(f"--ray-address must be local, HOST:PORT or ray://HOST:PORT, got {address!r}")
    return found["host"].strip("[]"), int(found["port"])


def answers(place: tuple[str, int]) -> bool:
    """Whether somebody takes connections there."""
    try:
        socket.create_connection(place, timeout=PATIENCE).close()
    except OSError:
        return False
    return True


def environment_to_start(folder: Path) -> dict[str, str]:
    """Of the process that starts a cluster in ``folder``: its token is new unless the user has one."""
    own = {} if token_told() else {"RAY_AUTH_TOKEN_PATH": str(write_token(folder))}
    return {**_inherited(), **STARTED, **own}


def environment_to_join(address: str) -> dict[str, str]:
    """Of the process that joins a cluster.

    Raises:
        UserError: nothing answers there, or a token is wanted and there is none.
    """
    place = endpoint(address)
    if place is None or not answers(place):
        raise UserError(f"nothing answers at the Ray address {address}: start the cluster there, {HERE}")
    mode = os.environ.get("RAY_AUTH_MODE", "token")
    if mode != "token":
        log.warning("RAY_AUTH_MODE is %s, not token: whoever reaches %s can run code there", mode, address)
    elif not token_told():
        raise UserError(
            f"there is no token for the Ray cluster at {address}: copy its ~/.ray/auth_token to this machine or set "
            "RAY_AUTH_TOKEN_PATH (RAY_AUTH_MODE=disabled joins one that wants none)"
        )
    return {**_inherited(), "RAY_AUTH_MODE": mode}


def _inherited() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "RAY_TMPDIR")}
    return kept | {"PYTHONPATH": os.pathsep.join(os.path.abspath(folder) for folder in sys.path)}


def token_told() -> bool:
    """Whether Ray finds a token; its default file, which Ray writes for all to read, is closed to others."""
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return True
    path = Path.home() / ".ray" / "auth_token"
    if not path.is_file():
        return False
    with suppress(OSError):  # somebody else's
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    return True


def write_token(folder: Path) -> Path:
    """A new token in a file for its owner alone."""
    path = folder / "token"
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as stream:
        stream.write(secrets.token_hex(32))
    return path


def short_folder() -> Path:
    """A new folder of this user's alone, whose name leaves room for the names of Ray's sockets.

    Raises:
        UserError: there is no such place.
    """
    for parent in dict.fromkeys((tempfile.gettempdir(), "/tmp")):
        if len(os.fsencode(parent)) + SOCKETS <= AF_UNIX:
            with suppress(OSError):
                return Path(tempfile.mkdtemp(prefix="pb-", dir=parent))
    raise UserError(
        f"Ray's sockets need a shorter temporary folder than {tempfile.gettempdir()}: set TMPDIR to one of at most "
        f"{AF_UNIX - SOCKETS} bytes that can be written, {HERE}"
    )
