"""The store under faults: torn, altered, killed, full, contended."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading

import numpy as np
import pytest

from prunebench import StoreError, VerifyError
from prunebench.store import Store, canonical, identify, read_record

IDENTITY = {"method": "x", "keep": 0.1, "seeds": [1, 2]}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_what_is_put_is_got(store):
    put = store.put(
        "scores", IDENTITY, {"hard": "low"}, arrays={"values": np.arange(5.0), "keys": np.array(["a", "é"])}
    )
    got = Store(store.root).get("scores", IDENTITY)
    assert got.id == put.id == identify("scores", IDENTITY)
    assert got.result == {"hard": "low"} and got.identity == IDENTITY
    assert np.array_equal(got.arrays["values"], np.arange(5.0)) and list(got.arrays["keys"]) == ["a", "é"]
    assert store.get("scores", {**IDENTITY, "keep": 0.2}) is None
    assert store.verify() == (1, [])


def test_identity_does_not_depend_on_the_order_of_fields():
    assert canonical({"b": 1, "a": 2}) == canonical({"a": 2, "b": 1})
    with pytest.raises(ValueError):
        canonical({"x": float("nan")})


def flipped(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 0x20
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("part", ["card", "arrays"])
@pytest.mark.parametrize("fault", ["flip", "cut", "empty", "missing"])
@pytest.mark.parametrize("where", [0.0, 0.3, 0.6, 0.95])
def test_what_is_damaged_is_never_used(store, part, fault, where):
    record = store.put("scores", IDENTITY, {"y": 1}, arrays={"values": np.arange(50.0)})
    path = record.path if part == "card" else record.file("arrays.npz")
    size = path.stat().st_size
    if fault == "flip":
        flipped(path, int(where * size))
    elif fault == "cut":
        path.write_bytes(path.read_bytes()[: int(where * size)])
    elif fault == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    fresh = Store(store.root)
    if not (part == "card" and fault == "missing"):
        assert len(fresh.verify()[1]) == 1
        with pytest.raises(VerifyError):
            read_record("scores", record.path)
    assert fresh.get("scores", IDENTITY) is None  # set aside, so that it is computed again
    again = fresh.put("scores", IDENTITY, {"y": 1}, arrays={"values": np.arange(50.0)})
    assert np.array_equal(again.arrays["values"], np.arange(50.0))
    assert Store(store.root).verify() == (1, [])


@pytest.mark.parametrize("part", ["card", "arrays"])
@pytest.mark.parametrize("inside", [True, False])
def test_a_directory_in_the_place_of_a_record_is_damage(store, part, inside):
    """No reason to stop for good: it is set aside, with what it holds."""
    record = store.put("scores", IDENTITY, {"y": 1}, arrays={"values": np.arange(50.0)})
    path = record.path if part == "card" else record.file("arrays.npz")
    path.unlink()
    path.mkdir()
    if inside:
        (path / "notes.txt").write_text("mine")
    fresh = Store(store.root)
    (problem,) = fresh.verify()[1]
    assert problem.startswith(f"{path} is a directory, not a ")
    assert fresh.get("scores", IDENTITY) is None
    again = fresh.put("scores", IDENTITY, {"y": 1}, arrays={"values": np.arange(50.0)})
    assert np.array_equal(again.arrays["values"], np.arange(50.0))
    assert Store(store.root).verify() == (1, [])
    aside = [found for found in store.root.glob("scores/*.damaged-*") if found.is_dir()]
    assert len(aside) == 1 and [found.name for found in aside[0].iterdir()] == (["notes.txt"] if inside else [])


def test_a_card_under_another_name_is_refused(store):
    record = store.put("trials", IDENTITY, {"accuracy": 0.5})
    other = record.path.with_name("0" * 64 + ".json")
    other.write_bytes(record.path.read_bytes())
    with pytest.raises(VerifyError):
        read_record("trials", other)


def test_a_card_that_leads_outside_is_refused(store):
    record = store.put("trials", IDENTITY, {})
    card = json.loads(record.path.read_text())
    card.pop("sha256")
    card["files"] = {"x": {"path": "../../secret", "bytes": 1, "sha256": "0"}}
    card["sha256"] = hashlib.sha256(canonical(card).encode()).hexdigest()
    record.path.write_text(canonical(card))
    with pytest.raises(VerifyError, match="outside"):
        read_record("trials", record.path)


def sealed(path, changed):
    """The card with ``changed`` applied to its text, sealed anew: what somebody can do who knows the format."""
    body = changed(re.sub(r',"sha256":"[0-9a-f]{64}"}$', "}", path.read_text()))
    path.write_text(f'{body[:-1]},"sha256":"{hashlib.sha256(body.encode()).hexdigest()}"}}')


@pytest.mark.parametrize(
    "changed",
    [
        lambda text: text.replace('"dataset":"d"', '"dataset":"e"'),  # another identity under this name
        lambda text: text.replace('"kind":"trials"', '"kind":"scores"'),
        lambda text: text.replace('"format":1', '"format":2'),
        lambda text: text.replace("0.5", "NaN"),
        lambda text: text.replace("0.5", "Infinity"),
        lambda text: text.replace('{"files":{}', '{"files":[]'),
        lambda text: text[:-1] + ',"identity":{"dataset":"e"}}',
        lambda text: '{"id":"0",' + text[1:],
    ],
)
def test_a_sealed_card_that_tells_something_else_is_refused(store, changed):
    record = store.put("trials", {"dataset": "d"}, {"accuracy": 0.5})
    sealed(record.path, lambda text: text)
    assert read_record("trials", record.path).card == record.card
    sealed(record.path, changed)
    with pytest.raises(VerifyError):
        read_record("trials", record.path)


def test_a_card_that_was_laid_out_anew_is_read_and_still_checked(store):
    record = store.put("trials", {"dataset": "d"}, {"accuracy": 0.5})
    record.path.write_text(json.dumps(json.loads(record.path.read_text()), indent=1))
    assert read_record("trials", record.path).card == record.card
    record.path.write_text(record.path.read_text().replace("0.5", "0.6"))
    with pytest.raises(VerifyError, match="altered"):
        read_record("trials", record.path)


def test_the_first_to_publish_stands(store):
    first = store.put("trials", IDENTITY, {"accuracy": 0.5})
    second = Store(store.root).put("trials", IDENTITY, {"accuracy": 0.6})
    assert second.result == first.result == {"accuracy": 0.5}


def test_many_writers_one_record(store):
    made = []

    def write(i):
        made.append(Store(store.root).put("trials", IDENTITY, {"by": i}, arrays={"x": np.full(100, i)}))

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len({m.result["by"] for m in made}) == 1
    assert {int(m.arrays["x"][0]) for m in made} == {made[0].result["by"]}
    assert Store(store.root).verify() == (1, [])


KILLED = """
import os, sys, threading, time
import numpy as np
from prunebench.store import Store
store = Store(sys.argv[1])
threading.Thread(target=lambda: (time.sleep(float(sys.argv[2])), os.kill(os.getpid(), 9)), daemon=True).start()
for i in range(100000):
    store.put("scores", {"i": i}, {"i": i}, arrays={"values": np.full(2000, i)})
    print(i, flush=True)
