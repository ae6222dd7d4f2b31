"""What a method keeps in the store is named by all that it was made of, and charged whole."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_evidence import registry_with

from prunebench import Chosen, MethodError, Scorer, Selector, UserError
from prunebench.datasets.given import dataset_of
from prunebench.datasets.loading import load
from prunebench.datasets.memory import MemoryImages
from prunebench.evidence import encoders, scoring
from prunebench.evidence.blocks import ShardDone
from prunebench.evidence.scoring import score
from prunebench.evidence.selecting import select
from prunebench.harness.shared import Harness
from prunebench.registry import collect
from prunebench.store import Store, identify
from prunebench.types import Split

pytestmark = pytest.mark.timeout(120)


def world(store, *records, data=None, **settings):
    registry = registry_with(*records)
    data = load(registry, "planted(train=60,test=20)", Path(".")) if data is None else data
    settings = {"reference": "test_resnet", "reference_epochs": 1, **settings}
    return Harness(data, store, registry, device_name="cpu", **settings)


def numbers(store, fn, **settings):
    h = world(store, Scorer("mine", fn, hard="high", definition=1), **settings)
    return score(h, h.registry.method("scorer", "mine"))


def relabelled():
    """The planted pictures under other labels."""
    data = load(collect(), "planted(train=60,test=20)", Path("."))
    labels = (data.train.labels + 1) % len(data.classes)
    return replace(data, train=Split(data.train.images, labels, data.train.keys))


# -- blocks -----------------------------------------------------------------------------------------------------------


def labels_in_blocks(blocks, labels):
    """the label, worked out in blocks"""
    return blocks(lambda i: labels[i].double(), rows=16)


def asks_in_blocks(blocks, score):
    """a score that reaches labels, asked for in blocks"""
    return blocks(lambda i: score("stranger/labelled")[i], rows=16)


def test_blocks_are_made_anew_under_other_labels_whatever_is_named_first(tmp_path):
    clean = numbers(Store(tmp_path), labels_in_blocks)
    assert np.array_equal(numbers(Store(tmp_path), labels_in_blocks, data=relabelled()).values, (clean.values + 1) % 4)


def test_blocks_that_reach_labels_through_another_score_are_made_anew_too(tmp_path):
    def labelled(labels):
        """the label"""
        return labels.double()

    records = [Scorer("labelled", labelled, hard="high"), Scorer("asks", asks_in_blocks, hard="high")]
    found = []
    for data in (None, relabelled()):
        h = world(Store(tmp_path), *records, data=data)
        found.append(score(h, h.registry.method("scorer", "asks")).values)
    assert np.array_equal(found[1], (found[0] + 1) % 4)


def hardest_in_blocks(hardness, budget, blocks):
    """the hardest, ranked in blocks"""
    return Chosen(torch.argsort(-blocks(lambda i: hardness[i], rows=16), stable=True)[:budget])


def test_a_selectors_blocks_are_those_of_its_scores(tmp_path):
    h = world(Store(tmp_path), Selector("sel", hardest_in_blocks))
    chosen = h.registry.method("selector", "sel")
    ramp = numbers(Store(tmp_path), lambda seeds: torch.arange(60.0, dtype=torch.float64))
    low, high = (select(h, replace(ramp, values=v, id=None), chosen, 0.1, 0, 0) for v in (ramp.values, -ramp.values))
    order = np.argsort(ramp.values)
    assert set(low.indices) == set(order[-6:]) and set(high.indices) == set(order[:6])


def test_shards_of_a_scoring_wait_for_nobody(tmp_path):
    h = world(Store(tmp_path), Scorer("mine", labels_in_blocks, hard="high"), shard=(0, 2))
    method = h.registry.method("scorer", "mine")
    with h.store.lock(identify("scores", scoring._identities(h, method, 0)[-1])), pytest.raises(ShardDone):
        score(h, method)


# -- artefacts --------------------------------------------------------------------------------------------------------


def weights_kept(network, stored):
    """the size of the reference network's weights, kept in a file"""
    total = sum(float(p.detach().abs().sum()) for p in network().parameters())
    folder = stored("weights", 1, lambda folder: (folder / "total").write_text(str(total)))
    return torch.full((60,), float((folder / "total").read_text()), dtype=torch.float64)


