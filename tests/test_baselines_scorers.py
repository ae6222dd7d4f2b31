"""The built-in scorers: every equation once by hand, then the reference implementations' own numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from prunebench_baselines.accumulated_margin import accumulated_margin
from prunebench_baselines.aum import aum
from prunebench_baselines.el2n import el2n
from prunebench_baselines.forgetting import forgetting, forgetting_events
from prunebench_baselines.moderate import class_distance, distance_to_median, median
from prunebench_baselines.uniform import random_score

from prunebench import UserError, statistic
from prunebench.seeds import example_seeds

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def dynamics():
    with np.load(GOLDEN / "training_dynamics.npz", allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def watch(name: str, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What the harness records of (E, N, C) logits: (1, E, N)."""
    return torch.stack([statistic(name)(epoch, labels) for epoch in logits])[None]


# by hand


@pytest.mark.proves("forgetting", "closed form")
def test_forgetting_counts_the_transitions_from_right_to_wrong():
    history = torch.tensor([[[0, 1, 1, 1, 0], [1, 1, 0, 1, 0], [0, 1, 0, 0, 0], [1, 1, 0, 1, 0]]]).float()
    assert forgetting(history).tolist() == [1, 0, 1, 1, 4]  # the last one is never learned: E = 4
    assert forgetting(history, never_learned="zero").tolist() == [1, 0, 1, 1, 0]


def test_forgetting_adds_up_the_runs_and_each_run_in_which_an_example_is_never_learned():
    never, once = [0, 0, 0], [1, 0, 1]
    history = torch.tensor([[never, once], [never, never], [once, once]]).float().transpose(1, 2)  # (3, 3, 2)
    assert forgetting(history).tolist() == [3 + 3 + 1, 1 + 3 + 1]
    assert forgetting(history, never_learned="zero").tolist() == [1, 2]


def test_forgetting_refuses_an_unknown_rule():
    with pytest.raises(UserError, match=r"'max' or 'zero', got 'inf'"):
        forgetting(torch.zeros(1, 2, 3), never_learned="inf")


@pytest.mark.proves("el2n", "closed form")
def test_el2n_is_the_mean_over_runs_after_that_many_finished_epochs():
    history = torch.tensor([[[0.0, 1.0], [0.5, 0.25]], [[9.0, 9.0], [1.5, 0.75]]])  # (2, 2, 2)
    assert el2n(history, epoch=2).tolist() == [1.0, 0.5]
    assert el2n(history, epoch=1, runs=2).tolist() == [4.5, 5.0]


@pytest.mark.parametrize(("options", "message"), [({}, "epoch=10 .* 3 recorded"), ({"epoch": 0}, "epoch=0 .* 3")])
def test_el2n_names_both_numbers_where_the_history_is_too_short(options, message):
    with pytest.raises(UserError, match=message):
        el2n(torch.zeros(1, 3, 4), **options)


def test_el2n_does_not_pass_one_run_off_as_ten():
    with pytest.raises(UserError, match=r"runs=10 .* the 1 recorded"):
        el2n(torch.zeros(1, 10, 4), runs=10)


@pytest.mark.proves("aum", "closed form")
@pytest.mark.proves("accumulated_margin", "closed form")
def test_aum_is_a_mean_and_the_accumulated_margin_a_sum_over_epochs():
    history = torch.tensor([[[3.0, -1.0], [1.0, 0.0]], [[5.0, 0.0], [3.0, -1.0]]])  # (2, 2, 2)
    assert aum(history).tolist() == [3.0, -0.5]
    assert accumulated_margin(history).tolist() == [6.0, -1.0]


def test_median_of_an_even_count_is_the_mean_of_the_middle_two():
    x = torch.tensor([[4.0, 1.0], [1.0, 9.0], [2.0, 5.0], [100.0, 2.0]])
    assert median(x).tolist() == [3.0, 3.5]
    assert median(x[:3]).tolist() == [2.0, 5.0]


@pytest.mark.proves("scorer:moderate", "closed form")
def test_moderate_is_the_distance_to_the_median_of_ones_own_class():
    h = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0], [7.0, 7.0], [1.0, 1.0], [1.0, 3.0]])
    labels = torch.tensor([0, 0, 0, 3, 1, 1])  # class 2 is empty, class 3 has one example
    assert class_distance(lambda: h, labels).tolist() == [0.0, 5.0, 0.0, 0.0, 1.0, 1.0]


@pytest.mark.proves("scorer:random", "property")
def test_random_is_uniform_and_a_function_of_the_key_alone():
    keys = [f"train:{i}" for i in range(4000)]
    values = random_score(torch.from_numpy(example_seeds("random", 0, keys)))
    backwards = random_score(torch.from_numpy(example_seeds("random", 0, keys[::-1])))
    assert torch.equal(values, backwards.flip(0))
    assert bool((values >= 0).all()) and bool((values < 1).all())
    largest_gap = (values.sort().values - (torch.arange(4000) + 0.5) / 4000).abs().max()
    assert largest_gap < 1.95 / 4000**0.5  # Kolmogorov-Smirnov at 0.001
    other = random_score(torch.from_numpy(example_seeds("random", 1, keys)))
    assert abs(np.corrcoef(values, other)[0, 1]) < 0.06


