"""Stores of strangers: no name in a record leads outside, nothing swapped is used; none tells of the machine."""

import hashlib
import json
import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from prunebench import UserError, VerifyError, load_scores, load_selection
from prunebench.cli import main
from prunebench.leaderboard import leaderboard
from prunebench.portable import anonymous, expanded, with_tilde
from prunebench.registry import collect
from prunebench.store import Store, canonical, identify, read_record

IDENTITY = {"data": "f", "method": {"text": "prunebench/random()"}, "keep": 0.1, "seed": 0}
COST = {"seconds": 1.0, "alone_seconds": 1.0, "forward": 0, "backward": 0, "evaluations": 0, "peak_bytes": 0}


def forged(record, **changed):
    """A card that says something else, with the hash that belongs to it."""
    card = json.loads(record.path.read_text())
    card.pop("sha256")
    card |= changed
    card["id"] = identify(card["kind"], card["identity"])
    card["sha256"] = hashlib.sha256(canonical(card).encode()).hexdigest()
    path = record.path.with_name(f"{card['id']}.json")
    path.write_text(canonical(card))
    return path


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


# -- S7: names are no paths -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../../x", "/etc/passwd", "a\0b", "x" * 300, "../scores/../../y", "link", "loop", "CON", ".", ""],
)
def test_no_file_of_a_card_leads_outside_the_store(name, store, tmp_path):
    (tmp_path / "x").write_bytes(b"secret")
    (store.root / "trials" / "link").symlink_to(tmp_path / "x")
    (store.root / "trials" / "loop").symlink_to("loop")
    record = store.put("trials", IDENTITY, {"accuracy": 0.5})
    file = {"path": name, "bytes": 6, "sha256": hashlib.sha256(b"secret").hexdigest()}
    path = forged(record, files={"arrays.npz": file})
    with pytest.raises(VerifyError):
        read_record("trials", path)
    assert len(store.verify()[1]) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"files": []},
        {"files": None},
        {"files": {"a": "b"}},
        {"files": {"a": None}},
        {"files": {"a": {"path": "x"}}},
        {"files": {"a": {"path": 1, "bytes": 1, "sha256": ""}}},
        {"result": 5},
        {"result": [["accuracy", 1.0]]},
        {"provenance": []},
        {"identity": ["x"]},
    ],
    ids=str,
)
def test_cards_of_another_shape_are_refused(changed, store):
    path = forged(store.put("trials", IDENTITY, {"accuracy": 0.5}), **changed)
    with pytest.raises(VerifyError):
        read_record("trials", path)


def trial(store, **changed):
    result = {
        **{"dataset": "d", "fingerprint": "f", "test_fingerprint": "t", "image_size": 8, "scorer": None},
        **{"selector": "prunebench/random()", "keep": 0.1, "examples": 9, "selection": "s" * 64, "label_free": False},
        **{"model": "resnet18", "pretrained": False, "recipe": "r", "train_budget": "steps", "steps": 2},
        **{"policy": "plain", "seed": 0, "score_seed": 0, "reference": "resnet18", "reference_epochs": 1},
        **{"threads": 1, "precision": "float32", "protocol": 1, "setting": "", "accuracy": 0.5},
        **{"class_accuracy": [0.5], "train_loss": 0.1, "score_cost": COST, "select_cost": COST, "train_cost": COST},
    }
    return store.put("trials", {"of": changed}, {**result, **changed})


def test_a_record_that_names_a_file_outside_moves_nothing(store, tmp_path):
    """Two trials of one seed make the leaderboard look up the selections that they name."""
    outside = tmp_path / "precious.json"
    outside.write_text("{}")
    for i, way in enumerate(("../../precious", str(outside.with_suffix("")), "../../precious")):
        trial(store, selection=way, accuracy=0.1 * i, scorer="x/aum()", selector="x/hardest()")
    before = sorted(p.name for p in tmp_path.iterdir())
    assert leaderboard(store).left_out == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == before and outside.read_text() == "{}"
    assert store.by_id("selections", "../../precious") is None


# -- S11: what belongs to another record ------------------------------------------------------------------------------


def scores(store, values, **identity):
    result = {"hard": "high", "comparable": "set", "label_free": True, "fingerprint": "f", "cost": COST, "details": {}}
    return store.put("scores", {**IDENTITY, **identity}, result, arrays={"values": np.asarray(values)})


def test_arrays_of_another_record_are_not_used(store):
    first, second = scores(store, [1.0, 2.0], seed=0), scores(store, [9.0, 9.0], seed=1)
    assert load_scores(first.path).values.tolist() == [1.0, 2.0]
    first.file("arrays.npz").write_bytes(second.file("arrays.npz").read_bytes())
    with pytest.raises(VerifyError, match="altered after it was written"):
        load_scores(first.path)
    second.path.replace(first.path)
    with pytest.raises(VerifyError):
        load_scores(first.path)
    assert Store(store.root).get("scores", IDENTITY) is None


