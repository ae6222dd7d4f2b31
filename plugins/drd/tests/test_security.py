"""Weights of others, by every road into DRD: nothing in them runs."""

import os
import pickle
import sys

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


MODEL = """
import pathlib

import torch

pathlib.Path("owned").mkdir(exist_ok=True)


class Zero:
    abar = torch.linspace(1, 0.01, 101, dtype=torch.float64)

    def predict_noise(self, x_t, t, c):
        return torch.zeros_like(x_t)

    def encode(self, pixels):
        return pixels.float() / 127.5 - 1

    def decode(self, z):
        return (z / 2 + 0.5).clamp(0, 1)


def make(classes):
    return Zero()
"""


def test_code_that_a_score_file_names_runs_only_where_the_user_names_it_too(tmp_path, monkeypatch, capsys):
    from prunebench.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine_alone.py").write_text(MODEL)
    scorer = "drd(model='mine_alone:make', timestep=20, draws=1, perceptual='l2')"
    data = ["--dataset", "planted(train=20,test=10)", "--threads", "1"]
    main(["score", "--scorer", scorer, *data, "--out", "s.npz"])
    (tmp_path / "owned").rmdir()
    monkeypatch.delitem(sys.modules, "mine_alone")
    explain = ["drd", "explain", "--scores", "s.npz", "--examples", "1", *data]
    for more in ([], ["--factory", "mine_alone:other"]):
        with pytest.raises(SystemExit) as left:
            main([*explain, *more])
        assert left.value.code == 2 and "say so by --factory mine_alone:make" in capsys.readouterr().err
        assert not (tmp_path / "owned").exists() and "mine_alone" not in sys.modules
    main([*explain, "--factory", "mine_alone:make"])
    assert (tmp_path / "owned").is_dir() and (tmp_path / "explained.png").is_file()


def test_class_names_of_the_table_of_timesteps_move_no_cursor(capsys):
    import numpy as np
    from prunebench_drd.commands import show_steps

    found = {"t_star": np.array([3]), "curve": np.ones((1, 2)), "candidates": np.array([3, 4]), "noises": 1}
    found |= {"candidate_snr": np.ones(2), "samples": [1], "search_evaluations": 1, "noises_at_t_star": 1}
    show_steps(("c\x1b[2J\x1b]0;t\x07\u202e [bold]\u009b",), np.arange(10), found)
    told = capsys.readouterr().out
    assert "[bold]" in told and not set(told) & set("\x1b\x07\u202e\u009b")
