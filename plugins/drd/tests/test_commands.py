"""``prunebench drd ...`` as a user calls it, and scoring in shards."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from prunebench import UserError, load_scores
from prunebench.cli import cli

DATA = ("--dataset", "planted(train=60,test=12)", "--threads", "1")
SMALL = "drd(dit='nano', dit_steps=3, samples=2, noises=2, draws=2, perceptual='l2')"


@pytest.fixture
def prunebench(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*args):
        result = CliRunner().invoke(cli, [str(arg) for arg in args])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    return call


def test_pretrain_leaves_a_model_with_its_card_and_sheets(prunebench, tmp_path):
    told = prunebench("drd", "pretrain", *DATA, "--dit", "nano", "--steps", 3, "--out", "model")
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    assert card["recipe"]["steps"] == 3 and card["data"]["name"] == "planted(train=60,test=12)"
    assert len(card["data"]["fingerprint"]) == 64 and card["loss"] > 0 and card["seconds"] >= 0
    assert (tmp_path / "model" / "transformer" / "diffusion_pytorch_model.safetensors").is_file()
    for name in ("samples.png", "reconstructions.png"):
        with Image.open(tmp_path / "model" / name) as sheet:
            assert min(sheet.size) > 300 and np.asarray(sheet).std() > 10
    assert "use it: prunebench run" in told
    assert "1 classes" not in told and "60" not in told.split("model:")[0]
    # the store keeps it, so scoring with the same options trains nothing
    before = sorted((tmp_path / "runs").rglob("*.safetensors"))
    prunebench("score", *DATA, "--scorer", SMALL, "--out", "s.npz")
    assert sorted((tmp_path / "runs").rglob("*.safetensors")) == before
    # and the folder can be scored with
    prunebench("score", *DATA, "--scorer", SMALL.replace("dit='nano', dit_steps=3", "model='model'"), "--out", "m.npz")
    assert np.array_equal(load_scores("m.npz").values.shape, load_scores("s.npz").values.shape)


def test_pretrain_does_not_write_over_something_else(prunebench, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(UserError, match="holds no model of ours"):
        prunebench("drd", "pretrain", *DATA, "--out", "mine")
    card = {"recipe": {}, "data": {"fingerprint": "0" * 64}}
    for text in ("{torn", "[]", '{"data": "mine"}', '{"recipe": {}, "data": {}}', json.dumps({"title": "business"})):
        (tmp_path / "cards").mkdir(exist_ok=True)
        (tmp_path / "cards" / "card.json").write_text(text)
        with pytest.raises(UserError, match="holds no model of ours"):
            prunebench("drd", "pretrain", *DATA, "--out", "cards")
    (tmp_path / "mine" / "card.json").write_text(json.dumps(card))  # ours, but a thesis lies beside it
    with pytest.raises(UserError, match="holds no model of ours"):
        prunebench("drd", "pretrain", *DATA, "--out", "mine")
    assert (tmp_path / "mine" / "thesis.tex").is_file()
    with pytest.raises(UserError, match="--steps must be auto or a positive number"):
        prunebench("drd", "pretrain", *DATA, "--steps", "many")
    with pytest.raises(UserError, match="cannot be written to"):
        prunebench("drd", "pretrain", *DATA, "--out", tmp_path / "mine" / "thesis.tex" / "model")
    with pytest.raises(UserError, match=r"a figure is written as .png, .svg, .pdf"):
        prunebench("drd", "timesteps", *DATA, "--out", "curves.doc")


def test_a_copy_that_broke_off_leaves_nothing_and_can_be_made_again(prunebench, tmp_path, monkeypatch):
    """The disk is full, or the process killed, while sheets are drawn; the model that stood there stands."""
    from prunebench_drd import gallery as drawing

    args = ("drd", "pretrain", *DATA, "--dit", "nano", "--out", "model")
    prunebench(*args, "--steps", 2)
    stood = {path: path.read_bytes() for path in (tmp_path / "model").rglob("*") if path.is_file()}
    right = drawing.gallery

    def full(*given):
        raise OSError(28, "No space left on device")

    def killed(*given):
        raise SystemExit(137)

    for broken in (full, killed):
        monkeypatch.setattr(drawing, "gallery", broken)
        with contextlib.suppress(UserError):
            assert "model:" not in prunebench(*args, "--steps", 3)
        assert {p: p.read_bytes() for p in (tmp_path / "model").rglob("*") if p.is_file()} == stood
    monkeypatch.setattr(drawing, "gallery", right)
    prunebench(*args, "--steps", 3)
    assert json.loads((tmp_path / "model" / "card.json").read_text())["recipe"]["steps"] == 3
    assert {path.name for path in tmp_path.iterdir()} == {"model", "runs"}


def test_timesteps_shows_a_line_per_class_and_draws_the_curves(prunebench, tmp_path):
    table = prunebench("drd", "timesteps", *DATA, "--scorer", SMALL, "--out", "curves.png")
    with Image.open(tmp_path / "curves.png") as figure:
        assert min(figure.size) > 200
    told = json.loads(prunebench("drd", "timesteps", *DATA, "--scorer", SMALL, "--json"))
    assert len(told["t_star"]) == len(told["curve"]) and f"{told['search_evaluations']:,}" in table
    for step in told["t_star"]:
        assert 13 <= step <= 27 and f" {step} " in table
    scored = prunebench("score", *DATA, "--scorer", SMALL, "--out", "s.npz")
    assert load_scores("s.npz").details["t_star"].tolist() == told["t_star"] and "finding t*" not in scored


def test_explain_draws_each_class_or_chosen_examples(prunebench, tmp_path):
    prunebench("score", *DATA, "--scorer", SMALL, "--out", "s.npz")
    scores = load_scores("s.npz")
    told = prunebench("drd", "explain", *DATA, "--scores", "s.npz", "--out", "all.png")
    extremes = {f"{scores.values.min():.4g}", f"{scores.values.max():.4g}"}
    assert all(f": {value}" in told for value in extremes)
    told = prunebench("drd", "explain", *DATA, "--scores", "s.npz", "--examples", "3,17", "--out", "two.png")
    assert f"{scores.keys[3]}: {scores.values[3]:.4g}" in told and f"{scores.keys[17]}" in told
    with Image.open(tmp_path / "all.png") as every, Image.open(tmp_path / "two.png") as two:
        assert every.height > two.height


def test_the_pictures_explained_are_those_that_were_scored(prunebench, monkeypatch, tmp_path):
    """What stands beside a score is rebuilt from that very picture: the deviation of the tiles is the score."""
    import torch
    from prunebench_drd import explain
    from prunebench_drd.equations import deviation

    one = SMALL.replace("draws=2", "draws=1")
    prunebench("score", *DATA, "--scorer", one, "--out", "s.npz")
    rows = []
    monkeypatch.setattr(explain, "save_sheet", lambda path, title, columns, found: rows.extend(found))
    prunebench("drd", "explain", *DATA, "--scores", "s.npz", "--examples", "0,5,41")
    values = load_scores("s.npz").values[[0, 5, 41]]
    tiles = [row.tiles for row in rows]
    again = [float(deviation([real[None]], [rebuilt[None]])) for real, _, rebuilt in tiles]
    torch.testing.assert_close(torch.tensor(again), torch.from_numpy(values).float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "args, told",
    [
        (("--examples", "3,x"), "positions from 0 to 59"),
        (("--examples", "60"), "positions from 0 to 59"),
        (("--each", "0"), "--each must be at least 1"),
        (("--dataset", "planted(train=61,test=12)"), "another data set"),
    ],
)
def test_what_explain_cannot_show_is_one_sentence(prunebench, args, told):
    prunebench("score", *DATA, "--scorer", SMALL, "--out", "s.npz")
    with pytest.raises(UserError, match=told):
        prunebench("drd", "explain", *DATA, "--scores", "s.npz", *args)


def test_explain_wants_scores_of_drd(prunebench):
    prunebench("score", *DATA, "--scorer", "random", "--out", "r.npz")
    with pytest.raises(UserError, match="rebuild no picture"):
        prunebench("drd", "explain", *DATA, "--scores", "r.npz")


@pytest.mark.parametrize(
    "command, scorer, told",
    [
        ("timesteps", "el2n", "works with no diffusion model"),
        ("timesteps", "elbo", "searches no timestep"),
        ("estimate", "el2n", "estimate tells that of drd"),
    ],
)
def test_other_scorers_are_refused_before_anything_trains(prunebench, tmp_path, command, scorer, told):
    args = DATA if command != "estimate" else ()
    with pytest.raises(UserError, match=told):
        prunebench("drd", command, *args, "--scorer", scorer)
    assert not list(tmp_path.rglob("*.npy"))


def test_estimate_needs_nothing_on_disk(prunebench):
    told = json.loads(prunebench("drd", "estimate", "--dataset", "imagenette", "--tflops", "100", "--json"))
    counts = {row["what"]: row["count"] for row in told["rows"]}
    assert counts["rebuilding every picture"] == 9469 * 21
    assert told["hours"] == pytest.approx(told["flops"] / 1e14 / 3600, rel=0.01)
    whole = json.loads(
        prunebench(
            *("drd", "estimate", "--dataset", "imagenette", "--tflops", "100", "--json"),
            *("--scorer", "drd(search='exhaustive')"),
        )
    )
    assert {row["what"]: row["count"] for row in whole["rows"]}["searching t*"] == 680_000
    text = prunebench("drd", "estimate", "--dataset", "planted(train=60,test=12)", "--seconds", "0.2")
    assert "60 pictures" in text and "TFLOP/s on cpu" in text
    with pytest.raises(UserError, match="cost is not known"):
        prunebench("drd", "estimate", "--scorer", "drd(model='package:factory')", "--tflops", "1")


def test_shards_merge_into_the_same_bits(prunebench):
    prunebench("score", *DATA, "--scorer", SMALL, "--out", "whole.npz", "--store", "whole")
    told = prunebench("score", *DATA, "--scorer", SMALL, "--store", "parts", "--shard", "0/3")
    assert "blocks stand" in told or "scores" in told
    for i in (1, 2):
        prunebench("score", *DATA, "--scorer", SMALL, "--store", "parts", "--shard", f"{i}/3")
    prunebench("score", *DATA, "--scorer", SMALL, "--out", "parts.npz", "--store", "parts")
    assert np.array_equal(load_scores("whole.npz").values, load_scores("parts.npz").values)


def test_a_killed_pretraining_goes_on_bit_for_bit(tmp_path):
    """kill -9 while the DiT trains; the model in the end is that of an undisturbed training."""
    code = (
        "import sys, prunebench_drd.pretrain as pretrain; from prunebench.cli import main;"
        "pretrain.CHECKPOINT_SECONDS = 0; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, "drd", "pretrain", *DATA, "--dit", "nano", "--steps", "8"]
    quiet = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*command, "--store", "calm", "--out", "calm-model"], check=True, **quiet)
    started = subprocess.Popen([*command, "--store", "killed", "--out", "killed-model"], **quiet)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").rglob("checkpoint.safetensors")) and time.monotonic() < deadline:
        if started.poll() is not None:
            break
        time.sleep(0.005)
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert started.returncode == -signal.SIGKILL and not list((tmp_path / "killed-model").iterdir())
    subprocess.run([*command, "--store", "killed", "--out", "killed-model"], check=True, **quiet)
    models = [
        (tmp_path / name / "transformer" / "diffusion_pytorch_model.safetensors").read_bytes()
        for name in ("calm-model", "killed-model")
    ]
    assert models[0] == models[1]


def test_a_denoiser_whose_source_changed_is_scored_anew(prunebench, tmp_path, monkeypatch):
    """The text of the scorer is the same, so the file behind it must be part of what names the scores."""
    source = (
        "import torch\nfrom prunebench_drd.schedule import linear_abar\n\n\nclass Shrink:\n    abar = linear_abar()\n\n"
        "    def predict_noise(self, x_t, t, c):\n        return x_t * FACTOR\n\n"
        "    def encode(self, pixels):\n        return pixels.float() / 127.5 - 1\n\n"
        "    def decode(self, z):\n        return (z / 2 + 0.5).clamp(0, 1)\n\n\n"
        "def make(classes):\n    return Shrink()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    scorer, values = "drd(model='shrinking_denoiser:make', timestep=20, draws=1, perceptual='l2')", []
    for factor in ("0.5", "0.75"):
        (tmp_path / "shrinking_denoiser.py").write_text(source.replace("FACTOR", factor))
        monkeypatch.delitem(sys.modules, "shrinking_denoiser", raising=False)
        prunebench("score", *DATA, "--scorer", scorer, "--out", "s.npz")
        values.append(load_scores("s.npz").values)
    assert not np.array_equal(*values)


def test_a_model_trained_again_into_the_same_folder_is_scored_anew(prunebench):
    scorer, values = "drd(model='again', samples=2, noises=2, draws=1, perceptual='l2')", []
    for steps in (2, 9):
        prunebench("drd", "pretrain", *DATA, "--dit", "nano", "--steps", steps, "--out", "again")
        prunebench("score", *DATA, "--scorer", scorer, "--out", "s.npz")
        values.append(load_scores("s.npz").values)
    assert not np.array_equal(*values)
    with pytest.raises(UserError, match="holds a model of other data"):
        prunebench("drd", "pretrain", "--dataset", "planted(train=64,test=12)", "--threads", 1, "--out", "again")


def test_explain_wants_the_scoring_that_the_file_is_of(prunebench):
    prunebench("score", *DATA, "--scorer", SMALL, "--out", "s.npz")
    with pytest.raises(UserError, match="give its --score-seed"):
        prunebench("drd", "explain", *DATA, "--scores", "s.npz", "--score-seed", 1)


@pytest.mark.parametrize("option", ["search='x'", "rivals='x'", "noises=-1", "samples=0", "timestep=99"])
def test_wrong_options_are_one_sentence_in_the_commands_too(prunebench, option):
    for args in (("timesteps", *DATA), ("estimate", "--tflops", "1")):
        with pytest.raises(UserError, match="drd: "):
            prunebench("drd", *args, "--scorer", f"drd({option})")


def test_estimate_bills_the_model_that_scoring_takes(prunebench):
    told = prunebench("drd", "estimate", *DATA[:2], "--image-size", 128, "--tflops", 1)
    assert "model own" in told


def test_two_pretrainings_into_one_folder_leave_one_whole_model(prunebench, tmp_path, monkeypatch):
    """The second copies while the first still draws its sheets."""
    import threading

    from prunebench_drd import export

    prunebench("drd", "pretrain", *DATA, "--dit", "nano", "--steps", 2, "--out", "first")
    card = json.loads((tmp_path / "first" / "card.json").read_text())
    model, place, met, failed = tmp_path / "first", tmp_path / "both", threading.Event(), []

    def drawn(folder):
        if not met.is_set():
            met.set()
            time.sleep(0.5)  # the other begins meanwhile
        (folder / "samples.png").write_bytes(b"drawn")
        return [folder / "samples.png"]

    def export_one():
        try:
            export.exported(model, place, card["data"], drawn)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=export_one) for _ in range(2)]
    threads[0].start()
    met.wait()
    threads[1].start()
    for thread in threads:
        thread.join()
    assert not failed
    assert {p.name for p in place.iterdir()} == {p.name for p in model.iterdir()}
    assert {p.name for p in tmp_path.iterdir()} == {"first", "both", "runs"}
    other = card["data"] | {"fingerprint": "0" * 64}
    with pytest.raises(UserError, match="model of other data"):
        export.exported(model, place, other, drawn)
    assert (place / "samples.png").read_bytes() == b"drawn"


def test_explain_draws_no_other_model_than_the_scores_are_of(prunebench, tmp_path):
    for steps in (2, 3):
        prunebench("drd", "pretrain", *DATA, "--dit", "nano", "--steps", steps, "--out", f"model{steps}")
    scorer = "drd(model='model2', samples=2, noises=2, draws=1, perceptual='l2')"
    prunebench("score", *DATA, "--scorer", scorer, "--out", "s.npz")
    prunebench("drd", "explain", *DATA, "--scores", "s.npz", "--examples", "1")
    (tmp_path / "model2").rename(tmp_path / "gone")
    (tmp_path / "model3").rename(tmp_path / "model2")
    with pytest.raises(UserError, match="was scored with another model than model2 is now"):
        prunebench("drd", "explain", *DATA, "--scores", "s.npz", "--examples", "1")


def test_explain_trains_nothing(prunebench, tmp_path):
    prunebench("score", *DATA, "--scorer", SMALL, "--out", "s.npz")
    for options, told in ((("--store", "other"), "--store other"), (("--threads", "2"), "--threads 2")):
        with pytest.raises(UserError, match="explain trains none") as refused:
            prunebench("drd", "explain", *DATA, "--scores", "s.npz", *options)
        assert told in str(refused.value) and "prunebench drd pretrain" in str(refused.value)
    assert not list((tmp_path / "other").rglob("*.safetensors"))
    with pytest.raises(UserError, match=r"is a folder: give --out the name of a figure in it"):
        prunebench("drd", "explain", *DATA, "--scores", "s.npz", "--out", ".")


def test_pretrain_repeats_the_options_that_were_given(prunebench):
    given = ("--store", "my runs", "--label-noise", "sym:0.1", "--image-size", 8)
    told = prunebench("drd", "pretrain", *DATA, *given, "--dit", "nano", "--steps", 2, "--out", "model")
    line = next(line for line in told.splitlines() if line.startswith("use it: "))
    assert "--image-size 8 --label-noise sym:0.1 --store 'my runs'" in line
    assert "--data-root" not in line and "--corrupt" not in line


def test_the_curves_are_written_before_the_table_is_told(prunebench, tmp_path, monkeypatch):
    from prunebench_drd import commands

    def closed(*given):
        raise BrokenPipeError

    monkeypatch.setattr(commands, "show_steps", closed)
    with contextlib.suppress(BrokenPipeError):
        prunebench("drd", "timesteps", *DATA, "--scorer", SMALL, "--out", "curves.png")
    assert (tmp_path / "curves.png").is_file()
