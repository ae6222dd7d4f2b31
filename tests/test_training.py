"""The training loop: order of presentation, determinism, recording, weights, evaluation, augmentation."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from trainings import state, three_kinds

from prunebench import CellError, Dataset, MemoryImages
from prunebench.training.augment import augment
from prunebench.training.batches import Plan
from prunebench.training.evaluation import accuracy, extract_features, predict
from prunebench.training.loop import train
from prunebench.training.models import build
from prunebench.training.recipes import Recipe, recipe
from prunebench.training.recorder import Recorder
from prunebench.training.statistics import STANDARD

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = Recipe(optimizer="sgd", peak_lr=0.02, weight_decay=5e-4, batch=16, epochs=1, steps=6)


@pytest.fixture(scope="module")
def pictures():
    return three_kinds(flip=False)


def fit(pictures, **changed):
    images, labels = pictures
    return train(images, labels, 3, **{"model": "test_resnet", "recipe": TINY, "seed": 0} | changed)


# -- order of presentation


def positions(plan: Plan, seed: int = 0) -> list[list[int]]:
    return [p.tolist() for p, _ in plan.batches(torch.Generator().manual_seed(seed))]


@pytest.mark.parametrize("k", [1, 5, 16, 40])
def test_a_trial_cuts_full_batches_from_permutations(k):
    batches = positions(Plan(k, 16, steps=7))
    assert [len(b) for b in batches] == [16] * 7
    stream = [p for b in batches for p in b]
    for start in range(0, len(stream) - k + 1, k):
        assert sorted(stream[start : start + k]) == list(range(k))
    counts = Counter(stream)
    assert max(counts.values()) - min(counts[p] for p in range(k)) <= 1


@pytest.mark.parametrize(
    ("k", "sizes"), [(16, [16]), (32, [16, 16]), (33, [16, 17]), (34, [16, 16, 2]), (17, [17]), (5, [5])]
)
def test_an_epoch_presents_everyone_once(k, sizes):
    plan = Plan(k, 16, epochs=3)
    batches = list(plan.batches(torch.Generator().manual_seed(0)))
    assert [len(p) for p, _ in batches] == sizes * 3 and plan.total == len(batches)
    ends = [end for _, end in batches]
    assert ends == ([False] * (len(sizes) - 1) + [True]) * 3
    epochs = torch.cat([p for p, _ in batches]).view(3, k)
    assert all(sorted(e.tolist()) == list(range(k)) for e in epochs)
    assert k < 6 or not torch.equal(epochs[0], epochs[1])


def test_plans_that_contradict_themselves():
    for arguments in ({}, {"steps": 3, "epochs": 3}, {"steps": 0}, {"epochs": 4, "schedule_epochs": 3}):
        with pytest.raises(ValueError):
            Plan(10, 4, **arguments)
    with pytest.raises(ValueError, match="no examples"):
        Plan(0, 4, steps=1)


# -- determinism


def test_bit_for_bit_also_after_other_trainings(pictures):
    first = fit(pictures)
    fit(pictures, seed=3, recipe=replace(TINY, batch=20, shift=2, flip=True))
    torch.rand(5)
    again = fit(pictures)
    assert torch.equal(state(first), state(again)) and np.array_equal(first.losses, again.losses)
    assert not torch.equal(state(first), state(fit(pictures, seed=1)))


@pytest.mark.parametrize("model", ["resnet18", "efficientnet_b0", "vit_tiny"])
def test_the_real_networks_are_deterministic(pictures, model):
    recipe = replace(TINY, optimizer="adamw" if model == "vit_tiny" else "sgd", clip=1.0, shift=1)
    one, two = (fit(pictures, model=model, recipe=recipe, steps=2) for _ in range(2))
    assert torch.equal(state(one), state(two))


def test_global_random_state_is_left_alone(pictures):
    before = torch.get_rng_state()
    fit(pictures, steps=1)
    assert torch.equal(before, torch.get_rng_state())


def test_recording_does_not_change_the_training(pictures, tmp_path):
    plain = fit(pictures, epochs=2)
    watched = fit(pictures, epochs=2, recorder=Recorder(STANDARD, 53, 2, tmp_path))
    assert torch.equal(state(plain), state(watched))


def test_pictures_that_do_not_fit_are_decoded_batch_by_batch(pictures, monkeypatch):
    resident = fit(pictures)
    monkeypatch.setattr("prunebench.datasets.memory.resident", lambda *_, **__: None)
    decoded = fit(pictures)
    assert torch.equal(state(resident), state(decoded))


# -- what is trained on, and for how long


def test_steps_and_costs(pictures):
    trained = fit(pictures, steps=4, indices=[3, 9, 4])
    assert (trained.steps, trained.forward, trained.backward) == (4, 64, 64) and trained.losses.shape == (4,)
    assert fit(pictures).steps == TINY.steps
    assert trained.train_loss == pytest.approx(trained.losses[-1])  # a pass over 3 examples is one batch
    assert not trained.network.training and trained.seconds > 0


def test_only_the_chosen_examples_and_their_labels_count(pictures):
    images, labels = pictures
    chosen = np.array([40, 2, 17, 31, 8])
    others_changed = labels.copy()
    others_changed[np.setdiff1d(np.arange(53), chosen)] = 0
    a = fit(pictures, indices=chosen)
    b = fit((images, others_changed), indices=chosen)
    c = fit((images.take(chosen), labels[chosen]))
    assert torch.equal(state(a), state(b)) and torch.equal(state(a), state(c))


def test_one_example_alone(pictures, tmp_path):
    assert fit(pictures, indices=[7], steps=2).steps == 2
    recorder = Recorder(STANDARD, 1, 2, tmp_path)
    fit(pictures, indices=[7], epochs=2, recorder=recorder)
    assert np.load(recorder.close()["loss"]).shape == (2, 1)


def test_weights_are_relative(pictures):
    weights = np.random.default_rng(1).random(53)
    plain, weighted = fit(pictures), fit(pictures, weights=weights)
    assert torch.equal(state(plain), state(fit(pictures, weights=np.full(53, 4.0))))
    torch.testing.assert_close(state(weighted), state(fit(pictures, weights=8 * weights)))
    assert not torch.equal(state(plain), state(weighted))
    for wrong in (np.zeros(53), np.full(53, np.nan), -weights, np.ones(5)):
        with pytest.raises(ValueError, match="weights must be 53"):
            fit(pictures, weights=wrong)


def test_a_weight_of_zero_takes_an_example_out_of_the_loss(pictures):
    images, labels = pictures
    weights = (np.arange(53) != 5).astype(float)
    wrong = labels.copy()
    wrong[5] = (wrong[5] + 1) % 3
    assert torch.equal(state(fit(pictures, weights=weights)), state(fit((images, wrong), weights=weights)))


def test_a_schedule_may_be_cut(pictures, tmp_path):
    whole = Recorder({"loss": STANDARD["loss"]}, 53, 4, tmp_path)
    fit(pictures, epochs=4, recorder=whole)
    (tmp_path / "cut").mkdir()
    cut = Recorder({"loss": STANDARD["loss"]}, 53, 2, tmp_path / "cut")
    trained = fit(pictures, epochs=2, schedule_epochs=4, recorder=cut)
    assert trained.steps == 2 * 4  # ceil(53 / 16) batches each
    assert np.array_equal(np.load(whole.close()["loss"])[:2], np.load(cut.close()["loss"]))


def test_a_diverged_training_is_no_number(pictures):
    with pytest.raises(CellError, match=r"test_resnet diverged: .* at step \d+ of 6 \(learning rate .*take"):
        fit(pictures, recipe=replace(TINY, peak_lr=1e30))


def test_progress_sees_every_step(pictures):
    seen = []

    def progress(iterable, total, text):
        seen.append((total, text))
        for step in iterable:
            seen.append(step)
            yield step

    assert torch.equal(state(fit(pictures, progress=progress)), state(fit(pictures)))
    assert seen[0] == (6, "train test_resnet") and len(seen) == 7


# -- what is recorded


def test_epoch_end_sees_evaluation_mode_without_augmentation(pictures, tmp_path):
    images, labels = pictures
    recorder = Recorder(STANDARD, 53, 2, tmp_path)
    trained = fit(pictures, epochs=2, recorder=recorder, recipe=replace(TINY, shift=3))
    logits = predict(trained.network, images)
    recorded = np.load(recorder.close()["el2n"])[-1]
    assert np.array_equal(recorded, STANDARD["el2n"][0](logits, torch.from_numpy(labels)).numpy())
    assert trained.epoch_end_forward == 2 * 53 and trained.epoch_end_seconds > 0


def test_presentation_sees_the_logits_of_before_the_update(pictures, tmp_path):
    recorder = Recorder(STANDARD, 53, 1, tmp_path)
    trained = fit(pictures, epochs=1, recorder=recorder, recipe=replace(TINY, batch=53))
    loss = np.load(recorder.close()["loss"])[0]
    assert loss.mean() == pytest.approx(trained.losses[0], rel=1e-6)  # one batch: the loss it was trained on


# -- evaluation


def test_an_example_does_not_depend_on_how_many_follow(pictures):
    images, _ = pictures
    network = build("resnet18", 3, 8, seed=0)
    for compute in (predict, extract_features):
        all_of_them = compute(network, images, batch=16)
        assert all_of_them.dtype == torch.float32 and len(all_of_them) == 53
        for n in (1, 16, 30):
            assert torch.equal(compute(network, images.take(range(n)), batch=16), all_of_them[:n])
    assert network.training  # as it was


def test_accuracy_and_recalls():
    logits = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1], [5, 5, 0]], np.float32)
    overall, recalls = accuracy(torch.from_numpy(logits), np.array([0, 2, 2, 0]), 3)
    assert overall == 0.75 and recalls == (1.0, 0.5)  # class 1 has no examples


# -- augmentation


def test_shift_is_a_crop_after_reflection_padding():
    x = torch.arange(2 * 3 * 6 * 6, dtype=torch.float32).view(2, 3, 6, 6)
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2), mode="reflect")
    crops = {(b, r, c): padded[b, :, r : r + 6, c : c + 6] for b in range(2) for r in range(5) for c in range(5)}
    generator, found = torch.Generator().manual_seed(0), set()
    for _ in range(200):
        y = augment(x, generator, shift=2)
        for b in range(2):
            where = [key for key, crop in crops.items() if key[0] == b and torch.equal(y[b], crop)]
            assert len(where) == 1
            found.update(where)
    assert len(found) == 50  # every shift occurs


def test_flip_mirrors_about_half():
    x = torch.randint(0, 256, (400, 3, 4, 4), dtype=torch.uint8)
    y = augment(x, torch.Generator().manual_seed(0), flip=True)
    same = (y == x).flatten(1).all(1)
    mirrored = (y == x.flip(-1)).flatten(1).all(1)
    assert y.dtype == torch.uint8 and bool((same | mirrored).all()) and 150 < int(mirrored.sum()) < 250


def test_nothing_to_do_draws_nothing():
    generator = torch.Generator().manual_seed(0)
    before, x = generator.get_state(), torch.zeros(2, 3, 4, 4)
    assert augment(x, generator) is x and torch.equal(generator.get_state(), before)


def test_pictures_that_may_not_be_mirrored_are_not(pictures):
    images, labels = pictures
    as_is = MemoryImages(images.pixels(range(53)), flip=True)
    flipping = replace(TINY, flip=True)
    assert torch.equal(state(fit(pictures, recipe=flipping)), state(fit(pictures)))  # images.flip is False
    assert not torch.equal(state(fit((as_is, labels), recipe=flipping)), state(fit((as_is, labels))))


# -- the recipes' claims


def full_data(model: str, seed: int) -> tuple[float, Dataset]:
    from prunebench.datasets.digits import digits

    data = digits()
    images, labels = data.train.images, data.train.labels
    trained = train(images, labels, 10, model=model, recipe=recipe(data, model), seed=seed)
    return accuracy(predict(trained.network, data.test.images), data.test.labels, 10)[0], data


def test_digits_full_data_stays_above_its_floor():
    reached, data = full_data("resnet18", 0)
    assert reached >= recipe(data, "resnet18").floor == 0.96


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_digits_floor_holds_for_other_seeds(seed):
    reached, data = full_data("resnet18", seed)
    assert reached >= recipe(data, "resnet18").floor
