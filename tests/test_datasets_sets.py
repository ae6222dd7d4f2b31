"""The data sets themselves: tiny copies in every published layout, what is told when half is missing, the real ones."""

from __future__ import annotations

import ast
import gzip
import importlib
import io
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image
from torchvision import datasets as published

from prunebench import budget_for, class_budgets
from prunebench.datasets import CATALOGUE, downloads, expects, image_folders, prunebench_datasets
from prunebench.datasets.digits import digits
from prunebench.datasets.image_folders import folder, imagenet, imagenette, imagewoof, tiny_imagenet
from prunebench.datasets.planted import planted
from prunebench.datasets.torchvision_sets import cifar10, cifar100, fashion_mnist, stl10, svhn
from prunebench.errors import UserError
from prunebench.types import Dataset

WOOF, NETTE = image_folders.IMAGEWOOF.split(), image_folders.IMAGENETTE.split()
Tree = dict[str, bytes]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.Generator(np.random.Philox(seed)).integers(0, 256, shape, dtype=np.uint8)


def png(*shape: int, seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(*shape, 3, seed=seed)).save(buffer, "PNG")
    return buffer.getvalue()


def class_tree(classes: list[str], each: int, seed: int = 0) -> Tree:
    rows = [(c, i) for c in classes for i in range(each)]
    return {f"{c}/{c}_{i}.JPEG": png(12, 16, seed=seed + n) for n, (c, i) in enumerate(rows)}


