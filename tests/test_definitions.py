"""What docs/definitions.md says of other code: its tests exist, its texts are ours; drift that no other test shows."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from prunebench_baselines.el2n import el2n
from prunebench_baselines.extremes import easiest, hardest
from prunebench_baselines.forgetting import forgetting
from prunebench_baselines.moderate import moderate
from prunebench_baselines.per_class import per_class

from prunebench import UserError, statistic
from prunebench.registry import collect

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def watched(name: str, z: dict[str, np.ndarray]) -> torch.Tensor:
    """(1, E, N) of the golden logits."""
    labels = torch.from_numpy(z["labels"])
    return torch.stack([statistic(name)(torch.from_numpy(logits), labels) for logits in z["logits"]])[None]


def rows() -> list[list[str]]:
    """The cells of every row of every table, without headings."""
    lines = (ROOT / "docs" / "definitions.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("|")]
    return [row for row in cells if row[0] not in ("name", "claim") and not row[0].startswith("---")]


def test_every_test_that_is_named_exists():
    there = {
        node.name
        for folder in ("tests", "plugins/drd/tests")
        for path in (ROOT / folder).glob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "definitions.md").read_text())
    assert len(named) > 40 and set(named) <= there, set(named) - there


def test_every_text_is_a_method_of_ours():
    registry, checked = collect(), 0
    for row in rows():
        if len(row) != 5 or row[3] == "not offered":
            continue
        text = re.match(r"`(.+?)`", row[3])[1]
        found = []
        for kind in ("scorer", "selector"):
            try:
                found.append(registry.method(kind, text))
            except UserError as wrong:
                told = str(wrong)
        assert found, told
        checked += 1
    assert checked > 30


def test_elfs_forgetting_is_that_of_ccs():
    z = golden("training_dynamics")
    counts = forgetting(watched("correct", z), never_learned="zero").numpy()
    clear = ~z["tie_rows"]  # rounded to float16 first, ties may fall otherwise
    assert clear.sum() > 40 and np.array_equal(counts[clear], z["elfs_forgetting"][clear])
    assert np.array_equal(z["ccs_forgetting_fp32log"], counts)


def test_el2n_of_ccs_is_a_sum_over_ten_epochs():
    z = golden("training_dynamics")
    norms = watched("el2n", z)
    np.testing.assert_allclose(norms[0, :10].sum(0), z["ccs_el2n_fp32log"], rtol=1e-5, atol=1e-5)
    ours, theirs = el2n(norms, epoch=10), torch.from_numpy(z["ccs_el2n_fp32log"])
    assert not torch.equal(ours.argsort(), theirs.argsort())


@pytest.mark.parametrize("descending", [0, 1])
@pytest.mark.parametrize("percent", [10, 33])
def test_class_balance_of_ccs_is_the_last_classs_number(descending, percent):
    z = golden("ccs_selection")
    scores, labels = torch.from_numpy(z["mono_score"]).double(), torch.from_numpy(z["mono_labels"])
    name, counts = f"desc{descending}_r{percent}_bal1", torch.bincount(labels)
    assert len(z[f"mono_ccs_{name}"]) == len(counts) * int(percent / 100 * int(counts[-1]))
    theirs = torch.from_numpy(z[f"mono_d2_{name}"])  # D2's copy, which is corrected
    end = hardest if descending else easiest
    for c, n in enumerate(counts.tolist()):
        own, members = theirs[labels[theirs] == c], torch.nonzero(labels == c).squeeze(1)
        assert len(own) == int(percent / 100 * n)
        assert sorted(members[end(scores[members], len(own))].tolist()) == sorted(own.tolist())
    budget = round(percent / 100 * len(labels))
    kept = per_class(labels, lambda i, k: i[end(scores[i], k)], budget)
    assert len(kept.unique()) == budget > len(theirs)
    assert (torch.bincount(labels[kept]) - torch.bincount(labels[theirs])).abs().max() <= 1


@pytest.mark.parametrize("percent", [10, 20, 25, 30])
def test_moderate_of_d2_keeps_the_ends(percent):
    z = golden("moderate")
    theirs = set(z[f"r{percent}__d2_moderate_selection_as_coreset"].tolist())
    kept = moderate(torch.from_numpy(z["distance_intended"]), len(z[f"r{percent}__kept_intended"]))
    assert theirs and theirs.isdisjoint(kept.tolist())