@pytest.mark.parametrize("values", [[[1.0]], [np.nan, 1.0], ["a", "b"], [np.inf]])
def test_a_score_record_holds_a_number_for_each_example(values, store):
    with pytest.raises(VerifyError, match="not a record of scores"):
        load_scores(scores(store, values).path)


@pytest.mark.parametrize("indices", [[1, 0], [0, 0], [-1, 2], [0, 5], [0.5, 1.0]])
def test_a_selection_record_holds_positions_of_its_data_set(indices, store):
    result = {"scorer": None, "size": 5, "fingerprint": "f", "label_free": True, "cost": COST, "details": {}}
    arrays = {"indices": np.asarray(indices), "keys": np.array(["a", "b"])}
    with pytest.raises(VerifyError, match="not a record of selections"):
        load_selection(store.put("selections", IDENTITY, result, arrays=arrays).path)


def test_the_card_of_one_score_file_beside_the_numbers_of_another(tmp_path):
    from prunebench import Scores, save_scores

    for name in "ab":
        save_scores(Scores(np.array([1.0, ord(name)]), "high", name), tmp_path / f"{name}.npz")
    (tmp_path / "a.npz").write_bytes((tmp_path / "b.npz").read_bytes())
    with pytest.raises(UserError, match="not the file that its card"):
        load_scores(tmp_path / "a.npz")


# -- S15: what a record tells of the machine --------------------------------------------------------------------------

RUN = """
import sys
import prunebench_baselines.uniform as method
import prunebench as pb
home, data, noise, store = sys.argv[1:]
def failing(labels, budget, generator, *, quota="proportional"):
    import os
    raise OSError(f"{home}/pictures/a/b.png: no; {os.getcwd()}/x; key {os.environ['MY_API_KEY']} on " + os.uname()[1])
method.balanced = failing
told = {"dataset": f"folder:{data}", "label_noise": f"file:{noise}", "store": store, "image_size": 8, "threads": 1}
short = {"keep": (0.5,), "steps": 2, "seeds": 1, "reference_epochs": 1}
assert len(list(pb.run(pb.Plan(scorers=("aum",), selectors=("hardest",), **told, **short)))) == 3
"""