def on_disk(root: Path, tree: Tree) -> None:
    for name, data in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def zipped(path: Path, tree: Tree, wrapper: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(tree, reverse=True):  # order inside the archive must not matter
            archive.writestr(wrapper + name, tree[name])


def both(train: Tree, val: Tree) -> Tree:
    return {f"train/{n}": d for n, d in train.items()} | {f"val/{n}": d for n, d in val.items()}


def same(a: Dataset, b: Dataset) -> None:
    for one, other in ((a.train, b.train), (a.test, b.test)):
        assert one.keys == other.keys
        assert one.labels.tolist() == other.labels.tolist()
        assert one.fingerprint == other.fingerprint
        assert torch.equal(one.images.pixels(range(len(one))), other.images.pixels(range(len(other))))


# ---- the catalogue


def test_catalogue_is_light_and_every_loader_fits_the_contract() -> None:
    code = "import sys, prunebench.datasets; print([m for m in ('torch', 'numpy', 'PIL') if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
    assert tuple(prunebench_datasets()) == CATALOGUE
    for entry in CATALOGUE:
        module, name = entry.fn.split(":")
        source = Path(importlib.import_module(module).__file__ or "").read_text()
        found = [n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and n.name == name]
        options = {a.arg for a in found[0].args.kwonlyargs}
        assert {"download", "image_size", "train", "test"} <= options, entry.name
        assert [a.arg for a in found[0].args.args] == ["root"]
        assert expects(entry.name).endswith(".")


# ---- digits


def test_digits_split_is_fixed_stratified_and_exact() -> None:
    data = digits()
    assert (len(data.train), len(data.test)) == (1437, 360)
    assert data.fingerprint == "7c93050c57cea62e80506628f9c15cfa06e8c306ad8b064a9f94d779f60e40b2"
    keys = data.train.keys + data.test.keys
    assert sorted(keys) == sorted(f"digits:{i}" for i in range(1797))
    counts = np.bincount(np.concatenate([data.train.labels, data.test.labels]))
    assert np.bincount(data.test.labels).tolist() == class_budgets(counts, 360).tolist()
    assert (data.image_size, data.train.images.flip, data.classes) == (8, False, tuple("0123456789"))


def test_digits_pixels_are_the_scans_in_grey() -> None:
    from sklearn.datasets import load_digits

    data, scans = digits(), load_digits()
    row = int(data.train.keys[5].split(":")[1])
    out = data.train.images.pixels([5])[0].numpy()
    assert np.array_equal(out[0], np.floor(scans.images[row] * 255 / 16 + 0.5))
    assert np.array_equal(out[0], out[1])
    assert np.array_equal(out[0], out[2])
    assert data.train.labels[5] == scans.target[row]
    assert digits(image_size=16).train.images.pixels([0]).shape == (1, 3, 16, 16)


def test_parts_are_stratified_keep_their_order_and_change_the_fingerprint() -> None:
    whole, part = digits(), digits(train=100, test=50)
    assert (len(part.train), len(part.test)) == (100, 50)
    assert np.bincount(part.train.labels).tolist() == class_budgets(np.bincount(whole.train.labels), 100).tolist()
    rows = [whole.train.keys.index(key) for key in part.train.keys]
    assert rows == sorted(rows)
    assert torch.equal(part.train.images.pixels(range(100)), whole.train.images.pixels(rows))
    assert part.train.labels.tolist() == whole.train.labels[rows].tolist()
    assert part.fingerprint != whole.fingerprint
    assert digits(train=1437).fingerprint == whole.fingerprint
    assert digits(train=100).fingerprint == part.fingerprint


@pytest.mark.parametrize("count", [0, -1, 1438, 2.5, True, "10"])
def test_impossible_parts_are_refused(count: object) -> None:
    with pytest.raises(UserError, match=r"digits\(train=.*ask for 1 to 1437"):
        digits(train=count)  # type: ignore[arg-type]


# ---- planted


def test_planted_truth_is_what_the_pictures_show() -> None:
    data, clean = planted(), planted(mislabelled=0.0)
    truth, pixels = data.details, data.train.images.pixels(range(600))
    copies = np.flatnonzero(truth["duplicate_of"] >= 0)
    assert {len(v) for v in truth.values()} == {600}
    assert torch.equal(pixels[copies], pixels[truth["duplicate_of"][copies]])
    others = np.delete(np.arange(600), copies)
    assert len({bytes(p.numpy()) for p in pixels[others]}) == len(others)
    odd = truth["mislabelled"].astype(int) + truth["rare_mode"] + (truth["duplicate_of"] >= 0)
    assert odd.max() == 1
    assert [int(x.sum()) for x in (truth["mislabelled"], truth["rare_mode"])] + [len(copies)] == [30, 30, 30]
    assert torch.equal(clean.train.images.pixels(range(600)), pixels)
    assert ((data.train.labels != clean.train.labels) == truth["mislabelled"]).all()
    assert np.bincount(clean.train.labels).tolist() == [240, 180, 120, 60]
    assert 0 <= truth["difficulty"].min() < 0.05
    assert 0.95 < truth["difficulty"].max() <= 1


def test_planted_is_deterministic_and_its_options_count() -> None:
    one = planted()
    assert planted().fingerprint == one.fingerprint
    assert one.test.fingerprint == planted(train=100).test.fingerprint
    assert planted(seed=1).fingerprint != one.fingerprint
    none = planted(train=50, test=10, mislabelled=0, duplicates=0, rare=0).details
    assert not none["mislabelled"].any()
    assert not none["rare_mode"].any()
    assert (none["duplicate_of"] == -1).all()
    for wrong in ({"train": 9}, {"rare": 0.3}, {"duplicates": -0.1}):
        with pytest.raises(UserError, match="planted needs"):
            planted(**wrong)


def test_planted_classes_can_be_told_apart() -> None:
    """Stripe directions are there to be seen: a linear classifier on the spectrum finds them in 100 steps."""
    data = planted()

    def spectrum(split: object) -> torch.Tensor:  # (N, 3, 16, 16) -> (N, 144), blind to the phase of the stripes
        grey = split.images.pixels(range(len(split))).float().mean(1)  # type: ignore[attr-defined]
        power = torch.fft.rfft2(grey - grey.mean((1, 2), keepdim=True)).abs().flatten(1)
        return power / power.norm(dim=1, keepdim=True)

    inputs, labels = spectrum(data.train), torch.from_numpy(data.train.labels)
    weights = torch.zeros(inputs.shape[1], 4, requires_grad=True)
    optimiser = torch.optim.SGD([weights], lr=10.0, momentum=0.9)
    for _ in range(100):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(inputs @ weights, labels).backward()
        optimiser.step()
    right = (spectrum(data.test) @ weights).argmax(1).numpy() == data.test.labels
    assert right.mean() > 0.85


# ---- torchvision's layouts


def cifar_layout(root: Path, kind: type, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, list[int]]:
    """Small batches in the published form; the checksums are those of the real files, so they are left out here."""
    lists = [[name for name, _ in part] for part in (kind.train_list, kind.test_list)]
    fine = "fine_labels" if kind is published.CIFAR100 else "labels"
    pixels, labels = noise(4 * len(lists[0]), 3072), [i % 10 for i in range(4 * len(lists[0]))]
    on_disk(root, {f"{kind.base_folder}/{kind.meta['filename']}": pickle.dumps({kind.meta["key"]: list("abcdefghij")})})
    for part in lists:
        for i, name in enumerate(part):
            rows = slice(4 * i, 4 * i + 4)
            blob = pickle.dumps({"data": pixels[rows], fine: labels[rows]})
            on_disk(root, {f"{kind.base_folder}/{name}": blob})
    for attribute, names in (("train_list", lists[0]), ("test_list", lists[1])):
        monkeypatch.setattr(kind, attribute, [[name, None] for name in names])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": None})
    return pixels.reshape(-1, 3, 32, 32), labels


@pytest.mark.parametrize(("load", "kind"), [(cifar10, published.CIFAR10), (cifar100, published.CIFAR100)])
def test_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Callable[..., Dataset], kind: type) -> None:
    pixels, labels = cifar_layout(tmp_path, kind, monkeypatch)
    data = load(tmp_path)
    assert torch.equal(data.train.images.pixels(range(len(pixels))), torch.from_numpy(pixels))
    assert data.train.labels.tolist() == labels
    assert (data.train.keys[2], data.test.keys[0], data.classes[0], data.image_size) == ("train:2", "test:0", "a", 32)
    (tmp_path / kind.base_folder / kind.test_list[0][0]).unlink()
    with pytest.raises(UserError, match=r"is incomplete: .* is missing; expected .*--data-root.*--download"):
        load(tmp_path)


