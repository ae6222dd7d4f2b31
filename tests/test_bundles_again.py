"""Trials of a bundle that are trained again, and what a leaderboard makes of reported and reproduced numbers."""

import json
import shutil
from dataclasses import replace

import pytest
from bundled import card_of, copied, forge, reseal
from trainings import QUICK

import prunebench as pb
from prunebench import UserError, VerifyError
from prunebench.bundles import retraining
from prunebench.bundles.against_data import Data
from prunebench.bundles.contents import open_bundle
from prunebench.bundles.packing import submit
from prunebench.bundles.retraining import interval
from prunebench.bundles.verifying import verify
from prunebench.cli import main


def another_accuracy(path):
    """A result with one more hit in one class, right in every count."""
    told = json.loads(path.read_text())["result"]
    labels = labels_tested()
    counts = [int((labels == c).sum()) for c in range(len(told["class_accuracy"]))]
    hits = [round(share * n) for share, n in zip(told["class_accuracy"], counts, strict=True)]
    place = next(i for i, n in enumerate(counts) if hits[i] < n)
    hits[place] += 1
    recalls = [h / n for h, n in zip(hits, counts, strict=True)]
    return {"class_accuracy": recalls, "accuracy": sum(hits) / sum(counts)}


def labels_tested():
    from prunebench.datasets.loading import load
    from prunebench.registry import installed

    return load(installed(), "planted(train=60,test=20)", ".").test.labels


def of_aum(bundle, folder):
    """A copy that holds the two trials of aum and nothing else, and their cards, by seed."""
    own = copied(bundle, folder)
    for kind, told in (("trials", "scorer"), ("selections", "scorer"), ("scores", "")):
        for path in (own / kind).glob("*.json"):
            card = json.loads(path.read_text())
            name = card["result"][told] if told else card["identity"]["method"]["text"]
            if not str(name).startswith("prunebench/aum"):
                for file in (own / kind).glob(f"{path.stem}*"):
                    file.unlink()
    reseal(own)
    return own, [card_of(own, "trials", seed=seed) for seed in (0, 1)]


def test_an_honest_trial_comes_out_the_same_to_the_last_bit(bundle, tmp_path, capsys):
    own = copied(bundle, tmp_path)
    main(["verify", str(own), "--retrain", "2", "--seed", "5"])
    told = capsys.readouterr()
    assert "2 of 10 trials, seed 5: 2 equal" in told.out and told.err.count("the same to the last bit") == 2
    written = json.loads((tmp_path / "copy.reproduced.json").read_text())
    assert len(written["trials"]) == 2
    assert all(found["reported"] == found["reproduced"] for found in written["trials"].values())
    drawn = set(written["trials"])
    main(["verify", str(own), "--retrain", "1", "--seed", "6"])
    again = set(json.loads((tmp_path / "copy.reproduced.json").read_text())["trials"])
    assert drawn < again or drawn == again  # what was found stays


def test_a_number_that_only_a_training_can_tell_is_false(bundle, tmp_path):
    own, (path, _) = of_aum(bundle, tmp_path)
    forge(path, another_accuracy(path))
    (found,) = verify(own, data=Data())
    assert found.verdict.sound  # nothing else tells
    (found,) = verify(own, retrain=2)
    (wrong,) = found.verdict.refusals
    assert wrong.file == f"trials/{path.name}" and "trained again it is another number" in wrong.reason
    assert found.verdict.looked["trained again"].startswith("2 of 2 trials, seed 0: 1 equal, 1 apart")
    with pytest.raises(VerifyError, match="came out at"):
        pb.leaderboard(own)


def test_on_another_machine_the_seeds_of_the_row_say_what_chance_may_do(bundle, tmp_path):
    """Trained with another torch, a hit more is chance; where the row has no spread, and more hits, it is not."""
    own, cards = of_aum(bundle, tmp_path)
    for path, told in zip(cards, (another_accuracy(cards[0]), {}), strict=True):
        forge(path, told, provenance={**json.loads(path.read_text())["provenance"], "torch": "2.10.0"})
    (found,) = verify(own, retrain=2)
    assert found.verdict.sound and found.verdict.looked["trained again"].endswith("1 equal, 1 within")
    assert retraining._agreement(False, 0.2, 0.1) == "apart" and retraining._agreement(False, 0.1, None) == "unjudged"


