"""Label noise, imbalance and corruption: exact shares, a function of the keys, known and recorded afterwards."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import prunebench as pb
from prunebench.datasets.corruption import NoisyImages
from prunebench.datasets.memory import MemoryImages, resident
from prunebench.datasets.noisy_labels import LOOK_ALIKES, drawn, from_file, mistaken_for
from prunebench.datasets.settings import SEVERE, Setting
from prunebench.harness.trials import truth_about
from prunebench.planning.plans import Plan, open_harness
from prunebench.running import run
from prunebench.training.evaluation import calibration_error
from prunebench.types import Dataset, Split

NOISY = Path(__file__).resolve().parents[2] / "shared" / "data" / "noisy_labels" / "noisy_imagewoof.csv.gz"
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def data(counts=(30, 20, 10), classes=None):
    labels = np.repeat(np.arange(len(counts)), counts)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (len(labels), 3, 8, 8), dtype=np.uint8))
    split = Split(MemoryImages(pixels), labels, tuple(f"train:{i}" for i in range(len(labels))))
    test = Split(split.images.take([0]), labels[:1], ("test:0",))
    names = classes or tuple(f"n{c}" for c in range(len(counts)))
    return Dataset("made", names, split, test, {"position": np.arange(len(labels))})


# -- labels -----------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=6), st.floats(0.01, 0.99), st.sampled_from(["sym", "asym"]))
def test_exactly_the_share_is_wrong_and_in_every_class_its_part(counts, share, kind):
    split = data(counts).train
    labels = drawn(split, kind, share, tuple(map(str, range(len(counts)))))
    wrong = labels != split.labels
    assert wrong.sum() == int(share * len(labels) + 0.5)
    parts = np.array([wrong[split.labels == c].sum() for c in range(len(counts))])
    assert (np.abs(parts - share * np.array(counts)) <= len(counts)).all()
    assert labels.min() >= 0 and labels.max() < len(counts)


def test_symmetric_noise_goes_to_all_other_classes_alike():
    split = data((3000, 1, 1, 1)).train
    labels = drawn(split, "sym", 0.9, tuple("abcd"))
    found = np.bincount(labels[:3000], minlength=4)[1:]
    assert found.sum() == int(0.9 * 3003 + 0.5) - 3  # each of the small classes has its one wrong
    assert np.abs(found - found.mean()).max() < 4 * np.sqrt(found.mean())


def test_asymmetric_noise_is_the_published_one_on_cifar_and_the_next_class_elsewhere():
    pairs = {CIFAR10[a]: CIFAR10[b] for a, b in mistaken_for(CIFAR10).items()}
    assert pairs == LOOK_ALIKES
    split = data((20,) * 10).train
    labels = drawn(split, "asym", 0.5, CIFAR10)
    for c, name in enumerate(CIFAR10):
        moved = labels[split.labels == c] != c
        assert moved.sum() == (10 if name in LOOK_ALIKES else 0)
    assert mistaken_for(("a", "b", "c")) == {0: 1, 1: 2, 2: 0}


def test_noise_depends_on_the_key_alone():
    whole = data((40, 40))
    order = np.random.default_rng(1).permutation(80)
    split = whole.train
    moved = Split(split.images.take(order), split.labels[order], tuple(split.keys[i] for i in order))
    assert np.array_equal(drawn(moved, "sym", 0.3, "ab"), drawn(split, "sym", 0.3, "ab")[order])


def test_one_class_cannot_be_mistaken():
    with pytest.raises(pb.UserError, match="two classes"):
        drawn(data((5,)).train, "sym", 0.2, ("a",))


# -- files ------------------------------------------------------------------------------------------------------------


def test_labels_of_a_table_by_name_in_any_order(tmp_path):
    split = data((2, 2)).train
    rows = [("x/train:3", "n0", "1"), ("train:0", "n1", "1"), ("train:1", "n0", "0"), ("train:2", "n1", "0"),
            ("valid:9", "n0", "0")]  # fmt: skip
    text = "path,noisy,other\n" + "\n".join(",".join(row) for row in rows)
    (tmp_path / "n.csv").write_text(text.replace("x/", ""))
    (tmp_path / "n.csv.gz").write_bytes(gzip.compress(text.replace("x/", "").encode()))
    for name in ("n.csv", "n.csv.gz"):
        assert from_file(split, tmp_path / name, "noisy", ("n0", "n1")).tolist() == [1, 0, 1, 0]
        assert from_file(split, tmp_path / name, "other", ("n0", "n1")).tolist() == [1, 0, 0, 1]
        found = Setting(label_noise=f"file:{tmp_path / name}:noisy").apply(data((2, 2)))
        assert found.setting == f"label-noise file:{name}:noisy"  # not where it lies
        assert found.details["mislabelled"].tolist() == [True, False, False, True]


def test_labels_of_an_array_and_of_a_file_as_cifar_n_is_published(tmp_path):
    split, labels = data((2, 2)).train, np.array([1, 0, 1, 1])
    np.save(tmp_path / "n.npy", labels)
    torch.save({"worse_label": labels, "clean_label": split.labels}, tmp_path / "n.pt")
    assert from_file(split, tmp_path / "n.npy", None, "ab").tolist() == labels.tolist()
    assert from_file(split, tmp_path / "n.pt", "worse_label", "ab").tolist() == labels.tolist()


class Harmful:
    def __reduce__(self):
        return (print, ("harm",))


def test_a_file_of_labels_runs_nothing(tmp_path, capsys):
    torch.save({"a": Harmful()}, tmp_path / "n.pt")
    with pytest.raises(pb.UserError, match="cannot be read as arrays"):
        from_file(data((2, 2)).train, tmp_path / "n.pt", "a", "ab")
    assert "harm" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "column", "told"),
    [
        ("path,a,b\ntrain:0,0,0\n", None, "names several labels: choose by file:n.csv:COLUMN from a, b"),
        ("path,a\ntrain:0,0\n", "c", "has no labels 'c'"),
        ("path,a\ntrain:0,0\ntrain:1,0\n", None, "has no 'train:2' .2 of 4"),
        ("path,a\n" + "".join(f"train:{i},n7\n" for i in range(4)), None, "'n7', which is no class"),
        ("path\ntrain:0\n", None, "must have a heading"),
        ("", None, "must have a heading"),
    ],
)
def test_a_table_that_does_not_fit_is_one_sentence(tmp_path, text, column, told):
    (tmp_path / "n.csv").write_text(text)
    with pytest.raises(pb.UserError, match=told):
        from_file(data((2, 2)).train, tmp_path / "n.csv", column, ("n0", "n1"))


@pytest.mark.skipif(not NOISY.is_file(), reason="the noisy labels of ImageWoof are not here")
def test_the_published_noise_of_imagewoof_is_read_whole():
    import csv

    with gzip.open(NOISY, "rt") as stream:
        rows = [r for r in csv.DictReader(stream) if r["is_valid"] == "False"]
    classes = tuple(sorted({r["noisy_labels_0"] for r in rows}))
    labels = np.array([classes.index(r["noisy_labels_0"]) for r in rows])
    images = MemoryImages(torch.zeros(len(rows), 1, 1, dtype=torch.uint8))
    made = Dataset("woof", classes, Split(images, labels, tuple(r["path"] for r in rows)), data((1,)).test)
    for column, share in (("noisy_labels_1", 0.01), ("noisy_labels_25", 0.25), ("noisy_labels_50", 0.5)):
        found = Setting(label_noise=f"file:{NOISY}:{column}").apply(made)
        assert abs(found.details["mislabelled"].mean() - share) < 0.005
        assert np.array_equal(found.details["clean_labels"], labels)


# -- pictures ---------------------------------------------------------------------------------------------------------


def test_noisy_pictures_have_the_share_and_the_deviation_and_the_others_every_bit():
    pixels = torch.full((200, 3, 16, 16), 128, dtype=torch.uint8)
    labels = np.zeros(200, dtype=np.int64)
    split = Split(MemoryImages(pixels), labels, tuple(map(str, range(200))))
    found = Setting(corrupt="gaussian:0.3:0.1").apply(Dataset("grey", ("a",), split, split))
    worse, seen = found.details["corrupted"], found.train.images.pixels(range(200))
    assert worse.sum() == 60 and torch.equal(seen[~worse], pixels[~worse])
    deviation = (seen[worse].float() - 128).std() / 255
    assert abs(deviation - 0.1) < 0.002  # of 46,080 numbers: a standard error of 0.0003, rounding to greys beside it
    assert torch.equal(found.test.images.pixels(range(200)), pixels)
    default = Setting(corrupt="gaussian:0.3").apply(Dataset("grey", ("a",), split, split))
    assert set(default.train.images.sigma) == {0.0, SEVERE}


def test_noisy_pictures_are_the_same_whoever_asks():
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (20, 3, 12, 12), dtype=np.uint8))
    images = NoisyImages(MemoryImages(pixels), np.linspace(0, 0.5, 20), np.arange(20))
    whole, rows = images.pixels(range(20), 8), [7, 3, 19]
    assert torch.equal(images.pixels(rows, 8), whole[rows]) and torch.equal(
        images.take(rows).pixels([0, 1, 2], 8), whole[rows]
    )
    assert torch.equal(resident(images, 8), whole)
    assert images.digest() == NoisyImages(MemoryImages(pixels), np.linspace(0, 0.5, 20), np.arange(20)).digest()
    assert len({images.digest(), images.images.digest(), images.take(range(19)).digest()}) == 3


# -- imbalance --------------------------------------------------------------------------------------------------------


def test_classes_shrink_exponentially_and_details_go_along():
    found = Setting(imbalance="exp:0.01").apply(data((100,) * 5))
    assert np.bincount(found.train.labels).tolist() == [100, 32, 10, 3, 1]
    assert found.train.keys == tuple(f"train:{i}" for i in found.details["position"])
    assert found.test.keys == data().test.keys


# -- together ---------------------------------------------------------------------------------------------------------


def test_settings_combine_and_change_what_they_must():
    clean = data()
    noisy = Setting(label_noise="sym:0.2").apply(clean)
    assert noisy.images_fingerprint == clean.images_fingerprint and noisy.fingerprint != clean.fingerprint
    worse = Setting(corrupt="gaussian:0.2").apply(clean)
    assert worse.images_fingerprint != clean.images_fingerprint
    assert Setting().apply(clean).fingerprint == clean.fingerprint and Setting().apply(clean).setting == ""
    whole = Setting("sym:0.2", "exp:0.5", "gaussian:0.1").apply(clean)
    assert whole.setting == "imbalance exp:0.5 corrupt gaussian:0.1 label-noise sym:0.2"
    assert {len(v) for v in whole.details.values()} == {len(whole.train)}
    assert np.array_equal(whole.details["mislabelled"], whole.train.labels != whole.details["clean_labels"])
    again = Setting(label_noise="sym:0.2").apply(noisy)  # noise on noise: the truth stays the truth
    assert np.array_equal(again.details["clean_labels"], clean.train.labels)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"label_noise": "sym"}, "--label-noise is sym:0.1 or asym:0.1 or file:CSV"),
        ({"label_noise": "sym:1.5"}, "between 0 and 1"),
        ({"label_noise": "sym:x"}, "between 0 and 1"),
        ({"label_noise": "sym:nan"}, "between 0 and 1"),
        ({"label_noise": "human:0.2"}, "--label-noise is"),
        ({"label_noise": "file:none.csv"}, "there is no file none.csv"),
        ({"imbalance": "exp:0"}, "--imbalance is exp:0.1"),
        ({"imbalance": "exp:0.1:0.2"}, "--imbalance is"),
        ({"corrupt": "gaussian:0.1:-1"}, "--corrupt is gaussian:0.1"),
        ({"corrupt": "blur:0.1"}, "--corrupt is"),
    ],
)
def test_what_is_no_setting_is_one_sentence(given, told):
    with pytest.raises(pb.UserError, match=told):
        Setting(**given).apply(data())


def test_truth_about_a_selection_by_hand():
    wrong = np.array([True, True, False, False, False, True])
    made = replace(data((3, 3)), details={"mislabelled": wrong})
    kept = np.array([True, False, True, True, False, False])
    assert truth_about(made, kept) == pytest.approx(
        {"mislabelled_share": 1 / 3, "mislabelled_precision": 2 / 3, "mislabelled_recall": 2 / 3}
    )
    assert truth_about(made, np.ones(6, dtype=bool)) == {"mislabelled_share": 0.5, "mislabelled_recall": 0.0}
    assert truth_about(data(), np.ones(60, dtype=bool)) == {}


def test_calibration_error_by_hand():
    p = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.62, 0.38], [0.35, 0.65]])
    labels = np.array([0, 1, 0, 0])  # right, wrong, right, wrong; bins of 15: 0.9 | 0.8 | 0.62 and 0.65
    by_hand = (abs(1 - 0.9) + abs(0 - 0.8) + abs((1 - 0.62) + (0 - 0.65))) / 4
    assert calibration_error(p.log(), labels) == pytest.approx(by_hand, abs=1e-6)
    assert calibration_error(torch.tensor([[40.0, 0.0]] * 3), np.zeros(3)) == pytest.approx(0.0, abs=1e-6)


def test_a_run_under_noise_is_told_in_its_records_and_stands_apart(tmp_path):
    plan = Plan(scorers=("aum",), selectors=("hardest",), keep=(0.3,), dataset="planted(train=60,test=30)", seeds=1,
                models=("test_resnet",), reference="test_resnet", reference_epochs=2, steps=3,
                device="cpu", threads=1, store=str(tmp_path))  # fmt: skip
    noisy = replace(plan, label_noise="sym:0.4")
    results = [*run(plan), *run(noisy)]
    assert {r.setting for r in results} == {"", "label-noise sym:0.4"}
    for r in results:
        assert sum(r.class_counts) == r.examples and 0 <= r.ece <= 1
    shares = {(r.setting, r.selector): r.truth["mislabelled_share"] for r in results}
    wrong = open_harness(noisy).dataset.details["mislabelled"]
    assert shares["label-noise sym:0.4", "full"] == wrong.mean() > 0.35
    again = {r.id: r for r in run(noisy)}
    assert all(again[r.id].truth == r.truth and again[r.id].ece == r.ece for r in results if r.setting)
    board = pb.leaderboard([tmp_path])
    assert len(board.tables) == 2 and "label-noise sym:0.4" in board.render("md")
    noise = 100 * shares["label-noise sym:0.4", "full"]
    line = next(x for x in board.render("md").splitlines() if x.startswith("| full data") and f"| {noise:.1f} |" in x)
    assert line and "noise %" in board.render("table") and max(map(len, board.render("table").splitlines())) <= 100
    rows = {
        (g["conditions"]["setting"], r["method"]): r
        for g in json.loads(board.render("json"))["groups"]
        for r in g["rows"]
    }
    told = rows["label-noise sym:0.4", "full data"]["measures"]
    full = next(r for r in results if r.selector == "full" and r.setting)
    assert told["mislabelled_share"] == wrong.mean() and told["ece"] == full.ece
    assert told["worst_class"] == min(full.class_accuracy) == told["worst_tenth"]  # one class in ten, at least one
    assert told["recall_spread"] == max(full.class_accuracy) - min(full.class_accuracy)


def test_label_free_scores_do_not_change_with_the_labels(tmp_path):
    plan = Plan(dataset="planted(train=60,test=30)", device="cpu", threads=1, store=str(tmp_path),
                reference="test_resnet", reference_epochs=1)  # fmt: skip
    ids = {}
    for noise in ("", "sym:0.3"):
        harness = open_harness(replace(plan, label_noise=noise))
        for text in ("random", "aum"):
            from prunebench.evidence.scoring import score

            ids[text, noise] = score(harness, harness.registry.method("scorer", text)).id
    assert ids["random", ""] == ids["random", "sym:0.3"] and ids["aum", ""] != ids["aum", "sym:0.3"]
