"""Pretrained models and weights: read from disk through from_pretrained, never fetched, refused in one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given as given_
from hypothesis import settings
from hypothesis import strategies as st
from prunebench_drd import prunebench_scorers
from prunebench_drd.dit import recipe_for
from prunebench_drd.drd import drd
from prunebench_drd.equations import deviation
from prunebench_drd.folders import folder_digest, load_folder
from prunebench_drd.hub import IMAGENET_DIT, REVISIONS, find_model
from prunebench_drd.imagenet import are_wnids, check_label_order, class_ids, imagenet_descriptions, imagenet_wnids
from prunebench_drd.models import choose_model, resolve_model
from prunebench_drd.perceptual import TRUNKS, load_perceptual, lpips_network, resolve_perceptual
from prunebench_drd.task import TASK_INPUTS, Task

from prunebench import UserError

CPU = torch.device("cpu")
WOOFS = ("n02086240", "n02087394", "n02088364")
COMMITS = ("1" * 40, "2" * 40)


@pytest.fixture(scope="module")
def latent_folder(tmp_path_factory):
    """A tiny random DiT with VAE and scheduler in the layout of facebook/DiT-XL-2-256; 16 px pictures, 8 px latents."""
    from diffusers import AutoencoderKL, DDIMScheduler, DiTTransformer2DModel

    folder = tmp_path_factory.mktemp("dit-latent")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        DiTTransformer2DModel(
            num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=2,
            sample_size=8, patch_size=2, num_embeds_ada_norm=1000,
        ).save_pretrained(folder / "transformer")  # fmt: skip
        AutoencoderKL(
            block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4, latent_channels=4, scaling_factor=0.18215,
        ).save_pretrained(folder / "vae")  # fmt: skip
    DDIMScheduler(clip_sample=False).save_pretrained(folder / "scheduler")
    return folder


@pytest.fixture
def copy(latent_folder, tmp_path):
    return shutil.copytree(latent_folder, tmp_path / "model")


def test_a_latent_dit_scores_through_the_same_code(latent_folder, given):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 3, 16, 16), dtype=np.uint8)
    inputs = given(pixels, np.arange(12) % 3, classes=WOOFS)
    options = {"model": str(latent_folder), "timestep": "ib", "samples": 1, "noises": 1, "perceptual": "l2"}
    scored = drd(**inputs, **options)
    assert scored.details["draws"] == 1 and scored.details["picture_size"] == 16
    assert np.isfinite(np.asarray(scored.values)).all()
    against_vae = drd(**given(pixels, np.arange(12) % 3, classes=WOOFS), **options, target="vae")
    assert not np.array_equal(np.asarray(scored.values), np.asarray(against_vae.values))


def test_its_parts_do_what_the_published_pipeline_does(latent_folder):
    from diffusers import AutoencoderKL, DiTTransformer2DModel

    denoiser = load_folder(latent_folder, WOOFS, CPU)
    assert denoiser.abar.shape == (1001,) and denoiser.size == 16
    assert denoiser.class_ids.tolist() == [imagenet_wnids().index(name) for name in WOOFS]
    transformer = DiTTransformer2DModel.from_pretrained(latent_folder, subfolder="transformer").eval()
    vae = AutoencoderKL.from_pretrained(latent_folder, subfolder="vae").eval()
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2, 3, 16, 16), generator=generator, dtype=torch.uint8)
    with torch.inference_mode():
        z = vae.encode(pixels / 127.5 - 1).latent_dist.mean * 0.18215
        torch.testing.assert_close(denoiser.encode(pixels), z)
        torch.testing.assert_close(denoiser.decode(z), (vae.decode(z / 0.18215).sample / 2 + 0.5).clamp(0, 1))
        ids = torch.tensor([imagenet_wnids().index(WOOFS[1])] * 2)
        published = transformer(z, timestep=torch.tensor([400, 400]), class_labels=ids).sample[:, :4]  # sigma dropped
        torch.testing.assert_close(denoiser.predict_noise(z, torch.tensor([401]), torch.tensor([1])), published)


@pytest.mark.parametrize(
    "lost",
    [
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json",
        "vae/diffusion_pytorch_model.safetensors",
    ],
)
def test_a_missing_file_is_named_with_its_folder_and_the_way_out(copy, lost):
    (copy / lost).unlink()
    with pytest.raises(UserError) as error:
        load_folder(copy, WOOFS, CPU)
    assert all(part in str(error.value) for part in (lost, str(copy), "model='own'")) and "\n" not in str(error.value)


def test_pickled_weights_are_never_read(copy):
    (copy / "transformer" / "diffusion_pytorch_model.safetensors").rename(
        copy / "transformer/diffusion_pytorch_model.bin"
    )
    with pytest.raises(UserError, match=r"pickled \.bin weights are never read"):
        load_folder(copy, WOOFS, CPU)


def test_damaged_weights_are_one_sentence(copy):
    path = copy / "transformer" / "diffusion_pytorch_model.safetensors"
    whole = path.read_bytes()
    for damaged in (whole[:1000], whole[: len(whole) // 2], b"", b"\xff" * 64 + whole[64:]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="cannot be read as a DiTTransformer2DModel") as error:
            load_folder(copy, WOOFS, CPU)
        assert "\n" not in str(error.value) and "model='own'" in str(error.value)
    path.write_bytes(whole)
    (copy / "transformer" / "config.json").write_text("{torn")
    with pytest.raises(UserError, match=r"config\.json is not JSON"):
        load_folder(copy, WOOFS, CPU)


@pytest.mark.parametrize(
    ("part", "key", "value", "told"),
    [
        (
            "transformer/config.json",
            "_class_name",
            "UNet2DModel",
            "is of a UNet2DModel, not of a DiT",
        ),
        ("vae/config.json", "_class_name", "VQModel", "is of a VQModel, not of a AutoencoderKL"),
        ("transformer/config.json", "num_layers", 3, "lacks .* of the network's tensors"),
        ("transformer/config.json", "attention_head_dim", 16, "cannot be read as a DiTTransformer2DModel"),
        ("scheduler/scheduler_config.json", "beta_schedule", "sharp", "is not a scheduler of DDPM"),
        ("scheduler/scheduler_config.json", "beta_end", 0.0, "falling abar"),
    ],
)
def test_configurations_that_do_not_fit_are_one_sentence(copy, part, key, value, told):
    path = copy / part
    changed = {**json.loads(path.read_text()), key: value}
    if key == "beta_end":
        changed["trained_betas"] = [-0.1] * 1000
    path.write_text(json.dumps(changed))
    with pytest.raises(UserError, match=told) as error:
        load_folder(copy, WOOFS, CPU)
    assert "\n" not in str(error.value)


def test_a_vae_of_another_model_and_a_lost_one(copy):
    from diffusers import AutoencoderKL

    AutoencoderKL(block_out_channels=(4,), norm_num_groups=2, latent_channels=3).save_pretrained(copy / "vae")
    with pytest.raises(UserError, match="latents of 3 channels, its transformer takes 4"):
        load_folder(copy, WOOFS, CPU)
    shutil.rmtree(copy / "vae")
    with pytest.raises(UserError, match="takes 4 channels, so it works on latents, and vae/ is missing"):
        load_folder(copy, WOOFS, CPU)


def test_the_older_name_of_the_published_configuration_is_taken(copy):
    path = copy / "transformer" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "_class_name": "Transformer2DModel"}))
    assert load_folder(copy, WOOFS, CPU).size == 16


def test_only_noise_prediction_is_taken(copy):
    path = copy / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prediction_type": "v_prediction"}))
    with pytest.raises(UserError, match="only 'epsilon' works"):
        load_folder(copy, WOOFS, CPU)


def test_classes_the_model_does_not_know(latent_folder, tmp_path):
    with pytest.raises(UserError, match="does not know the class 'n99999999'"):
        load_folder(latent_folder, ("n02086240", "n99999999"), CPU)
    with pytest.raises(UserError, match="1000 classes, the data set 2"):
        load_folder(latent_folder, ("cat", "dog"), CPU)
    assert class_ids(tmp_path, ("cat", "dog"), 2).tolist() == [0, 1]


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty hub cache, and a network that fails the test when it is used."""
    import socket

    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(socket.socket, "connect", lambda *args: pytest.fail("nothing may be fetched"))
    return tmp_path / "hub"


