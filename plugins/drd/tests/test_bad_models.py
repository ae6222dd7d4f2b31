"""Models that cannot be used: files, factories, hub ids and options, each refused in one sentence with a way out."""

from __future__ import annotations

import json
import shutil
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from prunebench_drd.denoisers import load_factory
from prunebench_drd.drd import drd
from prunebench_drd.folders import load_folder
from prunebench_drd.hub import IMAGENET_DIT, find_model
from prunebench_drd.imagenet import class_ids
from prunebench_drd.schedule import linear_abar

from prunebench import UserError
from prunebench.cli import cli, main

CPU = torch.device("cpu")
NAMES = ("a", "b", "c")
DATA = ("--dataset", "planted(train=60,test=12)", "--threads", "1")
TRANSFORMER, VAE, SCHEDULER = "transformer/config.json", "vae/config.json", "scheduler/scheduler_config.json"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A tiny latent DiT of three classes in diffusers' layout."""
    from diffusers import AutoencoderKL, DDIMScheduler, DiTTransformer2DModel

    folder = tmp_path_factory.mktemp("whole")
    with torch.random.fork_rng(devices=[]):
        DiTTransformer2DModel(
            num_attention_heads=2, attention_head_dim=8, in_channels=4, num_layers=2, sample_size=8, patch_size=2,
            num_embeds_ada_norm=3,
        ).save_pretrained(folder / "transformer")  # fmt: skip
        AutoencoderKL(norm_num_groups=4, block_out_channels=(8,)).save_pretrained(folder / "vae")
    DDIMScheduler(clip_sample=False).save_pretrained(folder / "scheduler")
    return folder


@pytest.fixture
def model(whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(whole, tmp_path / "model")


def change(path, **changes):
    found = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in found.items() if value != "gone"}))


def refused(call):
    with pytest.raises(UserError) as error:
        call()
    text = str(error.value)
    assert "\n" not in text and text.startswith("drd")
    return text


