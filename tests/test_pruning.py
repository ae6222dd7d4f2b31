"""`prune`: any scorer meets any selector on data that somebody holds."""

import numpy as np
import pytest

import prunebench as pb
from prunebench import UserError

rng = np.random.default_rng(0)
PIXELS = rng.integers(0, 256, (24, 3, 8, 8), dtype=np.uint8)
LABELS = np.arange(24) % 3


def test_it_is_score_and_select_in_one():
    found = pb.prune(PIXELS, "hardest", "random", keep=0.25, labels=LABELS, seed=5)
    scores = pb.score("random", PIXELS, LABELS, seed=5)
    assert np.array_equal(found.indices, np.sort(np.argsort(scores.values)[-6:]))
    assert found.scorer == "prunebench/random()" and found.keep == 0.25 and found.size == 24


def test_a_selector_gets_what_it_names():
    found = pb.prune(PIXELS, "kcenter", keep=0.25, labels=LABELS, reference_epochs=1)  # features of a training
    assert len(found) == 6 and found.scorer is None
    same = pb.prune(PIXELS, "kcenter", "aum", keep=0.25, labels=LABELS, reference_epochs=1)
    assert np.array_equal(same.indices, found.indices) and same.scorer is None, "it ranks nothing"


def test_scores_that_compare_inside_a_class_only_are_selected_there():
    text = "drd(dit='nano', dit_steps=2, timestep=20, draws=1, perceptual='l2')"
    found = pb.prune(PIXELS, "hardest", text, keep=0.25, labels=LABELS)
    assert found.selector.startswith("prunebench/per_class(") and np.bincount(LABELS[found.indices]).tolist() == [
        2,
        2,
        2,
    ]


def test_a_store_is_found_again(tmp_path):
    first = pb.prune(PIXELS, "hardest", "random", keep=0.25, labels=LABELS, store=tmp_path)
    assert pb.prune(PIXELS, "hardest", "random", keep=0.25, labels=LABELS, store=tmp_path).id == first.id
    assert len(list((tmp_path / "selections").rglob("*.json"))) == 1


@pytest.mark.parametrize(
    "given, told",
    [
        ({"selector": "hardest"}, "hardest ranks by a score: say which"),
        ({"selector": "per_class(hardest)"}, "ranks by a score"),
        ({"selector": "hardestt", "scorer": "aum"}, "selector 'hardestt'"),
        ({"selector": "hardest", "scorer": "aumm"}, "scorer 'aumm'"),
        ({"selector": "random", "keep": 1.5}, "keep"),
        ({"selector": "random", "reference": "resnet1"}, "resnet1"),
        ({"selector": "random", "data": PIXELS.astype(float)}, "uint8"),
        ({"selector": "random", "labels": LABELS[1:]}, "one label"),
    ],
)
def test_what_the_user_must_change_is_said(given, told):
    with pytest.raises(UserError, match=told):
        pb.prune(**({"data": PIXELS, "labels": LABELS, "keep": 0.5} | given))