def test_cifar_with_other_bytes_than_published_is_never_unpickled(tmp_path: Path) -> None:
    names = [name for name, _ in published.CIFAR10.train_list + published.CIFAR10.test_list] + ["batches.meta"]
    on_disk(tmp_path, {f"cifar-10-batches-py/{name}": pickle.dumps({"data": 1}) for name in names})
    with pytest.raises(UserError, match="does not hold cifar10 as published"):
        cifar10(tmp_path)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes() + array.tobytes()


def fashion_layout(root: Path, suffix: str) -> np.ndarray:
    pixels, pack = noise(12, 28, 28), gzip.compress if suffix else bytes
    labels = np.arange(12, dtype=np.uint8) % 10
    for split, rows in (("train", slice(0, 12)), ("t10k", slice(0, 10))):
        on_disk(
            root / "FashionMNIST/raw",
            {
                f"{split}-images-idx3-ubyte{suffix}": pack(idx(pixels[rows])),
                f"{split}-labels-idx1-ubyte{suffix}": pack(idx(labels[rows])),
            },
        )
    return pixels


def test_fashion_mnist_unzipped_and_gzipped_are_the_same(tmp_path: Path) -> None:
    pixels = fashion_layout(tmp_path / "raw", "")
    fashion_layout(tmp_path / "gz", ".gz")
    one, other = fashion_mnist(tmp_path / "raw"), fashion_mnist(tmp_path / "gz")
    same(one, other)
    assert np.array_equal(one.train.images.pixels(range(12))[:, 1].numpy(), pixels)
    assert one.classes[0] == "T-shirt/top"
    theirs = published.FashionMNIST(str(tmp_path / "raw"), train=True)
    assert np.array_equal(theirs.data.numpy(), pixels)
    assert theirs.targets.tolist() == one.train.labels.tolist()


def test_damaged_fashion_mnist_is_named(tmp_path: Path) -> None:
    fashion_layout(tmp_path, "")
    path = tmp_path / "FashionMNIST/raw/t10k-images-idx3-ubyte"
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole + b"0", b"", b"\0\0\x0d\3" + whole[4:], whole[:4] + b"\xff" * 12 + whole[16:]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte does not hold fashion-mnist as published"):
            fashion_mnist(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match=r"is incomplete: .*t10k-images-idx3-ubyte is missing"):
        fashion_mnist(tmp_path)


