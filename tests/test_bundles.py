"""`prunebench submit` and what `verify` refuses: altered numbers, replayed index files, other data."""

import json
import shutil
import socket
import zipfile

import numpy as np
import pytest
from bundled import PLAN, card_of, copied, forge, positions, reseal

from prunebench import UserError
from prunebench.bundles.against_data import Data
from prunebench.bundles.packing import submit
from prunebench.bundles.verifying import verify
from prunebench.cli import main
from prunebench.store import Store

HERE = Data()
TESTED = 20  # test pictures


def refusals(bundle, data=None):
    """What one bundle is refused for."""
    (found,) = verify(bundle, data=data)
    return "\n".join(map(str, found.verdict.refusals))


def trial(bundle, **wanted):
    return card_of(bundle, "trials", **wanted)


def result_of(path):
    return json.loads(path.read_text())["result"]


# -- what is packed ---------------------------------------------------------------------------------------------------


def test_an_archive_and_a_folder_hold_the_same_and_the_same_bytes_each_time(bundle, tmp_path):
    for name in ("a.zip", "b.zip"):
        submit(bundle.parent / "runs", tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        inside = {name: archive.read(name) for name in archive.namelist()}
    files = {p.relative_to(bundle).as_posix(): p.read_bytes() for p in bundle.rglob("*") if p.is_file()}
    assert inside == files
    assert sorted(files) == sorted([*json.loads(files["manifest.json"])["files"], "manifest.json"])
    manifest = json.loads(files["manifest.json"])
    assert manifest["records"] == {"trials": 10, "selections": 8, "scores": 2}
    assert not any(name.startswith("scores/") and name.endswith(".npz") for name in files)


def test_a_bundle_of_a_run_is_sound_by_itself_and_beside_its_data(bundle, tmp_path):
    (found,) = verify(bundle, data=HERE)
    assert found.verdict.sound and not found.verdict.remarks
    assert found.verdict.looked["selected again"].startswith("4 of 8")  # both random rows, two seeds
    submit(bundle.parent / "runs", tmp_path / "with.zip", scores=True)
    (found,) = verify(tmp_path / "with.zip", data=HERE)
    assert found.verdict.sound and found.verdict.looked["selected again"].startswith("8 of 8")


def test_what_is_left_out_is_told(bundle, tmp_path):
    shutil.copytree(bundle.parent / "runs", tmp_path / "runs")
    store = Store(tmp_path / "runs")
    store.note_failure("f" * 64, {"error": "it failed"})
    full = trial(bundle, selector="full", seed=0)
    torn = store.root / "trials" / full.name
    torn.write_bytes(torn.read_bytes()[:-40])
    aum = json.loads(card_of(bundle, "scores", text="prunebench/aum").read_text())["id"]
    (store.root / "scores" / f"{aum}.json").unlink()
    told = submit(store.root, tmp_path / "b.zip").left_out
    assert told == {
        **{"cells that failed": 1, "records of trials that are damaged": 1},
        "trials whose scores are not in the store": 2,
    }
    (found,) = verify(tmp_path / "b.zip", data=HERE)
    assert found.verdict.sound and len(found.trials) == 7


def test_no_name_of_the_machine_leaves_it(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "ann-of-the-lab"))
    monkeypatch.setenv("MY_API_KEY", "hunter2-hunter2")
    shutil.copytree(bundle.parent / "runs", tmp_path / "runs")
    store = Store(tmp_path / "runs")
    for text in ("/mnt/models/mydit", "hunter2-hunter2", str(tmp_path / "home" / "ann-of-the-lab" / "x")):
        result = {**result_of(trial(bundle, selector="full", seed=0)), "setting": f"file:{text}"}
        store.put("trials", {"of": text}, result)
    packed = submit(store.root, tmp_path / "b")
    assert packed.left_out == {"trials whose records tell of a machine: a path, a user, a host or a secret": 3}
    assert len(packed.private) == 3 and "MY_API_KEY" in packed.private
    private = ["ann-of-the-lab", "hunter2", str(tmp_path), "/mnt/models"]
    private += [name for name in (socket.gethostname(),) if len(name) > 3]
    for path in (tmp_path / "b").rglob("*.json"):
        assert not [text for text in private if text in path.read_text()], path


