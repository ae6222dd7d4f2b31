"""Bundles of strangers: bombs, escapes, links, pipes, odd JSON. Nothing is written, one sentence is told."""

import io
import json
import os
import socket
import struct
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from bundled import card_of, copied, forge, reseal

from prunebench import UserError
from prunebench.bundles import containers
from prunebench.bundles.packing import submit
from prunebench.bundles.verifying import verify
from prunebench.cli import main

ID = "0" * 64


@pytest.fixture(scope="module")
def archive(bundle, tmp_path_factory):
    return submit(bundle.parent / "runs", tmp_path_factory.mktemp("archive") / "bundle.zip").path


def refused(path, *told):
    """The one reason why a bundle is refused; nothing beside it was made."""
    before = sorted(os.listdir(path.parent)), sorted(os.listdir("."))
    (found,) = verify(path)
    (reason,) = map(str, found.verdict.refusals)
    assert (sorted(os.listdir(path.parent)), sorted(os.listdir("."))) == before
    assert "\n" not in reason and len(reason) < 400
    assert any(part in reason for part in told), reason
    return reason


def zipped(path, members, **how):
    """A zip archive of (name or entry, content)."""
    with zipfile.ZipFile(path, "w", how.get("compression", zipfile.ZIP_DEFLATED)) as archive:
        for entry, content in members:
            archive.writestr(entry, content)
    return path


def linked(name, mode):
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, mode << 16
    return entry


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("../escaped.json", "/tmp/escaped.json", "C:/escaped.json", "trials/../../escaped.json", "trials\\x.json"),
        *(f"trials/../selections/{ID}.json", f"./trials/{ID}.json", f"trials//{ID}.json", f"models/{ID}.json"),
        *("inner.zip", "trials/inner.zip", "trials/", "a\0b", "trials/" + "9" * 300 + ".json", "CON", "README.md"),
        *(f"trials/{ID.upper().replace('0', 'A')}.json", f"trials/{ID}.npz", f"trials/{ID}.json\n"),
    ],
)
def test_a_name_that_no_bundle_has_is_refused_and_nothing_is_written(name, tmp_path):
    refused(
        zipped(tmp_path / "b.zip", [("manifest.json", "{}"), (zipfile.ZipInfo(name), "{}")]), "is no file of a bundle"
    )
    assert os.listdir(tmp_path) == ["b.zip"]


def test_links_devices_and_pipes_in_an_archive(tmp_path):
    for mode in (0o120777, 0o060666, 0o020666, 0o010666, 0o140666):
        path = zipped(tmp_path / f"{mode}.zip", [(linked(f"trials/{ID}.json", mode), "/etc/passwd")])
        refused(path, "is a link, a device or a pipe")


def test_links_pipes_sockets_and_folders_in_a_folder(bundle, tmp_path):
    own = copied(bundle, tmp_path)
    card = next((own / "trials").glob("*.json"))
    moved = tmp_path / "elsewhere.json"
    card.rename(moved)
    card.symlink_to(moved)
    refused(own, "is a link")
    card.unlink()
    os.mkfifo(card)
    refused(own, "no file (a folder, a pipe")
    card.unlink()
    card.mkdir()
    refused(own, "no file (a folder, a pipe")
    card.rmdir()
    with socket.socket(socket.AF_UNIX) as there:
        here = os.getcwd()
        os.chdir(card.parent)
        there.bind(card.name)
        os.chdir(here)
        refused(own, "no file (a folder, a pipe")


def test_a_folder_of_records_that_is_a_link(bundle, tmp_path):
    own = copied(bundle, tmp_path)
    (own / "trials").rename(tmp_path / "elsewhere")
    (own / "trials").symlink_to(tmp_path / "elsewhere")
    refused(own, "is a link")


def test_what_is_no_bundle_is_not_opened(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("../x"), io.BytesIO())
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("x"), io.BytesIO())
    (tmp_path / "text").write_text("hello")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    told = {
        "pipe": "a pipe",
        "b.tar": "a tar archive",
        "b.tar.gz": "a tar archive",
        "text": "no bundle",
        "gone": "link",
    }
    for name, part in told.items():
        for command in ("verify", "leaderboard"):
            with pytest.raises(SystemExit) as ended:
                main([command, str(tmp_path / name)])
            said = capsys.readouterr().err
            assert ended.value.code == 2 and len(said.splitlines()) == 1, (name, said)
        with pytest.raises(UserError, match=part):
            verify(tmp_path / name)