def test_the_interval_is_that_of_two_draws_of_a_row(bundle):
    """sd of (0.2, 0.4) is 0.1414; t with one degree of freedom is 12.706; times the root of two."""
    found = open_bundle(bundle)
    one, other = (t for t in found.trials if str(t.result["scorer"]).startswith("prunebench/aum"))
    one.card["result"]["accuracy"], other.card["result"]["accuracy"] = 0.2, 0.4
    assert interval(found, one) == pytest.approx(12.7062 * 0.2, rel=1e-4)
    one.card["result"]["accuracy"] = 0.4
    assert interval(found, one) == pytest.approx(1 / 20)  # one test picture
    found.found["trials"] = {one.id: one}
    assert interval(found, one) is None


@pytest.mark.parametrize(
    "change, told",
    [
        ({"precision": "bfloat16"}, "bfloat16 on a GPU"),
        ({"recipe": "0" * 64}, "another recipe"),
        ({"threads": 4000}, "far more than there are cores"),
        ({"steps": 10**6}, "1000000 steps are too many"),
        ({"model": "no_such_model"}, "no_such_model"),
    ],
)
def test_what_cannot_be_trained_here_is_told_and_not_trained(change, told, bundle, tmp_path, monkeypatch):
    own = copied(bundle, tmp_path)
    for path in sorted((own / "trials").glob("*.json")):
        cost = json.loads(path.read_text())["result"]["train_cost"]
        more = {"train_cost": {**cost, "backward": 10**6, "forward": 10**6 + 20}} if "steps" in change else {}
        forge(path, change | more, change)
    monkeypatch.setattr(retraining, "run_trial", None)
    (found,) = verify(own, retrain=3)
    assert found.verdict.looked["trained again"].startswith("0 of 10")
    assert told in found.verdict.remarks[-1] and "0 of 3 could be trained again" in found.verdict.remarks[-1]


@pytest.mark.parametrize("given", [{"retrain": -1}, {"retrain": 1, "seed": -1}])
def test_counts_below_zero(given, bundle):
    with pytest.raises(UserError, match="at least 0"):
        verify(bundle, **given)


# -- on a board -------------------------------------------------------------------------------------------------------


def rows(board):
    return {row.label: row for table in board.tables for row in table.rows}


def test_what_others_report_is_apart_from_what_stands_here(bundle, tmp_path):
    other = pb.leaderboard(bundle)
    assert all(row.source == "reported" and row.label.endswith("(reported)") for row in rows(other).values())
    both = rows(pb.leaderboard([bundle, bundle.parent / "runs"]))
    assert {row.source for row in both.values()} == {"here"}  # the same trials: they stand here
    few = shutil.copytree(bundle.parent / "runs", tmp_path / "runs")
    for path in (few / "trials").glob("*.json"):
        if json.loads(path.read_text())["result"]["seed"] == 1:
            path.unlink()
    mixed = rows(pb.leaderboard([few, bundle]))
    assert mixed["aum + hardest"].by_seed.keys() == {0} and mixed["aum + hardest (reported)"].by_seed.keys() == {1}
    ours, theirs = mixed["aum + hardest (reported)"], mixed["balanced random (reported)"]
    assert ours.difference.mean == pytest.approx(ours.accuracy.mean - theirs.accuracy.mean)


