"""What a model, a distance or an option does not fit: refused in one sentence before anything trains."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from prunebench_drd import perceptual
from prunebench_drd.confidence import classifier_confidence
from prunebench_drd.drd import drd
from prunebench_drd.elbo import elbo
from prunebench_drd.folders import folder_abar, load_folder, load_part
from prunebench_drd.hub import find_model
from prunebench_drd.models import is_factory
from prunebench_drd.perceptual import SMALLEST, lpips_network
from prunebench_drd.schedule import linear_abar
from prunebench_drd.unet import UNetDenoiser
from safetensors.torch import load_file, save_file

from prunebench import UserError
from prunebench.cli import cli

CPU = torch.device("cpu")
NAMES = ("a", "b", "c")
OWN = {"dit": "nano", "dit_steps": 2, "draws": 1, "samples": 1, "noises": 1, "perceptual": "l2"}


def refused(call, kind=UserError):
    with pytest.raises(kind) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def grey_dit(tmp_path):
    """A tiny DiT on grey pictures of 8 px in diffusers' layout."""
    from diffusers import DDIMScheduler, DiTTransformer2DModel

    with torch.random.fork_rng(devices=[]):
        DiTTransformer2DModel(
            num_attention_heads=2, attention_head_dim=8, in_channels=1, num_layers=1, sample_size=8, patch_size=2,
            num_embeds_ada_norm=3,
        ).save_pretrained(tmp_path / "model" / "transformer")  # fmt: skip
    DDIMScheduler(clip_sample=False).save_pretrained(tmp_path / "model" / "scheduler")
    return tmp_path / "model"


@pytest.fixture
def untrained(given):
    """``untrained(labels, ...)``: inputs of a scorer that fail where a model would be trained."""

    def make(labels, size=8, **more):
        pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 3, size, size), dtype=np.uint8)
        inputs = given(pixels, labels, **more)
        inputs["stored"] = lambda *args, **kwargs: pytest.fail("a model was asked for")
        return inputs

    return make


def test_a_grey_model_is_not_given_colours(grey_dit):
    from types import SimpleNamespace

    grey = torch.full((2, 3, 8, 8), 7, dtype=torch.uint8)
    coloured = grey.clone()
    coloured[1, 2, 4, 4] += 1
    unet = SimpleNamespace(config=SimpleNamespace(in_channels=1, sample_size=8))
    unet.eval = lambda: unet
    unet.requires_grad_ = lambda wanted: unet
    for denoiser in (load_folder(grey_dit, NAMES, CPU), UNetDenoiser(unet, linear_abar())):
        assert denoiser.encode(grey).shape == (2, 1, 8, 8)
        text = refused(lambda denoiser=denoiser: denoiser.encode(coloured))
        assert "has one channel" in text and "model='own'" in text


def test_weights_of_another_configuration_are_refused_like_missing_ones(grey_dit):
    from diffusers import DiTTransformer2DModel

    path = grey_dit / "transformer" / "diffusion_pytorch_model.safetensors"
    right = load_file(path)
    save_file({**right, "transformer_blocks.7.attn1.to_q.weight": torch.zeros(2, 2)}, path)
    text = refused(lambda: load_part(DiTTransformer2DModel, grey_dit, "transformer"))
    assert "1 tensors that the network" in text and "transformer_blocks.7.attn1.to_q.weight" in text
    save_file({**right, "pos_embed.pos_embed": torch.zeros(1, 16, 16)}, path)  # a table that some files hold
    load_part(DiTTransformer2DModel, grey_dit, "transformer")
    name = min(right)
    save_file({**right, name: right[name].to(torch.int8)}, path)
    text = refused(lambda: load_part(DiTTransformer2DModel, grey_dit, "transformer"))
    assert f"the tensor {name}" in text and "is in I8" in text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        *(
            ({"_class_name": f"{name}Scheduler"}, f"is of a {name}Scheduler, whose noise levels")
            for name in ("FlowMatchEulerDiscrete", "EDMDPMSolverMultistep", "EulerDiscrete", "HeunDiscrete")
        ),
        ({"_class_name": None}, "is of a None"),
        ({"_class_name": "DPMSolverMultistepScheduler"}, None),
        ({"beta_schedule": None}, "gives neither beta_start, beta_end, beta_schedule nor trained_betas"),
        ({"beta_end": None}, "nor trained_betas"),
        ({"beta_end": None, "trained_betas": [1e-4] * 1000}, None),
    ],
)
def test_only_schedulers_with_the_betas_of_ddpm_are_taken(grey_dit, changes, told):
    path = grey_dit / "scheduler" / "scheduler_config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(
        json.dumps({key: value for key, value in config.items() if key not in changes or value is not None})
    )
    if told is None:
        assert folder_abar(grey_dit).shape == (1001,)
    else:
        assert told in refused(lambda: folder_abar(grey_dit))


