"""Standard statistics by hand and against reference code; the recorder that writes them down."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from prunebench import MethodError, UserError, statistic
from prunebench.training.recorder import Recorder
from prunebench.training.statistics import DEFINITIONS, STANDARD

GOLDEN = Path(__file__).parent / "golden" / "training_dynamics.npz"


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN, allow_pickle=False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("correct", 0.0),
        ("logit_margin", -math.log(3)),
        ("probability_margin", 0.2 - 0.6),
        ("true_probability", 0.2),
        ("top_margin", 0.6 - 0.2),
        ("entropy", -2 * 0.2 * math.log(0.2) - 0.6 * math.log(0.6)),
        ("loss", -math.log(0.2)),
        ("el2n", math.sqrt(0.2**2 + 0.8**2 + 0.6**2)),
    ],
)
def test_by_hand(name, expected):
    logits = torch.tensor([[1.0, 1.0, 3.0], [3.0, 1.0, 1.0]]).log()  # p = (0.2, 0.2, 0.6) and (0.6, 0.2, 0.2)
    value = statistic(name)(logits, torch.tensor([1, 1]))
    assert value.shape == (2,) and value.dtype == torch.float32
    assert value.tolist() == pytest.approx([expected, expected], abs=1e-6)  # both: y = 1 and p_y = 0.2


def test_of_equal_logits_the_lowest_class_wins():
    assert statistic("correct")(torch.zeros(3, 3), torch.tensor([0, 1, 2])).tolist() == [1.0, 0.0, 0.0]


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[1e4, -1e4, 0.0]])
    for name in STANDARD:
        assert torch.isfinite(statistic(name)(logits, torch.tensor([1]))).all(), name
    assert statistic("el2n")(logits, torch.tensor([1])).item() == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize(
    ("name", "array", "epochs"),
    [
        ("correct", "toneva_correct", slice(None)),
        ("logit_margin", "toneva_logit_margin", slice(None)),
        ("el2n", "datadiet_el2n", slice(None)),
        ("entropy", "ccs_entropy_last", -1),
        ("loss", "ccs_loss_last", -1),
    ],
)
def test_equals_reference_code(golden, name, array, epochs):
    logits = torch.from_numpy(golden["logits"])
    labels = torch.from_numpy(golden["labels"]).expand(logits.shape[:-1])  # (E, N)
    ours = statistic(name)(logits, labels)[epochs].numpy()
    exact = name == "correct"
    np.testing.assert_allclose(ours, golden[array], rtol=0 if exact else 1e-5, atol=0 if exact else 1e-5)


def test_summed_probability_margin_equals_reference_code(golden):
    logits = torch.from_numpy(golden["logits"])
    labels = torch.from_numpy(golden["labels"]).expand(logits.shape[:-1])
    ours = statistic("probability_margin")(logits, labels).sum(0).numpy()
    np.testing.assert_allclose(ours, golden["ccs_accumulated_margin_fp32log"], rtol=1e-5, atol=1e-5)


def test_top_margin_equals_deepcores_whatever_the_label():
    with np.load(GOLDEN.with_name("deepcore_uncertainty.npz"), allow_pickle=False) as z:
        logits = torch.from_numpy(z["logits"])
        for label in (0, 4):
            ours = statistic("top_margin")(logits, torch.full((len(logits),), label))
            np.testing.assert_allclose(ours, z["Margin__score"], rtol=1e-5, atol=1e-6)


def test_unknown_statistic_names_a_near_one():
    with pytest.raises(UserError, match="logit_margin"):
        statistic("logit_margn")
    assert DEFINITIONS.keys() == STANDARD.keys()


# -- the recorder


def present(recorder: Recorder, logits: torch.Tensor, labels: torch.Tensor, batch: int = 7) -> None:
    """(E, N, C) logits, shuffled into batches, through both moments of every epoch."""
    shuffle = torch.Generator().manual_seed(0)
    for epoch in logits:
        for positions in torch.randperm(len(labels), generator=shuffle).split(batch):
            recorder.presented(positions, epoch[positions], labels[positions])
        for positions in torch.arange(len(labels)).split(batch):
            recorder.evaluated(positions, epoch[positions], labels[positions])
        recorder.finish_epoch()


def test_shuffled_batches_become_rows_in_data_set_order(golden, tmp_path):
    logits, labels = torch.from_numpy(golden["logits"]), torch.from_numpy(golden["labels"])
    recorder = Recorder(STANDARD, len(labels), len(logits), tmp_path)
    present(recorder, logits, labels)
    files = recorder.close()
    assert files.keys() == STANDARD.keys()
    for name, path in files.items():
        recorded = np.load(path, allow_pickle=False)
        expected = statistic(name)(logits, labels.expand(logits.shape[:-1])).numpy()
        assert recorded.shape == (24, 48) and recorded.dtype == np.float32
        np.testing.assert_allclose(recorded, expected, rtol=1e-6, atol=1e-6, err_msg=name)


def test_previous_logits_are_those_of_one_epoch_ago(tmp_path):
    logits, labels = torch.randn(4, 20, 3), torch.randint(0, 3, (20,))

    def moved(logits, labels, previous):
        return (logits - previous).norm(dim=-1)

    recorder = Recorder({"moved": (moved, "presentation"), "later": (moved, "epoch_end")}, 20, 4, tmp_path)
    present(recorder, logits, labels)
    for path in recorder.close().values():
        recorded = np.load(path)
        assert np.isnan(recorded[0]).all()
        np.testing.assert_allclose(recorded[1:], (logits[1:] - logits[:-1]).norm(dim=-1), rtol=1e-6)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["later.npy", "moved.npy"]  # the (N, C) files are gone


def test_sees_float32_whatever_the_precision(tmp_path):
    seen = []

    def spy(logits, labels):
        seen.append((logits.dtype, logits.requires_grad))
        return logits[:, 0]

    recorder = Recorder({"spy": (spy, "presentation")}, 4, 1, tmp_path)
    recorder.presented(
        torch.arange(4), torch.ones(4, 2, dtype=torch.bfloat16, requires_grad=True), torch.zeros(4).long()
    )
    assert seen == [(torch.float32, False)]


@pytest.mark.parametrize("positions", [[0, 1, 2], [0, 1, 2, 2], [0, 1, 2, 3, 3]])
def test_every_example_must_come_exactly_once(tmp_path, positions):
    recorder = Recorder({"loss": STANDARD["loss"]}, 4, 2, tmp_path)
    recorder.presented(torch.tensor(positions), torch.zeros(len(positions), 2), torch.zeros(len(positions)).long())
    with pytest.raises(ValueError, match=r"example [23] came [02] times"):
        recorder.finish_epoch()


def test_an_unfinished_recording_is_told(tmp_path):
    recorder = Recorder({"loss": STANDARD["loss"]}, 2, 2, tmp_path)
    recorder.presented(torch.arange(2), torch.zeros(2, 2), torch.zeros(2).long())
    recorder.finish_epoch()
    with pytest.raises(ValueError, match="1 of 2 epochs"):
        recorder.close()


def test_a_plugin_cannot_change_logits_or_random_state(tmp_path):
    def meddle(logits, labels):
        torch.rand(3)
        labels.zero_()
        return logits.zero_()[:, 0]

    logits, labels = torch.ones(2, 2), torch.ones(2).long()
    recorder = Recorder({"meddle": (meddle, "presentation"), "loss": STANDARD["loss"]}, 2, 1, tmp_path)
    state = torch.get_rng_state()
    recorder.presented(torch.arange(2), logits, labels)
    assert logits.eq(1).all() and labels.eq(1).all() and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("returned", "told"), [(lambda z, y: z, "shape"), (lambda z, y: 1 / 0, "ZeroDivisionError")])
def test_a_plugin_that_fails_is_named(tmp_path, returned, told):
    recorder = Recorder({"mine": (returned, "presentation")}, 2, 1, tmp_path)
    with pytest.raises(MethodError, match=f"mine.*{told}"):
        recorder.presented(torch.arange(2), torch.ones(2, 2), torch.zeros(2).long())
