"""A DiT of one's own: initialisation, determinism, kill and resume, what it learns, and DRD with it end to end."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from prunebench_drd import pretrain as pretraining
from prunebench_drd.dit import Recipe, build, recipe_for
from prunebench_drd.drd import drd
from prunebench_drd.equations import q_sample, squared_error
from prunebench_drd.folders import load_folder
from prunebench_drd.pretrain import CHECKPOINT, Pictures, Training, batch_indices, train
from prunebench_drd.task import Task
from safetensors.torch import load_file

from prunebench import MemoryImages, UserError

TINY = Recipe("nano", pixels=8, layers=1, width=16, heads=2, patch=4, steps=12, batch=8, learning_rate=1e-2, warmup=3)
CPU = torch.device("cpu")


def silent(iterable, total=None, text=""):
    return iterable


def killed_after(steps):
    def progress(iterable, total=None, text=""):
        assert isinstance(text, str) or "training a DiT" in text()
        for done, item in enumerate(iterable):
            if done == steps:
                raise KeyboardInterrupt
            yield item

    return progress


def teach(folder, digits, recipe=TINY, seed=3, progress=silent, every=1e9):
    folder.mkdir(exist_ok=True)
    images, labels = MemoryImages(digits.pixels), torch.from_numpy(digits.labels)
    task = Task(images, labels, ("0", "1", "2"), torch.arange(len(labels)), None, CPU, progress, seed)
    train(folder, task, recipe, torch.Generator().manual_seed(seed), checkpoint_seconds=every)
    return load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_sizes_follow_the_picture_size_alone():
    assert (recipe_for(8).size, recipe_for(8).patch, recipe_for(8).pixels) == ("nano", 2, 8)
    assert (recipe_for(28).size, recipe_for(28).patch) == ("small", 2)
    assert (recipe_for(64).size, recipe_for(64).patch) == ("base", 4)
    assert recipe_for(224) == recipe_for(64)
    nano = recipe_for(64, "nano", 300, flip=True)
    assert (nano.patch, nano.steps, nano.flip) == (8, 300, True)
    assert recipe_for(31).pixels == 30  # a whole number of patches
    for pixels in range(2, 70):
        recipe = recipe_for(pixels)
        assert recipe.pixels % recipe.patch == 0 and recipe.pixels > 0 and recipe.width % recipe.heads == 0
    with pytest.raises(UserError, match="too small"):
        recipe_for(1)


def test_initialisation_is_adaln_zero_and_ours(digits):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, again, other = (build(TINY, 1, 3, seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(before, torch.get_rng_state())
    assert same(first, again) and not same(first, other)
    for name, weight in first.items():
        zero = name.endswith("bias") or "norm1.linear" in name or name.startswith("proj_out")
        assert bool((weight == 0).all()) == zero, name  # every weight is set by us: zeros where published, else drawn
    x = torch.randn(2, 1, 8, 8)
    assert not build(TINY, 1, 3, 3)(x, torch.tensor([5]), torch.tensor([1])).sample.any()


def test_grey_pictures_are_learnt_in_one_channel(digits):
    assert Pictures(MemoryImages(digits.pixels), 8).channels == 1
    coloured = digits.pixels.copy()
    coloured[3, 0, 2, 2] ^= 1
    pictures = Pictures(MemoryImages(coloured), 8)
    assert pictures.channels == 3 and pictures(torch.tensor([0, 5])).shape == (2, 3, 8, 8)
    assert pictures(torch.arange(3)).abs().max() <= 1


def test_every_example_comes_once_per_epoch():
    seen = torch.cat([batch_indices(10, 4, step, seed=1) for step in range(5)])
    assert sorted(seen[:10].tolist()) == sorted(seen[10:].tolist()) == list(range(10))
    assert not torch.equal(seen[:10], seen[10:])


def test_training_is_deterministic_and_leaves_the_global_generator_alone(tmp_path, digits):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, again = teach(tmp_path / "a", digits), teach(tmp_path / "b", digits)
    assert same(first, again) and torch.equal(before, torch.get_rng_state())
    assert not same(first, teach(tmp_path / "c", digits, seed=4))


@pytest.mark.parametrize("steps", [1, 5, 11])
def test_a_killed_training_goes_on_bit_for_bit(tmp_path, digits, steps):
    whole = teach(tmp_path / "whole", digits)
    with pytest.raises(KeyboardInterrupt):
        teach(tmp_path / "killed", digits, progress=killed_after(steps), every=0)
    assert (tmp_path / "killed" / CHECKPOINT).is_file()
    resumed = []
    found = teach(tmp_path / "killed", digits, progress=lambda i, total, text: resumed.append(total) or i)
    assert resumed == [12 - steps] and same(whole, found)
    assert not (tmp_path / "killed" / CHECKPOINT).exists()
    cards = [json.loads((tmp_path / name / "card.json").read_text()) for name in ("whole", "killed")]
    assert cards[0]["loss"] == cards[1]["loss"] and cards[0]["classes"] == ["0", "1", "2"]


def test_the_card_counts_the_seconds_of_all_sittings(tmp_path, digits):
    with pytest.raises(KeyboardInterrupt):
        teach(tmp_path / "dit", digits, progress=killed_after(5), every=0)
    training = Training(TINY, 1, 3, 0, CPU)
    training.load(tmp_path / "dit" / CHECKPOINT)
    assert training.seconds > 0
    training.save(tmp_path / "dit" / CHECKPOINT, seconds=1000.06)  # the card tells tenths
    teach(tmp_path / "dit", digits)
    assert json.loads((tmp_path / "dit" / "card.json").read_text())["seconds"] > 1000


def test_labels_are_dropped_to_the_null_class():
    seen = {}
    training = Training(Recipe(**{**TINY.spec(), "label_dropout": 0.5}), 1, 3, 3, CPU)
    training.model.register_forward_pre_hook(lambda module, args, kwargs: seen.update(kwargs), with_kwargs=True)
    training.advance(torch.rand(64, 1, 8, 8), torch.ones(64, dtype=torch.int64))
    assert 16 < int((seen["class_labels"] == 3).sum()) < 48 and set(seen["class_labels"].tolist()) == {1, 3}
    assert int(seen["timestep"].min()) >= 0 and int(seen["timestep"].max()) <= 999


@pytest.mark.parametrize("flip", [True, False])
def test_pictures_are_mirrored_where_the_data_allow_it(monkeypatch, flip):
    """About half of them, left to right, and none where they may not be."""
    seen = []
    monkeypatch.setattr(pretraining, "q_sample", lambda x_0, *rest: seen.append(x_0) or x_0)
    pictures = torch.rand(64, 1, 8, 8)
    training = Training(Recipe(**{**TINY.spec(), "flip": flip}), 1, 3, 3, CPU)
    training.advance(pictures, torch.ones(64, dtype=torch.int64))
    mirrored = (seen[0] == pictures.flip(-1)).flatten(1).all(dim=1)
    assert bool((mirrored | (seen[0] == pictures).flatten(1).all(dim=1)).all())
    assert 16 < int(mirrored.sum()) < 48 if flip else not mirrored.any()


@pytest.mark.gpu
def test_on_a_gpu_it_trains_in_bfloat16_and_keeps_whole_weights(tmp_path, digits):
    cuda, seen = torch.device("cuda"), []
    training = Training(TINY, 1, 3, 3, cuda)
    training.model.transformer_blocks[0].ff.register_forward_hook(lambda m, i, out: seen.append(out.dtype))
    pixels = torch.from_numpy(digits.pixels[:32, :1]).float() / 127.5 - 1
    for _ in range(5):
        training.advance(pixels, torch.from_numpy(digits.labels[:32]).long())
    assert set(seen) == {torch.bfloat16} and bool(torch.isfinite(training.losses[:5]).all())
    assert {p.dtype for p in training.parameters.values()} == {torch.float32}


def test_it_learns_to_predict_the_noise_of_its_class(tmp_path, digits):
    longer = {"layers": 2, "width": 32, "patch": 2, "steps": 200, "batch": 32, "learning_rate": 5e-3, "ema": 0.95}
    teach(tmp_path / "dit", digits, Recipe(**{**TINY.spec(), **longer}))
    denoiser = load_folder(tmp_path / "dit", ("0", "1", "2"), CPU)
    pixels, labels = torch.from_numpy(digits.pixels), torch.from_numpy(digits.labels)
    z_0 = denoiser.encode(pixels)
    assert z_0.shape == (240, 1, 8, 8) and torch.equal(denoiser.decode(z_0).mul(255).round().to(torch.uint8), pixels)
    eps = torch.randn(z_0.shape, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([601])
    x_t = q_sample(z_0, denoiser.abar[t].float(), eps)
    with torch.inference_mode():
        right, wrong = (squared_error(eps, denoiser.predict_noise(x_t, t, c)) for c in (labels, (labels + 1) % 3))
    assert right.mean() < 0.1 * 64  # no prediction: 64
    assert (right < wrong).float().mean() > 0.7  # the true label helps


def test_a_subset_of_the_classes_is_found_by_name(tmp_path, digits):
    teach(tmp_path / "dit", digits)
    assert load_folder(tmp_path / "dit", ("2", "0"), CPU).class_ids.tolist() == [2, 0]
    with pytest.raises(UserError, match="does not know the class '7'"):
        load_folder(tmp_path / "dit", ("2", "7"), CPU)


@pytest.fixture
def few(digits):
    return SimpleNamespace(pixels=digits.pixels[:60], labels=digits.labels[:60])


@pytest.mark.parametrize("perceptual", ["features", "l2"])
def test_drd_on_digits_end_to_end(given, few, perceptual):
    options = {"dit_steps": 8, "samples": 2, "noises": 2, "draws": 2, "perceptual": perceptual}
    first = drd(**given(few.pixels, few.labels), **options)
    again = drd(**given(few.pixels, few.labels), **options)  # the stored model and curves this time
    values = np.asarray(first.values)
    assert values.shape == (60,) and np.isfinite(values).all() and (values > 0).all()
    assert np.array_equal(values, np.asarray(again.values))
    told = first.details
    assert (told["model"], told["perceptual"], told["picture_size"], told["draws"]) == ("own", perceptual, 8, 2)
    assert told["samples"].tolist() == [2, 2, 2] and set(told["t_star"].tolist()) <= set(range(13, 28))


def test_a_search_that_was_killed_goes_on_with_the_next_class(given, few):
    options = {"dit_steps": 2, "samples": 2, "noises": 2, "draws": 1, "perceptual": "l2"}
    inputs = given(few.pixels, few.labels)
    plain = inputs["progress"]
    searching = {"progress": lambda i, total, text: killed_after(2)(i) if "t*" in str(text) else plain(i)}
    with pytest.raises(KeyboardInterrupt):
        drd(**{**inputs, **searching}, **options)
    made = []
    inputs = given(few.pixels, few.labels)
    pixels = inputs["images"].pixels
    inputs["images"].pixels = lambda indices, size=None: made.append(len(indices)) or pixels(indices, size)
    resumed = drd(**inputs, **options)
    assert made[0] == 2 and made[1] == 1  # the pictures of the third class, then the measuring
    fresh = given(few.pixels, few.labels)
    whole = drd(**fresh, **options)
    assert np.array_equal(resumed.details["curve"], whole.details["curve"], equal_nan=True)
    assert np.array_equal(resumed.details["t_star"], whole.details["t_star"])
    assert (resumed.details["curve_noises"][:, ::2] > 0).all() and np.isfinite(np.asarray(whole.values)).all()


def test_a_fixed_step_needs_no_search(given, few):
    asked = []
    inputs = given(few.pixels, few.labels)
    stored = inputs["stored"]
    inputs["stored"] = lambda name, *rest, **more: asked.append(name) or stored(name, *rest, **more)
    told = drd(**inputs, dit_steps=2, timestep=3, draws=1, perceptual="l2").details
    assert asked == ["dit"] and told["t_star"].tolist() == [3, 3, 3] and told["search_evaluations"] == 0
    twice = sum(min(20, int(count)) for count in np.bincount(few.labels))  # drawn twice for the reliability
    assert told["evaluations"] == 60 * 4 + twice * 2 * 4


def test_a_damaged_checkpoint_is_thrown_away(tmp_path, digits, caplog):
    whole = teach(tmp_path / "whole", digits)
    with pytest.raises(KeyboardInterrupt):
        teach(tmp_path / "killed", digits, progress=killed_after(5), every=0)
    torn = tmp_path / "killed" / CHECKPOINT
    torn.write_bytes(torn.read_bytes()[:-200])
    assert same(whole, teach(tmp_path / "killed", digits)) and "begins anew" in caplog.text
