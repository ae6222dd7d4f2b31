"""Weights of others, by every road into DRD: nothing in them runs."""

import os
import pickle

import pytest
import torch
from prunebench_drd.folders import load_part
from prunebench_drd.perceptual import TRUNKS, load_perceptual

from prunebench import UserError


class Attack:
    """Unpickled, it makes a folder."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def write_zip(path, mark):
    torch.save({"features.0.weight": Attack(mark)}, path)


def write_old(path, mark):
    torch.save({"features.0.weight": Attack(mark)}, path, _use_new_zipfile_serialization=False)


def write_pickle(path, mark):
    path.write_bytes(pickle.dumps(Attack(mark)))


@pytest.mark.parametrize("write", [write_zip, write_old, write_pickle])
@pytest.mark.parametrize("name", ["lpips-alex", "lpips-squeeze"])
def test_a_trunk_with_code_inside_is_refused(write, name, tmp_path, monkeypatch):
    (tmp_path / "checkpoints").mkdir()
    write(tmp_path / "checkpoints" / TRUNKS[name], tmp_path / "owned")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match=f"is not torchvision's {name} trunk"):
        load_perceptual(name, lambda: None, torch.device("cpu"), 64)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("write", [write_zip, write_old, write_pickle])
@pytest.mark.parametrize("file", ["diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"])
def test_a_model_folder_with_code_inside_is_refused(write, file, tmp_path):
    """A pickle under the name of its own kind, and under that of safetensors."""
    from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel

    sizes = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 1, "sample_size": 8, "in_channels": 3}
    DiTTransformer2DModel(**sizes, patch_size=4, num_embeds_ada_norm=10, norm_num_groups=1).save_config(
        tmp_path / "transformer"
    )
    write(tmp_path / "transformer" / file, tmp_path / "owned")
    with pytest.raises(UserError):
        load_part(DiTTransformer2DModel, tmp_path, "transformer")
    assert not (tmp_path / "owned").exists()