@pytest.mark.parametrize(
    "args, told",
    [
        ({"store": "none"}, "there is no store at"),
        ({"out": "."}, "is there already"),
        ({"name": "x" * 101}, "--name must be one line"),
        ({"contact": "a\nb"}, "--contact must be one line"),
        ({"link": "javascript:alert(1)"}, "--link must begin with"),
        ({"out": "/proc/x/b.zip"}, "cannot write"),
    ],
)
def test_what_cannot_be_submitted_is_one_sentence(args, told, bundle, tmp_path):
    given = {"store": bundle.parent / "runs", "out": tmp_path / "b.zip", **args}
    given["out"] = tmp_path / given["out"]
    with pytest.raises(UserError, match=told):
        submit(**given)
    assert not list(tmp_path.iterdir())


# -- altered numbers --------------------------------------------------------------------------------------------------


def more_hits(path):
    """The accuracy with one more hit."""
    return {"accuracy": result_of(path)["accuracy"] + 1 / TESTED}


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda r: {"accuracy": r["accuracy"] + 0.01}, "is no share of 20 test pictures"),
        (lambda r: {"accuracy": 1.0}, "lies outside the recalls of its classes"),
        (lambda r: {"accuracy": 1.2}, "does not keep to the schema trials.json: result/accuracy"),
        (lambda r: {"seed": 7}, "its identity says seed = 0, its result 7"),
        (lambda r: {"model": "resnet18"}, "its identity says model = test_resnet"),
        (lambda r: {"pretrained": True}, "pretrained weights"),
        (lambda r: {"train_cost": {**r["train_cost"], "backward": 1}}, "cannot have taken 1 examples back"),
        (lambda r: {"train_cost": {**r["train_cost"], "seconds": 0}}, "took no time"),
        (lambda r: {"train_cost": {**r["train_cost"], "seconds": -1}}, "result/train_cost/seconds"),
        (lambda r: {"best_accuracy": 0.0, "best_step": 1}, "its best accuracy 0.0 is below its last"),
        (lambda r: {"scorer": "prunebench/el2n()"}, "the index file is another's"),
        (lambda r: {"keep": 0.4}, "it says keep = 0.4"),
        (lambda r: {"unheard_of": 1}, "Additional properties are not allowed"),
    ],
)
def test_numbers_that_cannot_be_are_refused(change, told, bundle, tmp_path):
    own = copied(bundle, tmp_path)
    path = trial(own, scorer="prunebench/aum", seed=0)
    forge(path, change(result_of(path)))
    found = refusals(own)
    assert told in found and path.name in found


def test_one_more_hit_is_found_where_the_data_are(bundle, tmp_path):
    own = copied(bundle, tmp_path)
    path = trial(own, scorer="prunebench/aum", seed=0)
    forge(path, more_hits(path))
    assert "not that of its classes together" in refusals(own, HERE)


def test_recalls_and_class_counts_are_held_against_the_labels(bundle, tmp_path):
    own = copied(bundle, tmp_path)
    path = trial(own, scorer="prunebench/aum", seed=0)
    told = result_of(path)
    recalls = [0.123, *told["class_accuracy"][1:]]
    counts = [told["class_counts"][0] + 1, told["class_counts"][1] - 1, *told["class_counts"][2:]]
    forge(path, {"class_counts": counts})
    assert "other numbers of examples of each class" in refusals(own, HERE)
    forge(path, {"class_counts": told["class_counts"], "class_accuracy": recalls})
    assert "no share of its test pictures" in refusals(own, HERE)


def test_trials_of_one_test_split_have_as_many_test_pictures(bundle, tmp_path):
    own = copied(bundle, tmp_path)
    path = trial(own, scorer="prunebench/aum", seed=0)
    cost = result_of(path)["train_cost"]
    forge(path, {"train_cost": {**cost, "forward": cost["forward"] + 20}})
    assert "tell of [20, 40] test pictures" in refusals(own)