def estimate(*args):
    result = CliRunner().invoke(cli, ["drd", "estimate", *args], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.output


WEIRD = (None, "x", -1, 0, [], {}, 1.5, True)
NUMBERS = {
    TRANSFORMER: ("num_layers", "num_attention_heads", "sample_size", "num_embeds_ada_norm"),
    VAE: ("block_out_channels", "down_block_types", "latent_channels"),
}


@pytest.mark.parametrize("weird", WEIRD)
@pytest.mark.parametrize(("part", "key"), [(part, key) for part, keys in NUMBERS.items() for key in keys])
def test_a_number_that_no_network_has_is_refused_by_scoring_and_by_estimate_alike(model, part, key, weird):
    change(model / part, **{key: weird})
    for call in (
        lambda: load_folder(model, NAMES, CPU),
        lambda: estimate(*DATA[:2], "--scorer", "drd(model='model', perceptual='l2')", "--tflops", "1"),
    ):
        text = refused(call)
        assert part in text.replace("\\", "/") and f"{key}={weird!r}" in text and "model='own'" in text


@pytest.mark.parametrize(
    ("part", "changes", "told"),
    [
        (TRANSFORMER, {"sample_size": 9}, "sample_size=9, which patch_size=2 does not divide"),
        (TRANSFORMER, {"out_channels": 2}, "out_channels=2, which must be null or at least in_channels=4"),
        (TRANSFORMER, {"norm_eps": "x"}, "norm_eps='x', which must be a number above 0"),
        (VAE, {"scaling_factor": None}, "scaling_factor=None, which must be a number above 0"),
        (VAE, {"scaling_factor": True}, "scaling_factor=True, which must be a number above 0"),
        (SCHEDULER, {"num_train_timesteps": -1}, "is not a scheduler of DDPM"),
        (SCHEDULER, {"trained_betas": 0}, "is not a scheduler of DDPM"),
        (SCHEDULER, {"beta_end": "x"}, "is not a scheduler of DDPM"),
    ],
)
def test_numbers_that_do_not_go_together(model, part, changes, told):
    change(model / part, **changes)
    text = refused(lambda: load_folder(model, NAMES, CPU))
    assert told in text and "model='own'" in text


def test_estimate_fills_in_what_a_configuration_leaves_to_the_library(model):
    change(model / TRANSFORMER, num_embeds_ada_norm=4)  # as many as planted has
    bill = estimate(*DATA[:2], "--scorer", "drd(model='model', perceptual='l2')", "--tflops", "1")
    change(model / TRANSFORMER, norm_eps="gone", activation_fn="gone", attention_bias="gone", patch_size="gone")
    assert estimate(*DATA[:2], "--scorer", "drd(model='model', perceptual='l2')", "--tflops", "1") == bill


def test_estimate_takes_hub_ids_as_scoring_does(model, monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    args = ("--dataset", "imagenette", "--tflops", "100", "--json")
    plain, pinned = (
        json.loads(estimate(*args, "--scorer", f"drd(model='{IMAGENET_DIT}{revision}')")) for revision in ("", "@main")
    )
    assert plain["rows"] == pinned["rows"] and f"model {IMAGENET_DIT}@main" in pinned["notes"][0]
    other = ("--scorer", "drd(model='someone/tiny', perceptual='l2')")
    assert "hf download someone/tiny" in refused(lambda: estimate(*args, *other))
    snapshots, commit = tmp_path / "hub" / "models--someone--tiny", "1" * 40
    change(model / TRANSFORMER, num_embeds_ada_norm=10)
    shutil.copytree(model, snapshots / "snapshots" / commit)
    (snapshots / "refs").mkdir()
    (snapshots / "refs" / "main").write_text(commit)
    assert f"model someone/tiny@{commit}" in json.loads(estimate(*args, *other))["notes"][0]


def test_estimate_without_a_network_of_the_right_kind_is_told_before_it_measures(model):
    change(model / TRANSFORMER, activation_fn="no such function", num_embeds_ada_norm=4)
    text = refused(lambda: estimate(*DATA[:2], "--scorer", "drd(model='model', perceptual='l2')", "--seconds", "0.1"))
    assert "makes no DiT" in text
    assert "spacing must be one of" in refused(lambda: estimate("--scorer", "drd(spacing='x')", "--tflops", "1"))


@pytest.mark.parametrize("value", [5, None, 1.5, True, ()])
def test_a_model_that_is_no_text(given, value):
    inputs = given(np.zeros((3, 3, 8, 8), dtype=np.uint8), [0, 1, 2])
    assert f"got {value!r}" in refused(lambda: drd(**inputs, model=value, perceptual="l2"))


@pytest.mark.parametrize("model", ["a--b/c..d", "a/b.", "a/--b", "a/" + "b" * 200, "x" * 300])
def test_names_that_the_hub_forbids(model):
    assert "nor a hub id" in refused(lambda: find_model(model))


@pytest.mark.parametrize("classes", [7, "abc", {"a": 1}, [1, 2, 3], None, True, ["a", "b"], ["a", "b", "c", "d"]])
def test_a_card_whose_classes_are_no_names_of_the_models(tmp_path, classes):
    (tmp_path / "card.json").write_text(json.dumps({"classes": classes}))
    text = refused(lambda: class_ids(tmp_path, NAMES, 3))
    assert "classes in" in text and "card.json must be a list of the model's 3 class names" in text


def perfect(**members):
    """An object that keeps the protocol, but for ``members``."""
    right = {"abar": linear_abar(), "predict_noise": lambda x, t, c: x, "encode": lambda p: p, "decode": lambda z: z}
    return SimpleNamespace(**{**right, **members})


@pytest.fixture
def factory(monkeypatch):
    """``factory(function)``: behind the name ``made_here:make``."""

    def put(function):
        module = ModuleType("made_here")
        module.make = function
        monkeypatch.setitem(sys.modules, "made_here", module)
        return lambda: load_factory("made_here:make", NAMES)

    return put


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"size": "64"}, "size in whole pixels, at least 1, or none, got '64'"),
        ({"size": 0}, "size in whole pixels"),
        ({"size": None}, "size in whole pixels"),
        ({"size": True}, "size in whole pixels"),
        ({"identity": "v1"}, "identity that is a dict of plain JSON (texts, numbers, lists), or none, got 'v1'"),
        ({"identity": {"weights": b"x"}}, "identity that is a dict"),
        ({"identity": {"a": {1, 2}}}, "identity that is a dict"),
        ({"identity": {"a": float("nan")}}, "identity that is a dict"),
        ({"conditional": "no"}, "conditional True or False"),
        ({"predict_noise": 3}, "must have a method predict_noise, got int"),
    ],
)
def test_members_of_a_wrong_kind(factory, members, told):
    assert told in refused(factory(lambda classes: perfect(**members)))