def test_one_name_twice(bundle, tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = zipped(tmp_path / "b.zip", [("manifest.json", "{}"), ("manifest.json", "{}")])
    refused(path, "is there twice")


# -- size -------------------------------------------------------------------------------------------------------------


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "_write", None)  # nothing may come that far
    members = [(f"selections/{ID}.{i:016x}.npz", bytes(2**22)) for i in range(8)]
    path = zipped(tmp_path / "b.zip", members)
    assert path.stat().st_size < 2**16
    refused(path, "unpacks to more than 200 times its size")
    refused(zipped(tmp_path / "c.zip", [("manifest.json", bytes(2**25 + 1))]), "33554433 bytes, 33554432 are allowed")
    refused(zipped(tmp_path / "d.zip", [(f"trials/{ID}.json", bytes(2**22 + 1))]), "4194304 are allowed")


def test_more_files_or_bytes_than_a_bundle_has(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "MOST_FILES", 5)
    refused(bundle, "it holds more than 5 files")
    monkeypatch.setattr(containers, "MOST_FILES", 1000)
    monkeypatch.setattr(containers, "LARGEST", 5000)
    refused(bundle, "submit it in parts")


def lying(content, tmp_path):
    """An archive whose directory says that a member of 1 MiB unpacks to ten bytes."""
    path = zipped(tmp_path / "b.zip", [("manifest.json", content)])
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = data.index(signature) + offset
        data[at : at + 4] = struct.pack("<I", 10)
    path.write_bytes(data)
    return path


def test_a_member_that_unpacks_to_more_than_it_says(tmp_path):
    refused(lying(bytes(2**20), tmp_path), "does not unpack to", "no sound zip archive")


def test_members_that_share_their_bytes_are_counted_each(tmp_path):
    """Overlapping entries: the directory names one member many times, under different names."""
    one = zipped(tmp_path / "one.zip", [("manifest.json", bytes(2**19))])
    data = one.read_bytes()
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry, many = bytearray(data[start:end]), b""
    for i in range(64):
        name = f"selections/{ID}.{i:016x}.npz".encode()
        copy = entry[:28] + struct.pack("<H", len(name)) + entry[30:46] + name
        many += bytes(copy)
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 64, 64, len(many), start, 0)
    (tmp_path / "b.zip").write_bytes(data[:start] + many + tail)
    refused(tmp_path / "b.zip", "unpacks to more than 200 times")


@pytest.mark.parametrize("cut", [0, 10, 100, -30, -1])
def test_archives_that_are_cut_or_go_on(cut, archive, tmp_path):
    data = archive.read_bytes()
    path = tmp_path / "b.zip"
    path.write_bytes(data[:cut] if cut else data + b"more")
    refused(path, "no zip archive, or one that is cut short or has something after its end", "no sound zip archive")


def test_a_directory_beyond_measure_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZipFile", None)
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, 2**31, 0, 0)
    (tmp_path / "b.zip").write_bytes(b"PK\x03\x04" + tail)
    refused(tmp_path / "b.zip", "a directory of more than 16 MiB")
    (tmp_path / "c.zip").write_bytes(b"PK\x03\x04" + b"PK\x06\x07" + bytes(16) + tail[:12] + bytes(4) + tail[16:])
    refused(tmp_path / "c.zip", "or of 64 bits")


def test_arrays_that_are_packed_twice(bundle, tmp_path):
    """A second archive inside could unpack to anything; the arrays of our records are stored as they are."""
    own = copied(bundle, tmp_path)
    path = card_of(own, "selections", text="prunebench/random", seed=0)
    forge(path, arrays={"indices": np.arange(30)})
    told = json.loads(path.read_text())["files"]["arrays.npz"]
    inner = path.with_name(told["path"])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, indices=np.zeros(2**20), keys=np.array(["x"]))
    inner.write_bytes(buffer.getvalue())
    import hashlib

    sha = hashlib.sha256(buffer.getvalue()).hexdigest()
    name = f"{path.stem}.{sha[:16]}.npz"
    inner.rename(path.with_name(name))
    files = {"arrays.npz": {"path": name, "bytes": len(buffer.getvalue()), "sha256": sha}}
    forge(path, files=files)
    refused(own, "is packed twice")