def test_svhn_and_stl10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = noise(32, 32, 3, 6)
    for split in ("train", "test"):
        labels = np.array([[10], [1], [2], [3], [4], [9]])
        scipy.io.savemat(tmp_path / f"{split}_32x32.mat", {"X": pixels, "y": labels})
    parts = {split: ["", f"{split}_32x32.mat", None] for split in ("train", "test")}
    monkeypatch.setattr(published.SVHN, "split_list", parts)
    data = svhn(tmp_path)
    assert data.train.labels.tolist() == [0, 1, 2, 3, 4, 9]
    assert np.array_equal(data.train.images.pixels([4])[0].numpy(), pixels[..., 4].transpose(2, 0, 1))
    assert not data.train.images.flip

    pixels = noise(5, 3, 96, 96)
    files = {f"{s}_X.bin": pixels.transpose(0, 1, 3, 2).tobytes() for s in ("train", "test")}
    files |= {f"{s}_y.bin": bytes([1, 2, 3, 10, 5]) for s in ("train", "test")}
    on_disk(tmp_path / "stl10_binary", files)
    data = stl10(tmp_path)
    assert np.array_equal(data.test.images.pixels(range(5)).numpy(), pixels)
    assert data.train.labels.tolist() == [0, 1, 2, 9, 4]
    assert data.classes[9] == "truck"
    (tmp_path / "stl10_binary" / "train_X.bin").write_bytes(b"123")
    with pytest.raises(UserError, match=r"train_X\.bin does not hold stl10"):
        stl10(tmp_path)


@pytest.mark.parametrize("load", [fashion_mnist, cifar10, cifar100, svhn, stl10])
def test_nothing_there_and_a_failed_download_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Callable[..., Dataset]
) -> None:
    with pytest.raises(UserError, match=f"is incomplete: {tmp_path}.*expected under the data root"):
        load(tmp_path)

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(downloads, "opened", offline)
    for kind in ("FashionMNIST", "CIFAR10", "CIFAR100", "SVHN", "STL10"):
        monkeypatch.setattr(published, kind, type(kind, (getattr(published, kind),), {"__init__": offline}))
    with pytest.raises(UserError, match=r"could not be downloaded \(no network\)"):
        load(tmp_path, download=True)


# ---- image folders


def woof_forms() -> dict[str, Callable[[Path, Tree, Tree], None]]:
    def folders(base: str) -> Callable[[Path, Tree, Tree], None]:
        return lambda root, train, val: on_disk(root / base, both(train, val))

    def pair(root: Path, train: Tree, val: Tree) -> None:
        zipped(root / "imagewoof2-64_train.zip", train)
        zipped(root / "imagewoof2-64_val.zip", val)

    def wrapped(root: Path, train: Tree, val: Tree) -> None:
        zipped(root / "imagewoof2-160_train.zip", train, "train/")
        zipped(root / "imagewoof2-160_val.zip", val, "imagewoof2-160/")

    def inner(root: Path, train: Tree, val: Tree) -> None:
        zipped(root / "imagewoof2/train.zip", train)
        zipped(root / "imagewoof2/val.zip", val)

    bases = ("imagewoof2-64", "imagewoof2-160", "imagewoof2-320", "imagewoof2", "imagewoof", ".")
    return {base: folders(base) for base in bases} | {
        "zips": pair,
        "wrapped zips": wrapped,
        "zips in a folder": inner,
        "one zip": lambda root, train, val: zipped(root / "imagewoof2.zip", both(train, val)),
        "one wrapped zip": lambda root, train, val: zipped(root / "imagewoof2.zip", both(train, val), "imagewoof2/"),
    }


@pytest.mark.parametrize("form", woof_forms())
def test_every_form_of_imagewoof_is_the_same_data_set(tmp_path: Path, form: str) -> None:
    train, val = class_tree(WOOF, 2), class_tree(WOOF, 1, seed=50)
    on_disk(tmp_path / "plain/imagewoof2-64", both(train, val))
    woof_forms()[form](tmp_path / "other", train, val)
    data = imagewoof(tmp_path / "other")
    same(imagewoof(tmp_path / "plain"), data)
    assert data.train.keys[:3] == tuple(
        f"train/{c}/{c}_{i}.JPEG" for c, i in ((WOOF[0], 0), (WOOF[0], 1), (WOOF[1], 0))
    )
    assert data.test.keys[-1] == f"val/{WOOF[-1]}/{WOOF[-1]}_0.JPEG"
    assert data.classes == tuple(WOOF)
    assert data.train.labels.tolist() == np.repeat(np.arange(10), 2).tolist()
    assert (data.image_size, len(imagewoof(tmp_path / "other", train=12).train)) == (12, 12)


