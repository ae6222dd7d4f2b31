"""docs/recorder.md: every block runs, in the order of the page, on small pictures."""

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

import prunebench as pb

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "recorder.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
INDEXED, PLAIN, TIMM, LIGHTNING = BLOCKS


@pytest.fixture
def names():
    torch.manual_seed(0)
    pictures, labels = torch.randn(40, 3, 32, 32), (torch.arange(40) % 3).tolist()
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 3))
    found = {"model": model, "train_set": list(zip(pictures, labels, strict=True))}
    found["optimizer"] = torch.optim.SGD(model.parameters(), lr=0.01)
    exec(INDEXED, found)
    return found


def test_the_plain_loop(names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(PLAIN, names)
    scores = pb.load_scores(tmp_path / "aum.npz")
    assert len(scores) == 40 and scores.hard == "low" and len(np.unique(scores.values)) == 40
    assert len(pb.select("ccs", scores, keep=0.1)) == 4


def test_the_timm_loop(names):
    exec(TIMM, names)
    assert len(names["scores"]) == 40 and 0 < names["scores"].values.min() < names["scores"].values.max() < 2**0.5
    assert names["recorder"].scores("forgetting").values.max() <= 2


class Trainer:
    """Stands in for lightning's: the hooks that the page uses, in its order."""

    def __init__(self, max_epochs, accelerator):
        self.epochs = max_epochs

    def fit(self, module, loader):
        optimizer = module.configure_optimizers()
        for _ in range(self.epochs):
            for batch_idx, batch in enumerate(loader):
                loss = module.training_step(batch, batch_idx)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            module.on_train_epoch_end()


def test_the_lightning_module(names, tmp_path, monkeypatch):
    lightning = types.ModuleType("lightning")
    lightning.LightningModule, lightning.Trainer = torch.nn.Module, Trainer
    monkeypatch.setitem(sys.modules, "lightning", lightning)
    exec(LIGHTNING, names)
    assert names["module"].recorder.epoch == 2 and len(names["scores"]) == 40
    checkpoint = {}
    names["module"].on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "last.ckpt")
    again = names["Classifier"](names["model"], 40)
    again.on_load_checkpoint(torch.load(tmp_path / "last.ckpt", weights_only=True))
    Trainer(1, "cpu").fit(again, names["loader"])
    assert again.recorder.epoch == 3 and len(again.recorder.scores("aum")) == 40


def test_lightning_itself_calls_these_hooks(names, tmp_path, monkeypatch):
    """Seen with lightning 2.6.6, which no extra of ours installs."""
    lightning = pytest.importorskip("lightning")
    monkeypatch.chdir(tmp_path)  # where its checkpoints go
    exec(LIGHTNING, names)
    assert names["module"].recorder.epoch == 2 and len(np.unique(names["scores"].values)) == 40
    (checkpoint,) = tmp_path.rglob("*.ckpt")
    again = names["Classifier"](names["model"], 40)
    longer = lightning.Trainer(max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False)
    longer.fit(again, names["loader"], ckpt_path=checkpoint)
    assert again.recorder.epoch == 3 and len(again.recorder.scores("forgetting")) == 40


def test_what_the_page_says_is_held_is_held():
    rows = re.findall(r"^\| (`.*?`) \| .*?(?:(4) J \+ )?(\d+) bytes \|$", PAGE, re.MULTILINE)
    named = [scorer for row in rows for scorer in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(watch.method.label for watch in pb.Recorder(10)._watches)
    for scorers, per_row, most in rows:
        for scorer in re.findall(r"`(\w+)`", scorers):
            (watch,) = pb.Recorder(10, watch=scorer)._watches
            held = sum(tensor.nbytes for tensor in watch.stream.state.values())
            assert held <= 10 * (int(per_row or 0) * watch.method.options.get("window", 0) + int(most)), scorer
