"""Names, contract and pictures, without DeepCore's main program."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from deepcore_checkout import make
from PIL import Image
from prunebench_deepcore.methods import extend, offer
from prunebench_deepcore.names import Pair, known, nearest, written
from prunebench_deepcore.pictures import dataset_of, labels_of, pictures_of
from torchvision import transforms
from torchvision.datasets import ImageFolder

from prunebench import UserError, prune


class CoresetMethod:
    def __init__(self, dst_train, args, fraction=0.5, random_seed=None, **kwargs):
        self.num_classes, self.n_train = len(dst_train.classes), len(dst_train)


class Held(torch.utils.data.Dataset):
    """Colour pictures of 6 px, normalised; ``change`` is done to every tensor."""

    def __init__(self, count=12, change=lambda x: x):
        self.pixels = torch.as_tensor(np.random.default_rng(0).integers(0, 256, (count, 3, 6, 6), dtype=np.uint8))
        self.targets, self.classes = torch.arange(count) % 3, ["a", "b", "c"]
        self.mean, self.std, self.change = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3], change

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, i):
        mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (self.mean, self.std))
        return self.change((self.pixels[i] / 255 - mean) / std), int(self.targets[i])


@pytest.fixture
def methods():
    module = ModuleType("deepcore.methods")
    module.CoresetMethod, module.AUM = CoresetMethod, "DeepCore's own"
    extend(module)
    return module


ARGS = SimpleNamespace(device="cpu", dataset="Held", model="MLP", gpu=None, im_size=(6, 6))


def test_the_contract(methods):
    data = Held()
    method = methods.RANDOM_ORDER(data, ARGS, 0.5, 3, epochs=2, selection_method="Entropy", balance=True, greedy="")
    assert isinstance(method, CoresetMethod) and method.n_train == 12
    subset = method.select()
    assert set(subset) == {"indices"} and subset["indices"].dtype == np.int64
    assert np.bincount(labels_of(data)[subset["indices"]]).tolist() == [2, 2, 2], "balanced, as DeepCore's default is"
    whole = prune(dataset_of(data, ARGS), "hardest", "random", keep=0.5, seed=3)
    free = methods.RANDOM_ORDER(data, ARGS, 0.5, 3, balance=False).select()["indices"]
    assert free.tolist() == whole.indices.tolist()
    assert methods.RANDOM_ORDER(data, ARGS, 0.5, 4, balance=False).select()["indices"].tolist() != free.tolist()
    with pytest.raises(UserError, match=r"\(0, 1\]"):
        methods.RANDOM_ORDER(data, ARGS, 2)


def test_a_network_that_deepcore_trains_scores_too(methods, capsys):
    for model, reference in (("ResNet34", "resnet34"), ("MLP", "resnet18")):
        methods.RANDOM(Held(), SimpleNamespace(**{**vars(ARGS), "model": model}), 0.25, 1).select()
        assert f"prunebench: random, keep 0.25, seed 1, reference {reference}" in capsys.readouterr().out


def test_a_name_of_deepcore_stays_deepcores(methods):
    assert methods.AUM == "DeepCore's own"
    with pytest.raises(UserError, match="no class CoresetMethod"):
        extend(ModuleType("methods"))


def test_names_and_what_they_stand_for(methods):
    names = known()
    assert names["DRD"](0.1) == Pair("drd", "bws(order='easiest', furthest=0.5)")
    assert names["CCS"](0.1) == Pair("accumulated_margin", "ccs(cutoff=0.3)")
    assert names["CCS"](0.5) == Pair("accumulated_margin", "ccs")
    assert names["PB_el2n__bws"](0.1) == Pair("el2n", "bws") and names["PB_kcenter"](0.1) == Pair(None, "kcenter")
    assert not any("per_class" in name for name in names)
    text = "prunebench:prototypicality(encoder='a+b') + per_class(hardest)"
    assert written(text) == Pair("prototypicality(encoder='a+b')", "per_class(hardest)")
    assert written(text).checked(True) == written(text), "class by class already"
    assert Pair("el2n", "ccs").checked(True) == Pair("el2n", "per_class(ccs)")
    assert Pair(None, "kcenter").checked(True) == Pair(None, "kcenter")
    offer(methods, "prunebench:el2n(epoch=1)+ccs")
    assert vars(methods)["prunebench:el2n(epoch=1)+ccs"].pair(0.3) == Pair("el2n(epoch=1)", "ccs")
    assert "DRD" in nearest("drd", list(names)) and not nearest("xxxxxxxx", list(names))


def test_tensors_become_the_pictures_they_were():
    data = Held()
    assert torch.equal(pictures_of(data, ARGS).pixels(range(12)), data.pixels)
    found = dataset_of(data, ARGS)
    assert found.classes == ("a", "b", "c") and found.train.keys[11] == "train:11"
    assert found.train.labels.tolist() == data.targets.tolist()


def test_a_folder_is_read_from_its_files(tmp_path):
    for i in range(6):
        path = tmp_path / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 40 * i, dtype=np.uint8)).save(path)
    random = transforms.Compose([transforms.RandomCrop(8, padding=2), transforms.ToTensor()])
    found = dataset_of(ImageFolder(tmp_path, random), SimpleNamespace(im_size=(8, 8), dataset="TinyImageNet"))
    assert found.train.images.pixels([0, 3])[:, 0, 0, 0].tolist() == [0, 40] and found.classes == ("a", "b")


def test_a_set_of_torchvision_is_read_from_its_array(tmp_path, monkeypatch):
    root = make(tmp_path / "DeepCore")
    monkeypatch.syspath_prepend(str(root))
    try:
        from deepcore.datasets import PlantedArrays

        train = PlantedArrays("")[-2]
        found = pictures_of(train, SimpleNamespace(dataset="MNIST"))
        assert np.array_equal(found.pixels(range(60))[:, 0].numpy(), train.data) and not found.flip
    finally:
        for name in [n for n in sys.modules if n.split(".")[0] == "deepcore"]:
            del sys.modules[name]


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda x: x + torch.rand(()) / 9, "another picture when it was read again"),
        (lambda x: x * 9, r"no picture in \[0, 1\] once its Normalize is undone"),
        (lambda x: x / 0, r"no picture in \[0, 1\]"),
        (lambda x: x[:, 0], r"a tensor of shape \(3, 6\)"),
        (lambda x: "picture", "is a str"),
    ],
)
def test_tensors_that_are_no_pictures_are_refused(change, told):
    with pytest.raises(UserError, match=told):
        pictures_of(Held(change=change), ARGS)


def test_targets_that_do_not_fit_are_refused():
    data = Held()
    data.targets = data.targets + 1
    with pytest.raises(UserError, match=r"targets 0\.\.2"):
        dataset_of(data, ARGS)
    with pytest.raises(UserError, match="empty"):
        pictures_of(Held(0), ARGS)


def test_what_was_read_once_is_not_read_again():
    data = Held()
    first = pictures_of(data, ARGS)
    data.change = lambda x: x + torch.rand(())  # as the main program does after its first selection
    assert pictures_of(data, ARGS) is first