def test_the_smallest_copy_is_taken_and_a_half_one_passed_over(tmp_path: Path) -> None:
    train, val = class_tree(WOOF, 1), class_tree(WOOF, 1, seed=50)
    on_disk(tmp_path / "imagewoof2-160", both(train, val))
    on_disk(tmp_path / "imagewoof2-64", {f"train/{name}": png(8, 8) for name in train})
    assert imagewoof(tmp_path).image_size == 12
    on_disk(tmp_path / "imagewoof2-64", {f"val/{name}": png(8, 8) for name in val})
    assert imagewoof(tmp_path).image_size == 8


def test_half_a_data_set_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist; expected: imagewoof2-64.*--data-root"):
        imagewoof(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"holds no imagewoof data set; expected: .*does not download"):
        imagewoof(tmp_path, download=True)
    zipped(tmp_path / "imagewoof2-64_train.zip", class_tree(WOOF, 1))
    with pytest.raises(UserError, match=r"half of imagewoof is missing: there is .*_train\.zip, but no val split"):
        imagewoof(tmp_path)
    on_disk(tmp_path / "mine", {"train/a/0.png": png(8, 8)})
    with pytest.raises(UserError, match=r"^half of the data set is missing: there is .*mine/train, but no val split"):
        folder(path=str(tmp_path / "mine"))
    zipped(tmp_path / "imagewoof2-64_val.zip", class_tree(WOOF[:9], 1))
    with pytest.raises(UserError, match=f"has 10 classes and .* has 9: '{WOOF[9]}' is in only one"):
        imagewoof(tmp_path)


def test_a_data_set_of_another_name_is_not_taken_for_this_one(tmp_path: Path) -> None:
    on_disk(tmp_path, both(class_tree(NETTE, 1), class_tree(NETTE, 1)))
    assert imagenette(tmp_path).classes == tuple(NETTE)
    for load, wanted in (
        (imagewoof, "10 of imagewoof"),
        (imagenet, "1000 of imagenet"),
        (tiny_imagenet, "200 of tiny"),
    ):
        with pytest.raises(UserError, match=f"are not the {wanted}"):
            load(tmp_path)


def tiny_layout() -> tuple[Tree, Tree, Tree]:
    classes = [f"n{i:08}" for i in range(200)]
    picture = png(64, 64)
    train = {f"train/{c}/images/{c}_0.JPEG": picture for c in classes} | {
        f"train/{c}/{c}_boxes.txt": b"" for c in classes
    }
    flat = {f"val/images/val_{i}.JPEG": picture for i in range(200)}
    rows = [f"val_{i}.JPEG\t{c}\t0\t0\t62\t62\n" for i, c in enumerate(reversed(classes))]
    flat["val/val_annotations.txt"] = "".join(rows).encode()
    by_class = {f"val/{c}/images/val_{i}.JPEG": picture for i, c in enumerate(reversed(classes))}
    return train, flat, by_class


def test_tiny_imagenet_as_published_zipped_and_reorganised(tmp_path: Path) -> None:
    train, flat, by_class = tiny_layout()
    unlabelled = {"test/images/test_0.JPEG": b"no labels"}
    on_disk(tmp_path / "a/tiny-imagenet-200", train | flat | unlabelled)
    zipped(tmp_path / "b/tiny-imagenet-200.zip", train | flat | unlabelled, "tiny-imagenet-200/")
    on_disk(tmp_path / "c/tiny-imagenet-200", train | by_class)
    data = tiny_imagenet(tmp_path / "a")
    same(data, tiny_imagenet(tmp_path / "b"))
    assert (len(data.train), len(data.test), data.image_size) == (200, 200, 64)
    assert data.test.keys[0] == "val/images/val_199.JPEG"
    assert data.test.labels.tolist() == list(range(200))
    assert tiny_imagenet(tmp_path / "c").test.labels.tolist() == list(range(200))
    (tmp_path / "a/tiny-imagenet-200/val/images/val_7.JPEG").unlink()
    with pytest.raises(UserError, match=r"val_annotations\.txt does not fit the pictures"):
        tiny_imagenet(tmp_path / "a")


