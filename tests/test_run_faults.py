"""Runs and files of one's own under damage, full disks, closed terminals, changed data and other versions."""

import contextlib
import json
import os
import random
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import prunebench as pb
from prunebench import Scorer, UserError, hookimpl
from prunebench.cli import main
from prunebench.datasets.loading import load
from prunebench.display import tell
from prunebench.evidence.scoring import score
from prunebench.harness import shared, trials
from prunebench.interop.files import load_scores, load_selection, save_scores, save_selection
from prunebench.methods import Plugin
from prunebench.registry import collect
from prunebench.store import Store
from prunebench.types import Scores, Selection

PLAN = pb.Plan(
    selectors=("random",),
    dataset="planted(train=60,test=20)",
    keep=(0.5,),
    seeds=1,
    steps=2,
    models=("test_resnet",),
    reference="test_resnet",
    device="cpu",
)
PROGRAM = [sys.executable, "-m", "prunebench.cli"]
DATA = ["--dataset", PLAN.dataset, "--threads", "1", "--device", "cpu"]
RUN = ["run", "--selector", "random", *DATA, "--keep", "0.5", "--seeds", "1", "--steps", "2", "--jobs", "1"]
RUN += ["--model", "test_resnet"]
UNBUFFERED = os.environ | {"PYTHONUNBUFFERED": "1"}


def call(*args):
    """(exit code) of the program's entry point, in this process."""
    try:
        main([str(arg) for arg in args])
    except SystemExit as left:
        return left.code or 0
    return 0


# ---- F1: kill -9 of real trainings


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills_of_real_trainings(tmp_path):
    """Trainings, scores, selections and trials: in the end the records of an undisturbed run, none computed twice."""
    import multiprocessing

    from sittings import check, train

    plan = replace(PLAN, scorers=("aum",), selectors=("hardest", "ccs(cutoff=0.1)"), reference_epochs=2, threads=1)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["prunebench.running", "prunebench.training.loop"])

    def sitting(store, seconds=None):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=train, args=(replace(plan, store=str(store)), theirs))
        process.start()
        theirs.close()
        process.join(seconds)
        process.kill()
        process.join()
        told = []
        with contextlib.suppress(EOFError):
            while True:
                told.append(ours.recv())
        return process.exitcode, told

    sitting(tmp_path / "first", 60)  # starts the server that processes are forked from, which takes its time
    started = time.monotonic()
    assert sitting(tmp_path / "undisturbed")[0] == 0
    whole, kills, stores, rng = time.monotonic() - started, 0, 0, random.Random(0)
    expected = identities(tmp_path / "undisturbed")
    while kills < 20:
        stores += 1
        root, code, stood = tmp_path / str(stores), None, set[Path]()
        while code != 0:
            code, told = sitting(root, rng.uniform(0, whole / 2))
            check(root, told)
            cards = {path: path.stat().st_ino for path in root.glob("*/*.json")}
            assert stood <= set(cards.items()), "what stands is left as it is"
            stood = set(cards.items())
            kills += code != 0
        assert identities(root) == expected


def identities(root):
    """What every record says, but for what a clock said."""
    store = Store(root)
    found = {}
    for kind in ("evidence", "scores", "selections", "trials", "models"):
        for record in store.records(kind):
            told = {name: value for name, value in record.result.items() if not name.endswith(("cost", "seconds"))}
            found[record.id] = (told, {name: file["sha256"] for name, file in record.card["files"].items()})
    return found


# ---- F5: files of one's own


def scores(n=40):
    values = np.random.Generator(np.random.Philox(0)).normal(size=n)
    return Scores(values, "low", "prunebench/aum()", keys=tuple(f"train:{i}" for i in range(n)), details={"runs": 2})


def selection():
    return Selection(np.arange(0, 40, 3), None, "prunebench/random()", 0.35, 0, 40, weights=np.linspace(1, 2, 14))


@pytest.mark.parametrize("part", ["", ".json"], ids=["file", "card"])
@pytest.mark.parametrize(
    "save, load, made", [(save_scores, load_scores, scores), (save_selection, load_selection, selection)]
)
def test_a_damaged_score_or_index_file_is_refused(tmp_path, save, load, made, part):
    """One byte in fifty places and fifty cuts: refused in one sentence, or what was damaged says nothing."""
    path, rng = save(made(), tmp_path / "mine.npz"), random.Random(0)
    damaged = Path(f"{path}{part}")
    original, refused = damaged.read_bytes(), 0
    for place in [rng.randrange(1, len(original)) for _ in range(100)]:
        content = bytearray(original)
        content[place] ^= 1 << rng.randrange(8)
        damaged.write_bytes(content if place % 2 else original[:place])
        try:
            found = load(path)
        except UserError as told:
            assert "\n" not in str(told)
            refused += 1
        else:
            assert part and str(vars(found)) == str(vars(made()) | {"label_free": None}), damaged.read_bytes()
    assert refused >= (80 if part else 100)


