"""S14: what is fetched is the published file, over https, from its host; anything else leaves nothing behind."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from torchvision import datasets as published

from prunebench.datasets import downloads
from prunebench.datasets.downloads import DOWNLOADS, Download, fetch
from prunebench.datasets.torchvision_sets import _fetch, fashion_mnist, svhn
from prunebench.errors import UserError

CONTENT = bytes(range(256)) * 900


class Server(BaseHTTPRequestHandler):
    """Good and bad servers by path."""

    asked: list[str] = []  # noqa: RUF012 - one list for every request of a test

    def do_GET(self):
        self.asked.append(self.path)
        if self.path in ("/elsewhere", "/round"):
            self.send_response(302)
            there = f"http://localhost:{self.server.server_port}/good" if self.path == "/elsewhere" else "/good"
            self.send_header("Location", there)
            self.end_headers()
            return
        content = {"/swapped": CONTENT[::-1], "/longer": CONTENT * 50, "/shorter": CONTENT[:-1]}.get(self.path, CONTENT)
        self.send_response(404 if self.path == "/missing" else 200)
        if self.path != "/unending":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:1000] if self.path == "/broken" else content)
        while self.path == "/unending":
            try:
                self.wfile.write(content)
            except OSError:
                return

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """A local server; it speaks http, so that is what is allowed here."""
    monkeypatch.setattr(downloads, "SCHEME", "http")
    monkeypatch.setattr(Server, "asked", [])
    running = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


def wanted(url: str) -> Download:
    return Download(url, "raw/file.gz", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.mark.parametrize("path", ["/good", "/round"])
def test_a_published_file_is_fetched_once(server, tmp_path, path):
    for _ in range(2):
        assert fetch(wanted(server + path), tmp_path).read_bytes() == CONTENT
    assert Server.asked == ([path] if path == "/good" else [path, "/good"])
    (tmp_path / "raw" / "file.gz").write_bytes(CONTENT[::-1])  # what stands is not believed either
    assert fetch(wanted(server + path), tmp_path).read_bytes() == CONTENT
    assert [file.name for file in (tmp_path / "raw").iterdir()] == ["file.gz"]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/swapped", "is not the file that was published"),
        ("/longer", "the server sent more"),
        ("/unending", "the server sent more"),
        ("/shorter", f"the server sent {len(CONTENT) - 1}"),
        ("/broken", "the server sent 1000"),
        ("/missing", "404"),
        ("/elsewhere", "which is not where it was published"),
    ],
)
def test_anything_else_is_refused_and_leaves_nothing(server, tmp_path, monkeypatch, path, why):
    monkeypatch.setitem(DOWNLOADS, "fashion-mnist", (wanted(server + path),))
    with pytest.raises(UserError, match=rf"fashion-mnist could not be downloaded \(.*{why}.*--data-root"):
        fashion_mnist(tmp_path, download=True)
    assert not list((tmp_path / "raw").iterdir())
    assert "/good" not in Server.asked


def test_only_https_is_spoken(tmp_path, monkeypatch):
    for url in ("http://127.0.0.1:9/file", "file:///etc/hostname", "ftp://127.0.0.1/file"):
        monkeypatch.setitem(DOWNLOADS, "svhn", (wanted(url),))
        with pytest.raises(UserError, match="is not fetched over https"):
            svhn(tmp_path, download=True)


def test_the_list_has_what_torchvision_would_fetch_for_the_labelled_splits():
    names = {name: [Path(d.path).name for d in files] for name, files in DOWNLOADS.items()}
    assert names == {
        "fashion-mnist": [name for name, _ in published.FashionMNIST.resources],
        "cifar10": [published.CIFAR10.filename],
        "cifar100": [published.CIFAR100.filename],
        "svhn": [published.SVHN.split_list[split][1] for split in ("train", "test")],
        "stl10": [published.STL10.filename],
    }
    assert all(d.url.startswith("https://") for files in DOWNLOADS.values() for d in files)
    assert all(len(d.sha256) == 64 and 0 < d.bytes < 2**32 for files in DOWNLOADS.values() for d in files)


def test_the_hashes_of_fashion_mnist_are_those_of_the_real_files(shared_data):
    for one in DOWNLOADS["fashion-mnist"]:
        assert fetch(one, shared_data) == shared_data / one.path


def test_torchvision_unpacks_what_was_fetched_and_fetches_nothing(server, tmp_path, monkeypatch):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("cifar-10-batches-py/batches.meta")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"meta"))
    content = buffer.getvalue()
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(content)
    one = Download(server + "/never", "cifar-10-python.tar.gz", len(content), hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(DOWNLOADS, "cifar10", (one,))
    monkeypatch.setattr(published.CIFAR10, "tgz_md5", hashlib.md5(content).hexdigest())
    monkeypatch.setattr(published.CIFAR10, "url", server + "/never")

    def unpack():
        with pytest.raises(RuntimeError, match="not found or corrupted"):  # the other files are not in this archive
            published.CIFAR10(str(tmp_path), download=True)

    _fetch("cifar10", True, tmp_path, unpack)()
    assert (tmp_path / "cifar-10-batches-py" / "batches.meta").read_bytes() == b"meta"
    assert Server.asked == []