def test_members_of_the_right_kind_pass(factory):
    made = factory(lambda classes: perfect(size=8, conditional=False, identity={"weights": "v1"}))()
    assert (made.size, made.conditional, made.identity) == (8, False, {"weights": "v1"})


def broken(classes):
    return len(3)


def test_what_fails_inside_a_factory_is_not_blamed_on_its_signature(factory):
    text = refused(factory(broken))
    assert "failed (TypeError: object of type 'int' has no len())" in text and "must take the tuple" not in text
    for wrong in (lambda: perfect(), lambda a, b: perfect(), 5):
        assert "must take the tuple of class names alone" in refused(factory(wrong))
    assert factory(lambda *classes: perfect())().abar is not None


def test_a_module_that_breaks_when_imported(monkeypatch, tmp_path):
    (tmp_path / "breaks_when_imported.py").write_text("import torch\n1 / 0\n")
    (tmp_path / "is_no_python.py").write_text("def (\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "cannot be imported (division by zero)" in refused(lambda: load_factory("breaks_when_imported:make", NAMES))
    assert "cannot be imported" in refused(lambda: load_factory("is_no_python:make", NAMES))


def test_a_schedule_shorter_than_ddims_steps(factory, given):
    factory(lambda classes: perfect(abar=linear_abar(20)))
    inputs = given(np.zeros((3, 3, 8, 8), dtype=np.uint8), [0, 1, 2])
    text = refused(lambda: drd(**inputs, model="made_here:make", timestep=5, perceptual="l2"))
    assert "has 20 timesteps, fewer than the 50 steps of DDIM" in text


@pytest.mark.parametrize("model", ["5", "'a--b/c..d'", f"'{'x' * 300}'", "'breaks:make'", "''"])
def test_scoring_with_what_is_no_model_ends_in_one_line_and_code_2(monkeypatch, tmp_path, capsys, model):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["score", *DATA, "--scorer", f"drd(model={model}, perceptual='l2')"])
    lines = capsys.readouterr().err.strip().splitlines()
    assert left.value.code == 2 and len(lines) == 1 and lines[0].startswith("error: drd: ")


@pytest.mark.parametrize(
    ("model", "code", "told"),
    [
        ("5", 2, "error: drd: model must be auto, own"),
        ("'a--b/c..d'", 2, "error: drd: model 'a--b/c..d' is neither"),
        ("'made_here:make'", 3, "error: drd: the denoiser returned noise that is not finite"),
    ],
)
def test_the_commands_end_in_one_line_and_the_right_code(factory, monkeypatch, tmp_path, capsys, model, code, told):
    """Also what is seen only while the model runs, which is no fault of the options."""
    factory(lambda classes: perfect(predict_noise=lambda x, t, c: x * torch.nan, encode=lambda p: p.float()))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["drd", "timesteps", *DATA, "--scorer", f"drd(model={model}, samples=1, noises=1)"])
    lines = capsys.readouterr().err.strip().splitlines()
    assert left.value.code == code and lines[-1].startswith(told) and not any("Traceback" in line for line in lines)
