"""The command line: fast, light, one sentence per error, exit codes as documented."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from prunebench.cli import main
from prunebench.registry import leave_out


def call(*args):
    """(exit code) of the program's entry point, in this process."""
    try:
        main(list(args))
    except SystemExit as left:
        return left.code or 0
    return 0


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["ls"],
        ["ls", "drd"],
        ["ls", "moderate"],
        ["ls", "methods"],
        ["ls", "ccs", "--markdown"],
        ["plugins"],
        ["datasets"],
        ["--version"],
        ["run", "--help"],
        ["leaderboard", "--help"],
        ["recipe", "ls"],
    ],
)
def test_looking_around_does_not_import_torch(args):
    code = f"import sys; from prunebench.cli import main\ntry: main({args!r})\nexcept SystemExit: pass\n"
    code += "heavy = {'torch', 'numpy', 'timm', 'diffusers', 'prunebench_drd.drd'} & set(sys.modules)\n"
    code += "print('HEAVY', heavy, file=sys.stderr)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "HEAVY set()" in run.stderr and run.stdout


def test_a_plugin_author_sees_the_world_without_torch():
    code = "import sys; from prunebench import Scorer, Selector, hookimpl; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_listings_are_machine_readable(capsys):
    assert call("ls", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert {"aum", "forgetting", "random"} <= {s["name"] for s in listed["scorers"]}
    assert {s["name"]: s["label_free"] for s in listed["selectors"]}["ccs"] == "depends"
    assert call("plugins", "--json") == 0
    assert all(p["state"] == "on" for p in json.loads(capsys.readouterr().out))
    assert call("ls", "moderate") == 0
    shown = capsys.readouterr().out
    assert "scorer prunebench/moderate" in shown and "selector prunebench/moderate" in shown
    assert call("ls", "double_end_oracle") == 0
    assert "its rows are marked and never ranked" in " ".join(capsys.readouterr().out.split())
    assert call("ls", "double_end", "--json") == 0
    assert "oracle" not in json.loads(capsys.readouterr().out)[0]
    assert call("ls", "scorer:aum", "--bibtex") == 0
    assert "pleiss2020" in capsys.readouterr().out
    assert call("doctor", "--json") == 0
    assert json.loads(capsys.readouterr().out)["packages"]["torch"]


@pytest.mark.parametrize(
    "args, told",
    [(["rnu"], "did you mean 'run'"), (["ls", "--bibtex", "scorers"], "show one scorer or selector"),
     (["ls", "--markdown", "digits"], "digits is a data set"), (["ls", "ELFS"], "did you mean 'elfs'"),
     (["ls", "forgeting"], "did you mean 'forgetting'"),
     (["run", "--scorer", "aum"], "--selector is missing"), (["run", "--keep", "a"], "not a number"),
     (["run", "--scorer", "aum", "--selector", "hardest", "--shard", "3/3"], "i/n"),
     (["run", "--method", "aum", "--track", "label-free"], "aum needs history, which takes labels"),
     (["leaderboard", "--track", "closed"], "'closed' is not one of 'open', 'label-free'"),
     (["run", "--nonsense"], "nonsense"), (["run", "--selector", "random", "--device", "tpu"], "no device 'tpu'"),
     (["run", "--selector", "random", "--jobs", "0"], "--jobs must be"), (["--no-plugin", "dr", "ls"], "to leave out"),
     (["--no-plugin", "drd", "run", "--scorer", "drd", "--selector", "bws"], "prunebench-drd was left out by --no-pl"),
     (["--no-plugin", "drd", "ls", "drd"], "prunebench-drd was left out by --no-plugin"),
     (["--no-plugin", "baselines", "ls"], "baselines is part of prunebench and cannot be left out"),
     (["--no-plugin", "datasets", "ls"], "datasets is part of prunebench and cannot be left out"),
     (["score", "--scorer", "aum", "--from-log", "x.npz", "--dataset", "digits"], "exclude each other"),
     (["verify", "there-is-none"], "no store"),
     (["leaderboard", "there-is-none"], "no store"), (["check", "nothing"], "nothing is called"),
     (["check", "el2n(epochs=2)"], "has no option 'epochs', did you mean 'epoch'?"),
     (["check", "per_class(ccs)"], "give options only"), (["check", "el2n(epoch='2')"], "must be a number"),
     (["train", "--subset", "none.npy"], "no file"), (["plugins", "strange"], "no plugin"),
     (["plugins", "show"], "name one plugin"), (["plugins", "show", "dr"], "did you mean 'drd'"),
     (["new-plugin", "aum"], "there is a scorer 'aum' already"), (["new-plugin", "class"], "is a keyword"),
     (["score", "--scorer", "aum", "--from-log", "none.npz"], "no file"),
     (["select", "--scores", "none.npz", "--selector", "ccs", "--keep", "0.1", "--out", "x.npy"], "no file"),
     (["select", "--scores", "none.npz", "--selector", "ccs", "--keep", "0.1", "--out", "x.csv"], "neither .npy nor"),
     (["score", "--scorer", "aum", "--from-log", "none.npz", "--out", "x.txt"], "neither .npy nor"),
     (["score", "--scorer", "random", "--out", "x.csv"], "x.csv would be neither .npy nor .npz"),
     (["score", "--scorer", "random", "--out", "/dev/null/x.npz"], "/dev/null takes no files")],
)  # fmt: skip
def test_errors_are_one_sentence_and_exit_2(args, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(*args) == 2
    err = capsys.readouterr().err
    leave_out(())
    assert told in err and "Traceback" not in err and len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir()), "what is refused leaves nothing behind"


def test_somebody_elses_logits_to_a_subset_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("log.npz", logits=rng.normal(size=(5, 30, 4)).astype(np.float32), labels=rng.integers(0, 4, 30))
    assert call("score", "--from-log", "log.npz", "--scorer", "aum", "--out", "s.npz") == 0
    assert call("select", "--scores", "s.npz", "--selector", "ccs", "--keep", "0.1", "--out", "subset.npy") == 0
    assert len(np.load("subset.npy")) == 3
    assert "written: subset.npy" in capsys.readouterr().out
    np.save("margin.npy", rng.random(30))
    args = ["select", "--scores", "s.npz", "--selector", "ccs(cutoff=0.2)", "--keep", "0.1", "--out", "cut.npz"]
    assert call(*args, "--given", "accumulated_margin=margin.npy") == 0
    assert call(*args) == 2 and "accumulated_margin" in capsys.readouterr().err
    np.savez("bad.npz", logits=np.zeros((2, 3)))
    assert call("score", "--from-log", "bad.npz", "--scorer", "aum") == 2
    assert "`labels` is missing" in capsys.readouterr().err


def test_a_damaged_store_is_exit_4(tmp_path, capsys):
    from prunebench.store import Store

    record = Store(tmp_path / "s").put("trials", {"a": 1}, {"accuracy": 1.0})
    assert call("verify", str(tmp_path / "s")) == 0
    record.path.write_text("{")
    assert call("verify", str(tmp_path / "s")) == 4


def test_a_failed_cell_is_exit_3(tmp_path, capsys):
    args = ["run", "--scorer", "zcore(encoder='missing')", "--selector", "hardest", "--steps", "2", "--seeds", "1"]
    args += ["--model", "test_resnet"]
    args += ["--dataset", "planted(train=60,test=20)", "--keep", "0.5", "--jobs", "1", "--store", str(tmp_path / "s")]
    assert call(*args) == 3
    told = capsys.readouterr()
    assert "failed: zcore" in told.err and "'missing'" in told.err and "full data" in told.out


def test_a_score_file_is_written_though_nobody_reads_the_output(tmp_path):
    np.savez(tmp_path / "log.npz", logits=np.random.default_rng(0).normal(size=(2, 5, 3)), labels=np.zeros(5, int))
    command = [
        sys.executable,
        "-m",
        "prunebench.cli",
        "score",
        "--from-log",
        "log.npz",
        "--scorer",
        "aum",
        "--out",
        "s.npz",
    ]
    read, write = os.pipe()
    os.close(read)
    subprocess.run(command, cwd=tmp_path, stdout=write, stderr=subprocess.DEVNULL)
    os.close(write)
    assert (tmp_path / "s.npz").is_file() and (tmp_path / "s.npz.json").is_file()


def test_a_closed_pipe_is_no_traceback(tmp_path):
    command = ["bash", "-c", f"{sys.executable} -m prunebench.cli ls --json | head -1"]
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert "Traceback" not in run.stderr and run.stdout.startswith("{")


@pytest.mark.parametrize("words, code", [("ls", 0), ("ls --json", 0), ("check nothing", 2)])
def test_a_reader_who_leaves_changes_no_exit_code(words, code, tmp_path):
    command = f"set -o pipefail; {sys.executable} -m prunebench.cli {words} | true"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path)
    assert (run.returncode, "Traceback" in run.stderr) == (code, False)