def put(cache, latent_folder, name, commits, **refs):
    """Snapshots as the hub's client leaves them."""
    folder = cache / f"models--{name.replace('/', '--')}"
    for commit in commits:
        shutil.copytree(latent_folder, folder / "snapshots" / commit)
    for ref, commit in refs.items():
        path = folder / "refs" / ref.replace("_", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(commit)
    return folder / "snapshots"


def chosen_from(given, model):
    pixels = np.zeros((3, 3, 16, 16), dtype=np.uint8)
    inputs = given(pixels, [0, 1, 2], classes=WOOFS)
    return choose_model(model, Task.of(**{name: inputs[name] for name in TASK_INPUTS}), recipe_for(16))


def test_a_hub_model_that_is_not_here_says_what_to_do(cache, given):
    with pytest.raises(UserError) as error:
        find_model(IMAGENET_DIT)
    parts = (
        IMAGENET_DIT,
        str(cache / "models--facebook--DiT-XL-2-256"),
        "diffusion_pytorch_model.safetensors",
        f"'hf download {IMAGENET_DIT} --revision {REVISIONS[IMAGENET_DIT]}'",
        "model='own'",
    )
    assert all(part in str(error.value) for part in parts) and "\n" not in str(error.value)
    pixels = np.zeros((3, 3, 128, 128), dtype=np.uint8)
    inputs = {**given(pixels, [0, 1, 2], classes=WOOFS), "network": lambda: pytest.fail("nothing is trained first")}
    with pytest.raises(UserError, match="hf download"):
        drd(**inputs, perceptual="features")


@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_snapshot_in_the_hub_cache_is_read_and_its_commit_recorded(monkeypatch, cache, latent_folder, given, offline):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline == "1")
    snapshots = put(cache, latent_folder, "someone/tiny", COMMITS, main=COMMITS[0], pr_1=COMMITS[1])
    found = {name: chosen_from(given, name) for name in ("someone/tiny", "someone/tiny@pr/1", str(latent_folder))}
    digest = folder_digest(latent_folder)
    assert found["someone/tiny"].identity == {"model": digest, "commit": COMMITS[0]}
    assert found["someone/tiny"].name == f"someone/tiny@{COMMITS[0]}"
    assert found["someone/tiny"].folder == snapshots / COMMITS[0]
    assert found["someone/tiny@pr/1"].identity == {"model": digest, "commit": COMMITS[1]}
    assert found[str(latent_folder)].identity == {"model": digest}
    assert find_model(f"someone/tiny@{COMMITS[1]}").folder == snapshots / COMMITS[1]
    with pytest.raises(UserError, match="--revision v2'"):
        find_model("someone/tiny@v2")