def test_imagenet_is_224_and_flat_val_is_explained(tmp_path: Path) -> None:
    classes, picture = [f"n{i:08}" for i in range(1000)], png(8, 8)
    zipped(tmp_path / "imagenet/train.zip", {f"{c}/a.JPEG": picture for c in classes})
    zipped(tmp_path / "imagenet/val.zip", {f"{c}/b.JPEG": picture for c in classes})
    data = imagenet(tmp_path, train=10)
    assert (data.image_size, len(data.classes), len(data.train)) == (224, 1000, 10)
    zipped(tmp_path / "imagenet/val.zip", {f"b{i}.JPEG": picture for i in range(3)})
    with pytest.raises(
        UserError, match=r"val\.zip holds 3 pictures beside each other; one folder of pictures per class"
    ):
        imagenet(tmp_path)


def test_folder_takes_paths_zips_and_test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, val, test = (class_tree(["cat", "cat-2", "Dog"], 2, seed=s) for s in (0, 20, 40))
    on_disk(tmp_path / "pets", both(train, val) | {f"test/{name}": data for name, data in test.items()})
    on_disk(tmp_path / "pets/train", {".hidden.png": b"", "cat/notes.txt": b"", "cat/.x.png": b"", "stray.png": b""})
    zipped(tmp_path / "pack.zip", both(train, val) | {"__MACOSX/train/cat/._0.png": b""}, "pack/")
    data = folder(path=str(tmp_path / "pets"))
    assert data.classes == ("Dog", "cat", "cat-2")
    assert {key.split("/")[0] for key in data.test.keys} == {"val"}
    same(data, folder(path=str(tmp_path / "pack.zip")))
    monkeypatch.chdir(tmp_path)
    same(data, folder(path="pets"))
    same(data, folder(tmp_path.parent, path=f"{tmp_path.name}/pets"))
    assert {key.split("/")[0] for key in folder(path="pets", test_folder="test").test.keys} == {"test"}
    for wrong, said in (("", "needs a path"), ("none", "does not exist")):
        with pytest.raises(UserError, match=said):
            folder(path=wrong)
    with pytest.raises(UserError, match=r"there is .*, but no third split"):
        folder(path="pets", test_folder="third")


def test_folders_that_contain_themselves_are_refused_other_links_followed(tmp_path: Path) -> None:
    train, val = class_tree(["a", "b"], 1), class_tree(["a", "b"], 1, seed=9)
    on_disk(tmp_path / "real", both(train, val))
    (tmp_path / "linked").mkdir()
    for split in ("train", "val"):
        (tmp_path / "linked" / split).symlink_to(tmp_path / "real" / split)
    same(folder(path=str(tmp_path / "real")), folder(path=str(tmp_path / "linked")))
    (tmp_path / "real/train/a/loop").symlink_to(tmp_path / "real/train")
    with pytest.raises(UserError, match="contains itself through a link"):
        folder(path=str(tmp_path / "real"))


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    on_disk(tmp_path, both(class_tree(["a"], 1), class_tree(["a"], 1)))
    try:
        (tmp_path / "train/a" / b"caf\xe9.png".decode(errors="surrogateescape")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    with pytest.raises(UserError, match="not UTF-8"):
        folder(path=str(tmp_path))


# ---- the real ones


def test_real_imagewoof_zip_and_folder_agree(shared_data: Path, tmp_path: Path) -> None:
    data = imagewoof(shared_data)
    assert (len(data.train), len(data.test), data.image_size) == (9025, 3929, 64)
    assert data.train.keys[0] == "train/n02086240/ILSVRC2012_val_00000907.JPEG"
    for split in ("train", "val"):
        with zipfile.ZipFile(shared_data / f"imagewoof2-64_{split}.zip") as archive:
            archive.extractall(tmp_path / "imagewoof2-64" / split)
    unpacked = imagewoof(tmp_path)
    assert unpacked.fingerprint == data.fingerprint
    assert unpacked.test.fingerprint == data.test.fingerprint
    rows = list(range(0, 9025, 300))
    assert torch.equal(unpacked.train.images.pixels(rows), data.train.images.pixels(rows))
    assert torch.equal(unpacked.train.images.pixels(rows, 24), data.train.images.pixels(rows, 24))


def test_real_fashion_mnist_and_imagenette(shared_data: Path) -> None:
    data = fashion_mnist(shared_data, train=1000, test=budget_for(0.1, 10_000))
    assert np.bincount(data.train.labels).tolist() == np.bincount(data.test.labels).tolist() == [100] * 10
    assert data.image_size == 28
    nette = imagenette(shared_data)
    assert (len(nette.train), len(nette.test)) == (9469, 3925)
