"""The main road: cells, resuming, failures, workers; on the planted pictures."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from trainings import plain

import prunebench as pb
from prunebench import UserError
from prunebench.errors import CellError
from prunebench.execution.graph import graph
from prunebench.execution.steps import Opened
from prunebench.execution.tasks import perform
from prunebench.planning.plans import Plan, cells, open_harness, pairs
from prunebench.running import Workers

PLAN = Plan(
    scorers=("aum",),
    selectors=("hardest",),
    dataset="planted(train=60,test=20)",
    keep=(0.5,),
    seeds=2,
    reference_epochs=1,
    steps=4,
    models=("test_resnet",),
    reference="test_resnet",
    device="cpu",
)


def test_baselines_are_always_there_and_methods_that_do_not_rank_run_once():
    plan = replace(PLAN, scorers=("aum", "forgetting"), selectors=("hardest", "random"), methods=("drd", "aum"))
    found = pairs(plan)
    assert found[:3] == [(None, "full"), (None, "balanced"), (None, "random")]
    assert found[3:] == [("aum", "hardest"), ("forgetting", "hardest"), ("drd", "bws(order='easiest', furthest=0.5)")]


def test_the_label_free_track_runs_without_balanced_random_and_refuses_what_needs_labels(tmp_path):
    plan = replace(PLAN, scorers=("random",), track="label-free", store=str(tmp_path / "runs"), seeds=1)
    results = list(pb.run(plan))
    assert [r.selector.partition("(")[0] for r in results] == ["full", "prunebench/random", "prunebench/hardest"]
    assert [r.label_free for r in results] == [False, True, True]
    for wrong, told in [
        ({"scorers": ("aum",)}, "aum needs history, which takes labels"),
        ({"selectors": ("per_class(hardest)",)}, r"per_class\(hardest\) needs labels"),
        ({"selectors": ("double_end_oracle",)}, "double_end_oracle needs labels"),
        ({"selectors": ("balanced",)}, "no place on the label-free track"),
        ({"track": "open-ended"}, "--track must be open or label-free"),
    ]:
        with pytest.raises(UserError, match=told):
            list(pb.run(replace(plan, **wrong)))


def test_records_that_saw_labels_are_refused_on_the_label_free_track_where_they_stand(tmp_path):
    """The track is no part of identity: what an open run left must not slip in."""
    plan = replace(PLAN, scorers=("random",), selectors=("ccs(cutoff=0.1)",), store=str(tmp_path / "runs"), seeds=1)
    assert any("ccs" in r.selector for r in pb.run(plan))
    harness = open_harness(replace(plan, track="label-free"))
    results = list(pb.run(replace(plan, track="label-free")))
    assert not any("ccs" in r.selector for r in results)
    (failed,) = harness.store.failures()
    assert "no place on the label-free track" in failed["error"] and "ccs" in failed["error"]


def test_a_run_resumes_and_repeats_bit_for_bit(tmp_path):
    plan = replace(PLAN, store=str(tmp_path / "a"))
    first = []
    for result in pb.run(plan):
        first.append(result)
        if len(first) == 5:
            break  # an interrupted run
    whole = list(pb.run(plan))
    assert len(whole) == 8 and [r.id for r in whole[:5]] == [r.id for r in first]
    assert [r.train_cost for r in whole[:5]] == [r.train_cost for r in first]  # read, not trained again
    assert plain(whole) == plain(pb.run(replace(PLAN, store=str(tmp_path / "b"))))
    assert {r.steps for r in whole} == {4} and {r.examples for r in whole} == {30, 60}


def test_worker_processes_give_the_same_records(tmp_path):
    here = list(pb.run(replace(PLAN, store=str(tmp_path / "here"))))
    plan = replace(PLAN, store=str(tmp_path / "workers"))
    assert plain(pb.run(plan, Workers("local", jobs=2))) == plain(here)


def test_one_training_records_what_all_scorers_watch(tmp_path):
    """TDDS watches a statistic of its own; the training that AUM shares with it is run once."""
    plan = replace(PLAN, scorers=("aum", "tdds(epochs=3, window=3)"), reference_epochs=3, seeds=1, store=str(tmp_path))
    harness = open_harness(plan)
    tasks = [task for task, _ in graph(harness, plan, cells(plan, harness)).values()]
    (train,) = [task for task in tasks if task.args["step"] == "train"]
    assert perform(Opened(plan, harness), train).done
    before = {record.id for record in harness.store.records("evidence")}
    for task in tasks:
        if task.args["step"] == "score":
            assert perform(Opened(plan, harness), task).done
    assert {record.id for record in harness.store.records("evidence")} == before


@pytest.mark.parametrize("workers", [Workers(), Workers("local", jobs=2)], ids=["here", "workers"])
def test_scores_that_fail_cost_their_cells_and_no_others(tmp_path, workers):
    plan = replace(PLAN, scorers=("aum", "zcore(encoder='missing')"), seeds=1, store=str(tmp_path))
    found = [r.scorer for r in pb.run(plan, workers)]
    assert len(found) == 4 and found.count("prunebench/aum()") == 1
    (noted,) = open_harness(plan).store.failures()
    assert noted["scorer"].startswith("zcore") and noted["kind"] == "raised" and "'missing'" in noted["error"]
    with pytest.raises(CellError, match="missing"):
        list(pb.run(replace(plan, fail_fast=True), workers))


def test_what_a_plan_lists_is_a_list_and_counts_once(tmp_path):
    for name, wrong in (("keep", 0.2), ("scorers", "aum"), ("selectors", "hardest"), ("models", "resnet18")):
        with pytest.raises(UserError, match=rf"{name} of a plan are several: write {name}="):
            replace(PLAN, **{name: wrong})
    plan = replace(PLAN, keep=[0.5, 0.5], models=("test_resnet", "test_resnet"), store=str(tmp_path))
    assert plan == replace(PLAN, store=str(tmp_path)) and len(cells(plan, open_harness(plan))) == 8


def test_workers_are_asked_for_what_they_can_do():
    local = {"executor": "local"}
    wrongs = ({"executor": "slurm"}, {"jobs": 2}, {"timeout": 5.0}, {"jobs": 0}, {**local, "jobs": -1})
    for wrong in (*wrongs, {**local, "timeout": 0.0}, {**local, "timeout": -1.0}):
        with pytest.raises(UserError, match="executor"):
            Workers(**wrong)


def test_shards_together_are_the_whole(tmp_path):
    plan = replace(PLAN, store=str(tmp_path))
    harness = open_harness(plan)
    parts = [cells(replace(plan, shard=(i, 3)), harness) for i in range(3)]
    assert sorted(repr(cell) for part in parts for cell in part) == sorted(map(repr, cells(plan, harness)))


def test_epochs_cut_the_steps_with_the_examples(tmp_path):
    plan = replace(PLAN, store=str(tmp_path), budget="epochs", steps=None, epochs=4, selectors=("random",), scorers=())
    steps = {r.examples: r.steps for r in pb.run(plan)}
    assert steps == {60: 8, 30: 4}  # 4 epochs of 60 in batches of 32


def test_every_method_sees_the_same_seeds(tmp_path):
    """Within a seed two methods that keep the same examples give the same network."""
    plan = replace(PLAN, store=str(tmp_path), keep=(1.0,), seeds=1)
    accuracies = {(r.selector, r.accuracy, r.train_loss) for r in pb.run(plan)}
    assert len({(a, loss) for _, a, loss in accuracies}) == 1 and len(accuracies) == 4


@pytest.mark.parametrize(
    "change, told",
    [({"steps": 3, "budget": "epochs"}, "--steps needs"), ({"epochs": 3}, "--epochs needs"),
     ({"keep": (0.0,)}, "keep must lie"), ({"keep": (1.2,)}, "keep must lie"), ({"seeds": 0}, "--seeds"),
     ({"threads": 0}, "--threads"), ({"selectors": ()}, "--selector is missing"),
     ({"scorers": ()}, "--scorer is missing"), ({"models": ("resnet81",)}, "resnet"),
     ({"scorers": ("forgeting",)}, "did you mean 'forgetting'"), ({"dataset": "digit"}, "digits"),
     ({"scorers": ("el2n(epoch=5)",)}, r"epoch 5.* 1 epochs"), ({"scorers": ("dual",)}, r"30 epochs.* 1 epochs"),
     ({"dataset": "imagewoof"}, "data"),
     ({"shard": (2, 2)}, "from 0 to n - 1"), ({"shard": (-1, 2)}, "from 0 to n - 1"),
     ({"steps": 3, "budget": "cost"}, "leave it out"),
     ({"methods": ("bsw",)}, "bws"), ({"dataset": "planted(train=0)"}, "train")],
)  # fmt: skip
def test_what_the_user_must_change_is_said_before_any_cell_starts(tmp_path, change, told):
    with pytest.raises(UserError, match=told) as failure:
        next(pb.run(replace(PLAN, store=str(tmp_path / "store"), data_root=str(tmp_path), **change)))
    assert "\n" not in str(failure.value)


def test_a_failed_cell_is_noted_and_the_others_go_on(tmp_path, monkeypatch):
    import prunebench_baselines.aum as method

    def broken(history):
        raise RuntimeError("out of luck")

    plan = replace(PLAN, store=str(tmp_path), seeds=1)
    with monkeypatch.context() as patched:
        patched.setattr(method, "aum", broken)
        assert len(list(pb.run(plan))) == 3
    (noted,) = open_harness(plan).store.failures()
    assert "out of luck" in noted["error"] and noted["scorer"] == "aum"
    assert len(list(pb.run(plan))) == 4 and open_harness(plan).store.failures() == []


def test_a_diverged_training_is_a_failed_cell(tmp_path, monkeypatch):
    from prunebench.training import recipes

    monkeypatch.setitem(
        recipes.RECIPES, ("tiny", "resnet"), replace(recipes.RECIPES["tiny", "resnet"], peak_lr=1e9, clip=None)
    )
    plan = replace(
        PLAN, models=("resnet18",), store=str(tmp_path), scorers=(), selectors=("random",), seeds=1, steps=60
    )
    assert list(pb.run(plan)) == []
    failures = open_harness(plan).store.failures()
    assert len(failures) == 3 and all("diverged" in f["error"] for f in failures)


SCRIPT = """
import sys
import prunebench as pb
from dataclasses import replace
sys.path.insert(0, {tests!r})
from test_running import PLAN
for result in pb.run(replace(PLAN, store={store!r})):
    print(result.id, flush=True)