def test_a_score_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    path = save_scores(scores(), tmp_path / "mine.npz")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(handle):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        pb.StoreError, match=r"mine.npz \(No space left on device: 0\.\d MiB are needed\): free some room"
    ):
        save_scores(replace(scores(), values=np.zeros(40)), path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


# ---- F6: no room


def test_a_run_without_room_ends_in_one_sentence_and_goes_on_with_it(tmp_path):
    """The reference network does not fit; what was trained before stands, and the next run finishes."""
    command = [*RUN, "--scorer", "aum", "--selector", "hardest", "--reference-epochs", "1", "--store", tmp_path / "s"]
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    little = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))}  # workers too
    run = subprocess.run([*PROGRAM, *map(str, command)], capture_output=True, text=True, **little)
    assert run.returncode == 1
    told = run.stderr.splitlines()[-1]
    assert told.startswith(f"error: cannot write {tmp_path}/s/evidence/.tmp-")
    assert "File too large: 42.7 MiB are needed" in told and "free some room there" in told
    store = Store(tmp_path / "s")
    assert list(tmp_path.rglob(".tmp-*")) == [] and store.verify()[1] == [] and store.failures() == []
    stood = {record.id for record in store.records("trials")}
    assert len(stood) == 3
    assert call(*command) == 0
    assert {record.id for record in store.records("trials")} > stood


def test_the_recorders_map_has_its_room_before_it_is_written_to(tmp_path, monkeypatch):
    """Writing to a map of a file that has none would end the process, with no word."""
    import torch

    from prunebench.training.recorder import Recorder

    def changed(logits, labels, previous):
        return (logits - previous).abs().sum(1)

    def full(handle, start, size):
        asked.append(size)
        raise OSError(28, os.strerror(28))

    asked = []
    recorder = Recorder({"changed": (changed, "presentation")}, 50, 2, tmp_path)
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr(os, "posix_fallocate", full)
        recorder.presented(torch.arange(50), torch.zeros(50, 4), torch.zeros(50, dtype=torch.int64))
    assert asked == [50 * 4 * 4]
    recorder.presented(torch.arange(50), torch.zeros(50, 4), torch.zeros(50, dtype=torch.int64))


def test_output_that_nothing_can_take_is_exit_1_and_one_sentence():
    with open("/dev/full", "w") as full:
        run = subprocess.run([*PROGRAM, "ls"], stdout=full, stderr=-1, text=True)
    assert run.returncode == 1
    assert run.stderr.splitlines() == [
        "error: cannot write all of the output (No space left on device): free some room there, or send it elsewhere"
    ]


# ---- F7: no permission


@pytest.fixture
def open_folder():
    """A folder that every user can reach, which folders of tests are not."""
    folder = Path(tempfile.mkdtemp(prefix="prunebench-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


TWICE = """
import sys
from prunebench.cli import main
for store in sys.argv[1:3]:
    try:
        main(["score", "--scorer", "random", "--store", store, *sys.argv[3:]])
    except SystemExit as left:
        print("exit code", left.code, flush=True)
"""


def test_a_read_only_home_and_installation_are_no_obstacle_and_a_read_only_store_is_told_at_once(open_folder):
    nobody: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("needs setpriv")
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    home, shut, place = open_folder / "home", open_folder / "shut", open_folder / "place"
    for folder, mode in ((home, 0o555), (shut, 0o555), (place, 0o777)):
        folder.mkdir()
        folder.chmod(mode)
    where = {"cwd": home, "env": os.environ | {"HOME": str(home)}, "capture_output": True, "text": True}
    if subprocess.run([*nobody, *PROGRAM, "ls"], **where).returncode:
        pytest.skip("another user cannot read this installation")
    run = subprocess.run([*nobody, sys.executable, "-c", TWICE, shut / "runs", place / "runs", *DATA], **where)
    assert (
        run.stderr == f"error: cannot write {shut / 'runs'} (Permission denied): give a --store that can be written\n"
    )
    assert run.stdout.startswith("exit code 1\nrandom: 60 scores") and run.returncode == 0
    assert len(list(place.glob("runs/scores/*.json"))) == 1
    assert [path.name for path in open_folder.rglob("*") if path.parent in (home, shut)] == []


# ---- F12: nobody there


def test_a_log_that_nobody_reads_stops_no_run(tmp_path):
    """`prunebench run 2>&1 | head -1`: every training stands and none counts as failed."""
    read, write = os.pipe()
    os.close(read)
    command = [*PROGRAM, *RUN, "--store", tmp_path / "s"]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=write, text=True)
    os.close(write)
    assert run.returncode == 0 and "balanced random" in run.stdout
    store = Store(tmp_path / "s")
    assert len(list(store.records("trials"))) == 3 and store.failures() == []


def test_a_line_for_nobody_is_no_error_and_every_other_failure_is():
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        os.close(read)
        tell("first", stream)
        tell("second", stream)
    tell("third", None)
    with open("/dev/full", "w") as full:
        with pytest.raises(OSError, match="No space left"):
            tell("first", full)
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())


def test_a_program_without_a_standard_error_works(tmp_path):
    command = shlex.join([*PROGRAM, "score", "--scorer", "random", *DATA, "--store", str(tmp_path / "s")])
    run = subprocess.run(["bash", "-c", f"{command} 2>&-"], stdout=subprocess.PIPE, text=True)
    assert run.returncode == 0 and "60 scores" in run.stdout


