"""The store alone, without torch, under damage, on full and closed disks, and with records of another version."""

import errno
import os
import random
import subprocess

import pytest
from publisher import content, do, publish, work
from sittings import begin, check

from prunebench import StoreError, VerifyError
from prunebench.store import Store, publishing
from prunebench.store import directory as store_module
from prunebench.store.records import FORMAT, read_record

# ---- F5: damage


@pytest.mark.parametrize(
    "name, part",
    [("card", "*.json"), ("npz", "*.json"), ("npz", "*.npz"), ("npy", "*.npy"), ("safetensors", "*.safetensors"),
     ("folder", "*.json"), ("folder", "*/inside/step1.npy")],
)  # fmt: skip
def test_one_byte_in_fifty_places_and_fifty_cuts(shm, name, part):
    """Found before use, set aside, computed again; and never a part of it used."""
    root, (item,) = shm / "store", [item for item in work(1) if item[0] == name]
    _, record = do(Store(root), *item)
    (path,) = record.path.parent.glob(part)
    whole, rng = content(root), random.Random(0)
    original = path.read_bytes()
    for place in [rng.randrange(len(original)) for _ in range(100)]:
        damaged = bytearray(original)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged if place % 2 else original[:place])
        with pytest.raises(VerifyError):
            read_record(item[1], record.path)
        assert len(Store(root).verify()[1]) == 1
        how, again = do(Store(root), *item)
        assert how == "made" and again.result == record.result
        aside = list(root.glob("*/*.damaged-*"))
        assert len(aside) == (2 if name == "folder" else 1)
        for found in aside:
            publishing.remove(found)
        assert content(root) == whole


# ---- F6: no room


@pytest.mark.parametrize("limit", [0, 40, 200, 500, 1000, 4000, 4200])
def test_files_that_may_not_grow(shm, undisturbed, limit):
    import resource

    def prepare():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    sitting = begin(shm / "store", prepare=prepare).end()
    assert len(sitting.errors) == 1 and sitting.errors[0].startswith(f"error 1 cannot write {shm / 'store'}")
    assert "File too large" in sitting.errors[0] and "MiB are free" in sitting.errors[0]
    check(shm / "store", sitting.those("made"))
    again = begin(shm / "store").end()
    assert not again.errors and not set(again.those("made")) & set(sitting.those("made"))
    assert content(shm / "store") == undisturbed


def test_a_full_file_system(shm, undisturbed):
    """A real one, of a few pages; it is given room while the store stands."""
    place = shm / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48k", "prunebench", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        made: list[str] = []
        for room in (48, 96, 160, 8000):
            subprocess.run(["mount", "-o", f"remount,size={room}k", str(place)], check=True)
            sitting = begin(place / "store").end()
            check(place / "store", [*made, *sitting.those("made")])
            assert not set(made) & set(sitting.those("made"))
            made += sitting.those("made")
            if room < 8000:
                (error,) = sitting.errors
                assert error.startswith(f"error 1 cannot write {place / 'store'}")
                assert "No space left on device" in error and "free some room there" in error
        assert not sitting.errors and content(place / "store") == undisturbed
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_what_is_needed_and_what_is_free_are_told(shm, monkeypatch):
    import numpy as np

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = Store(shm / "store")
    monkeypatch.setattr(os, "fsync", full)
    told = (
        r"store/scores \(No space left on device: 8\.0 MiB are needed at once, [\d,.]+ MiB are free\): free some room"
    )
    with pytest.raises(StoreError, match=told):
        store.put("scores", {}, {}, arrays={"values": np.zeros(2**20)})
    with (
        pytest.raises(StoreError, match=r"No space left on device: 3\.0 MiB are needed"),
        store.scratch("x", 3 * 2**20),
    ):
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert list(shm.rglob(".tmp-*")) == []


# ---- F7: no permission


def nobody():
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


def test_a_store_that_cannot_be_written_is_told_before_anything_is_made(shm, undisturbed):
    root = shm / "store"
    publish(root, str, each=1)
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        sitting = begin(root, prepare=nobody).end()
    finally:
        for folder in folders:
            folder.chmod(0o755)
    (error,) = sitting.errors
    assert "Permission denied" in error and "give a --store that can be written" in error
    assert sitting.those("made") == []


@pytest.mark.parametrize("kind", store_module.KINDS)
def test_one_folder_that_cannot_be_written_is_enough(shm, kind):
    """Whichever: before a day of work it is not known which it will need."""
    root = Store(shm / "store").root
    if os.geteuid() == 0:
        for folder in (root, *root.iterdir()):
            os.chown(folder, 65534, 65534)
    (root / kind).chmod(0o555)
    sitting = begin(root, prepare=lambda: (nobody(), setattr(Store, "note_failure", lambda *_: None))).end()
    (root / kind).chmod(0o755)
    (error,) = sitting.errors
    assert f"cannot write {root / kind} (Permission denied)" in error and sitting.those("made") == []


def test_what_may_not_be_read_is_not_damaged(shm):
    """A record of somebody else, or too many open files: computing it again would be no remedy."""
    root = shm / "store"
    publish(root, str, each=1)
    whole = content(root)
    if os.geteuid() == 0:
        for path in (root, *root.rglob("*")):
            os.chown(path, 65534, 65534)
    for path in root.rglob("*.json"):
        path.chmod(0o000)
    sitting = begin(root, prepare=nobody, each=1).end()
    for path in root.rglob("*.json"):
        path.chmod(0o644)
    (error,) = sitting.errors
    assert "cannot be read (Permission denied): make it readable, or give another --store; it was left" in error
    assert {name: kept for name, kept in content(root).items() if not name.startswith("failures/")} == whole


# ---- F23: versions


def test_a_record_of_another_format_is_refused_and_kept(shm, monkeypatch):
    """A store of a newer version is no heap of damaged records."""
    root = shm / "store"
    (item,) = work(1)[:1]
    with monkeypatch.context() as patched:
        patched.setattr("prunebench.store.records.FORMAT", FORMAT + 1)
        _, record = do(Store(root), *item)
    whole = content(root)
    with pytest.raises(StoreError, match=rf"is of format {FORMAT + 1}, .* reads format {FORMAT}: .*another --store"):
        do(Store(root), *item)
    assert list(Store(root).records(item[1])) == [] and len(Store(root).verify()[1]) == 1
    assert content(root) == whole and record.path.exists()