def test_no_record_tells_of_the_machine_or_its_secrets(tmp_path):
    """Every kind of record that a small run writes, notes of failures with their tracebacks among them."""
    home = tmp_path / "home" / "ann-of-the-lab"
    work, data = home / "work", home / "private-pictures"
    work.mkdir(parents=True)
    for split, many in (("train", 6), ("val", 2)):
        for label, grey in (("cat", 40), ("dog", 200)):
            (data / split / label).mkdir(parents=True)
            for i in range(many):
                _picture(grey + i).save(data / split / label / f"{i}.png")
    secrets = {"MY_API_KEY": "hunter2-hunter2", "HF_TOKEN": "hf_0123456789", "USER": "ann-of-the-lab"}
    noise = work / "wrong-labels.csv"
    lines = [f"train/{label}/{i}.png,{label}\n" for label in ("cat", "dog") for i in range(6)]
    noise.write_text("path,label\n" + "".join(lines))
    env = os.environ | secrets | {"HOME": str(home)}
    command = [sys.executable, "-c", RUN, str(home), str(data), str(noise), str(work / "runs")]
    run = subprocess.run(command, cwd=work, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    written = [path for path in (work / "runs").rglob("*") if path.is_file()]
    assert {path.parent.name for path in written} >= {"evidence", "scores", "selections", "trials", "failures"}
    private = [str(tmp_path), "ann-of-the-lab", "private-pictures/", *secrets.values()]
    private += [name for name in (socket.gethostname(),) if len(name) > 3]
    for path in written:
        told = path.name.encode() + path.read_bytes()
        for text in private:
            assert text.encode() not in told and text.encode("utf-32-le") not in told, (path, text)
    (note,) = Store(work / "runs").failures()
    assert "a/b.png" in note["error"] and "[MY_API_KEY]" in note["error"] and "Traceback" in note["notes"][0]


def _picture(grey):
    from PIL import Image

    return Image.new("RGB", (8, 8), (grey, grey // 2, 90))


def test_a_path_in_the_home_folder_is_written_with_a_tilde_and_given_whole(tmp_path, monkeypatch):
    from prunebench.evidence.account import Account
    from prunebench.evidence.calling import call
    from prunebench.option_files import named_files

    monkeypatch.setenv("HOME", str(tmp_path / "ann"))
    model = tmp_path / "ann" / "mydit"
    model.mkdir(parents=True)
    (model / "weights").write_bytes(b"1")
    method = collect().method("scorer", f"zcore(encoder={str(model)!r})")
    assert "encoder='~/mydit'" in method.text and str(tmp_path) not in str(method.identity)
    entry = SimpleNamespace(function=lambda: lambda *, encoder, **others: encoder)
    evidence = SimpleNamespace(account=Account("a method"))
    assert call(SimpleNamespace(entry=entry, inputs=(), options=method.options), evidence)[0] == str(model)
    assert named_files(method).keys() == {"encoder"}
    assert collect().method("scorer", "zcore(encoder='~/mydit')").text == method.text


def test_what_is_cut_from_texts(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("SOME_TOKEN", "abcd1234")
    assert with_tilde("/home/ann/x and /home/anna/x") == "~/x and /home/anna/x"
    assert with_tilde(5) == 5 and expanded({"a": "~/x", "b": "~x", "c": 1}) == {"a": "/home/ann/x", "b": "~x", "c": 1}
    assert anonymous("/mnt/data/train/n01/x.png is torn") == "…/n01/x.png is torn"
    assert anonymous(["/home/bob/x", {"a": "token abcd1234."}]) == ["~/x", {"a": "token [SOME_TOKEN]."}]
    assert anonymous("https://host/a/b/c 3/4/5 train/n01/x.png") == "https://host/a/b/c 3/4/5 train/n01/x.png"
    monkeypatch.setenv("HOME", "/")
    assert with_tilde("/x/y") == "/x/y"


def test_a_damaged_store_is_told_without_a_traceback(store, capsys):
    record = trial(store)
    for i, result in enumerate(({"accuracy": 10**15}, {"accuracy": "1"}, {"score_cost": 5}, {"keep": None})):
        forged(record, identity={"of": i}, result={**record.result, **result})
    with pytest.raises(SystemExit):
        main(["leaderboard", str(store.root / "none")])
    main(["leaderboard", str(store.root)])
    told = capsys.readouterr()
    assert "Traceback" not in told.err and told.out.count("50.00") == 1


# -- who only reads writes nothing ------------------------------------------------------------------------------------


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.mark.parametrize("command", ["leaderboard", "report", "verify", "submit"])
@pytest.mark.parametrize("name", ["foreign", "empty", "bundle"])
def test_a_folder_that_is_no_store_is_told_and_left_as_it_is(name, command, tmp_path, capsys):
    place = tmp_path / name
    place.mkdir()
    if name == "foreign":
        (place / "notes.txt").write_text("mine")
    elif name == "bundle":
        (place / "trials").mkdir()
        (place / "manifest.json").write_text("{}")
    before = tree(tmp_path)
    out = ["--out", str(tmp_path / "out")] if command in ("report", "submit") else []
    with pytest.raises(SystemExit) as left:
        main([command, str(place), *out])
    told = capsys.readouterr().err
    assert tree(tmp_path) == before and told.count("\n") == 1
    if name == "bundle" and command in ("leaderboard", "report", "verify"):  # these read bundles: this one is not sound
        assert left.value.code == 4 and "not sound" in told
    else:
        assert left.value.code == 2
        assert ("is a bundle" if name == "bundle" else "holds no store of prunebench") in told


def test_reading_a_store_changes_nothing_in_it(store, tmp_path, capsys):
    record = store.put("trials", IDENTITY, {"accuracy": 0.5}, arrays={"values": np.arange(3)})
    for kind in ("evidence", "failures", ".locks"):
        (store.root / kind).rmdir()
    (store.root / "trials" / ".tmp-00000000-1-1-left").write_bytes(b"of another machine")
    main(["verify", str(store.root)])
    record.file("arrays.npz").write_bytes(b"torn")
    before = tree(store.root)
    for command in (["verify"], ["leaderboard"], ["report", "--out", str(tmp_path / "out")], ["submit", "--out", "x"]):
        with pytest.raises(SystemExit):
            main([command[0], str(store.root), *command[1:]])
    assert Store(store.root, writes=False).by_id("trials", record.id) is None
    assert tree(store.root) == before and not (tmp_path / "out").exists()


# -- pipes ------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_nobody_waits_for_a_pipe_in_a_store(store):
    record = store.put("trials", IDENTITY, {"accuracy": 0.5}, arrays={"values": np.arange(3)})
    os.mkfifo(store.root / "trials" / f"{'a' * 64}.json")
    os.mkfifo(store.root / "failures" / f"{'b' * 64}.json")
    record.file("arrays.npz").unlink()
    os.mkfifo(record.file("arrays.npz"))
    code = "import sys; from prunebench.cli import main; main(sys.argv[1:])"
    for command, status, told in (
        ("leaderboard", 2, "no finished trial"),
        ("verify", 4, "a pipe"),
        ("submit", 2, "records of trials that are damaged"),
    ):
        arguments = [
            command,
            str(store.root),
            *(["--out", str(store.root.parent / "b")] if command == "submit" else []),
        ]
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=100)
        assert done.returncode == status and told in done.stdout + done.stderr, done
    assert store.by_id("trials", "a" * 64) is None  # set aside, as other damage
    assert list((store.root / "trials").glob("a*.damaged-*"))