def test_a_cached_snapshot_scores_and_the_record_names_its_commit(cache, latent_folder, given):
    put(cache, latent_folder, "someone/tiny", COMMITS[:1], main=COMMITS[0])
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 16, 16), dtype=np.uint8)
    options = {"timestep": 5, "perceptual": "l2"}
    hub, local = (
        drd(**given(pixels, np.arange(6) % 3, classes=WOOFS), model=model, **options)
        for model in ("someone/tiny", str(latent_folder))
    )
    assert hub.details["model"] == f"someone/tiny@{COMMITS[0]}"
    assert torch.equal(torch.as_tensor(hub.values), torch.as_tensor(local.values))


def test_the_default_model_is_pinned_and_main_does_not_stand_in_for_it(cache, latent_folder):
    assert REVISIONS[IMAGENET_DIT] != "main"
    put(cache, latent_folder, IMAGENET_DIT, COMMITS[:1], main=COMMITS[0])
    with pytest.raises(UserError, match=f"at revision {REVISIONS[IMAGENET_DIT]}"):
        find_model(IMAGENET_DIT)
    assert find_model(f"{IMAGENET_DIT}@main").commit == COMMITS[0]  # asked for by name
    ref = cache / "models--facebook--DiT-XL-2-256" / "refs" / REVISIONS[IMAGENET_DIT]
    ref.parent.mkdir(parents=True)
    ref.write_text(COMMITS[0])
    assert find_model(IMAGENET_DIT).commit == COMMITS[0]


