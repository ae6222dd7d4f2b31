"""What docs/deepcore.md and this plugin's README show: commands up to where DeepCore's own program would begin."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from prunebench_deepcore import launch, methods
from prunebench_deepcore.names import Pair
from test_methods import Held

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests"))  # of `doc_blocks`

from doc_blocks import blocks_of, commands  # noqa: E402

BLOCKS = [block for page in ("docs/deepcore.md", "plugins/deepcore/README.md") for block in blocks_of(ROOT / page)]
CALLS = [
    words[1:]
    for block in BLOCKS
    if block.kind == "bash"
    for words in commands(block.code)
    if words[0] == "prunebench-deepcore"
]


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_a_command_is_as_far_as_deepcores_own_program(checkout, words, capsys):
    if "~/DeepCore" not in words:
        launch.main(words)
        assert "DRD" in capsys.readouterr().out
        return
    at = words.index("~/DeepCore")
    assert words[:at] in ([], ["--store", "scores"])
    module = launch.prepare(checkout, words[at + 1 :])
    assert hasattr(module, words[words.index("--selection") + 1]), "DeepCore looks it up by this name"


def test_the_lines_of_python_select(checkout, monkeypatch):
    """With a diffusion model of twenty steps in the place of the one that DRD trains by itself."""
    (code,) = [block.code for block in BLOCKS if block.kind == "python"]
    tiny = "drd(dit='nano', dit_steps=20, timestep=20, draws=1, perceptual='l2')"
    found = methods.known()
    monkeypatch.setattr(methods, "known", lambda: found | {"DRD": lambda keep: Pair(tiny, "easiest")})
    args = SimpleNamespace(device="cpu", dataset="Held", model="MLP", gpu=None, im_size=(6, 6))
    exec(code, given := {"dst_train": Held(30), "args": args})
    assert len(given["subset"]["indices"]) == 3 and given["subset"]["indices"].dtype == np.int64