def test_the_numbers_of_one_trial_given_out_for_another_seed(bundle, tmp_path):
    own = copied(bundle, tmp_path)
    best = result_of(trial(own, scorer="prunebench/aum", seed=0))
    same = {name: best[name] for name in ("accuracy", "class_accuracy", "train_loss")}
    forge(trial(own, scorer="prunebench/aum", seed=1), same)
    assert "though the seed differ: the result was copied" in refusals(own)


# -- replayed index files ---------------------------------------------------------------------------------------------


def test_the_index_file_of_one_method_under_the_name_of_another(bundle, tmp_path):
    own = copied(bundle, tmp_path)
    mine, theirs = (card_of(own, "selections", text=f"prunebench/{name}", seed=0) for name in ("random", "balanced"))
    forge(mine, arrays={"indices": positions(theirs)})
    assert "the same index file as another method's or seed's" in refusals(own)


def test_the_index_file_of_one_seed_under_another_seed(bundle, tmp_path):
    own = copied(bundle, tmp_path)
    one, other = (card_of(own, "selections", text="prunebench/random", seed=seed) for seed in (0, 1))
    forge(one, arrays={"indices": positions(other)})
    assert "the same index file as another method's or seed's" in refusals(own)


def test_the_index_file_of_one_scorer_under_another(bundle, tmp_path):
    own = copied(bundle, tmp_path)
    for seed in (0, 1):
        mine = card_of(own, "selections", scorer="prunebench/aum", seed=seed)
        theirs = card_of(own, "selections", scorer="prunebench/el2n", seed=seed)
        forge(mine, arrays={"indices": positions(theirs)})
    assert "the same index file from other scores; if they do rank alike, submit with --scores" in refusals(own)


def test_a_replay_across_bundles_is_found_in_the_later_one(bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "all" / "a")
    shutil.copytree(bundle, tmp_path / "all" / "b")
    theirs = card_of(bundle, "selections", text="prunebench/balanced", seed=0)
    for name in ("selections", "trials"):
        for path in (tmp_path / "all" / "b" / name).glob("*"):
            path.unlink()
    own = tmp_path / "all" / "b"
    shutil.copy(trial(bundle, selector="prunebench/random", seed=0), own / "trials")
    random = card_of(bundle, "selections", text="prunebench/random", seed=0)
    for path in (bundle / "selections").glob(f"{random.stem}*"):
        shutil.copy(path, own / "selections")
    forge(own / "selections" / random.name, arrays={"indices": positions(theirs)})
    first, second = verify(tmp_path / "all")
    assert first.verdict.sound and "the same index file" in str(second.verdict.refusals[0])
    assert str(first.path) in str(second.verdict.refusals[0])


def test_equal_subsets_of_a_method_that_does_not_draw_are_no_replay(bundle):
    alike = [positions(card_of(bundle, "selections", scorer="prunebench/aum", seed=seed)) for seed in (0, 1)]
    assert np.array_equal(*alike) and not refusals(bundle)


def test_an_index_file_of_other_data(bundle, tmp_path):
    own = copied(bundle, tmp_path)
    path = card_of(own, "selections", text="prunebench/random", seed=0)
    forge(path, {"fingerprint": "a" * 64}, {"data": "a" * 64})
    assert "its subset is of other data" in refusals(own) and "was replayed" in refusals(own)


def test_scores_of_other_data(bundle, tmp_path):
    own = copied(bundle, tmp_path)
    forge(card_of(own, "scores", text="prunebench/aum"), {"fingerprint": "a" * 64})
    assert "its scores are of other data" in refusals(own)


def test_a_whole_bundle_of_other_data(bundle):
    assert "its records are of other data than planted(" in refusals(
        bundle, Data(dataset="planted(train=60,test=20,mislabelled=0.2)")
    )