@pytest.mark.parametrize("model", ["neither", "a/b/c", "a/b@", "../b", "a/b@-x", "a b/c"])
def test_what_is_neither_a_folder_nor_a_hub_id(cache, model):
    with pytest.raises(UserError, match="neither a folder in diffusers' layout nor a hub id"):
        find_model(model)


def labelled(folder, labels):
    (folder / "model_index.json").write_text(json.dumps({"id2label": {str(k): text for k, text in labels.items()}}))


def test_label_names_of_the_folder_must_be_in_imagenets_order(copy):
    names = dict(enumerate(imagenet_descriptions()))
    labelled(copy, names)
    assert load_folder(copy, WOOFS, CPU).class_ids.tolist() == [imagenet_wnids().index(name) for name in WOOFS]
    spelt = {**names, 0: "tench fish", 1: "Goldfish", 134: "crane bird", 517: "crane"}  # lists differ in spelling
    labelled(copy, spelt)
    load_folder(copy, WOOFS, CPU)
    labelled(copy, {**names, 7: names[8], 8: names[7]})
    with pytest.raises(
        UserError, match=r"not in ImageNet's order: its class 7 is 'hen', ImageNet's is 'cock'"
    ) as error:
        load_folder(copy, WOOFS, CPU)
    assert "\n" not in str(error.value)
    labelled(copy, {k: names[k] for k in range(999)})
    with pytest.raises(UserError, match="must number the model's 1000 classes from 0, it has 999"):
        load_folder(copy, WOOFS, CPU)
    labelled(copy, names)
    with pytest.raises(UserError, match="the class 'tench' is not a WordNet id such as n01440764"):
        load_folder(copy, ("n01443537", "tench"), CPU)


def test_another_list_of_imagenets_names_is_in_order():
    """torchvision's own list, with other spellings than timm's, and one that takes its neighbour's names."""
    from torchvision.models import AlexNet_Weights

    names = dict(enumerate(AlexNet_Weights.DEFAULT.meta["categories"]))
    assert len(names) == 1000 and sum(names[k] != text for k, text in enumerate(imagenet_descriptions())) > 400
    check_label_order(Path("model"), names)
    with pytest.raises(UserError, match="its class 217 is"):
        check_label_order(Path("model"), {**names, 217: names[218], 218: names[217]})


@settings(deadline=None, max_examples=30)
@given_(shift=st.integers(1, 999))
def test_any_rotation_of_the_labels_is_refused(shift):
    names = imagenet_descriptions()
    rotated = {k: names[(k + shift) % 1000] for k in range(1000)}
    with pytest.raises(UserError, match="not in ImageNet's order"):
        check_label_order(Path("model"), rotated)


@settings(deadline=None, max_examples=30)
@given_(subset=st.sets(st.integers(0, 999), min_size=1, max_size=30), seed=st.integers(0, 99))
def test_every_subset_of_imagenet_finds_its_ids_in_any_order(subset, seed):
    order = np.random.default_rng(seed).permutation(sorted(subset))
    wnids = imagenet_wnids()
    assert class_ids(Path("nowhere"), [wnids[k] for k in order], 1000).tolist() == order.tolist()


def test_imagenette_has_its_published_ids():
    """fast.ai's ten classes and where ILSVRC 2012 counts them."""
    ids = {
        "n01440764": 0, "n02102040": 217, "n02979186": 482, "n03000684": 491, "n03028079": 497,
        "n03394916": 566, "n03417042": 569, "n03425413": 571, "n03445777": 574, "n03888257": 701,
    }  # fmt: skip
    assert class_ids(Path("nowhere"), list(ids), 1000).tolist() == list(ids.values())


def test_wide_pictures_are_cropped_to_their_middle(latent_folder, given):
    """Red sides of a 32 x 64 picture are not seen; what is scored is its 16 px middle."""
    wide = np.zeros((3, 3, 32, 64), dtype=np.uint8)
    wide[:, 0, :, :16] = wide[:, 0, :, -16:] = 255
    wide[:, 2, :, 17:47] = np.arange(30, dtype=np.uint8) * 8
    inputs = given(wide, [0, 1, 2], classes=WOOFS)
    chosen = choose_model(str(latent_folder), Task.of(**{name: inputs[name] for name in TASK_INPUTS}), recipe_for(32))
    seen = inputs["images"].pixels(torch.arange(3), chosen.size)
    assert seen.shape == (3, 3, 16, 16) and seen[:, 0, :, 1:-1].max() == 0 and seen[:, 2].max() > 200


