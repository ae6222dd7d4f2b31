"""What ``--download`` fetches: a fixed list of published files, whole and as published, or nothing.

torchvision checks an MD5 after it has written the file under its final name, follows redirects to any host, falls back
from https to http where https fails, and reads as much as the server sends. So it is given no reason to: the files are
fetched here, over https alone, from the host that is named, never more bytes than were published, under a temporary
name until their SHA-256 is right; torchvision then finds its archive, compares the MD5 and unpacks it.

SHA-256 of Fashion-MNIST, SVHN and STL-10: TensorFlow Datasets' url_checksums; of CIFAR: those in common use, which
belong to the MD5s that torchvision publishes.
"""

from __future__ import annotations

import hashlib
import http.client
import secrets
import sys
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..store import file_sha256
from ..store.publishing import fsync, prefix
from ..store.sweeping import sweep_temporaries

SCHEME = "https"
SECONDS = 60.0  # without a byte
PIECE = 2**20  # bytes read at a time


@dataclass(frozen=True)
class Download:
    """One published file and its place under the data root."""

    url: str
    path: str
    bytes: int
    sha256: str


_FASHION = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion"
_TORONTO = "https://www.cs.toronto.edu/~kriz"
_SVHN = "https://ufldl.stanford.edu/housenumbers"


def _fashion(name: str, size: int, sha256: str) -> Download:
    return Download(f"{_FASHION}/{name}-ubyte.gz", f"FashionMNIST/raw/{name}-ubyte.gz", size, sha256)


DOWNLOADS: dict[str, tuple[Download, ...]] = {
    "fashion-mnist": (
        _fashion("train-images-idx3", 26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        _fashion("train-labels-idx1", 29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        _fashion("t10k-images-idx3", 4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        _fashion("t10k-labels-idx1", 5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
    "cifar10": (
        Download(
            f"{_TORONTO}/cifar-10-python.tar.gz",
            "cifar-10-python.tar.gz",
            170498071,
            "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        ),
    ),
    "cifar100": (
        Download(
            f"{_TORONTO}/cifar-100-python.tar.gz",
            "cifar-100-python.tar.gz",
            169001437,
            "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        ),
    ),
    "svhn": (
        Download(
            f"{_SVHN}/train_32x32.mat",
            "train_32x32.mat",
            182040794,
            "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
        ),
        Download(
            f"{_SVHN}/test_32x32.mat",
            "test_32x32.mat",
            64275384,
            "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
        ),
    ),
    "stl10": (
        Download(
            "https://cs.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
            "stl10_binary.tar.gz",
            2640397119,
            "f31fd99273a1acb8609c8db427cebb1de3f71de77758cdc0e22956e1289b9866",
        ),
    ),
}


def fetch(wanted: Download, root: Path) -> Path:
    """The published file under ``root``; fetched where it is not there as published.

    Raises:
        OSError, http.client.HTTPException: no network, or the server breaks off.
        ValueError: another scheme than https, a redirect elsewhere, or other bytes than published.
    """
    final = root / wanted.path
    if final.is_file() and final.stat().st_size == wanted.bytes and file_sha256(final) == wanted.sha256:
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    sweep_temporaries(final.parent, final.parent.glob(".tmp-*"))
    temporary = final.parent / f"{prefix()}{secrets.token_hex(8)}"
    print(f"fetching {wanted.url} ({wanted.bytes / 1e6:.1f} MB)", file=sys.stderr, flush=True)
    try:
        _receive(wanted, temporary)
        fsync(temporary)
        temporary.replace(final)
        fsync(final.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return final


def _receive(wanted: Download, temporary: Path) -> None:
    digest, received = hashlib.sha256(), 0
    try:
        with opened(wanted.url) as response, temporary.open("xb") as stream:
            while piece := response.read(min(PIECE, wanted.bytes + 1 - received)):
                received += len(piece)
                digest.update(piece)
                stream.write(piece)
    except http.client.IncompleteRead as short:
        received += len(short.partial)
    if received != wanted.bytes:
        more = "more" if received > wanted.bytes else f"{received}"
        raise ValueError(f"{wanted.url} was published with {wanted.bytes} bytes, the server sent {more}")
    if digest.hexdigest() != wanted.sha256:
        raise ValueError(f"{wanted.url} is not the file that was published: its SHA-256 is {digest.hexdigest()}")


def opened(url: str) -> Any:
    """The answer to a request for ``url``.

    Raises:
        ValueError: another scheme than https.
    """
    if urllib.parse.urlsplit(url).scheme != SCHEME:
        raise ValueError(f"{url} is not fetched over {SCHEME}")
    return urllib.request.build_opener(_SameHost).open(url, timeout=SECONDS)


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows a redirect inside the host and the scheme, and no other."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str) -> Any:
        old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if (new.scheme, new.netloc) != (old.scheme, old.netloc):
            raise ValueError(
                f"{req.full_url} leads to {new.scheme}://{new.netloc}, which is not where it was published"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)
