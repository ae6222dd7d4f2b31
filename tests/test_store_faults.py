"""The store alone, without torch, under kills, power cuts, damage, full disks, rivals, pauses, clocks and odd disks."""

import errno
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import publisher
from publisher import content, do, publish, work
from sittings import begin, check

from prunebench import StoreError, VerifyError, publishing
from prunebench import store as store_module
from prunebench.publishing import HOST, prefix
from prunebench.records import FORMAT, canonical, read_record, sealed
from prunebench.store import Store, identify


@pytest.fixture
def shm(tmp_path):
    """A folder in memory where there is one: a kill costs what is in a process, not what is in the system's cache."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="prunebench-", dir="/dev/shm"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def undisturbed(shm):
    """The content of a store that nobody disturbed."""
    publish(shm / "undisturbed", str)
    found = content(shm / "undisturbed")
    assert not any(part.startswith(".") for name in found for part in Path(name).parts)
    return found


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


# ---- F8: rivals


@pytest.mark.parametrize("links", [True, False], ids=["links", "no-links"])
def test_drivers_on_one_store_make_each_record_once(shm, undisturbed, links):
    """F8, and F28: the same where the file system has no hard links."""
    for turn in range(20):
        root = shm / f"store{turn}"
        prepare = (lambda: None) if links else without_links
        drivers = [begin(root, seed=10 * turn + i, prepare=prepare) for i in range(2 + turn % 3)]
        ended = [driver.end() for driver in drivers]
        assert [driver.errors for driver in ended] == [[]] * len(drivers)
        made = [id for driver in ended for id in driver.those("made")]
        folders = {identify("models", item[2]) for item in work() if item[0] == "folder"}  # one makes, all say so
        assert sorted(id for id in made if id not in folders) == sorted(set(made) - folders)
        assert {*made} == {identify(kind, identity) for _, kind, identity, _ in work()}
        assert content(root) == undisturbed
        shutil.rmtree(root)


def test_drivers_that_find_the_same_damage_set_it_aside_once(shm, undisturbed):
    root = shm / "store"
    publish(root, str)
    for turn in range(10):
        for path in [*root.glob("scores/*.npz"), *root.glob("models/*/inside/step0.npy"), *root.glob("trials/*.json")]:
            path.write_bytes(path.read_bytes()[:-1])
        ended = [driver.end() for driver in [begin(root, seed=4 * turn + i) for i in range(4)]]
        assert [driver.errors for driver in ended] == [[]] * 4
        aside = list(root.glob("*/*.damaged-*"))
        assert len(aside) == 3 + 3 + 2 * 3
        for path in aside:
            publishing.remove(path)
        assert content(root) == undisturbed


# ---- F9: pauses


def stopping_at(name, calls=0):
    """Have this process pause itself, once, when it is about to call that after so many calls."""
    real, left = getattr(os, name), [calls]

    def paused(*args, **kwargs):
        left[0] -= 1
        if left[0] < 0:
            setattr(os, name, real)
            os.kill(os.getpid(), signal.SIGSTOP)
        return real(*args, **kwargs)

    setattr(os, name, paused)


def test_a_driver_paused_at_any_point_of_publishing_makes_no_second_record(shm):
    """Without its lock as well: the other has gone past it, and the name is taken when it wakes. (The first `replace`
    and the first two `fsync` are of a note of failure.)"""
    for turn, call in enumerate([("link", 0), ("replace", 1), ("fsync", 2), ("fsync", 3), ("fsync", 4), ("unlink", 0)]):
        root = Store(shm / str(turn)).root
        slow = begin(root, prepare=lambda call=call: stopping_at(*call), each=1)
        os.waitpid(slow.pid, os.WUNTRACED)
        os.rename(root / ".locks", root / ".gone")  # as if its lock had been broken
        quick = begin(root, each=1).end()
        assert not quick.errors and len(quick.those("made")) + len(quick.those("found")) == 5
        before = content(root)
        os.kill(slow.pid, signal.SIGCONT)
        assert not slow.end().errors
        after = content(root)
        shutil.rmtree(root / ".gone")
        temporaries = [name for name in before if Path(name).name.startswith(".tmp-")]
        assert after == {name: kept for name, kept in before.items() if name not in temporaries}


def test_what_another_has_mended_is_not_set_aside(shm):
    """A driver that is paused with damage in its hand does not move away what has been put in its place."""
    root, order = shm / "store", work(1)
    publish(root, str, each=1)
    whole = content(root)
    random.Random(0).shuffle(order)
    card = root / order[0][1] / f"{identify(*order[0][1:3])}.json"
    card.write_bytes(b"{")
    slow = begin(root, prepare=lambda: stopping_at("replace", 1), each=1)
    os.waitpid(slow.pid, os.WUNTRACED)
    other = begin(root, each=1)
    other.read(0.3)
    os.kill(slow.pid, signal.SIGCONT)
    ended = [slow.end(), other.end()]
    assert [driver.errors for driver in ended] == [[], []]
    assert sum(driver.those("made").count(card.stem) for driver in ended) == 1
    (aside,) = root.glob("*/*.damaged-*")
    aside.unlink()
    assert content(root) == whole


def test_whoever_waits_for_a_paused_driver_says_so_and_goes_on_with_it(shm, caplog, monkeypatch):
    root = shm / "store"
    slow = begin(root, prepare=lambda: stopping_at("link"), each=1)
    os.waitpid(slow.pid, os.WUNTRACED)

    def impatient():
        store_module.PATIENCE = 0.05
        store_module.log.warning = lambda text, *told: print(text % told, file=sys.stderr, flush=True)

    other = begin(root, prepare=impatient, each=1)
    assert other.read(0.5), "it waits: the lock is the other's as long as the other is there"
    assert other.told.count(b"made") == 0
    os.kill(slow.pid, signal.SIGCONT)
    ended = [slow.end(), other.end()]
    assert [driver.errors for driver in ended] == [[], []]
    with Store(root).lock("busy"):
        monkeypatch.setattr(store_module, "PATIENCE", 0.05)
        third = begin(root, prepare=lambda: os._exit(0 if _waits(root) else 1)).end()
    assert third.status == 0


def _waits(root: Path) -> bool:
    """Whether waiting for the lock ``busy`` is told in the log."""
    told = []
    store_module.log.warning = lambda text, *given: told.append(text % given)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0 if told and "waiting for another process" in told[0] else 1))
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    with Store(root).lock("busy"):
        return False


# ---- F10: clocks


@pytest.mark.parametrize("days", [-400, -1, 1, 400])
def test_clocks_that_jump_change_nothing(shm, undisturbed, monkeypatch, days):
    root = shm / "store"
    publish(root, str, each=1)
    for path in root.rglob("*"):
        os.utime(path, (time.time() + 86400 * days,) * 2)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 86400 * days)
    monkeypatch.setattr(time, "time_ns", lambda: int((now() + 86400 * days) * 1e9))
    publish(root, str)
    assert content(root) == undisturbed


def test_whose_temporaries_are_swept(shm):
    """Of this machine what belongs to no living process, by its beginning too; of others what a week did not change."""
    root, week = Store(shm / "store").root, 7 * 86400
    mine = prefix()
    reused = f".tmp-{HOST}-{os.getpid()}-1-"  # the id of this process, and the beginning of another
    dead, other = f".tmp-{HOST}-{2**30}-0-", ".tmp-0123abcd-17-99-"
    ages = {f"{mine}a": 9 * week, f"{reused}a": 0, f"{dead}a": 0, f"{dead}b": -9 * week}
    ages |= {f"{other}new": 0, f"{other}old": week + 60, f"{other}future": -9 * week}
    for name, age in ages.items():
        (root / "scores" / name).write_bytes(b"x")
        os.utime(root / "scores" / name, (time.time() - age,) * 2)
    for name, inside in ((f"{other}busy", 0), (f"{other}idle", 2 * week)):
        (root / "evidence" / name).mkdir()
        (root / "evidence" / name / "history.npy").write_bytes(b"x")
        os.utime(root / "evidence" / name / "history.npy", (time.time() - inside,) * 2)
        os.utime(root / "evidence" / name, (time.time() - 2 * week,) * 2)
    Store(root)
    left = {path.name for path in root.glob("*/.tmp-*")}
    assert left == {f"{mine}a", f"{other}new", f"{other}future", f"{other}busy"}
    assert list(root.glob(".tmp-*")) == []


def test_a_host_is_its_name_and_its_process_ids():
    """Containers may share a host's name, and the number of one's process is another's or nobody's."""
    namespace = publishing._pid_namespace()
    assert not sys.platform.startswith("linux") or namespace.startswith("pid:[")
    told = f"{socket.gethostname()}{namespace}"
    assert hashlib.sha256(told.encode()).hexdigest()[:8] == HOST


# ---- F23: versions


def test_a_record_of_another_format_is_refused_and_kept(shm, monkeypatch):
    """A store of a newer version is no heap of damaged records."""
    root = shm / "store"
    (item,) = work(1)[:1]
    with monkeypatch.context() as patched:
        patched.setattr("prunebench.records.FORMAT", FORMAT + 1)
        _, record = do(Store(root), *item)
    whole = content(root)
    with pytest.raises(StoreError, match=rf"is of format {FORMAT + 1}, .* reads format {FORMAT}: .*another --store"):
        do(Store(root), *item)
    assert list(Store(root).records(item[1])) == [] and len(Store(root).verify()[1]) == 1
    assert content(root) == whole and record.path.exists()


# ---- F28: odd file systems


def without_links():
    def refuse(*args, **kwargs):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    os.link = refuse


@pytest.mark.parametrize("number", publishing.UNLINKABLE)
def test_without_hard_links_a_store_is_the_same(shm, undisturbed, monkeypatch, number):
    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    publish(shm / "store", str)
    assert content(shm / "store") == undisturbed
    item = work()[0]
    first = Store(shm / "store").get(item[1], item[2])
    assert Store(shm / "store").put(item[1], item[2], {"accuracy": -1}).result == first.result
    assert content(shm / "store") == undisturbed


def test_names_that_differ_by_case_alone_do_not_meet(shm):
    """Ids are hashes in lower case, so file systems that fold case tell them apart."""
    store = Store(shm / "store")
    records = [store.put("trials", {"name": name}, {"was": name}) for name in ("Mini", "mini", "MINI")]
    assert len({record.path.name.lower() for record in records}) == 3
    assert all(path.name == path.name.lower() for path in store.root.rglob("*"))
    assert [Store(store.root).get("trials", {"name": n}).result["was"] for n in ("Mini", "mini", "MINI")] == [
        "Mini",
        "mini",
        "MINI",
    ]


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