def weights_inside(network, stored):
    """as `weights_kept`, but asks for the network while it makes its artefact"""
    stored("weights", 1, lambda folder: (folder / "total").write_text(str(network())))
    return torch.zeros(60)


def test_an_artefact_is_named_by_what_the_method_asked_for_before(tmp_path):
    found = [numbers(Store(tmp_path), weights_kept, reference_epochs=epochs).values[0] for epochs in (1, 2, 1)]
    assert found[0] != found[1] and found[0] == found[2]
    with pytest.raises(MethodError, match=r"asks for a training.* to make its 'weights': ask for that before"):
        numbers(Store(tmp_path / "another"), weights_inside)


def test_what_an_artefact_cost_before_an_interruption_is_charged(tmp_path):
    def slow(stored):
        """sleeps"""

        def make(folder):
            time.sleep(0.4)
            if slow.interrupted:
                raise KeyboardInterrupt
            (folder / "done").write_text("")

        folder = stored("thing", 1, make)
        assert sorted(p.name for p in folder.iterdir()) == ["done"]
        return torch.zeros(60)

    slow.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        numbers(Store(tmp_path), slow)
    slow.interrupted = False
    assert numbers(Store(tmp_path), slow).cost.alone_seconds >= 0.8


# -- scores -----------------------------------------------------------------------------------------------------------


def two_scores(score):
    """needs one training for both"""
    return score("aum") + score("forgetting")


def test_scores_that_share_a_training_are_charged_for_it_once(tmp_path):
    found = numbers(Store(tmp_path), two_scores)
    alone = numbers(Store(tmp_path), lambda score: score("aum")).cost
    assert found.cost.backward == 60 and found.cost.alone_seconds < 1.5 * alone.alone_seconds


def test_what_a_scorer_judges_is_named_by_the_budget(tmp_path):
    def judges(judge):
        """names judge"""
        return torch.zeros(60)

    def asks(score):
        """asks for one that judges"""
        return score("judges")

    records = [Scorer("judges", judges, hard="high"), Scorer("asks", asks, hard="high")]
    ids = []
    for budget in (("steps", None, None), ("epochs", None, None), ("steps", 5, None)):
        h = world(Store(tmp_path), *records, budget=budget)
        ids.append(score(h, h.registry.method("scorer", "judges")).id)
    assert len(set(ids)) == 3
    with pytest.raises(
        UserError, match="judges subsets by the budget of the trials: stranger/asks must name judge too"
    ):
        score(h, h.registry.method("scorer", "asks"))


def test_pictures_that_may_not_be_mirrored_and_more_classes_make_other_trainings(tmp_path):
    pixels = torch.randint(0, 256, (60, 3, 16, 16), dtype=torch.uint8)
    data = dataset_of(pixels, np.arange(60) % 4, None, None)
    unflipped = replace(data, train=replace(data.train, images=MemoryImages(pixels, flip=False)))
    more = replace(data, classes=(*data.classes, "5th", "6th"))
    assert unflipped.fingerprint == data.fingerprint
    ids = {numbers(Store(tmp_path), lambda labels: labels.double(), data=d).id for d in (data, unflipped, more)}
    assert len(ids) == 3


def test_embeddings_of_a_folder_are_named_by_its_content(tmp_path):
    (tmp_path / "encoder").mkdir()
    h = world(Store(tmp_path / "store"))
    before = encoders.identity(h, str(tmp_path / "encoder"))
    (tmp_path / "encoder" / "model.safetensors").write_bytes(b"weights")
    assert encoders.identity(h, str(tmp_path / "encoder")) != before


@pytest.mark.parametrize(
    "weights, seen",
    [("resnet50.a1_in1k", True), ("vit_small_patch14_dinov2.lvd142m", False), ("vit_base_patch16_224.mae", False),
     ("vit_base_patch16_clip_224.openai_ft_in1k", True), (".", True)],
)  # fmt: skip
def test_weights_may_have_seen_the_labels_of_imagenet(weights, seen):
    assert encoders.saw_labels(weights, ("n01440764", "n02102040")) is seen
    assert not encoders.saw_labels(weights, ("cat", "dog"))


def test_a_pretrained_encoder_may_reach_labels():
    scorers = ("zcore", "zcore(encoder='resnet50')", "prototypicality(encoder='pixels')")
    assert [collect().method("scorer", text).label_free for text in scorers] == ["yes", "depends", "yes"]
