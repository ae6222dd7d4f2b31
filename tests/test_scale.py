"""What is done so that a million examples are quick changes no number: each against the plain form of the same."""

import gc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prunebench_baselines.ccs import strata_of
from prunebench_baselines.d2 import edges_of, forward, greedy, reverse_weights
from prunebench_baselines.grouping import group_by_group, narrow
from prunebench_baselines.moderate import median
from prunebench_baselines.uniform import draw, first_of_each

import prunebench as pb
from prunebench import seeds
from prunebench.interop import given as given_arrays
from prunebench.training import recorder
from prunebench.training.statistics import STANDARD, WHOLE

KEYS = [f"train:{i}" for i in range(300)] + ["", "é/ü.png", "a\0b"]


# groups


@pytest.mark.parametrize("largest", [0, 1, 255, 256, 32_767, 32_768, 2**40])
def test_groups_in_fewer_bytes_are_the_same_groups_in_the_same_order(largest):
    groups = torch.randint(largest + 1, (500,), generator=torch.Generator().manual_seed(0))
    groups[7] = largest
    assert torch.equal(narrow(groups).long(), groups)
    assert torch.equal(group_by_group(groups), torch.argsort(groups, stable=True))
    assert torch.equal(group_by_group(-groups), torch.argsort(-groups, stable=True))
    assert group_by_group(groups[:0]).tolist() == []


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 200), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_the_first_of_each_group_are_those_of_a_loop_over_groups(examples, groups, seed):
    rng = np.random.default_rng(seed)
    of, order = rng.integers(0, groups, examples), rng.permutation(examples)[: rng.integers(0, examples + 1)]
    budgets = rng.integers(0, 4, groups)
    plain = [i for g in range(groups) for i in [j for j in order if of[j] == g][: budgets[g]]]
    found = first_of_each(*map(torch.from_numpy, (of, budgets, order)))
    assert found.dtype == torch.int64 and found.tolist() == sorted(plain)