def test_a_terminal_that_hangs_up_leaves_a_sound_store(tmp_path):
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL), "start_new_session": True}
    command = [*PROGRAM, *RUN, "--store", tmp_path / "s"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=UNBUFFERED, **heard) as process:
        while "[1/3]" not in (line := process.stderr.readline()):
            assert line, "it ended before its first training"
        os.killpg(process.pid, signal.SIGHUP)
        told = process.stderr.read()
    assert process.returncode != 0 and "Traceback" not in told
    until, left = time.monotonic() + 60, True
    while left and time.monotonic() < until:  # its workers end after it does
        sound, problems = Store(tmp_path / "s").verify()
        left = list(tmp_path.rglob(".tmp-*"))
    assert sound >= 1 and problems == [] and not left


# ---- F19: data that change


@pytest.fixture
def pictures(tmp_path):
    """A folder data set of two classes with six training and two test pictures each, as uncompressed files."""
    rng = np.random.Generator(np.random.Philox(3))
    for split, many in (("train", 6), ("val", 2)):
        for name in ("a", "b"):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            for i in range(many):
                noise = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(noise).save(tmp_path / "set" / split / name / f"{i}.bmp")
    return tmp_path / "set"


def touched(train):
    os.utime(train / "a" / "0.bmp", (0, 0))


def replaced(train):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(train / "a" / "0.bmp")


def swapped(train):
    for source, target in (("0", "x"), ("1", "0"), ("x", "1")):
        (train / "a" / f"{source}.bmp").rename(train / "a" / f"{target}.bmp")


def moved(train):
    (train / "a" / "0.bmp").rename(train / "b" / "00.bmp")


@pytest.mark.parametrize("label_free", [True, False], ids=["label-free", "labelled"])
@pytest.mark.parametrize("change", [touched, replaced, swapped, moved])
def test_scores_and_subsets_of_data_that_changed_are_refused(tmp_path, capsys, pictures, change, label_free):
    """Other bytes, another order, another class: another data set. Another time of writing is none."""
    here = ["--dataset", f"folder:{pictures}", "--store", tmp_path / "s", "--device", "cpu", "--threads", "1"]
    assert call("score", "--scorer", "random", *here, "--out", tmp_path / "s.npz") == 0
    if not label_free:
        data = Store(tmp_path / "s").by_id("scores", load_scores(tmp_path / "s.npz").id).result["fingerprint"]
        labelled = replace(load_scores(tmp_path / "s.npz"), label_free=False, fingerprint=data, id=None)
        save_scores(labelled, tmp_path / "s.npz")
    select = ["select", "--scores", tmp_path / "s.npz", "--selector", "hardest", "--keep", "0.5", *here, "--out"]
    train = ["train", *here, "--steps", "1", "--seeds", "1", "--subset"]
    assert call(*select, tmp_path / "before.npz") == 0
    change(pictures / "train")
    capsys.readouterr()
    if change is touched:
        assert call(*select, tmp_path / "after.npz") == 0
        assert call(*train, tmp_path / "before.npz") == 0
        return
    for command in ([*select, tmp_path / "after.npz"], [*train, tmp_path / "before.npz"]):
        assert call(*command) == 2
        (told,) = capsys.readouterr().err.splitlines()
        assert "its files have changed since" in told or "of 12 names are missing" in told, told
    assert not (tmp_path / "after.npz").exists()


# ---- F23: versions


def test_another_protocol_is_computed_anew_and_never_in_one_table(tmp_path, monkeypatch):
    plan = replace(PLAN, store=str(tmp_path / "s"))
    before = {result.id for result in pb.run(plan)}
    monkeypatch.setattr(shared, "PROTOCOL", shared.PROTOCOL + 1)
    monkeypatch.setattr(trials, "PROTOCOL", shared.PROTOCOL)
    after = {result.id for result in pb.run(plan)}
    assert len(before) == len(after) == 3 and not before & after
    told = json.loads(pb.leaderboard([tmp_path / "s"]).render("json"))
    assert len(told["groups"]) == 2


def test_another_definition_is_computed_anew(tmp_path):
    found = []
    for number in (1, 2, 1):
        registry = with_scorer(Scorer("mine", giving(number), "high", definition=number))
        data = load(registry, PLAN.dataset, tmp_path)
        h = shared.Harness(data, Store(tmp_path / "s"), registry, device_name="cpu")
        found.append(score(h, registry.method("scorer", "mine")))
    assert found[0].id == found[2].id != found[1].id
    assert [set(scores.values) for scores in found] == [{1}, {2}, {1}]


def giving(number):
    return lambda seeds: np.full(len(seeds), number)


def with_scorer(scorer):
    made = types.ModuleType("made_by_a_test")
    made.prunebench_scorers = hookimpl(lambda: [scorer])
    made.prunebench_scorers.__name__ = "prunebench_scorers"
    return collect([(Plugin("stranger", "stranger", "1", "made_by_a_test"), made)])
