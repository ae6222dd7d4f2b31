"""Exports, each read back by the library that it is for."""

import csv
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import prunebench as pb
from prunebench import UserError
from prunebench.cli import main
from prunebench.cli.interchange import FORMATS as OFFERED
from prunebench.datasets.loading import load
from prunebench.exports import FORMATS, export
from prunebench.interop.foreign import read_selection
from prunebench.registry import installed

CLASSES = ("cat", "dog", "eel")
FILES = ("npy", "txt", "csv", "parquet", "torch", "hf")


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Four training pictures of each class; every one is grey of a level of its own."""
    monkeypatch.chdir(tmp_path)
    for split, count in (("train", 4), ("val", 1)):
        for c, name in enumerate(CLASSES):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            for i in range(count):
                level = 20 * (4 * c + i)
                Image.new("RGB", (8, 8), (level,) * 3).save(tmp_path / "set" / split / name / f"{name}{i}.png")
    return load(installed(), "folder:set", tmp_path)


@pytest.fixture
def chosen(pictures):
    """Positions 2, 7, 9, 10, 11, with weights; nothing of some classes would be another test."""
    kept = np.array([2, 7, 9, 10, 11])
    return pb.Selection(
        kept, "prunebench/aum()", "prunebench/hardest()", 5 / 12, 3, 12, weights=np.arange(1.0, 6), hard="low",
        keys=tuple(pictures.train.keys[i] for i in kept), fingerprint=pictures.fingerprint,
    )  # fmt: skip


def exported(chosen, to, tmp_path, **how):
    return export(chosen, to, tmp_path / f"kept{FORMATS[to][0]}", **how)


def levels(paths):
    return [Image.open(path).getpixel((0, 0))[0] // 20 for path in paths]


def test_the_command_offers_every_form():
    assert tuple(FORMATS) == OFFERED


@pytest.mark.parametrize("to", FILES)
def test_a_card_travels_with_every_file_and_it_is_read_back(chosen, pictures, tmp_path, to):
    if to == "parquet":
        pytest.importorskip("pyarrow")
    path = exported(chosen, to, tmp_path)
    card = json.loads(path.with_name(f"{path.name}.json").read_text())
    told = ("fingerprint", "scorer", "selector", "keep", "seed", "size", "hard", "kind", "export")
    expected = (pictures.fingerprint, chosen.scorer, chosen.selector, 5 / 12, 3, 12, "low", "selection", to)
    assert tuple(card[name] for name in told) == expected
    back = read_selection(path)
    assert np.array_equal(back.indices, chosen.indices) and back.fingerprint == pictures.fingerprint
    assert (back.scorer, back.hard, back.keep, back.size) == (chosen.scorer, "low", 5 / 12, 12)
    if to in ("csv", "parquet", "torch"):
        assert np.array_equal(back.weights, chosen.weights)
    fewer = pb.Selection(chosen.indices[1:], None, "subset", 4 / 12, 0, 12)
    path.write_bytes(export(fewer, to, tmp_path / f"fewer{path.suffix}").read_bytes())
    with pytest.raises(UserError, match="not the file that its card"):
        read_selection(path)


def test_numpy_reads_npy_and_txt(chosen, tmp_path):
    assert np.load(exported(chosen, "npy", tmp_path)).tolist() == chosen.indices.tolist()
    assert np.load(tmp_path / "kept.npy").dtype == np.int64
    assert np.loadtxt(exported(chosen, "txt", tmp_path), dtype=np.int64).tolist() == chosen.indices.tolist()
    assert exported(chosen, "txt", tmp_path, names=True).read_text().splitlines() == list(chosen.keys)


def test_tables_hold_positions_keys_and_weights(chosen, tmp_path):
    with exported(chosen, "csv", tmp_path).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["position"]) for row in rows] == chosen.indices.tolist()
    assert [row["key"] for row in rows] == list(chosen.keys) and [float(row["weight"]) for row in rows] == [
        1,
        2,
        3,
        4,
        5,
    ]


def test_pandas_reads_parquet(chosen, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    table = pandas.read_parquet(exported(chosen, "parquet", tmp_path))
    assert table["position"].tolist() == chosen.indices.tolist() and table["key"].tolist() == list(chosen.keys)
    assert table["weight"].tolist() == [1, 2, 3, 4, 5]


def test_torch_reads_plain_tensors(chosen, tmp_path):
    found = torch.load(exported(chosen, "torch", tmp_path), weights_only=True)
    assert found["indices"].tolist() == chosen.indices.tolist() and found["weights"].tolist() == [1, 2, 3, 4, 5]
    subset = torch.utils.data.Subset(list("abcdefghijkl"), found["indices"])
    assert [subset[i] for i in range(5)] == list("chjkl")


def test_hugging_face_selects_by_the_indices(chosen, tmp_path):
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"letter": list("abcdefghijkl")})
    found = json.loads(exported(chosen, "hf", tmp_path).read_text())
    assert data.select(found["indices"])["letter"][:] == list("chjkl")


@pytest.mark.parametrize("copy", [False, True])
def test_torchvision_reads_the_tree(chosen, pictures, tmp_path, copy):
    from torchvision.datasets import ImageFolder

    tree = exported(chosen, "imagefolder", tmp_path, dataset=pictures, copy=copy)
    found = ImageFolder(tree)
    assert found.classes == list(CLASSES) and levels(path for path, _ in found.samples) == chosen.indices.tolist()
    assert [label for _, label in found.samples] == pictures.train.labels[chosen.indices].tolist()
    links = [path for path, _ in found.samples if os.path.islink(path)]
    assert len(links) == (0 if copy else 5) and not any(os.path.isabs(os.readlink(path)) for path in links)
    (tmp_path / "moved").mkdir()  # data set and tree move together
    shutil.move(tmp_path / "set", tmp_path / "moved" / "set")
    shutil.move(tree, tmp_path / "moved" / "kept")
    assert levels(path for path, _ in ImageFolder(tmp_path / "moved" / "kept").samples) == chosen.indices.tolist()
    told = json.loads((tmp_path / "kept.files.json").read_text())
    assert (told["files"], told["fingerprint"], told["hard"]) == (5, pictures.fingerprint, "low")


def test_links_lead_there_through_a_linked_folder_too(chosen, pictures, tmp_path):
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "near").symlink_to(tmp_path / "far" / "away")
    tree = export(chosen, "imagefolder", tmp_path / "near" / "kept", dataset=pictures)
    assert levels(sorted(tree.rglob("*.png"))) == chosen.indices.tolist()


def test_timm_reads_the_tree_by_its_class_map(chosen, pictures, tmp_path):
    from timm.data import create_dataset

    few = pb.Selection(np.array([8, 11]), None, "subset", 1 / 6, 0, 12)  # nothing of the first two classes
    root = export(few, "timm", tmp_path / "timm", dataset=pictures)
    found = create_dataset("", root=str(root), split="train", class_map=str(root / "class_map.txt"))
    assert [found[i][1] for i in range(len(found))] == [2, 2]
    assert [found[i][0].convert("RGB").getpixel((0, 0))[0] // 20 for i in range(2)] == [8, 11]


def test_pictures_in_an_archive_are_copied(chosen, tmp_path, pictures):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in sorted((tmp_path / "set").rglob("*.png")):
            archive.write(path, path.relative_to(tmp_path))
    packed = load(installed(), "folder:set.zip", tmp_path)
    plain = pb.Selection(chosen.indices, None, "subset", 5 / 12, 0, 12)
    with pytest.raises(UserError, match="no link can lead: add --copy"):
        exported(plain, "imagefolder", tmp_path, dataset=packed)
    assert not (tmp_path / "kept").exists()
    tree = exported(plain, "imagefolder", tmp_path, dataset=packed, copy=True)
    assert levels(sorted(tree.rglob("*.png"))) == chosen.indices.tolist()


# -- what does not fit ------------------------------------------------------------------------------------------------


def renamed(pictures, **changes):
    """The data set with keys or classes that would lead out of a tree."""
    split = pictures.train
    train = pb.Split(split.images, split.labels, changes.get("keys", split.keys))
    return pb.Dataset("bad", changes.get("classes", pictures.classes), train, pictures.test)


@pytest.mark.parametrize("bad", ["../x.png", "train/../../x.png", "/x.png", "a\\b.png", "train//x.png"])
def test_a_key_that_would_leave_the_tree_is_refused(pictures, tmp_path, bad):
    data = renamed(pictures, keys=(bad, *pictures.train.keys[1:]))
    with pytest.raises(UserError, match="would lead out of it"):
        export(pb.Selection(np.array([0]), None, "s", 1 / 12, 0, 12), "imagefolder", tmp_path / "t", dataset=data)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


@pytest.mark.parametrize("bad", ["..", "a/b", "", "/etc"])
def test_a_class_that_would_leave_the_tree_is_refused(pictures, tmp_path, bad):
    data = renamed(pictures, classes=(bad, "dog", "eel"))
    with pytest.raises(UserError, match=r"the class .* would lead out of it"):
        export(pb.Selection(np.array([5]), None, "s", 1 / 12, 0, 12), "timm", tmp_path / "t", dataset=data)


def test_two_pictures_of_one_name_are_refused(pictures, tmp_path):
    data = renamed(pictures, keys=("train/cat/a/b.png", "train/cat/a_b.png", *pictures.train.keys[2:]))
    both = pb.Selection(np.array([0, 1]), None, "s", 1 / 6, 0, 12)
    with pytest.raises(UserError, match=r"two kept pictures would be cat/a_b\.png"):
        export(both, "imagefolder", tmp_path / "t", dataset=data)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["s.npz", "--to", "imagefolder", "--out", "t"], "needs the data set that they are of: say --dataset"),
        (["s.npz", "--to", "npy", "--out", "t.txt"], "is a .npy file"),
        (["s.npz", "--to", "csv", "--out", "t.csv", "--copy"], "--copy is for imagefolder"),
        (["s.npz", "--to", "timm", "--out", "set", "--dataset", "folder:set"], "set is there already"),
        (["s.npz", "--to", "npy", "--out", "t.npy", "--dataset", "digits"], "digits has positions|another data set"),
        (["bare.npy", "--to", "txt", "--out", "t.txt", "--keys"], "names no keys: say of which data set"),
        (["bare.npy", "--to", "imagefolder", "--out", "t", "--dataset", "digits"], "digits has no files"),
        (["nothing.npz", "--to", "npy", "--out", "t.npy"], "there is no file nothing.npz"),
        (["s.npz", "--to", "npi", "--out", "t.npy"], "is not one of"),
    ],
)
def test_the_command_refuses_in_one_sentence(chosen, tmp_path, capsys, arguments, told):
    import re

    pb.save_selection(chosen, "s.npz")
    np.save("bare.npy", np.array([1, 2]))
    before = sorted(Path().rglob("*"))
    with pytest.raises(SystemExit) as ended:
        main(["export", *arguments])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and re.search(told, error) and error.count("\n") == 1, error
    assert sorted(Path().rglob("*")) == before


def test_the_command_exports_and_says_what_a_class_lost(chosen, capsys):
    pb.save_selection(pb.select("hardest", np.arange(12.0), hard="high", keep=0.25), "s.npy")
    main(["export", "s.npy", "--to", "imagefolder", "--out", "tree", "--dataset", "folder:set"])
    out = capsys.readouterr().out
    assert "3 of 12 examples, imagefolder: tree" in out and "nothing is kept of cat, dog" in out
    assert json.loads(Path("tree.files").read_text()) == [f"eel/eel{i}.png" for i in (1, 2, 3)]