@pytest.mark.proves("forgetting", "property")
@pytest.mark.proves("el2n", "property")
@pytest.mark.proves("aum", "property")
@pytest.mark.proves("accumulated_margin", "property")
@pytest.mark.parametrize("scorer", [forgetting, lambda h: el2n(h, epoch=7), aum, accumulated_margin])
@pytest.mark.parametrize("examples", [1, 7, 333])
def test_an_examples_number_does_not_depend_on_its_place(scorer, examples):
    generator = torch.Generator().manual_seed(examples)
    history = torch.randn(2, 31, examples, generator=generator)
    before = history.clone()
    order = torch.randperm(examples, generator=generator)
    values = scorer(history)
    assert values.dtype == torch.float64 and values.shape == (examples,)
    assert torch.equal(scorer(history[:, :, order]), values[order])  # bit for bit
    assert torch.equal(history, before)


# the reference implementations


@pytest.mark.proves("forgetting", "golden")
def test_forgetting_as_toneva_published_it(dynamics):
    correct = watch("correct", dynamics["logits"], dynamics["labels"])
    assert torch.equal(correct[0].long(), dynamics["toneva_correct"])
    assert bool(dynamics["tie_rows"].any()) and torch.equal(
        ~forgetting_events(correct[0])[1], dynamics["never_learned"]
    )
    assert torch.equal(forgetting(correct).long(), dynamics["toneva_forgetting"])
    extra = [watch("correct", run, dynamics["labels"]) for run in dynamics["multirun_extra_logits"]]
    runs = torch.cat([correct, *extra])  # (3, E, N)
    assert torch.equal(forgetting(runs).long(), dynamics["toneva_forgetting_multirun"])


@pytest.mark.parametrize("code", ["deepcore_forgetting", "ccs_forgetting_fp32log", "bws_forgetting"])
def test_forgetting_zero_is_what_other_code_bases_compute(dynamics, code):
    correct = watch("correct", dynamics["logits"], dynamics["labels"])
    assert torch.equal(forgetting(correct, never_learned="zero"), dynamics[code].double())


def test_data_diets_forgetting_differs_only_where_nothing_was_learned(dynamics):
    counts = forgetting(watch("correct", dynamics["logits"], dynamics["labels"]))
    expected = dynamics["datadiet_forgetting"]
    assert torch.equal(torch.isinf(expected), dynamics["never_learned"])
    assert torch.equal(counts[~dynamics["never_learned"]], expected[~dynamics["never_learned"]])


@pytest.mark.proves("el2n", "golden")
def test_el2n_of_every_epoch(dynamics):
    history = watch("el2n", dynamics["logits"], dynamics["labels"])
    for epoch in range(1, history.shape[1] + 1):
        expected = dynamics["datadiet_el2n"][epoch - 1].double()
        torch.testing.assert_close(el2n(history, epoch=epoch), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(el2n(history, epoch=20), dynamics["bws_el2n_epoch20"], atol=1e-5, rtol=1e-5)


@pytest.mark.proves("el2n", "golden")
def test_el2n_over_runs(dynamics):
    history = watch("el2n", dynamics["run_logits_ckpt"], dynamics["labels"]).transpose(0, 1)  # (R, 1, N)
    expected = dynamics["datadiet_el2n_runs_mean"].double()
    torch.testing.assert_close(el2n(history, epoch=1, runs=3), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.proves("aum", "golden")
def test_aum_as_published(dynamics):
    history = watch("logit_margin", dynamics["logits"], dynamics["labels"])
    torch.testing.assert_close(history[0].double(), dynamics["toneva_logit_margin"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(aum(history), dynamics["aum"], atol=1e-5, rtol=1e-5)


@pytest.mark.proves("accumulated_margin", "golden")
def test_accumulated_margin_as_in_ccs(dynamics):
    history = watch("probability_margin", dynamics["logits"], dynamics["labels"])
    values = accumulated_margin(history)
    torch.testing.assert_close(values, dynamics["ccs_accumulated_margin_fp32log"].double(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(values, dynamics["ccs_accumulated_margin"].double(), atol=5e-3, rtol=0)
    assert not torch.equal(values.argsort(), dynamics["aum"].argsort())  # another ranking than AUM's


@pytest.mark.proves("scorer:moderate", "golden")
def test_moderate_distance_as_intended():
    with np.load(GOLDEN / "moderate.npz", allow_pickle=False) as z:
        h, labels = torch.from_numpy(z["features"]), torch.from_numpy(z["labels"])
        values = distance_to_median(h, labels)
        np.testing.assert_allclose(values, z["distance_intended"], rtol=1e-5, atol=1e-6)
        for c, prototype in enumerate(z["prototypes_intended"]):
            np.testing.assert_allclose(median(h[labels == c]), prototype, rtol=1e-6)
        lonely = int((labels == 3).nonzero())
        assert values[lonely] == 0 and z["distance_ref"][lonely] > 0.1  # the reference's prototype of it is a scalar
