"""Pretrained models and weights: read from disk through from_pretrained, never fetched, refused in one sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from prunebench_drd import prunebench_scorers
from prunebench_drd.denoisers import IMAGENET_DIT, class_ids, find_folder, imagenet_wnids, load_folder
from prunebench_drd.drd import drd
from prunebench_drd.equations import deviation
from prunebench_drd.models import resolve_model
from prunebench_drd.perceptual import TRUNKS, load_perceptual, lpips_network, resolve_perceptual

from prunebench import UserError

CPU = torch.device("cpu")
WOOFS = ("n02086240", "n02087394", "n02088364")


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
    import shutil

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
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="cannot be read as a DiTTransformer2DModel") as error:
        load_folder(copy, WOOFS, CPU)
    assert "\n" not in str(error.value)


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


def test_a_hub_model_that_is_not_here_says_what_to_do(monkeypatch, tmp_path, given):
    import huggingface_hub

    monkeypatch.setattr(
        huggingface_hub, "snapshot_download",
        lambda model, local_files_only: _cached(model, local_files_only, tmp_path),
    )  # fmt: skip
    with pytest.raises(UserError) as error:
        find_folder(IMAGENET_DIT)
    told = str(error.value)
    assert all(
        part in told for part in (IMAGENET_DIT, "diffusion_pytorch_model.safetensors", "hf download", "model='own'")
    )
    pixels = np.zeros((3, 3, 128, 128), dtype=np.uint8)
    inputs = {**given(pixels, [0, 1, 2], classes=WOOFS), "network": lambda: pytest.fail("nothing is trained first")}
    with pytest.raises(UserError, match="hf download"):
        drd(**inputs, perceptual="features")


def _cached(model, local_files_only, folder):
    from huggingface_hub.errors import LocalEntryNotFoundError

    assert local_files_only, "nothing may be fetched"
    raise LocalEntryNotFoundError(f"{model} is not in {folder}")


def test_automatic_choices_depend_on_the_data_set_alone():
    assert resolve_model("auto", WOOFS, 128) == IMAGENET_DIT
    assert resolve_model("auto", WOOFS, 64) == resolve_model("auto", ("cat",), 256) == "own"
    assert resolve_perceptual("auto", 128) == "lpips-alex" and resolve_perceptual("auto", 64) == "features"


def test_missing_trunk_weights_say_which_file_where_and_the_way_out(monkeypatch, tmp_path, given):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    inputs = given(np.zeros((3, 3, 8, 8), dtype=np.uint8), [0, 0, 1])
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

    (record,) = prunebench_scorers()
    assert (record.name, record.hard, record.comparable, record.definition) == ("drd", "high", "class", 1)
    code = "import sys, prunebench_drd; prunebench_drd.prunebench_scorers(); print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'torch'" not in loaded and "'diffusers'" not in loaded and "'numpy'" not in loaded