@pytest.mark.parametrize(
    "name", ["scorer:random", "selector:random", "hardest", "ccs", "balanced", "selector:moderate"]
)
def test_built_ins_pass_the_checks_that_plugin_authors_run(name, capsys):
    assert call("check", name) == 0, capsys.readouterr().out


def test_check_tells_what_fails_what_does_not_apply_and_stops_at_the_first(capsys, monkeypatch):
    from prunebench import testing

    def fails():
        raise AssertionError("do better")

    monkeypatch.setattr(
        testing, "checks", lambda entry, **options: iter([("one", fails), ("two", print), ("three", fails)])
    )
    assert call("check", "scorer:random") == 4
    told = capsys.readouterr()
    assert "FAILED  one: do better" in told.out and "ok      two" in told.out and "2 checks failed" in told.err
    assert "FAILED  1 more for the reason of 'one': three" in told.out and told.out.count("do better") == 1
    assert "skipped wrong labels are hard: it names neither history nor labels" in told.out
    assert call("check", "-x", "scorer:random") == 4
    assert "two" not in capsys.readouterr().out


def test_check_takes_options_of_the_method(capsys):
    assert call("check", "-x", "selector:ccs(cutoff=2)") == 4
    assert "cutoff must lie in" in capsys.readouterr().out
    assert call("check", "selector:ccs(strata=20)") == 0