def test_a_folder_trained_at_another_size_gets_its_pictures_resized(latent_folder, given):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 12, 12), dtype=np.uint8)
    scored = drd(
        **given(pixels, np.arange(6) % 3, classes=WOOFS), model=str(latent_folder), timestep=5, perceptual="l2"
    )
    assert scored.details["picture_size"] == 16
    denoiser = load_folder(latent_folder, WOOFS, CPU)
    with pytest.raises(ValueError, match=r"takes pictures \(3, 16, 16\), got \(3, 12, 12\)"):
        denoiser.encode(torch.zeros(1, 3, 12, 12, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"denoises \(4, 8, 8\), got \(4, 4, 4\)"):
        denoiser.predict_noise(torch.zeros(1, 4, 4, 4), torch.tensor([5]), torch.tensor([0]))


def test_automatic_choices_depend_on_the_data_set_alone():
    wnids = [are_wnids(classes) for classes in (WOOFS, ("cat",), ())]
    assert wnids == [True, False, False] and resolve_model("auto", True, 128) == IMAGENET_DIT
    assert resolve_model("auto", True, 64) == resolve_model("auto", False, 256) == "own"
    assert resolve_perceptual("auto", 128) == "lpips-alex" and resolve_perceptual("auto", 64) == "features"


def test_missing_trunk_weights_say_which_file_where_and_the_way_out(monkeypatch, tmp_path, given):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    inputs = given(np.zeros((3, 3, 32, 32), dtype=np.uint8), [0, 0, 1])
    inputs["stored"] = lambda *args: pytest.fail("nothing is trained first")
    for name, file in TRUNKS.items():
        with pytest.raises(UserError) as error:
            drd(**inputs, perceptual=name)
        assert all(part in str(error.value) for part in (file, str(tmp_path), "perceptual='features'"))


def test_damaged_trunk_weights_are_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / TRUNKS["lpips-alex"]).write_bytes(b"not weights")
    with pytest.raises(UserError, match="is not torchvision's lpips-alex trunk"):
        load_perceptual("lpips-alex", lambda: None, CPU, 64)


@pytest.mark.parametrize("trunk", ["alex", "squeeze"])
def test_lpips_distance_is_the_packages_own(monkeypatch, tmp_path, trunk):
    from torchvision.models import alexnet, squeezenet1_1

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = {"alex": alexnet, "squeeze": squeezenet1_1}[trunk](weights=None).features.state_dict()
    (tmp_path / "checkpoints").mkdir()
    torch.save({f"features.{k}": v for k, v in weights.items()}, tmp_path / "checkpoints" / TRUNKS[f"lpips-{trunk}"])
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    before = torch.get_rng_state()
    features = load_perceptual(f"lpips-{trunk}", lambda: None, CPU, 64)
    package = lpips_network(trunk)
    assert torch.equal(before, torch.get_rng_state())
    package.net.load_state_dict(features.lpips.net.state_dict())
    a, b = torch.rand(2, 3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = package(a, b, normalize=True).flatten()
    torch.testing.assert_close(deviation(features(a), features(b)), expected, rtol=1e-4, atol=1e-7)
    assert expected.min() > 0


def test_network_features_are_unit_channels_at_the_size_it_was_trained_at():
    class Net:
        def stages(self, x):
            assert x.shape[-1] == 16
            return [x + 1]

    (stage,) = load_perceptual("features", Net, CPU, 16)(torch.rand(2, 3, 8, 8))
    torch.testing.assert_close(stage.square().sum(dim=1), torch.ones(2, 16, 16))


def test_the_record_is_light():
    import subprocess
    import sys

    (record,) = [record for record in prunebench_scorers() if record.name == "drd"]
    assert (record.name, record.hard, record.comparable, record.definition) == ("drd", "high", "class", 2)
    code = "import sys, prunebench_drd; prunebench_drd.prunebench_scorers(); print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'torch'" not in loaded and "'diffusers'" not in loaded and "'numpy'" not in loaded
