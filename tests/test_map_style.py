"""Data sets of torchvision, of Hugging Face and of one's own, scored without the harness' data sets."""

import numpy as np
import pytest
import torch
from PIL import Image

import prunebench as pb
from prunebench import UserError
from prunebench.datasets.given import dataset_of

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
LABELS = (np.arange(12) % 3).tolist()
CLASSES = ["cat", "dog", "eel"]


def same(found, labels=LABELS, classes=tuple(CLASSES)):
    """The same pictures, labels and classes as given as arrays, and the same scores of what is not random."""
    plain = dataset_of(PIXELS.transpose(0, 3, 1, 2), np.array(labels), classes, None)
    assert found.fingerprint == plain.fingerprint and found.classes == plain.classes
    return True


def hugging_face(**more):
    datasets = pytest.importorskip("datasets")
    columns = {"image": [Image.fromarray(p) for p in PIXELS], "label": LABELS} | more
    features = datasets.Features(
        {name: datasets.Image() if name == "image" else datasets.ClassLabel(names=CLASSES) for name in columns}
    )
    return datasets.Dataset.from_dict(columns, features=features)


def test_a_data_set_of_hugging_face():
    data = hugging_face()
    assert same(dataset_of(data, None, None, None))
    found = pb.score("prototypicality", data)  # embeddings of the pictures themselves
    expected = pb.score("prototypicality", PIXELS.transpose(0, 3, 1, 2), np.array(LABELS))
    assert np.array_equal(found.values, expected.values) and len(np.unique(found.values)) > 1
    kept = pb.select("hardest", found, keep=0.25)
    assert data.select(kept.indices)["label"][:] == [LABELS[i] for i in kept.indices]


def test_other_names_of_the_columns_and_another_format():
    data = hugging_face()
    assert same(dataset_of(data.rename_columns({"image": "img", "label": "fine_label"}), None, None, None))
    assert same(dataset_of(data.with_format("torch"), None, None, None))
    bare = dataset_of(data.remove_columns("label"), None, None, None)
    assert (
        set(bare.train.labels) == {0}
        and bare.images_fingerprint == dataset_of(data, None, None, None).images_fingerprint
    )
    assert same(dataset_of(data.remove_columns("label"), np.array(LABELS), CLASSES, None))
    with pytest.raises(UserError, match="dictionaries with `image` and `label`"):
        dataset_of(data.rename_column("image", "picture"), None, None, None)


def test_a_folder_of_torchvision(tmp_path):
    from torchvision.datasets import ImageFolder

    order = np.argsort(LABELS, kind="stable")
    for i in order:
        (tmp_path / CLASSES[LABELS[i]]).mkdir(exist_ok=True)
        Image.fromarray(PIXELS[i]).save(tmp_path / CLASSES[LABELS[i]] / f"{i:02}.png")
    found = dataset_of(ImageFolder(tmp_path), None, None, None)
    plain = dataset_of(PIXELS[order].transpose(0, 3, 1, 2), np.array(LABELS)[order], CLASSES, None)
    assert found.fingerprint == plain.fingerprint and found.classes == tuple(CLASSES)
    subset = torch.utils.data.Subset(ImageFolder(tmp_path), [1, 3])
    assert dataset_of(subset, None, None, None).train.labels.tolist() == np.array(LABELS)[order][[1, 3]].tolist()


def test_tensors_and_pairs_of_ones_own():
    pixels = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
    tensors = torch.utils.data.TensorDataset(pixels, torch.tensor(LABELS))
    assert same(dataset_of(tensors, None, CLASSES, None))
    assert same(dataset_of([(p.float() / 255, y) for p, y in zip(pixels, LABELS, strict=True)], None, CLASSES, None))
    assert same(
        dataset_of([{"image": p, "label": y} for p, y in zip(PIXELS, LABELS, strict=True)], None, CLASSES, None)
    )


def test_pictures_alone_with_labels_beside_them():
    channels_first = PIXELS.transpose(0, 3, 1, 2)
    for pictures in ([Image.fromarray(p) for p in PIXELS], list(PIXELS), list(torch.from_numpy(channels_first))):
        assert same(dataset_of(pictures, np.array(LABELS), CLASSES, None))
        with pytest.raises(UserError, match="pairs"):
            dataset_of(pictures, None, None, None)


def test_splits_and_streams_of_hugging_face():
    datasets = pytest.importorskip("datasets")
    with pytest.raises(UserError, match="a dictionary of train, test is no data: give one of its splits"):
        pb.score("random", datasets.DatasetDict(train=hugging_face(), test=hugging_face()))
    with pytest.raises(UserError, match="IterableDataset is no data"):
        pb.score("random", hugging_face().to_iterable_dataset())


class Streamed(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(zip(PIXELS, LABELS, strict=True))

    def __len__(self):
        return len(LABELS)


class Drawn(torch.utils.data.Dataset):
    """The pictures and labels, those of ``which`` another one whenever they are read."""

    def __init__(self, **which):
        self.which, self.reads = which, 0

    def __len__(self):
        return len(LABELS)

    def __getitem__(self, i):
        self.reads += 1
        return PIXELS[i] if self.which.get("picture") != i else PIXELS[i] // self.reads, (
            LABELS[i] if self.which.get("label") != i else self.reads
        )


@pytest.mark.parametrize("which", [{"picture": 0}, {"picture": 11}, {"label": 2}])
def test_a_data_set_that_draws_anew_is_refused(which):
    with pytest.raises(UserError, match=f"example {next(iter(which.values()))} was another one when it was read again"):
        pb.score("random", Drawn(**which))
    assert same(dataset_of(Drawn(), None, CLASSES, None))


@pytest.mark.parametrize(
    ("items", "told"),
    [
        ([], "holds no picture"),
        ([{"image": PIXELS[0], "label": 1}, {"image": PIXELS[1]}], "picture 1 has no label and others have"),
        ([(PIXELS[0], -1)], "integers from 0 on"),
        ([(PIXELS[0], 0.5)], "integers from 0 on"),
        ([(PIXELS[0], 0), (PIXELS[1][:4], 1)], "differ in size"),
        ([("a", 1)], "example 0 holds 'a', a str, for a picture"),
        ([(PIXELS[0].astype(np.int64), 1)], "picture 0 is torch.int64 of shape"),
        ([(torch.zeros(3, 0, 8), 1)], "picture 0 is torch.float32 of shape"),
        ({"image": PIXELS, "label": LABELS}, "a dictionary of image, label is no data"),
        (iter([(PIXELS[0], 1)]), "list_iterator is no data"),
        (torch.utils.data.Dataset(), "Dataset is no data"),
        (Streamed(), "Streamed is no data"),
    ],
)
def test_items_that_do_not_fit_are_one_sentence(items, told):
    with pytest.raises(UserError, match=told):
        pb.score("random", items)