def test_check_tells_one_fault_once_whatever_its_numbers(capsys, monkeypatch):
    from prunebench import MethodError, testing

    def keeps(budget):
        def check():
            raise MethodError(f"none kept 0 examples, the budget is {budget}")

        return check

    monkeypatch.setattr(testing, "checks", lambda entry, **options: iter([(f"of {k}", keeps(k)) for k in (1, 5, 20)]))
    assert call("check", "scorer:random") == 4
    told = capsys.readouterr()
    assert "FAILED  of 1: none kept 0 examples, the budget is 1: return exactly the budget of distinct" in told.out
    assert "FAILED  2 more for the reason of 'of 1': of 5; of 20" in told.out and told.out.count("FAILED") == 2
    assert "3 checks failed" in told.err


def test_a_plugin_is_shown_whole(capsys):
    assert call("plugins", "show", "drd") == 0
    shown = capsys.readouterr().out
    for told in (
        "package     prunebench-drd",
        "entry point drd = prunebench_drd",
        "requires    prunebench>=",
        "scorers     drd",
    ):
        assert told in shown
    assert "hooks       prunebench_scorers, prunebench_commands" in shown and "prunebench_drd/__init__.py" in shown
    assert call("--no-plugin", "drd", "plugins", "show", "drd") == 0
    leave_out(())
    assert "left out by --no-plugin" in capsys.readouterr().out


def test_a_dry_run_says_what_stands(tmp_path, capsys):
    args = ["run", "--scorer", "aum", "--selector", "hardest", "--dataset", "planted(train=60,test=20)", "--steps", "2"]
    args += ["--seeds", "1", "--reference-epochs", "1", "--store", str(tmp_path / "s"), "--jobs", "1"]
    args += ["--model", "test_resnet", "--reference", "test_resnet"]
    assert call(*args, "--keep", "0.5", "--dry-run") == 0
    assert "4 trainings, 0 stand" in capsys.readouterr().out
    assert call(*args, "--keep", "0.5") == 0
    capsys.readouterr()
    assert call(*args, "--keep", "0.3,0.5", "--dry-run", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["cells"]
    assert [row["stands"] for row in rows] == [row["keep"] != 0.3 for row in rows] and len(rows) == 7
    steps = args.index("--steps")
    assert call(*args[:steps], *args[steps + 2 :], "--keep", "0.5", "--budget", "cost", "--dry-run") == 0
    assert "beside  what --budget cost takes off: trainings on a selection" in capsys.readouterr().out
    assert call(*args, "--dry-run", "--ray-address", "host:1") == 2
    assert "--ray-address needs --executor ray" in capsys.readouterr().err


def test_nothing_is_written_outside_the_working_folder(tmp_path):
    """HOME cannot be written, and the temporary folder stays empty."""
    (tmp_path / "work").mkdir()
    (tmp_path / "tmp").mkdir()
    home = tmp_path / "home"
    home.mkdir()
    drd = "drd(dit='nano', dit_steps=4, samples=1, noises=1, draws=1)"
    command = [sys.executable, "-m", "prunebench.cli", "run", "--scorer", drd, "--selector", "bws(epochs=1)", "--keep"]
    command += ["0.5", "--dataset", "planted(train=60,test=20)", "--steps", "2", "--seeds", "1"]
    command += ["--reference-epochs", "1", "--model", "test_resnet", "--reference", "test_resnet"]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_", "MPL", "TORCH", "GOMP"))}
    run = subprocess.run(
        [*command, "--jobs", "1"],
        cwd=tmp_path / "work",
        env=env | {"HOME": str(home), "TMPDIR": str(tmp_path / "tmp")},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert [p.name for p in (tmp_path / "work").iterdir()] == ["runs"]
    assert not list(home.rglob("*")) and not list((tmp_path / "tmp").rglob("*"))


def test_being_terminated_is_no_fault_of_a_method():
    """The program ends, with its own exit code, also where a method was at work."""
    from prunebench import Scorer
    from prunebench.errors import Terminated
    from prunebench.methods import Method
    from prunebench.testing import entry_of
    from prunebench.testing.drawn import values_in, world

    def ended(seeds):
        raise Terminated

    with pytest.raises(Terminated):
        values_in(world(0, 8), Method(entry_of(Scorer("ended", ended, hard="high")), {}))