"""


def test_a_kill_loses_nothing_acknowledged_and_leaves_nothing_torn(tmp_path):
    root = tmp_path / "store"
    for k in range(6):
        run = subprocess.run(
            [sys.executable, "-c", KILLED, str(root), str(0.02 * k + 0.01)], capture_output=True, text=True
        )
        acknowledged = [int(x) for x in run.stdout.split()]
        store = Store(root)
        sound, problems = store.verify()
        assert problems == [] and sound >= len(acknowledged)
        for i in acknowledged:
            assert store.get("scores", {"i": i}).arrays["values"][0] == i
    assert not list(root.glob("*/.tmp-*")), "what a dead process left is swept when the store is opened"


def test_a_folder_is_made_once_and_resumed_after_a_kill(store):
    calls = []

    def torn(folder):
        (folder / "step1").write_text("done")
        raise KeyboardInterrupt

    def whole(folder):
        calls.append((folder / "step1").exists())
        (folder / "sub").mkdir()
        (folder / "sub" / "weights").write_bytes(b"w")

    with pytest.raises(KeyboardInterrupt):
        store.make_folder({"n": 1}, torn)
    record = store.make_folder({"n": 1}, whole)
    assert calls == [True]
    assert (record.folder / "sub" / "weights").read_bytes() == b"w"
    store.make_folder({"n": 1}, whole)
    assert calls == [True]
    (record.folder / "sub" / "weights").write_bytes(b"v")
    Store(store.root).make_folder({"n": 1}, whole)
    assert calls == [True, False]


def test_no_hard_links(store, monkeypatch):
    def refuse(*args):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    store.put("trials", IDENTITY, {"accuracy": 0.5})
    assert Store(store.root).put("trials", IDENTITY, {"accuracy": 0.9}).result == {"accuracy": 0.5}
    assert Store(store.root).verify() == (1, [])


def test_a_full_disk_is_told_and_harms_nothing(store, monkeypatch):
    store.put("trials", IDENTITY, {"accuracy": 0.5})

    def full(handle):
        raise OSError(28, "No space left on device", "somewhere")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="free some room"):
            store.put("trials", {"other": 1}, {"accuracy": 0.5})
    assert Store(store.root).verify() == (1, [])
    store.put("trials", {"other": 1}, {"accuracy": 0.5})
    assert Store(store.root).verify() == (2, [])


def test_a_store_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--store"):
        Store(tmp_path / "file" / "store")


def test_failures_are_noted_and_forgotten(store):
    store.note_failure("a" * 64, {"error": "no"})
    assert store.failures() == [{"id": "a" * 64, "error": "no"}]
    store.forget_failure("a" * 64)
    assert store.failures() == []
