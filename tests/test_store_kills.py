"""The store alone, without torch, when it is killed or the power goes, at any moment and at every step."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import publisher
import pytest
from publisher import content, publish, work
from sittings import begin, check

from prunebench.store import Store, identify
from prunebench.store.publishing import HOST, prefix
from prunebench.store.records import canonical, sealed

# ---- F1: kill -9


def test_a_hundred_kills_at_random_moments(shm, undisturbed):
    started = time.monotonic()
    publish(shm / "timed", str)
    whole, rng, kills, stores = time.monotonic() - started, random.Random(0), 0, 0
    while kills < 100:
        stores += 1
        root, acknowledged = shm / str(stores), list[str]()
        while True:
            sitting = begin(root, seed=stores)
            there = sitting.read(rng.uniform(0, whole))
            sitting = sitting.kill() if there else sitting.end()
            assert not sitting.errors
            assert not set(sitting.those("made")) & set(acknowledged), "what was finished is not computed again"
            acknowledged += sitting.those("made") + sitting.those("found")
            check(root, acknowledged, sitting.lines[-1] if sitting.lines else "")
            kills += sitting.killed
            if not sitting.killed:
                break
        assert content(root) == undisturbed
        shutil.rmtree(root)


STEPS = ("fsync", "link", "replace", "rename", "unlink", "mkdir", "rmdir")


def dying_before(step):
    """Have this process kill itself before so many-th of the calls that publishing is made of."""
    count = [0]

    def counted(call):
        def stepped(*args, **kwargs):
            if count[0] == step:
                os.kill(os.getpid(), signal.SIGKILL)
            count[0] += 1
            return call(*args, **kwargs)

        return stepped

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))


def test_a_kill_before_every_single_step(shm):
    publish(shm / "undisturbed", str, each=1)
    whole, step = content(shm / "undisturbed"), 0
    while True:
        root = shm / str(step)
        sitting = begin(root, prepare=lambda step=step: dying_before(step), each=1).end()
        if not sitting.killed:
            break
        check(root, sitting.those("made"), sitting.lines[-1] if sitting.lines else "")
        again = begin(root, each=1).end()
        assert not again.errors and not set(again.those("made")) & set(sitting.those("made"))
        assert content(root) == whole
        shutil.rmtree(root)
        step += 1
    assert step > 60


# ---- F3: power


class Disk:
    """What a power cut would leave: of a file the content at its last fsync, of a folder the names at its last.

    The names since may be there too, in whole or in part, and be names of files whose content is not: `left` gives the
    worst cases.
    """

    def __init__(self, top: Path) -> None:
        self.top = top
        self.held: list[int] = []  # so that the number of a file is not given again
        self.files: dict[int, bytes] = {}
        self.names: dict[int, dict[str, int]] = {}
        self.folders: set[int] = set()
        self.latest: tuple[int, str, int] = (0, "", 0)
        self.sync(top)

    def sync(self, path: Path) -> None:
        self.held.append(os.open(path, os.O_RDONLY))
        if path.is_dir():
            entries = list(os.scandir(path))
            self.names[path.stat().st_ino] = {entry.name: entry.inode() for entry in entries}
            self.folders |= {entry.inode() for entry in entries if entry.is_dir()}
        else:
            self.files[path.stat().st_ino] = path.read_bytes()

    def named(self, path: Path) -> None:
        self.latest = (path.parent.stat().st_ino, path.name, path.stat().st_ino)
        self.folders |= {path.stat().st_ino} if path.is_dir() else set()

    def left(self, case: str, target: Path) -> Path:
        if case == "all names, synced content":
            self._copy(self.top, target)
        else:
            self._build(self.top.stat().st_ino, target, with_latest=case == "synced names and the latest")
        return target / "store"

    def _copy(self, folder: Path, target: Path) -> None:
        target.mkdir(parents=True)
        for path in folder.iterdir():
            if path.is_dir():
                self._copy(path, target / _dead(path.name))
            else:
                (target / _dead(path.name)).write_bytes(self.files.get(path.stat().st_ino, b""))

    def _build(self, folder: int, target: Path, with_latest: bool) -> None:
        target.mkdir(parents=True)
        names = dict(self.names.get(folder, {}))
        if with_latest and self.latest[0] == folder:
            names[self.latest[1]] = self.latest[2]
        for name, number in names.items():
            if number in self.folders:
                self._build(number, target / _dead(name), with_latest)
            else:
                (target / _dead(name)).write_bytes(self.files.get(number, b""))


def _dead(name: str) -> str:
    """The name as a process that is no more would have left it."""
    return name.replace(prefix(), f".tmp-{HOST}-{2**30}-0-")


def test_a_power_cut_after_every_single_step(shm, undisturbed, monkeypatch):
    top = shm / "disk"
    top.mkdir()
    disk, acknowledged, moments = Disk(top), list[str](), [0]
    real = {name: getattr(os, name) for name in STEPS}

    def cut(last: str = "") -> None:
        moments[0] += 1
        for case in ("synced names", "synced names and the latest", "all names, synced content"):
            store = disk.left(case, shm / "left")
            if store.exists() or last:
                check(store, acknowledged, last)
                if moments[0] % 40 == 0:
                    publish(store, str)
                    assert content(store) == undisturbed
            shutil.rmtree(shm / "left")

    def fsync(handle):
        disk.sync(Path(os.readlink(f"/proc/self/fd/{handle}")))
        with_real_calls(cut)

    def naming(name):
        def call(source, target, *args, **kwargs):
            real[name](source, target, *args, **kwargs)
            disk.named(Path(target))
            with_real_calls(cut)

        return call

    def with_real_calls(cut, *last) -> None:
        with monkeypatch.context() as outside:
            for name, call in real.items():
                outside.setattr(os, name, call)
            cut(*last)

    def say(line: str) -> None:
        if line.startswith("made"):
            acknowledged.append(line.split()[2])
        with_real_calls(cut, line)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        for name in ("link", "replace", "rename"):
            patched.setattr(os, name, naming(name))
        publish(top / "store", say)
    for handle in disk.held:
        os.close(handle)
    assert moments[0] > 150 and len(acknowledged) == len(work())


def test_the_system_sees_file_then_name_then_folder(tmp_path):
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    calls = "trace=fsync,link,linkat,rename,renameat,renameat2,write"
    command = ["strace", "-f", "-y", "-s", "200", "-e", calls, "-o", str(tmp_path / "calls")]
    traced = subprocess.run([*command, sys.executable, publisher.__file__, str(tmp_path / "store")], text=True)
    if traced.returncode:
        pytest.skip("strace is not allowed to trace here")
    lines = (tmp_path / "calls").read_text().splitlines()

    def where(call: str, part: str) -> list[int]:
        return [i for i, line in enumerate(lines) if call in line.partition("(")[0] and part in line]

    published = where("link", ".json")
    for at in published:
        source, card = (Path(path) for path in lines[at].split('"')[1::2][:2])
        if source.suffix == ".card":  # of a folder: it had a temporary name before this one
            source = Path(lines[where("rename", f'{source.name}"')[0]].split('"')[1])
        (told,) = where("write", f"made {card.parent.name} {card.stem}")
        assert where("fsync", f"{source.name}>")[0] < at, f"{source} is named before it is on the disk"
        synced = [i for i in where("fsync", f"/{card.parent.name}>") if at < i < told]
        assert synced, f"{card} is acknowledged before its name is on the disk"
    assert len(published) == len(work())


# ---- folders that are made


def test_what_was_made_is_never_made_again(shm):
    """A kill between the last byte of a folder and its card costs nothing."""
    calls = []

    def make(place):
        calls.append(place)
        (place / "weights").write_bytes(b"a day of work")

    store = Store(shm / "store")
    monkeypatch = pytest.MonkeyPatch()
    for call in ("rename", "link"):
        with monkeypatch.context() as patched:
            patched.setattr(os, call, lambda *args, **kwargs: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                store.make_folder({"stopped at": call}, make)
        before = len(calls)
        record = Store(store.root).make_folder({"stopped at": call}, make)
        assert len(calls) == before and (record.folder / "weights").read_bytes() == b"a day of work"
    assert Store(store.root).verify() == (2, []) and list(store.root.glob("models/.making-*")) == []


def test_a_folder_altered_before_its_card_stands_is_made_again(shm):
    def make(place):
        (place / "weights").write_bytes(b"good")

    store = Store(shm / "store")
    with pytest.MonkeyPatch().context() as patched:
        patched.setattr(os, "link", lambda *args, **kwargs: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.make_folder({"n": 1}, make)
    (store.root / "models" / identify("models", {"n": 1}) / "weights").write_bytes(b"evil")
    record = Store(store.root).make_folder({"n": 1}, make)
    assert (record.folder / "weights").read_bytes() == b"good"


def test_work_that_nothing_is_left_of_is_swept_and_work_in_progress_is_kept(shm):
    store = Store(shm / "store")
    record = store.make_folder({"n": 1}, lambda place: (place / "x").write_bytes(b"x"))
    over, going = store.root / "models" / f".making-{record.id}", store.root / "models" / f".making-{'0' * 64}"
    for folder in (over, going):
        folder.mkdir()
        (folder / "checkpoint").write_bytes(b"c")
    Path(f"{over}.card").write_bytes(canonical(sealed("models", {}, {}, {}, {})[0]).encode())
    with store.lock(record.id):
        Store(store.root)
        assert over.exists()  # somebody is at it
    Store(store.root)
    assert not over.exists() and not Path(f"{over}.card").exists() and (going / "checkpoint").exists()