def test_reported_and_reproduced_are_different_columns(bundle, tmp_path, capsys):
    own, _ = of_aum(bundle, tmp_path)
    verify(own, retrain=2)
    main(["leaderboard", str(own), str(own) + ".reproduced.json"])
    told = capsys.readouterr().out
    assert "again %" in told and "aum + hardest" in told and "(reported" not in told.split("Accuracy:")[0]
    board = pb.leaderboard(own)
    row = rows(board)["aum + hardest (reproduced)"]
    assert row.reproduced.n == 2 and row.reproduced.mean == row.accuracy.mean
    line = next(line for line in board.render("csv").splitlines() if line.split(",")[1:2] and "aum + hardest" in line)
    assert line.split(",")[-3:-1] == ["reproduced", "2"]
    group = json.loads(board.render("json"))["groups"][0]
    assert {r["source"] for r in group["rows"]} == {"reproduced"} and group["rows"][0]["reproduced"]["n"] == 2


def test_what_was_reproduced_of_another_bundle_counts_for_nothing(bundle, tmp_path):
    own = copied(bundle, tmp_path)
    verify(own, retrain=1)
    beside = tmp_path / "copy.reproduced.json"
    forge(
        card_of(own, "trials", selector="full", seed=0),
        provenance={"prunebench": "1", "python": "3", "torch": "2", "device": "cpu", "plugins": {}},
    )
    assert {row.source for row in rows(pb.leaderboard(own)).values()} == {"reported"}
    beside.write_text(beside.read_text().replace('"equal"', '"within"'))
    with pytest.raises(VerifyError, match="was altered after it was written"):
        pb.leaderboard(own)


def test_a_record_of_a_store_says_nothing_of_its_source(bundle, tmp_path):
    own = shutil.copytree(bundle.parent / "runs", tmp_path / "runs")
    for path in (own / "trials").glob("*.json"):
        card = json.loads(path.read_text())
        assert "source" not in card["result"]
    from prunebench.store import Store

    store = Store(own)
    record = next(store.records("trials"))
    store.put("trials", {"x": 1}, {**record.result, "seed": 9, "source": "reproduced", "reproduced": 1.0})
    assert {row.source for row in rows(pb.leaderboard(store)).values()} == {"here"}


def test_a_bundle_that_is_not_sound_is_on_no_board(bundle, tmp_path, capsys):
    own = copied(bundle, tmp_path)
    forge(card_of(own, "trials", selector="full", seed=0), {"accuracy": 0.01})
    with pytest.raises(SystemExit) as ended:
        main(["leaderboard", str(bundle.parent / "runs"), str(own)])
    assert ended.value.code == 4 and "is not sound" in capsys.readouterr().err


def test_one_data_set_at_two_sizes_of_picture(tmp_path):
    """The fingerprint of data knows no size of picture: each trial is trained at its own."""
    for size in (8, 16):
        list(pb.run(replace(QUICK, seeds=1, image_size=size, store=str(tmp_path / "runs"))))
    submit(tmp_path / "runs", tmp_path / "b.zip")
    (found,) = verify(tmp_path / "b.zip", retrain=6)
    assert found.verdict.sound and found.verdict.looked["trained again"] == "6 of 6 trials, seed 0: 6 equal"


def test_a_place_for_what_is_trained_again_is_looked_for_first(bundle, tmp_path, monkeypatch):
    own = copied(bundle, tmp_path)
    (tmp_path / f"{own.name}.reproduced.json").mkdir()
    monkeypatch.setattr(retraining, "train_again", lambda *given: pytest.fail("it was trained"))
    with pytest.raises(UserError, match="it is a folder"):
        verify(own, data=Data(str(tmp_path)), retrain=1)


def test_one_is_told_as_one(bundle, tmp_path, capsys):
    own = of_aum(bundle, tmp_path)[0]
    reseal(own)
    main(["verify", str(own)])
    assert "2 trials" in (told := capsys.readouterr().out) and "other bundle" not in told
    (own / "trials" / "odd.json").write_text("{}")
    with pytest.raises(SystemExit):
        main(["verify", str(own)])
    assert "1 of 1 bundle is not sound" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["verify", str(_with_one_odd_record(tmp_path / "store"))])
    told = capsys.readouterr()
    assert "0 sound records" in told.out and "1 record of" in told.err and "sets it aside" in told.err


def _with_one_odd_record(store):
    (store / "trials").mkdir(parents=True)
    (store / "trials" / f"{'a' * 64}.json").write_text("{}")
    return store