def test_a_draw_is_that_of_one_permutation_of_all():
    groups = torch.randint(50, (4000,), generator=torch.Generator().manual_seed(1))
    shuffled = torch.randperm(4000, generator=torch.Generator().manual_seed(2))
    drawing = torch.Generator().manual_seed(2)
    found = draw(groups, torch.full((50,), 9), drawing)
    assert torch.equal(found, first_of_each(groups, torch.full((50,), 9), shuffled))
    after = torch.Generator().manual_seed(2)
    torch.randperm(4000, generator=after)
    assert torch.equal(drawing.get_state(), after.get_state())


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_strata_of_scores_that_are_not_finite_are_refused_wherever_they_stand(wrong):
    for place in (0, 50, 99):
        scores = torch.arange(100.0)
        scores[place] = wrong
        with pytest.raises(ValueError, match="finite"):
            strata_of(scores, 10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("examples", [1, 2, 7, 100])
def test_medians_are_numpys(dtype, examples):
    x = torch.randn(examples, 5, dtype=dtype, generator=torch.Generator().manual_seed(examples))
    assert median(x).tolist() == np.median(x.double().numpy(), axis=0).tolist()


# D2


def plain_greedy(u, rows, columns, weights, first, budget):
    u, chosen = u.copy(), []
    for _ in range(budget):
        i = min(set(range(len(u))) - set(chosen), key=lambda j: (-u[j], first[j]))
        near = rows == i
        u[columns[near]] -= weights[near] * u[i]
        chosen.append(i)
    return chosen


@settings(deadline=None, max_examples=60)
@given(
    st.integers(2, 40),
    st.integers(1, 6),
    st.sampled_from(["weighted", "absolute"]),
    st.sampled_from([0.0, 0.5, 2.0]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_d2s_queue_chooses_what_a_search_among_all_chooses(examples, k, reverse, shift, tied, seed):
    """Also where values are tied, and where they fall below 0, so that a choice raises its neighbours."""
    rng, k = np.random.default_rng(seed), min(k, examples - 1)
    others = [np.delete(np.arange(examples), i) for i in range(examples)]
    indices = np.stack([rng.choice(other, k, replace=False) for other in others])
    s, lengths = rng.random(examples), rng.random((examples, k))
    rows, columns, d = edges_of(lengths.round(1) if tied else lengths, indices)
    u = (s.round(1) if tied else s) - shift
    weights, first = reverse_weights(d, "paper", 0.1, reverse), rng.permutation(examples)
    for budget in (1, examples):
        found = greedy(u, rows, columns, weights, first, budget)
        assert found.tolist() == plain_greedy(u, rows, columns, weights, first, budget)


def test_d2s_queue_ends_where_a_value_is_no_number():
    nothing = np.zeros(0, dtype=int)
    with pytest.raises(IndexError):
        greedy(np.array([1.0, np.nan]), nothing, nothing, np.zeros(0), np.arange(2), 2)


def test_d2s_messages_are_summed_smallest_first_whatever_the_number_of_edges():
    rng = np.random.default_rng(0)
    hub = np.stack([np.zeros(60, int), np.arange(1, 61)])  # node 0 has 60 edges, node 61 none
    rows, columns = np.concatenate([hub, hub[::-1], rng.integers(1, 61, (2, 200))], axis=1)
    order = np.argsort(rows, kind="stable")
    edges = (rows[order], columns[order], rng.random(len(rows)))
    s = rng.random(62)
    total = np.zeros(62)
    for i in range(62):
        for heard in sorted(np.exp(-(edges[2] ** 2)) * s[edges[1]] * (edges[0] == i)):
            total[i] += heard
    assert np.array_equal(forward(s, edges, "paper", 1.0, "sum", None), s + total)


# seeds of keys


def test_seeds_of_many_keys_are_those_of_each():
    assert seeds.example_seeds("drd", 3, KEYS).tolist() == [seeds.seed_for("drd", 3, key) for key in KEYS]
    assert seeds.held_out(KEYS).tolist() == [seeds.seed_for("held_out", key) % 10 == 0 for key in KEYS]
    assert seeds.held_out([]).shape == (0,)


def test_keys_are_hashed_only_for_methods_that_name_what_they_seed(monkeypatch):
    scores, labels = np.arange(40.0), np.arange(40) % 4
    named = pb.select("kcenter", scores, keep=0.2, hard="high", given={"features": np.eye(40)[::-1]})
    assert named.indices.shape == (8,)

    def refuse(*args):
        raise AssertionError("hashed every key")

    monkeypatch.setattr(given_arrays, "example_seeds", refuse)
    monkeypatch.setattr(given_arrays, "held_out", refuse)
    for selector in ("ccs", "balanced", "per_class(hardest)"):
        assert len(pb.select(selector, scores, keep=0.2, hard="high", labels=labels).indices) == 8
    for selector in ("kcenter", "per_class(kcenter)"):
        with pytest.raises(AssertionError, match="hashed"):
            pb.select(selector, scores, keep=0.2, hard="high", labels=labels, given={"features": np.eye(40)})


# the recorder


def record(folder, logits, labels):
    """(E, N, C), (N,): one presentation and one evaluation an epoch."""
    recording = recorder.Recorder(STANDARD, len(labels), len(logits), folder)
    for epoch in logits:
        for positions in torch.randperm(len(labels)).split(64):
            recording.presented(positions, epoch[positions], labels[positions])
            recording.evaluated(positions, epoch[positions], labels[positions])
        recording.finish_epoch()
    return recording


def test_the_standard_statistics_take_at_most_32_bytes_per_example(tmp_path):
    n = 1237
    logits, labels = torch.randn(2, n, 3), torch.randint(0, 3, (n,))
    before = {id(x) for x in gc.get_objects()}
    recording = record(tmp_path, logits, labels)
    held = [x for x in gc.get_objects() if type(x) is torch.Tensor and id(x) not in before and len(x) == n]
    assert sum(x.nbytes for x in held) <= 32 * n
    assert len(held) == len(STANDARD) + 2  # a row of each statistic, and what was seen at either moment
    recording.close()


@pytest.mark.parametrize("block", [1, 100, 128, 1000])
def test_rows_written_in_blocks_are_whole(tmp_path, monkeypatch, block):
    monkeypatch.setattr(recorder, "BLOCK", block)
    logits, labels = torch.randn(3, 128, 3), torch.randint(0, 3, (128,))
    for name, path in record(tmp_path, logits, labels).close().items():
        history = np.load(path)
        expected = torch.stack([STANDARD[name][0](epoch, labels) for epoch in logits])
        assert history.dtype == np.float32 and path.stat().st_size == 128 + 4 * history.size
        np.testing.assert_allclose(history, expected, rtol=1e-6, atol=1e-6, err_msg=name)


def test_what_is_held_in_a_byte_are_whole_numbers_from_0_to_255():
    logits, labels = torch.randn(200, 5), torch.randint(0, 5, (200,))
    for function in WHOLE:
        values = function(logits, labels)
        assert torch.equal(values.to(torch.uint8).float(), values) and len(values.unique()) > 1