MEASURED = """
import resource, sys
from pathlib import Path
from prunebench.bundles.containers import unpack
from prunebench.bundles.manifests import read_manifest
from prunebench.errors import VerifyError
before, into = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, Path(sys.argv[2])
try:
    unpack(Path(sys.argv[1]), into)
    read_manifest(into)
    print("read")
except VerifyError:
    pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_stays_where_it_was(tmp_path):
    """A manifest of 8 MiB of brackets, and 256 MiB of zeros in an archive of a thousandth of that."""
    deep = zipped(tmp_path / "a.zip", [("manifest.json", b"[" * 2**22 + b"]" * 2**22)], compression=zipfile.ZIP_STORED)
    bomb = zipped(tmp_path / "b.zip", [(f"selections/{ID}.{i:016x}.npz", bytes(2**27)) for i in range(2)])
    for path in (deep, bomb):
        command = [sys.executable, "-c", MEASURED, str(path), str(path.with_suffix(""))]
        path.with_suffix("").mkdir()
        run = subprocess.run(command, capture_output=True, text=True)
        assert run.returncode == 0 and int(run.stdout) < 200, (path.name, run.stdout, run.stderr)


# -- text -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"null", b"[]", b"{", b'{"a":' * 5000 + b"1" + b"}" * 5000, b'{"a": NaN}', b'{"a": 1e999}', b"\xff\xfe"),
        *(b'{"prunebench_bundle": "\\ud800"}', b'{"prunebench_bundle": ' + b"9" * 5000 + b"}", b"\0" * 100),
        *(b'{"prunebench_bundle": 2}', b'{"prunebench_bundle": true}', b'{"prunebench_bundle": {"a": []}}'),
        b'{"prunebench_bundle": 1, "name": "\\u001b[2J"}',
    ],
    ids=range(15),
)
def test_whatever_a_manifest_says_it_is_one_sentence(content, tmp_path, capsys):
    refused(zipped(tmp_path / "b.zip", [("manifest.json", content)]), "manifest.json")
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(tmp_path / "b.zip")])
    said = capsys.readouterr()
    assert ended.value.code == 4 and "Traceback" not in said.err and "\x1b" not in said.out + said.err


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"a":' * 5000 + b"1" + b"}" * 5000, b'{"a": NaN}', b"\xff"])
def test_whatever_a_card_says_it_is_one_sentence(content, bundle, tmp_path):
    own = copied(bundle, tmp_path)
    card_of(own, "trials", selector="full", seed=0).write_bytes(content)
    reseal(own)
    refused(own, "is torn or is not a prunebench record")


def test_other_versions_and_kinds_are_refused_by_name(bundle, tmp_path):
    own = copied(bundle, tmp_path)
    path = own / "manifest.json"
    path.write_text(
        path.read_text()
        .replace('"prunebench_bundle": 1', '"prunebench_bundle": 2', 1)
        .replace('"prunebench_bundle":1', '"prunebench_bundle":2', 1)
    )
    assert "is of version '2', this prunebench reads version 1" in refused(own, "version")
    reseal(own)
    forge(card_of(own, "trials", selector="full", seed=0), format=9)
    (own / "manifest.json").write_text(path.read_text().replace('"prunebench_bundle": 2', '"prunebench_bundle": 1'))
    reseal(own)
    refused(own, "is of format 9, this version of prunebench reads format 1")


def test_files_that_were_added_taken_or_altered(bundle, tmp_path):
    own = copied(bundle, tmp_path)
    card = card_of(own, "trials", selector="full", seed=0)
    text = card.read_text()
    card.write_text(text.replace("planted", "plantes"))
    refused(own, "it was altered after the bundle was made")
    card.unlink()
    refused(own, "the manifest names it and it is missing")
    card.write_text(text)
    (own / "trials" / f"{ID}.json").write_text(text)
    refused(own, "the manifest does not name it")
    (own / "trials" / f"{ID}.json").unlink()
    manifest = own / "manifest.json"
    manifest.write_text(
        manifest.read_text().replace('"contact":""', '"contact":"x"').replace('"contact": ""', '"contact": "x"')
    )
    refused(own, "its own hash is another")


def test_hostile_names_are_inert_on_a_terminal(bundle, tmp_path, capsys):
    own = copied(bundle, tmp_path)
    path = card_of(own, "trials", selector="full", seed=0)
    forge(path, {"model": "\x1b[2J\u202ex|`<img onerror=1>"})
    with pytest.raises(SystemExit):
        main(["verify", str(own)])
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err and "\u202e" not in said.out + said.err