@pytest.mark.parametrize("name", sorted(SMALLEST))
def test_lpips_is_refused_below_the_smallest_pictures_its_trunk_takes(name, untrained):
    net, size = lpips_network(name.removeprefix("lpips-")).net, SMALLEST[name]
    net(torch.zeros(1, 3, size, size))
    with pytest.raises(RuntimeError):
        net(torch.zeros(1, 3, size - 1, size - 1))
    text = refused(lambda: drd(**untrained([0, 1, 2], size - 1), **{**OWN, "perceptual": name}))
    assert f"at least {size} px, here they have" in text and "perceptual='features'" in text
    perceptual.require_size(name, size)
    perceptual.require_size("l2", 1)


def test_one_class_has_no_timestep_of_its_own(untrained, given):
    assert "timestep=20" in refused(lambda: drd(**untrained([0, 0, 0], classes=("only",)), **OWN))
    confident = {key: value for key, value in untrained([0, 0, 0], classes=("only",)).items() if key != "network"}
    text = refused(lambda: classifier_confidence(**confident, dit="nano", dit_steps=2, timestep=20))
    assert text.startswith("classifier_confidence: ") and "two or more" in text
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8), dtype=np.uint8)
    scored = drd(**given(pixels, [0, 0, 0], classes=("only",)), **OWN, timestep=20)
    assert np.isfinite(np.asarray(scored.values)).all()


@pytest.mark.parametrize(("scorer", "name"), [(elbo, "elbo"), (classifier_confidence, "classifier_confidence")])
def test_relatives_tell_under_their_own_name_which_class_and_model(scorer, name, given, gaussian, monkeypatch):
    """Also what the machinery of drd says; and more levels than the model has."""
    denoiser = gaussian(torch.zeros(3, 3, 4, 4), torch.full((3,), 0.5))
    module = ModuleType("nan_world")
    module.factory = lambda classes: denoiser
    monkeypatch.setitem(sys.modules, "nan_world", module)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 4), dtype=np.uint8)
    inputs = {key: value for key, value in given(pixels, [0, 1, 2] * 2).items() if key != "network"}
    text = refused(lambda: scorer(**inputs, model="someone"))
    assert text.startswith(f"{name}: model 'someone' is neither")
    if name == "elbo":
        text = refused(lambda: scorer(**inputs, model="nan_world:factory", levels=1001))
        assert "levels must be at most the 1000 of the model nan_world:factory, got 1001" in text
    denoiser.predict_noise = lambda x_t, t, c: x_t * torch.nan
    text = refused(lambda: scorer(**inputs, model="nan_world:factory"), ValueError)
    assert text.startswith(f"{name}: ") and "class 'class " in text and "model nan_world:factory" in text
    assert "float32" in text


def test_an_address_is_no_factory():
    assert not is_factory("https://huggingface.co/facebook/DiT-XL-2-256") and is_factory("package.module:factory")
    assert "nor a hub id" in refused(lambda: find_model("https://huggingface.co/facebook/DiT-XL-2-256"))


def estimated(*args):
    result = CliRunner().invoke(cli, ["drd", "estimate", *args], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.output


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--dataset", "fashion-mnist(train=10000)"), "10,000 pictures of 28 px, 10 classes"),
        (("--dataset", "cifar10", "--image-size", "64"), "50,000 pictures of 64 px, 10 classes"),
        (("--dataset", "imagenet(train=50000, test=1000)"), "50,000 pictures of 256 px, 1000 classes"),
        (("--dataset", "svhn"), "73,257 pictures of 32 px, 10 classes"),
        (("--dataset", "stl10"), "5,000 pictures of 96 px, 10 classes"),
    ],
)
def test_estimate_knows_the_published_sets_without_their_files(monkeypatch, tmp_path, args, told):
    monkeypatch.chdir(tmp_path)
    text = estimated(*args, "--tflops", "300")
    assert told in text and "rate 300 TFLOP/s as given" in text and "TFLOP/s on" not in text


def test_estimate_refuses_what_scoring_refuses(grey_dit, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    ask = ("--tflops", "1", "--scorer")
    assert "has 60,000 training" in refused(
        lambda: estimated("--dataset", "fashion-mnist(train=60001)", "--tflops", "1")
    )
    own = "drd(model='model', perceptual='l2')"
    for dataset in ("svhn", "planted(train=60,test=12)"):
        assert "3 classes" in refused(lambda dataset=dataset: estimated("--dataset", dataset, *ask, own))
    big = "drd(model='facebook/DiT-XL-2-256')"
    assert "ImageNet alone" in refused(lambda: estimated("--dataset", "cifar10", *ask, big))
    assert "at least 31 px" in refused(lambda: estimated("--dataset", "digits", *ask, "drd(perceptual='lpips-alex')"))
