"""The forecast of a run: counts and bytes are those that its records then tell, and looking changes nothing."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from prunebench import running
from prunebench.arrays import write_npz
from prunebench.cli import main
from prunebench.console.dry_run import duration, outlook, size
from prunebench.execution.steps import standing_trial
from prunebench.foresight import forecast
from prunebench.foresight.forecast import Data, Step, Work, by_kind, elapsed, longest_chain
from prunebench.foresight.foreseen import Foreseen, architecture_of
from prunebench.planning.plans import Plan, cells, open_harness
from prunebench.store import KINDS, Store
from prunebench.training import loop
from prunebench.training.models import build
from prunebench.training.recipes import recipe_for

PLAN = Plan(
    scorers=("moderate", "el2n(epoch=1)", "tdds(window=3, epochs=3)", "grand(epoch=1, runs=2, parameters='last')"),
    selectors=("hardest",),
    dataset="planted(train=70,test=30)",
    keep=(0.5,),
    models=("resnet18",),
    seeds=1,
    reference_epochs=3,
    steps=2,
    threads=1,
)


def foreseen(plan: Plan, jobs: int = 1) -> Foreseen:
    """Of the cells of a plan that do not stand."""
    harness = open_harness(plan, Store(plan.store, writes=False))
    todo = [cell for cell in cells(plan, harness) if standing_trial(harness, plan, cell) is None]
    return Foreseen(plan, harness, todo, jobs)


def works(found: Foreseen) -> dict[str, Work]:
    return {work.what: work for work in by_kind(found.steps.values())}


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.rglob("*"))}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(plan, what was foreseen of it, every training that it then made, its store)."""
    root = tmp_path_factory.mktemp("forecast")
    plan = replace(PLAN, store=str(root / "runs"))
    before, made, train = foreseen(plan), [], loop.train

    def noted(*args, **kwargs):
        made.append((kwargs, train(*args, **kwargs)))
        return made[-1][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train", noted)
        results = list(running.run(plan))
    assert len(results) == 1 + 6 and not Store(plan.store).failures()
    return plan, before, made, Store(plan.store)


# counts


def test_the_examples_are_those_that_the_trainings_presented(ran):
    _, before, made, _ = ran
    for what, found in works(before).items():
        if what not in ("training", "reference training"):
            continue
        mine = [trained for given, trained in made if (given.get("epochs") is None) == (what == "training")]
        tests = 30 * len(mine) if what == "training" else 0  # the test split, once each
        assert found.count == len(mine)
        assert found.backward == sum(t.backward for t in mine)
        assert found.forward == sum(t.forward + t.epoch_end_forward for t in mine) + tests
    assert works(before)["reference training"].count == 1 + 1 + 2  # recorded; again for tdds; to epoch 1, twice


def test_every_trial_and_training_costs_what_its_step_says(ran):
    _, before, _, store = ran
    steps = [s.work for s in before.steps.values()]
    costs = [r.result["train_cost"] for r in store.records("trials")]
    trials = Counter((cost["forward"], cost["backward"]) for cost in costs)
    assert trials == Counter((w.forward, w.backward) for w in steps if w.what == "training")
    trained = {r.result["backward"] for r in store.records("evidence") if r.identity["what"] == "training"}
    assert trained == {w.backward for w in steps if w.what == "reference training"} == {70, 210}


@pytest.mark.parametrize("budget, steps, epochs", [("steps", 3, None), ("epochs", None, None), ("epochs", None, 2)])
def test_steps_of_every_budget_are_those_of_a_trial(budget, steps, epochs):
    plan = replace(PLAN, scorers=(), selectors=("random",), budget=budget, steps=steps, epochs=epochs, seeds=1)
    harness = open_harness(plan, Store("nowhere", writes=False))
    for cell in cells(plan, harness):
        work = Foreseen(plan, harness, [cell]).steps[f"training {cell.name}"].work
        k = 70 if cell.selector == "full" else round(cell.keep * 70)
        row = plan.trial(cell.model, 0).recipe(harness)
        assert work.backward == row.batch * plan.trial(cell.model, 0).steps_for(harness, k)


# bytes


def test_the_bytes_on_disk_are_those_of_the_store(ran):
    _, before, _, store = ran
    of = {"training": "trials", "selection": "selections", "scores": "scores"}
    told = Counter()
    for what, work in works(before).items():
        told[of.get(what, "evidence and models")] += work.disk
    there = Counter()
    for kind in KINDS:
        name = kind if kind in of.values() else "evidence and models"
        there[name] += sum(p.stat().st_size for p in (store.root / kind).glob("*") if p.is_file())
    blocks = [r.path for r in store.records("evidence") if r.identity["what"] == "block"]  # of grand: not foreseen
    there["evidence and models"] -= sum(p.stat().st_size for path in blocks for p in path.parent.glob(f"{path.stem}*"))
    assert told.keys() == there.keys()
    for name in told:
        assert told[name] == pytest.approx(there[name], rel=0.03 if name == "evidence and models" else 0.15), name


def test_histories_and_features_take_their_bytes(ran):
    _, before, _, store = ran
    sizes = Counter()
    for record in store.records("evidence"):
        for file in record.card["files"].values():
            sizes[record.identity["what"]] += file["bytes"]
    assert sizes["history"] == (8 + 1) * (forecast.HEADER + 4 * 3 * 70)
    net, data = before.network("resnet18"), before.data
    assert sizes["features"] == forecast.features(data, net).disk - forecast.CARDS["evidence"]


def test_an_npz_has_its_bytes():
    for k, length in ((1, 4), (30, 8), (5000, 31)):
        indices, keys = np.arange(k), np.array(["x" * length] * k)
        assert forecast.npz(indices=8 * k, keys=4 * length * k) == len(write_npz({"indices": indices, "keys": keys}))
    assert forecast.npz(values=800) == len(write_npz({"values": np.zeros(100)}))


@pytest.mark.parametrize("name, side", [("resnet18", 8), ("efficientnet_b0", 32), ("vit_tiny", 28)])
def test_a_network_without_storage_has_the_bytes_of_one_with_it(name, side):
    found = architecture_of(name, 7, side)
    network, kept = build(name, 7, side, seed=0).train(), {}
    held = {t.untyped_storage().data_ptr() for t in (*network.parameters(), *network.buffers())}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        F.cross_entropy(network(torch.zeros(8, 3, side, side, dtype=torch.uint8)), torch.zeros(8, dtype=torch.int64))
    bytes_kept = sum(t.untyped_storage().nbytes() for at, t in kept.items() if at not in held)
    assert 8 * found.activations == pytest.approx(bytes_kept, rel=0.1)
    assert found.trained == 4 * sum(p.numel() for p in network.parameters())
    assert found.stored == sum(t.nbytes for t in network.state_dict().values())
    assert found.width == network.features(torch.zeros(2, 3, side, side, dtype=torch.uint8)).shape[1]


def test_the_recorder_takes_31_bytes_an_example_and_pictures_that_are_too_many_none():
    net, row = architecture_of("resnet18", 10, 8), replace(recipe_for("tiny", "resnet"), steps=3)
    data = Data(1_000_000, 100, 10, 8)
    plain = forecast.reference_training(data, net, row, 2, recorded=False).memory
    assert forecast.reference_training(data, net, row, 2).memory - plain == 31 * 10**6
    assert forecast.reference_training(data, net, row, 2, own=2).memory - plain == 39 * 10**6
    assert data.resident == 3 * 64 * 1_000_100
    assert replace(data, size=32).resident == 3 * 32**2 * 100
    momentum, adam = net.memory(row), net.memory(replace(row, optimizer="adamw"))
    assert adam - momentum == net.trained and momentum == net.stored + 2 * net.trained + net.activations * row.batch


# seconds


def test_a_chain_of_needs_bounds_the_time_from_below():
    steps = {
        "a": Step(Work("reference training", "m", forward=30, backward=20)),
        "b": Step(Work("scores", own=4.0), ("a", "stands already")),
        "c": Step(Work("training", "m", forward=10, backward=10), ("b",)),
        "d": Step(Work("training", "m", forward=10, backward=10)),
        "e": Step(Work("training", "unknown", forward=10, backward=10)),
    }
    rates = {"m": 10.0}  # 20 / 10 + 10 / 3 / 10 = 2.333..., 4, 1, 1
    assert longest_chain(steps, rates) == pytest.approx(7 / 3 + 5)
    assert elapsed(steps, rates, 1) == pytest.approx(7 / 3 + 6)
    assert elapsed(steps, rates, 2) == elapsed(steps, rates, 9) == pytest.approx(7 / 3 + 5)
    assert steps["e"].work.seconds(rates) is None
    assert [work.what for work in by_kind(steps.values())] == ["reference training", "scores", "training", "training"]


def test_the_speed_is_that_of_the_records(ran):
    plan, _, _, store = ran
    found = foreseen(replace(plan, keep=(0.4,)))
    rate = found.pace.rate("resnet18")
    costs = [r.result["train_cost"] for r in store.records("trials")]
    speed = sum(cost["backward"] for cost in costs) / sum(cost["seconds"] for cost in costs)
    assert rate.examples_per_second == pytest.approx(speed)
    assert rate.source == f"{len(costs)} records of this store"
    assert found.pace.rate("vit_tiny") is None
    assert foreseen(replace(plan, threads=2)).pace.rate("resnet18") is None
    for card in (store.root / "trials").glob("*.json"):
        card.rename(card.with_suffix(".aside"))
    try:  # then from the reference trainings
        mine = foreseen(plan).pace.rate("resnet18")
        told = [r.result for r in store.records("evidence") if r.identity["what"] == "training"]
        whole = [t for t in told if t["backward"] == 210]
        assert len(whole) == 1 and mine.examples_per_second == pytest.approx(210 / whole[0]["seconds"])
    finally:
        for card in (store.root / "trials").glob("*.aside"):
            card.rename(card.with_suffix(".json"))


def test_what_a_method_took_by_itself_is_taken_from_its_records(ran):
    plan, before, _, store = ran
    (grand,) = [method for method in before.unknown if method.startswith("grand")]
    assert before.unknown["moderate"] == "" and "passes of its own" in before.unknown[grand]
    after = foreseen(replace(plan, seeds=2, score_seeds=2))
    assert after.unknown == {}
    found = [s.work for name, s in after.steps.items() if name.startswith("scores") and "grand" in name]
    (cost,) = [r.result["cost"] for r in store.records("scores") if "/grand" in r.identity["method"]["text"]]
    shared = cost["forward"] / after.pace.rate("resnet18").examples_per_second
    assert cost["forward"] == 140 and [w.own for w in found] == [pytest.approx(max(0, cost["alone_seconds"] - shared))]


# what stands


def test_what_stands_is_no_step(ran):
    plan, *_ = ran
    assert foreseen(plan).steps == {}
    more = works(foreseen(replace(plan, keep=(0.5, 0.4))))
    assert more.keys() == {"selection", "training"} and more["selection"].count == more["training"].count == 6
    second = works(foreseen(replace(plan, seeds=2, score_seeds=2)))
    assert second["reference training"].count == 4 and second["features"].count == 1 and second["scores"].count == 4
    models = works(foreseen(replace(plan, models=("resnet18", "vit_tiny"))))
    assert models.keys() == {"training"} and models["training"].model == "vit_tiny"


def test_a_statistic_that_comes_late_makes_the_training_again_and_nothing_else(ran, tmp_path):
    plan, *_ = ran
    tdds, el2n = "tdds(window=3, epochs=3)", "el2n(epoch=1)"
    for scorers, jobs in (((tdds,), 1), ((el2n, tdds), 1), ((tdds, "moderate"), 1), (("moderate", tdds), 2)):
        asked = replace(plan, scorers=scorers, store=str(tmp_path / "none"))
        assert works(foreseen(asked, jobs))["reference training"].count == 1, scorers
    late = foreseen(replace(asked, scorers=("moderate", tdds)))  # who only asks for features does not watch for tdds
    twice = [step.work.disk for step in late.steps.values() if step.work.what == "reference training"]
    assert len(twice) == 2 and twice[1] == forecast.HEADER + 4 * 3 * 70 + forecast.CARDS["evidence"]


def test_a_policy_selects_nothing_and_looks_at_the_test_split_are_counted():
    plan = replace(PLAN, scorers=(), selectors=(), policy="rs2", best_epoch=True, steps=8, keep=(0.5,), store="nowhere")
    found = foreseen(plan)
    trials = {name: s.work for name, s in found.steps.items() if s.work.what == "training"}
    (rs2,) = [name for name in trials if "rs2" in name]
    assert works(found)["selection"].count == 2 and found.steps[rs2].needs == ()  # those of the random baselines
    row = plan.trial("resnet18", 0).recipe(found.harness)
    looks = plan.trial("resnet18", 0).looks(found.harness, 8)
    assert len(looks) > 1 and trials[rs2].forward == 8 * row.batch + len(looks) * 30


def test_of_equal_cost_no_more_is_told_than_full_training():
    found = foreseen(replace(PLAN, budget="cost", steps=None, store="nowhere"))
    assert found.unknown["trainings on a selection"] == "what --budget cost takes off"
    assert len({s.work.backward for s in found.steps.values() if s.work.what == "training"}) == 1


def test_of_a_method_that_trains_what_it_likes_nothing_is_counted():
    found = foreseen(replace(PLAN, scorers=("drd",), selectors=("bws",), store="nowhere"))
    assert found.unknown["drd"] == "a model of its own" and found.unknown["bws"] == "trainings of its own"
    assert works(found).keys() == {"scores", "selection", "training"}


# the command


def call(*args) -> int:
    try:
        main(list(args))
    except SystemExit as left:
        return left.code or 0
    return 0


def arguments(plan: Plan, *more: str) -> list[str]:
    told = ["run", "--dataset", plan.dataset, "--keep", ",".join(map(str, plan.keep)), "--reference-epochs", "3"]
    told += ["--steps", "2", "--threads", "1", "--seeds", "1", "--store", plan.store, "--jobs", "3"]
    for scorer in plan.scorers:
        told += ["--scorer", scorer]
    return [*told, "--selector", "hardest", "--dry-run", *more]


def test_looking_at_a_store_changes_nothing_in_it(ran, capsys):
    plan, _, _, store = ran
    scores = next((store.root / "scores").glob("*.npz"))
    whole, before = scores.read_bytes(), listing(store.root.parent)
    assert call(*arguments(plan)) == 0
    assert "7 trainings, 7 stand" in capsys.readouterr().out
    scores.write_bytes(whole[:-1])  # a run would set it aside and sweep
    stray = store.root / "evidence" / ".tmp-stray"
    stray.mkdir()
    changed = listing(store.root.parent)
    try:
        assert call(*arguments(plan, "--json")) == 0
        told = json.loads(capsys.readouterr().out)
        assert listing(store.root.parent) == changed != before
        assert 0 < sum(cell["stands"] for cell in told["cells"]) < 7
        assert [w["what"] for w in told["to_do"]["works"]] == ["scores", "selection", "training"]
        assert told["to_do"]["jobs"] == 3 and told["to_do"]["rates"]["resnet18"]["examples_per_second"] > 0
    finally:
        scores.write_bytes(whole)
        stray.rmdir()


def test_a_dry_run_on_nothing_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plan = replace(PLAN, store="deep/runs", scorers=("drd",))
    assert call(*arguments(plan)) == 0
    said = capsys.readouterr()
    assert list(tmp_path.iterdir()) == []
    assert "measuring resnet18" in said.err and "measured now" in said.out
    assert "prunebench drd estimate --dataset 'planted(train=70,test=30)' --scorer drd` tells" in said.out
    assert call(*arguments(replace(plan, dataset="cifar10"), "--download")) == 2
    assert list(tmp_path.iterdir()) == []
    assert "with --download without --dry-run, which fetches nothing" in capsys.readouterr().err


def test_memory_is_that_of_a_job_with_its_pictures(ran):
    plan, *_ = ran
    found = foreseen(replace(plan, keep=(0.4,)))
    told = outlook(found, found.harness, 2)
    largest = max(step.work.memory for step in found.steps.values())
    assert told.memory > largest + 3 * 16**2 * 100 + 50 * 2**20  # and the program itself
    assert told.device_memory == 0 and told.disk < told.free


def test_sizes_and_times_are_told_with_units():
    told = ["0 B", "999 B", "1 kB", "123 kB", "4.6 GB", "7e+03 TB"]
    assert [size(count) for count in (0, 999, 1000, 123_456, 4_600_000_000, 7 * 10**15)] == told
    told = ["3.2 s", "89 s", "10 min", "2 h", "10 days"]
    assert [duration(seconds) for seconds in (3.21, 89, 600, 7200, 864000)] == told
