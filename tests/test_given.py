"""Scoring of what somebody gives: held against each other before a method sees it, and never left out unsaid."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from prunebench_baselines.moderate import distance_to_median

import prunebench as pb
from prunebench import UserError
from prunebench.interop.given import given_to_scorer
from prunebench.registry import installed

rng = np.random.default_rng(0)
N = 24
FEATURES = rng.normal(size=(N, 8)).astype(np.float32)
LABELS = np.arange(N) % 3
HISTORY = rng.normal(size=(1, 6, N)).astype(np.float32)
PIXELS = rng.integers(0, 256, (N, 3, 8, 8), dtype=np.uint8)
HOLED = np.where(np.arange(N)[:, None] == 5, np.nan, FEATURES)


def moderate(**given):
    return pb.score("moderate", None, given={"features": FEATURES, "labels": LABELS} | given)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: moderate(labels=LABELS[:3]), r"labels has shape \(3,\), there are 24 examples"),
        (lambda: moderate(labels=np.arange(40) % 3), r"labels has shape \(40,\), there are 24 examples"),
        (lambda: pb.score("moderate", None, given={"labels": LABELS[:3], "features": FEATURES}), r"shape \(3,\)"),
        (lambda: moderate(labels=LABELS - 1), "integers from 0 on"),
        (lambda: moderate(labels=LABELS + 0.5), "integers from 0 on"),
        (lambda: moderate(features=FEATURES[:, 0]), r"features must be \(N, D\) numbers"),
        (lambda: moderate(features=[[1.0], [1.0, 2.0]]), "features is no array"),
        (lambda: moderate(features=HOLED), r"features of example 5 are not finite \(1 of 24"),
        (lambda: moderate(feature=FEATURES), "moderate takes no 'feature' from `given`: it takes features, labels"),
        (lambda: pb.score("moderate", None, LABELS, given=[FEATURES]), "`given` is a list"),
        (lambda: moderate(seeds=LABELS), "takes no 'seeds'"),
        (lambda: moderate(embeddings=FEATURES), "takes no 'embeddings'"),
        (lambda: pb.score("moderate", None, given={"features": FEATURES, "labels": LABELS}, keys=["a"]), "24 examples"),
        (lambda: pb.score("moderate", None, LABELS, given={"features": FEATURES, "labels": LABELS}), "given twice"),
        (lambda: pb.score("moderate", None, LABELS, classes=["a"], given={"features": FEATURES}), "the 1 classes"),
        (lambda: pb.score("zcore", None, given={"embeddings": HOLED}), "embeddings of example 5"),
        (lambda: pb.score("aum", None, LABELS, given={"history": HISTORY[0]}), r"history must be \(R, E, N\)"),
        (lambda: pb.score("aum", None, LABELS[:3], given={"history": HISTORY}), r"shape \(3,\)"),
        (lambda: pb.score("aum", None, LABELS, given={"history": HISTORY[:, :0]}), "history must be"),
        (lambda: pb.score("el2n(epoch=10)", None, LABELS, given={"history": HISTORY}), "epoch 10, the log has 6"),
        (lambda: pb.score("moderate", PIXELS, LABELS, given={"labels": LABELS}), "have their own labels"),
        (lambda: pb.score("moderate", PIXELS, LABELS, given={"nothing": LABELS}), "takes no 'nothing'"),
        (lambda: pb.score("moderate", PIXELS, LABELS, given={"features": FEATURES[:3]}), "there are 24 examples"),
        (lambda: pb.score("prototypicality", None, given={"embeddings": FEATURES}), "classes.*give labels"),
        (lambda: pb.score("prototypicality", None, classes=3, given={"embeddings": FEATURES}), "classes must be names"),
    ],
)  # fmt: skip
def test_what_is_given_and_does_not_fit_is_one_sentence(call, told):
    with pytest.raises(UserError, match=told):
        call()


def test_a_dataset_with_labels_beside_it_is_refused():
    data = pb.Dataset("mine", ("a",), pb.Split(pb.MemoryImages(PIXELS), LABELS * 0, tuple(map(str, range(N)))),
                      pb.Split(pb.MemoryImages(PIXELS).take([]), LABELS[:0], ()))  # fmt: skip
    with pytest.raises(UserError, match="leave out those given beside it"):
        pb.score("random", data, LABELS)


def test_labels_may_stand_beside_what_is_given():
    beside = pb.score("moderate", None, torch.from_numpy(LABELS), given={"features": FEATURES})
    assert np.array_equal(beside.values, moderate().values)


def test_classes_come_from_the_argument_or_from_the_labels():
    given = {"embeddings": FEATURES}
    found = pb.score("prototypicality(clusters=3)", None, classes=["a"], given=given)
    by_name = [
        pb.score("prototypicality", None, classes=("a", "b", "c"), given=given),
        pb.score("prototypicality", None, LABELS, given=given),
        pb.score("prototypicality", None, given=given | {"classes": ["a", "b", "c"]}),
        pb.score("prototypicality", None, given=given | {"labels": LABELS}),
    ]
    assert all(np.array_equal(each.values, found.values) and each.label_free for each in by_name)


def test_what_is_given_takes_the_place_of_what_the_data_would_bring(tmp_path):
    plain = moderate()
    found = pb.score("moderate", PIXELS, LABELS, given={"features": FEATURES}, store=tmp_path)
    assert np.array_equal(found.values, plain.values) and found.keys == tuple(f"train:{i}" for i in range(N))
    assert found.fingerprint is not None and found.id is None and not list(tmp_path.glob("scores/*.json"))


def test_a_value_that_no_class_sets_is_not_memory():
    """Labels for a part, as a caller of the function alone may give them: what is left is no number."""
    found = distance_to_median(torch.from_numpy(FEATURES), torch.from_numpy(LABELS[:3]))
    assert torch.isnan(found[3:]).all()


def test_a_scorer_of_several_statistics_takes_a_dictionary_of_histories():
    method = installed().method("scorer", "aum")
    several = replace(method, entry=replace(method.entry, record=replace(method.entry.record, watch=("el2n", "loss"))))

    def fitted(history):
        return given_to_scorer(installed(), several, "history", history, N, np.arange(N)[::-1])

    found = fitted({"loss": HISTORY, "el2n": torch.from_numpy(HISTORY) + 1})
    assert torch.equal(found["el2n"], torch.from_numpy(HISTORY[..., ::-1] + 1)) and list(found) == ["el2n", "loss"]
    for wrong, told in (({"loss": HISTORY}, "el2n is missing"), (HISTORY, "got a ndarray")):
        with pytest.raises(UserError, match=f"history must be a dictionary of el2n, loss.*{told}"):
            fitted(wrong)


def test_a_history_beside_data_is_used():
    found = pb.score("el2n(epoch=2)", PIXELS, LABELS, given={"history": HISTORY})
    assert np.array_equal(found.values, HISTORY[0, 1].astype(np.float64)) and found.label_free is False
