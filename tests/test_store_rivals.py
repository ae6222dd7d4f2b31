"""The store alone, without torch: several drivers, pauses, clocks, and file systems that lack something."""

import errno
import hashlib
import os
import random
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from publisher import content, publish, work
from sittings import begin

from prunebench.store import Store, identify, publishing
from prunebench.store import directory as store_module
from prunebench.store.publishing import HOST, prefix

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


def test_a_note_of_failure_that_another_takes_back_meanwhile_is_none(shm, caplog):
    store = Store(shm / "store")
    store.note_failure("0" * 64, {"error": "no"})
    (store.root / "failures" / f"{'1' * 64}.json").symlink_to("gone")  # was there when the folder was listed
    assert [failure["id"] for failure in store.failures()] == ["0" * 64] and caplog.text == ""
    (store.root / "failures" / f"{'2' * 64}.json").write_text("{")
    assert [failure["id"] for failure in store.failures()] == ["0" * 64] and "is torn" in caplog.text


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


def test_whoever_waits_for_a_paused_driver_says_so_and_goes_on_with_it(shm, monkeypatch):
    root = shm / "store"
    slow = begin(root, prepare=lambda: stopping_at("link"), each=1)
    os.waitpid(slow.pid, os.WUNTRACED)
    other = begin(root, each=1)
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