"""


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    script = SCRIPT.format(tests=str(Path(__file__).parent), store=str(tmp_path / "killed"))
    done = []
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            done.append(line.strip())
            if len(done) == 3:
                process.send_signal(signal.SIGKILL)
    assert pb.leaderboard([tmp_path / "killed"]).tables
    whole = list(pb.run(replace(PLAN, store=str(tmp_path / "killed"))))
    assert {r.id for r in whole} >= set(done)
    assert plain(whole) == plain(pb.run(replace(PLAN, store=str(tmp_path / "undisturbed"))))


@pytest.mark.parametrize("sent, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupts_have_their_exit_codes(tmp_path, sent, code):
    command = [sys.executable, "-m", "prunebench.cli", "run", "--scorer", "aum", "--selector", "hardest"]
    command += ["--dataset", "planted(train=60,test=20)", "--store", str(tmp_path / "s"), "--jobs", "1"]
    command += ["--model", "test_resnet", "--reference", "test_resnet"]
    # a shell that starts the tests in the background has its children ignore interrupts: not this one
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    unbuffered = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=unbuffered, **heard)
    process.stderr.readline()  # it has begun
    time.sleep(1)
    process.send_signal(sent)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code and "run the same command again" in told and "Traceback" not in told


def test_weights_make_another_trial_of_the_same_examples(tmp_path):
    from prunebench.harness.trials import Selected, Trial, everything, trial_identity

    harness = open_harness(replace(PLAN, store=str(tmp_path)))
    plain_ones = everything(harness)
    weighted = replace(plain_ones, weights=np.linspace(0.5, 1.5, len(plain_ones)))
    first, second = (trial_identity(harness, Trial("resnet18", 0), Selected.of(s)) for s in (plain_ones, weighted))
    assert first["selection"] != second["selection"]


def test_a_subset_file_is_enough_to_be_on_the_board(tmp_path):
    from click.testing import CliRunner

    from prunebench.cli import cli

    np.save(tmp_path / "mine.npy", np.arange(0, 60, 3))
    args = ["train", "--subset", str(tmp_path / "mine.npy"), "--dataset", PLAN.dataset, "--seeds", "1", "--steps", "4"]
    args += ["--model", "test_resnet"]
    run = CliRunner().invoke(cli, [*args, "--store", str(tmp_path / "s"), "--json"], catch_exceptions=False)
    assert run.exit_code == 0
    (group,) = json.loads(run.stdout)["groups"]
    assert [row["examples"] for row in group["rows"]] == [20]


def test_side_by_side_what_others_wait_for_comes_first(tmp_path):
    plan = replace(PLAN, store=str(tmp_path), scorers=("aum", "grand(epoch=1)"), score_seeds=2)
    harness = open_harness(plan)
    steps = [task.args["step"] for task, _ in graph(harness, plan, cells(plan, harness), jobs=2).values()]
    assert steps == sorted(steps, key=["train", "shard", "score", "select", "trial"].index)
    assert steps.count("train") == 2 and steps.count("score") == 4  # a training feeds every scorer of its scoring
    assert steps.count("shard") == 2 * 8  # grand works in blocks
    alone = [task.args["step"] for task, _ in graph(harness, plan, cells(plan, harness)).values()]
    assert alone[:2] == ["trial", "trial"] and "shard" not in alone


def test_pretrained_trials_are_a_track_of_their_own(tmp_path):
    """From a file of weights in timm's layout: the trials start there, selections and scores are the same ones."""
    from safetensors.torch import save_file

    from prunebench.training.models import build

    donor = build("test_resnet", 1000, 64, seed=3)
    save_file({k.removeprefix("backbone."): v for k, v in donor.weights().items()}, tmp_path / "w.safetensors")
    plan = replace(PLAN, store=str(tmp_path / "s"), seeds=1)
    scratch = list(pb.run(plan))
    tuned = list(pb.run(replace(plan, pretrained=str(tmp_path / "w.safetensors"))))
    assert {r.pretrained for r in scratch} == {False} and {r.pretrained for r in tuned} == {True}
    assert {r.selection for r in scratch} == {r.selection for r in tuned}
    assert not {r.id for r in scratch} & {r.id for r in tuned}
    assert [r.train_loss for r in scratch] != [r.train_loss for r in tuned]
    board = pb.leaderboard([tmp_path / "s"])
    assert len(board.tables) == 2 and "pretrained: yes" in board.render("md")
    with pytest.raises(UserError, match="does not exist"):
        open_harness(replace(plan, pretrained=str(tmp_path / "none.safetensors")))
    with pytest.raises(UserError, match="does not fit vit_tiny"):
        open_harness(replace(plan, pretrained=str(tmp_path / "w.safetensors"), models=("vit_tiny",)))


def test_weights_of_timm_are_named_by_their_tag():
    from prunebench.training.models import weights_named

    assert weights_named("resnet18", True) == {"timm": "resnet18.a1_in1k"}
    assert weights_named("resnet18", False) is False