def test_positions_that_the_method_does_not_keep(bundle, tmp_path):
    """Right in every count, and not what the seed draws."""
    own = copied(bundle, tmp_path)
    path = card_of(own, "selections", text="prunebench/random", seed=0)
    keys = np.array([f"train:{i}" for i in range(30)])
    forge(path, arrays={"indices": np.arange(30), "keys": keys})
    told = refusals(own, HERE)
    assert "other positions here" in told or "other numbers of examples of each class" in told


@pytest.mark.parametrize(
    "indices, told",
    [
        (np.arange(31), "trial"),
        (np.arange(30)[::-1], "no sorted, distinct positions"),
        (np.repeat(np.arange(15), 2), "no sorted, distinct positions"),
        (np.arange(31, 61), "no sorted, distinct positions"),
        (np.arange(-1, 29), "no sorted, distinct positions"),
        (np.linspace(0, 1, 30), "no sorted, distinct positions"),
    ],
)
def test_index_files_that_are_none(indices, told, bundle, tmp_path):
    own = copied(bundle, tmp_path)
    path = card_of(own, "selections", text="prunebench/random", seed=0)
    forge(path, arrays={"indices": indices, "keys": np.array([str(i) for i in indices])})
    assert (told if told != "trial" else "it keeps 31 positions, keep 0.5 of 60 is 30") in refusals(own)


def test_a_trial_without_its_subset_and_a_subset_without_its_scores(bundle, tmp_path):
    own = copied(bundle, tmp_path)
    card_of(own, "scores", text="prunebench/aum").unlink()
    for path in (own / "selections").glob(f"{card_of(own, 'selections', text='prunebench/random').stem}*"):
        path.unlink()
    reseal(own)
    told = refusals(own)
    assert "an accuracy alone is no submission" in told and "the scores that it names are not in the bundle" in told


# -- from the shell ---------------------------------------------------------------------------------------------------


def test_the_commands_and_their_exit_codes(bundle, tmp_path, capsys):
    out = tmp_path / "b.zip"
    main(["submit", str(bundle.parent / "runs"), "--out", str(out), "--name", "A lab", "--link", "https://example.org"])
    assert "10 trials, 8 selections, 2 scores" in capsys.readouterr().out
    main(["verify", str(out), "--data-root", str(tmp_path)])
    assert f"{out}: sound" in capsys.readouterr().out
    own = copied(bundle, tmp_path)
    forge(trial(own, scorer="prunebench/aum", seed=0), {"accuracy": 0.01})
    for path, code, told in (
        (own, 4, "NOT SOUND"),
        (tmp_path / "none.zip", 2, ""),
        (bundle.parent / "runs", 0, "sound"),
    ):
        try:
            main(["verify", str(path)])
            ended = 0
        except SystemExit as left:
            ended = left.code
        said = capsys.readouterr()
        assert ended == code and told in said.out and "Traceback" not in said.err
    with pytest.raises(SystemExit):
        main(["verify", str(bundle.parent / "runs"), "--retrain", "1"])
    assert "are for bundles" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["verify", str(tmp_path), "--json"])  # the archive, and the copy that is not sound
    told = json.loads(capsys.readouterr().out)
    assert [one["sound"] for one in told] == [True, False] and told[1]["refusals"][0]["check"] == "numbers"


def test_a_subset_of_ones_own_is_all_that_is_needed(tmp_path, capsys):
    np.save(tmp_path / "mine.npy", np.arange(0, 60, 2))
    common = ["--dataset", PLAN.dataset, "--model", "test_resnet", "--seeds", "1", "--threads", "1", "--device", "cpu"]
    store = str(tmp_path / "runs")
    main(["train", "--subset", str(tmp_path / "mine.npy"), *common, "--store", store])
    main(["submit", store, "--out", str(tmp_path / "b.zip"), "--contact", "me"])
    capsys.readouterr()
    (found,) = verify(tmp_path / "b.zip", data=HERE)
    (subset,) = found.records("selections")
    assert found.verdict.sound and subset.arrays["indices"].tolist() == list(range(0, 60, 2))
    main(["leaderboard", str(tmp_path / "b.zip"), "--format", "csv"])
    assert "index file" in (told := capsys.readouterr().out) and "(reported)" in told
