"""Networks: stems for small pictures, features, stages, seeds, refusals."""

import copy

import pytest
import torch
from torch import nn

from prunebench import UserError
from prunebench.training.models import ALIASES, build, canonical

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = [8, 28, 64]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "vit_tiny"])
def test_logits_features_and_stages(name, size):
    network = build(name, 7, size, seed=0).eval()
    x = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    with torch.inference_mode():
        logits, features, stages = network(x), network.features(x), network.stages(x)
        head = network.backbone.get_classifier()
        assert logits.shape == (2, 7) and features.shape == (2, head.in_features)
        torch.testing.assert_close(head(features), logits)  # penultimate: only the last layer is missing
        torch.testing.assert_close(network(x.float() / 255), logits)  # both kinds of pixels
    assert 4 <= len(stages) <= 6 and all(s.ndim == 4 and s.shape[0] == 2 for s in stages)
    assert [s.shape[-1] for s in stages] == sorted((s.shape[-1] for s in stages), reverse=True)


@pytest.mark.parametrize("name", ["resnet50", "vit_small"])
def test_the_other_aliases_build(name):
    assert build(name, 3, 8, seed=0).name == name


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pooled"), [(8, 3, 2, False), (32, 3, 1, False), (64, 7, 2, True), (224, 7, 2, True)]
)
def test_resnet_stem_by_size(size, kernel, stride, pooled):
    backbone = build("resnet18", 2, size, seed=0).backbone
    assert backbone.conv1.kernel_size == (kernel, kernel) and backbone.conv1.stride == (stride, stride)
    assert isinstance(backbone.maxpool, nn.MaxPool2d) == pooled


@pytest.mark.parametrize(
    ("size", "patch", "tokens"), [(8, 2, 16), (28, 4, 49), (30, 4, 64), (64, 8, 64), (224, 16, 196)]
)
def test_vit_patch_by_size(size, patch, tokens):
    network = build("vit_tiny", 2, size, seed=0).eval()
    assert network.backbone.patch_embed.patch_size == (patch, patch)
    assert network.backbone.pos_embed.shape[1] == tokens + 1
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, size, size)).shape == (1, 2)


def test_efficientnet_strides_by_size():
    for size, side in ((8, 2), (32, 2), (64, 2)):
        with torch.inference_mode():
            last = build("efficientnet_b0", 2, size, seed=0).eval().stages(torch.zeros(1, 3, size, size))[-1]
        assert last.shape[-1] == side


def test_initial_weights_depend_on_the_seed_alone():
    first = build("resnet18", 3, 8, seed=5).weights()
    torch.rand(10)
    state = torch.get_rng_state()
    again, other = build("resnet18", 3, 8, seed=5).weights(), build("resnet18", 3, 8, seed=6).weights()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["backbone.conv1.weight"], other["backbone.conv1.weight"])


def test_weights_travel_through_safetensors(tmp_path):
    from safetensors.torch import load_file, save_file

    network = build("resnet18", 3, 8, seed=5).eval()
    save_file(network.weights(), tmp_path / "w.safetensors")
    loaded = build("resnet18", 3, 8, seed=9).eval()
    loaded.load_state_dict(load_file(tmp_path / "w.safetensors"))
    x = torch.rand(4, 3, 8, 8)
    with torch.inference_mode():
        assert torch.equal(network(x), loaded(x)) and torch.equal(network(x), copy.deepcopy(network)(x))


def test_any_timm_name():
    network = build("test_convnext", 4, 64, seed=0).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 4)


def test_a_network_for_larger_pictures_is_refused_at_once():
    with pytest.raises(UserError, match=r"test_convnext cannot take pictures of 2 px.*resnet18"):
        build("test_convnext", 4, 2, seed=0)


def test_canonical_names():
    for alias, full in ALIASES.items():
        assert canonical(alias) == canonical(full) == alias
    assert canonical("convnext_atto") == "convnext_atto"


@pytest.mark.parametrize(
    ("typo", "meant"), [("resnt18", "resnet18"), ("vit_tny", "vit_tiny"), ("../resnet18", "resnet")]
)
def test_unknown_names_suggest_near_ones(typo, meant):
    with pytest.raises(UserError, match=rf"{typo}.*did you mean.*{meant}"):
        canonical(typo)


def test_weights_from_a_local_file(tmp_path):
    from safetensors.torch import save_file

    donor = build("resnet18", 1000, 64, seed=3)
    weights = {name.removeprefix("backbone."): value for name, value in donor.weights().items()}
    save_file(weights, tmp_path / "resnet18.safetensors")
    network = build("resnet18", 5, 8, seed=0, pretrained=str(tmp_path / "resnet18.safetensors"))
    assert torch.equal(network.backbone.conv1.weight, donor.backbone.conv1.weight)  # the kernel stays 7x7
    assert network.backbone.conv1.stride == (2, 2) and network.backbone.fc.out_features == 5
    with pytest.raises(UserError, match=r"nowhere\.safetensors.*does not exist"):
        build("resnet18", 5, 8, seed=0, pretrained="nowhere.safetensors")


def test_a_weights_file_with_objects_in_it_is_refused(tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"conv1.weight": Payload()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match=r"evil\.pth does not fit resnet18"):
        build("resnet18", 5, 8, seed=0, pretrained=str(tmp_path / "evil.pth"))
    assert not (tmp_path / "ran").exists()


def test_missing_pretrained_weights_are_one_sentence(monkeypatch):
    import timm

    def offline(*_, **__):
        raise OSError("no route to host\nlong trace")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(UserError, match=r"neither in the local cache.*no route to host\).*local weights file"):
        build("resnet18", 5, 8, seed=0, pretrained=True)
