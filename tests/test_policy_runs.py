"""Policies, the budget "cost" and the best epoch on the main road: which cells, which records, what they say."""

from dataclasses import replace

import pytest
from trainings import QUICK

import prunebench as pb
from prunebench import CellError, Cost, UserError
from prunebench.execution.graph import graph
from prunebench.execution.steps import standing_trial
from prunebench.harness.equal_cost import steps_left, within
from prunebench.harness.trials import everything, run_trial
from prunebench.planning.plans import Cell, cells, open_harness, pairs
from prunebench.training import loop


def no_training(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("nothing is to be trained")

    monkeypatch.setattr(loop, "train", refuse)


# -- policies


def test_rs2_is_a_row_beside_the_baselines_in_as_many_steps(tmp_path):
    plan = replace(QUICK, store=str(tmp_path), budget="epochs", epochs=4, keep=(0.2, 0.5))
    plainly = {r.id for r in pb.run(plan)}
    results = list(pb.run(replace(plan, policy="rs2")))
    drawn = [r for r in results if r.policy != "plain"]
    assert plainly == {r.id for r in results} - {r.id for r in drawn}  # the baselines are as ever
    assert [(r.selector, r.scorer, r.policy, r.keep, r.examples) for r in drawn] == [
        ("rs2", None, "rs2(replacement=False)", keep, k) for keep, k in ((0.2, 12), (0.5, 30))
    ]
    for r in drawn:
        (rival,) = (t for t in results if t.keep == r.keep and t.selector == "prunebench/random()")
        assert r.steps == rival.steps == {12: 2, 30: 4}[r.examples]
        assert (r.train_cost.forward, r.train_cost.backward) == (32 * r.steps + 20, 32 * r.steps)
        assert not r.label_free and sum(r.class_counts) == 60


def test_rounds_of_another_size_are_another_record(tmp_path):
    plan = replace(QUICK, store=str(tmp_path), steps=4, keep=(0.2, 0.5), policy="rs2(replacement=True)")
    drawn = [r for r in pb.run(plan) if r.policy != "plain"]
    assert len({r.id for r in drawn}) == len({r.train_loss for r in drawn}) == 2
    assert {r.steps for r in drawn} == {4} and {r.selector for r in drawn} == {"rs2(replacement=True)"}


def test_infobatch_has_a_keep_ratio_where_that_says_how_long_it_trains(tmp_path):
    plan = replace(QUICK, store=str(tmp_path), steps=4, policy="infobatch")
    assert [c.keep for c in cells(plan, open_harness(plan)) if c.selector == "infobatch"] == [1.0]
    plan = replace(plan, steps=None, budget="epochs", epochs=4)
    assert [c.keep for c in cells(plan, open_harness(plan)) if c.selector == "infobatch"] == [0.5]
    (result,) = (r for r in pb.run(plan) if r.policy != "plain")
    assert (result.policy, result.steps) == ("infobatch(ratio=0.5, delta=0.875)", 4)
    assert result.train_cost.backward == 4 * 32  # half of the full data's 8 steps: what it saves


def test_what_a_policy_trained_is_read_when_asked_again(tmp_path, monkeypatch):
    plan = replace(QUICK, store=str(tmp_path), steps=3, policy="rs2")
    first = [r.id for r in pb.run(plan)]
    no_training(monkeypatch)
    assert [r.id for r in pb.run(plan)] == first
    assert pairs(replace(plan, policy="plain")) == pairs(plan)[:-1] and pairs(plan)[-1] == (None, "rs2")


@pytest.mark.parametrize(
    "change, told",
    [({"policy": "rs3"}, "did you mean 'rs2'"), ({"policy": "infobatch(ratio=1.5)"}, "ratio"),
     ({"policy": "rs2", "scorers": ("aum",), "selectors": ("hardest",)}, "leave out --scorer"),
     ({"policy": "rs2", "methods": ("aum",)}, "leave out --scorer, --selector and --method"),
     ({"policy": "infobatch", "track": "label-free"}, "leave out --track label-free"),
     ({"policy": "infobatch", "budget": "cost"}, "take --budget steps or epochs"),
     ({"budget": "cost", "steps": 4}, "--steps needs"), ({"budget": "money"}, "must be steps, epochs or cost")],
)  # fmt: skip
def test_what_has_no_meaning_is_refused_before_any_cell_starts(tmp_path, change, told):
    with pytest.raises(UserError, match=told) as failure:
        next(pb.run(replace(QUICK, store=str(tmp_path / "store"), **change)))
    assert "\n" not in str(failure.value) and not (tmp_path / "store").exists()


# -- budget "cost"

COST_PLAN = replace(
    QUICK, dataset="planted(train=30,test=20)", budget="cost", scorers=("aum",), selectors=("hardest",), seeds=2
)
FULL_STEPS = 19  # 20 passes over 30 examples in batches of 32


@pytest.mark.parametrize(
    "full, steps, spent, left",
    [(100.0, 50, 0.0, 50), (100.0, 50, 60.0, 20), (100.0, 50, 0.9, 50), (100.0, 50, 1.1, 49),
     (100.0, 50, 99.5, 1), (100.0, 50, 100.0, 0), (100.0, 50, 250.0, 0)],
)  # fmt: skip
def test_steps_are_what_the_seconds_leave(full, steps, spent, left):
    assert steps_left(full, steps, spent) == left


@pytest.fixture
def clock(monkeypatch):
    """Trainings that say how long they took: so many seconds a step, far above what anything else takes; twice as many
    for trial seed 1."""
    real, rate = loop.train, {"seconds": 1000.0}

    def timed(*args, **options):
        trained = real(*args, **options)
        trained.seconds = trained.steps * rate["seconds"] * (1 + (options["seed"] == 1))
        return trained

    monkeypatch.setattr(loop, "train", timed)
    return rate


def test_scoring_selecting_and_training_cost_what_full_training_costs(tmp_path, clock):
    """Full training takes 19 steps; the reference training of two epochs, a batch each, costs two of them."""
    plan = replace(COST_PLAN, store=str(tmp_path), reference_epochs=2)
    results = list(pb.run(plan))
    steps = {(r.selector.split("/")[-1].split("(")[0], r.seed): r.steps for r in results}
    assert steps == {
        **{(row, seed): FULL_STEPS for row in ("full", "balanced", "random") for seed in (0, 1)},
        **{("hardest", seed): FULL_STEPS - 2 for seed in (0, 1)},
    }
    assert {r.budget_seconds for r in results} == {FULL_STEPS * 1000.0}
    assert {r.train_budget for r in results} == {"cost"}
    costs = [(r.score_cost, r.select_cost, r.train_cost) for r in results if r.seed == 0]
    assert all(abs(sum(c.alone_seconds for c in row) - FULL_STEPS * 1000) < 500 for row in costs)
    (table,) = pb.leaderboard(tmp_path).tables
    assert table.conditions["steps"] == [17, 19] and "equal cost (17-19 steps) · " in str(pb.leaderboard(tmp_path))


def test_looking_for_the_best_epoch_buys_nobody_more_time(tmp_path, clock):
    plan = replace(COST_PLAN, store=str(tmp_path), reference_epochs=2, best_epoch=True)
    assert {r.budget_seconds for r in pb.run(plan)} == {FULL_STEPS * 1000.0}
    assert {r.budget_seconds for r in pb.run(replace(plan, best_epoch=False))} == {FULL_STEPS * 1000.0}


def test_a_cost_budget_does_not_change_when_a_run_goes_on(tmp_path, clock):
    plan = replace(COST_PLAN, store=str(tmp_path))
    whole = {r.id: r.steps for r in pb.run(plan)}
    (lost,) = (r for r in pb.run(plan) if r.scorer and r.seed == 1)
    (tmp_path / "trials" / f"{lost.id}.json").unlink()
    clock["seconds"] = 7.0  # another machine, another day
    assert {r.id: r.steps for r in pb.run(plan)} == whole


def test_a_method_that_costs_more_than_full_training_has_failed(tmp_path, clock):
    plan = replace(COST_PLAN, store=str(tmp_path), seeds=1, reference_epochs=25)
    assert [r.scorer for r in pb.run(plan)] == [None] * 3
    harness = open_harness(plan)
    (noted,) = harness.store.failures()
    assert "take 25000." in noted["error"] and "takes 19000.0 s" in noted["error"]
    assert standing_trial(harness, plan, Cell("aum", "hardest", 0.5, "test_resnet", 0)) is None
    with pytest.raises(CellError, match="nothing to train with"):
        within(harness, plan.trial("test_resnet", 0), Cost(alone_seconds=10000), Cost(alone_seconds=9500))


def test_the_judge_of_a_selector_trains_as_under_equal_steps(tmp_path):
    steps, cost = (open_harness(replace(COST_PLAN, store=str(tmp_path), budget=b)).budget for b in ("steps", "cost"))
    assert steps == cost == ("steps", None, None)


def test_every_trial_waits_for_the_one_that_tells_the_cost(tmp_path):
    plan = replace(COST_PLAN, store=str(tmp_path))
    harness = open_harness(plan)
    trials = [task for task, cell in graph(harness, plan, cells(plan, harness), jobs=2).values() if cell]
    leader, *others = trials
    assert leader.needs == () and leader.args["selector"] == "full" and leader.args["seed"] == 0
    assert len(others) == 7 and all(leader.key in task.needs for task in others)


def test_an_index_file_does_not_tell_its_cost(tmp_path):
    import numpy as np
    from click.testing import CliRunner

    from prunebench.cli import cli

    np.save(tmp_path / "mine.npy", np.arange(20))
    args = ["train", "--subset", str(tmp_path / "mine.npy"), "--budget", "cost", "--store", str(tmp_path / "s")]
    run = CliRunner().invoke(cli, [*args, "--dataset", QUICK.dataset])
    assert isinstance(run.exception, UserError) and "an index file does not tell" in str(run.exception)


# -- the best epoch


def result_without_looks(result):
    measured = ("id", "provenance", "train_cost", "best_accuracy", "best_step")
    return {k: v for k, v in vars(result).items() if k not in measured}


@pytest.mark.parametrize("policy", ["plain", "infobatch"])
def test_looking_for_the_best_epoch_changes_nothing_else(tmp_path, policy):
    plan = replace(QUICK, store=str(tmp_path), steps=6, policy=policy)
    plainly, looked = list(pb.run(plan)), list(pb.run(replace(plan, best_epoch=True)))
    assert [result_without_looks(r) for r in plainly] == [result_without_looks(r) for r in looked]
    assert {r.best_accuracy for r in plainly} == {r.best_step for r in plainly} == {None}
    for without, r in zip(plainly, looked, strict=True):
        assert r.best_accuracy >= r.accuracy and r.best_step in (2, 3, 5, 6)  # 6 * 32 / 60 passes: four looks
        assert r.train_cost.forward == without.train_cost.forward + 3 * 20
    board = pb.leaderboard(tmp_path)
    assert board.left_out == 0 and "best ep %" in str(board)
    assert {t.id for table in board.tables for row in table.rows for t in row.trials} == {r.id for r in looked}


def test_the_best_epoch_is_the_accuracy_of_a_training_stopped_there(tmp_path, monkeypatch):
    """Each look is compared with a test of the network as it is at that step."""
    from prunebench.training.evaluation import accuracy, predict

    seen, real = {}, loop.train

    def watched(*args, look=None, **options):
        def both(step, network):
            look(step, network)
            logits = predict(network, harness.dataset.test.images)
            seen[step] = accuracy(logits, harness.dataset.test.labels, 4)[0]

        return real(*args, look=both, **options)

    monkeypatch.setattr(loop, "train", watched)
    plan = replace(QUICK, store=str(tmp_path), steps=12, best_epoch=True)
    harness = open_harness(plan)
    trial = plan.trial("test_resnet", 0)
    assert trial.looks(harness, 12) == {2, 4, 6, 7, 9, 11, 12}  # 12 * 32 / 60 passes: seven looks
    result = run_trial(harness, trial, everything(harness), None, 0)
    looks = {step: seen[step] for step in trial.looks(harness, 12)}
    assert result.best_accuracy == max(looks.values())
    assert result.best_step == min(step for step, a in looks.items() if a == result.best_accuracy)
    assert result.accuracy == looks[12]


def test_looks_go_on_after_an_interruption():
    import torch

    from prunebench.training.best_epoch import BestEpoch

    first, second = (BestEpoch(None, torch.device("cpu"), {2, 4, 6}) for _ in range(2))
    first.accuracies = {2: 0.1, 4: 1 / 3}
    second.restore(first.state())
    assert second.accuracies == first.accuracies and second.found(6, 0.3) == {"best_accuracy": 1 / 3, "best_step": 4}
    assert BestEpoch(None, torch.device("cpu"), {2}).state()["accuracies"].shape == (0,)
    assert second.found(6, 1 / 3)["best_step"] == 4  # the first of equals


def test_a_record_with_a_best_epoch_serves_where_none_is_asked_for(tmp_path, monkeypatch):
    plan = replace(QUICK, store=str(tmp_path), steps=6)
    looked = [r.id for r in pb.run(replace(plan, best_epoch=True))]
    no_training(monkeypatch)
    assert [r.id for r in pb.run(plan)] == looked
