"""BWS: windows, the ridge proxy and the best window, by plain loops and against the released code's own numbers."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prunebench_baselines import ridge as ridge_module
from prunebench_baselines.bws import best_windows, bws, easiest_half, members, rank_in_class, start_grid, windows
from prunebench_baselines.ridge import parts, solve, window_accuracy, window_moments

from prunebench import budget_for, class_budgets

GOLDEN = Path(__file__).parent / "golden" / "bws_windows.npz"
CASES = [(features, ratio) for features in ("d12", "d150") for ratio in (20, 40, 75)]


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def refused(*args, **kwargs):
    raise AssertionError("asked for without need")


def observed(h: torch.Tensor, calls: list | None = None):
    def observe(labels=None, indices=None, epochs=None, seed=0, watch=()):
        if calls is not None:
            calls.append(SimpleNamespace(labels=labels, indices=indices, epochs=epochs, seed=seed))
        return SimpleNamespace(features=lambda: h)

    return observe


def reference_members(measure: np.ndarray, labels: np.ndarray, ratio: float, starts: np.ndarray) -> torch.Tensor:
    budget = round(ratio * len(labels))
    first, stop = windows(np.bincount(labels), budget, starts, rounding="reference")
    place = rank_in_class(torch.from_numpy(measure), torch.from_numpy(labels))
    return members(place, torch.from_numpy(labels), first, stop)


def plain_ridge(h: np.ndarray, labels: np.ndarray, window: np.ndarray, ridge: float = 1.0) -> np.ndarray:
    """The dual form, one window: (D+1, C)."""
    x = np.c_[np.ones(len(h)), h.astype(np.float64)][window]
    y = np.eye(labels.max() + 1)[labels[window]]
    return x.T @ np.linalg.solve(x @ x.T + ridge * np.eye(len(x)), y)


# windows


def test_starts_run_from_zero_to_what_still_fits():
    assert start_grid(100, 80).tolist() == [0.0, 0.05, 0.1, 0.15, 0.2]
    assert start_grid(100, 80, furthest=0.1).tolist() == [0.0, 0.05, 0.1]
    assert start_grid(1437, budget_for(0.05, 1437))[-1] == 0.95  # k / N is 0.0501, the last start is not lost to it
    assert start_grid(100, 100).tolist() == [0.0]


@pytest.mark.parametrize("ratio", [10, 20, 30, 40, 50, 75, 90])
def test_the_grids_of_the_paper_and_of_drd(golden, ratio):
    budget = budget_for(ratio / 100, 240)
    if f"window_starts_r{ratio}" in golden:
        np.testing.assert_allclose(start_grid(240, budget), golden[f"window_starts_r{ratio}"], atol=1e-9)
    if f"drd_window_starts_r{ratio}" in golden:
        np.testing.assert_allclose(
            start_grid(240, budget, furthest=0.5), golden[f"drd_window_starts_r{ratio}"], atol=1e-9
        )


@pytest.mark.proves("bws", "closed form")
def test_windows_by_hand():
    first, stop = windows(np.array([10, 5, 1, 0]), 8, np.array([0.0, 0.05, 0.15, 0.5]))
    assert (stop - first).tolist() == [[4, 3, 1, 0]] * 4
    assert first.tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [2, 1, 0, 0], [5, 2, 0, 0]]  # halves up; as late as it fits


def test_ranks_begin_at_the_end_that_order_names_and_ties_stay():
    hardness, labels = torch.tensor([3.0, 1.0, 3.0, 7.0, 2.0]), torch.tensor([0, 0, 0, 1, 0])
    assert rank_in_class(hardness, labels).tolist() == [0, 3, 1, 0, 2]
    assert rank_in_class(hardness, labels, "easiest").tolist() == [2, 0, 3, 0, 1]


def test_the_easier_half_is_the_same_from_both_ends():
    hardness, labels = torch.tensor([3.0, 1.0, 5.0, 7.0, 2.0]), torch.tensor([0, 0, 0, 1, 0])
    for order in ("hardest", "easiest"):
        half = easiest_half(rank_in_class(hardness, labels, order), labels, order)
        assert half.tolist() == [False, True, False, True, True]


@pytest.mark.proves("bws", "property")
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any),
    st.floats(0, 1),
    st.sampled_from([0.05, 0.01, 0.3, 1.0]),
)
def test_every_window_has_every_classs_budget_and_moves_one_way(counts, keep, step):
    counts = np.array(counts)
    budget = max(1, round(keep * counts.sum()))
    first, stop = windows(counts, budget, start_grid(int(counts.sum()), budget, step))
    assert ((stop - first) == class_budgets(counts, budget)).all()
    assert (first[0] == 0).all() and (stop <= counts).all() and (np.diff(first, axis=0) >= 0).all()


@pytest.mark.proves("bws", "golden")
@pytest.mark.parametrize(("features", "ratio"), CASES)
def test_members_of_the_released_code(golden, features, ratio):
    starts = golden[f"{features}_r{ratio}__starts"]
    ours = reference_members(golden["measure"], golden["labels"], ratio / 100, starts)
    assert np.array_equal(ours.numpy(), golden[f"{features}_r{ratio}__member"])


def test_members_of_the_released_code_with_a_class_of_one(golden):
    starts, theirs = golden["single_r75__starts"], golden["single_r75__member"]
    ours = reference_members(golden["measure"], golden["single_labels"], 0.75, starts)
    assert np.array_equal(ours.numpy(), theirs)
    assert len(set(theirs.sum(1).tolist())) > 1  # its windows have several sizes, ours one
    first, stop = windows(np.bincount(golden["single_labels"]), 180, starts)
    assert set((stop - first).sum(1).tolist()) == {180}


@pytest.mark.parametrize("ratio", [20, 50])
def test_tied_counts_keep_the_same_numbers_per_class(golden, ratio):
    starts, labels = golden[f"tied_r{ratio}__starts"], golden["labels"]
    ours = reference_members(golden["measure_tied"], labels, ratio / 100, starts).numpy()
    for c in range(4):
        inside = ours[:, labels == c]
        assert inside.sum(1).tolist() == golden[f"tied_r{ratio}__count_per_class"][:, c].tolist()
        sums = inside @ golden["measure_tied"][labels == c]
        assert sums.tolist() == golden[f"tied_r{ratio}__sum_per_class"][:, c].tolist()


@pytest.mark.parametrize(("features", "ratio"), CASES)
def test_our_windows_differ_from_the_released_codes_by_rounding_only(golden, features, ratio):
    starts, labels = golden[f"{features}_r{ratio}__starts"], torch.from_numpy(golden["labels"])
    first, stop = windows(np.bincount(golden["labels"]), budget_for(ratio / 100, 240), starts)
    ours = members(rank_in_class(torch.from_numpy(golden["measure"]), labels), labels, first, stop).numpy()
    assert set(ours.sum(1).tolist()) == {budget_for(ratio / 100, 240)}
    assert (ours != golden[f"{features}_r{ratio}__member"]).sum(1).max() <= 2 * 4  # at most one at each end of a class


# ridge


def test_parts_partition_what_the_windows_keep():
    member = torch.tensor([[1, 1, 0, 0, 1, 1], [0, 1, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1]], dtype=torch.bool)
    found = {tuple(inside): indices.tolist() for inside, indices in parts(member)}
    assert found == {(0,): [0], (0, 1): [1], (1, 2): [3], (0, 1, 2): [4], (0, 2): [5]}
    many = member.repeat(50, 1)  # more windows than bits in a number
    assert sorted(part.tolist() for _, part in parts(many)) == [[0], [1], [3], [4], [5]]


def test_one_pass_gives_the_moments_of_every_window(golden, monkeypatch):
    monkeypatch.setattr(ridge_module, "ROWS", 7)
    member = reference_members(golden["measure"], golden["labels"], 0.4, golden["d12_r40__starts"])
    h, labels = golden["features_d12"], golden["labels"]
    rows = []
    with_ones = ridge_module.with_ones
    monkeypatch.setattr(ridge_module, "with_ones", lambda h: rows.append(len(h)) or with_ones(h))
    gram, cross = window_moments(torch.from_numpy(h), torch.from_numpy(labels), member)
    assert sum(rows) == int(member.any(dim=0).sum())  # every example once, however many windows it lies in
    for w, window in enumerate(member.numpy()):
        x = np.c_[np.ones(len(h)), h.astype(np.float64)][window]
        np.testing.assert_allclose(gram[w], x.T @ x, rtol=1e-12, atol=1e-11)
        np.testing.assert_allclose(cross[w], x.T @ np.eye(4)[labels[window]], rtol=1e-12, atol=1e-11)


@pytest.mark.proves("bws", "golden")
@pytest.mark.parametrize(("features", "ratio"), CASES)
def test_weights_are_the_dual_solution_and_the_released_codes(golden, features, ratio):
    """d150 has windows of fewer examples than features, where the reference takes the dual form."""
    name = f"{features}_r{ratio}"
    h, labels, member = golden[f"features_{features}"], golden["labels"], golden[f"{name}__member"]
    moments = window_moments(torch.from_numpy(h), torch.from_numpy(labels), torch.from_numpy(member))
    weights = solve(*moments, ridge=1.0).numpy()  # (W, D+1, C)
    for w, window in enumerate(member):
        np.testing.assert_allclose(weights[w], plain_ridge(h, labels, window), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(weights[0].T, golden[f"{name}__W_first"], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(weights[-1].T, golden[f"{name}__W_last"], rtol=1e-3, atol=1e-4)


@pytest.mark.proves("bws", "golden")
@pytest.mark.parametrize(("features", "ratio"), CASES)
def test_accuracies_and_best_window_of_the_released_code(golden, features, ratio):
    name = f"{features}_r{ratio}"
    h, labels = torch.from_numpy(golden[f"features_{features}"]), torch.from_numpy(golden["labels"])
    member = torch.from_numpy(golden[f"{name}__member"])
    accuracy = window_accuracy(h, labels, member, torch.ones(240, dtype=torch.bool))
    np.testing.assert_allclose(100 * accuracy, golden[f"{name}__acc_percent"], atol=100 / 240 + 1e-4)
    assert int(np.argmax(accuracy)) == int(golden[f"{name}__best"])


def test_the_penalty_is_lambda_on_every_weight_the_bias_included():
    gram, cross = torch.tensor([[[4.0, 0.0], [0.0, 1.0]]]), torch.tensor([[[5.0], [3.0]]])
    assert solve(gram, cross, ridge=1.0).flatten().tolist() == [1.0, 1.5]
    assert solve(gram, cross, ridge=6.0).flatten().tolist() == pytest.approx([0.5, 3 / 7])


def test_judged_examples_alone_are_counted():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    h = (np.eye(3)[labels] + rng.normal(0, 0.6, (90, 3))).astype(np.float32)
    member = np.stack([np.arange(90) < 30, (np.arange(90) >= 15) & (np.arange(90) < 45)])
    judged = rng.random(90) < 0.5
    accuracy = window_accuracy(*map(torch.from_numpy, (h, labels, member, judged)), ridge=0.3)
    for w in range(2):
        guess = (np.c_[np.ones(90), h] @ plain_ridge(h, labels, member[w], 0.3)).argmax(1)
        assert accuracy[w] == (guess == labels)[judged].mean()


# the selector


def whole(golden, **options):
    h = torch.from_numpy(golden["features_d12"])
    hardness, labels = torch.from_numpy(golden["measure"]), torch.from_numpy(golden["labels"])
    calls = []
    options = {"observe": observed(h, calls), "features": refused, "judge": refused} | options
    budget = options.pop("budget", 48)
    given_names = [options.pop(name) for name in ("observe", "features", "judge")]
    return bws(hardness, labels, budget, *given_names, generator(), **options), calls


@pytest.mark.proves("bws", "closed form")
def test_the_whole_selection_against_a_plain_loop(golden):
    chosen, calls = whole(golden)
    h, labels, measure = golden["features_d12"], golden["labels"], golden["measure"]
    quotas = class_budgets(np.bincount(labels), 48)
    best, accuracies = None, []
    for w in golden["d12_r20__starts"]:
        window = np.zeros(240, dtype=bool)
        for c in range(4):
            inside = sorted(np.flatnonzero(labels == c), key=lambda i: -measure[i])
            first = min(int(w * len(inside) + 0.5 + 1e-9), len(inside) - quotas[c])
            window[inside[first : first + quotas[c]]] = True
        guess = (np.c_[np.ones(240), h] @ plain_ridge(h, labels, window)).argmax(1)
        accuracies.append((guess == labels).mean())
        if best is None or accuracies[-1] > accuracies[best[0]]:
            best = (len(accuracies) - 1, w, np.flatnonzero(window))
    assert chosen.indices.tolist() == best[2].tolist()
    assert chosen.details["judged_accuracy"].tolist() == accuracies
    assert chosen.details["start"] == pytest.approx(best[1]) == chosen.details["start_from_hardest"]
    assert chosen.details["start_from_easiest"] == pytest.approx(0.8 - best[1])
    (call,) = calls
    assert call.epochs == 20 and torch.bincount(torch.from_numpy(labels)[call.indices]).tolist() == quotas.tolist()


def test_counting_from_the_easy_end_mirrors_hardness(golden):
    hardest, _ = whole(golden)
    h = torch.from_numpy(golden["features_d12"])
    hardness, labels = -torch.from_numpy(golden["measure"]), torch.from_numpy(golden["labels"])
    easiest = bws(hardness, labels, 48, observed(h), refused, refused, generator(), order="easiest")
    assert torch.equal(easiest.indices, hardest.indices)
    assert easiest.details["start_from_easiest"] == hardest.details["start_from_hardest"] == hardest.details["start"]


def test_one_network_may_serve_all_ratios(golden):
    h = torch.from_numpy(golden["features_d12"])
    shared, _ = whole(golden, proxy="reference", observe=refused, features=lambda: h)
    assert torch.equal(shared.indices, whole(golden)[0].indices)


def test_one_pass_may_serve_all_ratios(golden):
    h, budgets = torch.from_numpy(golden["features_d12"]), (12, 48, 96, 180, 239, 240)
    hardness, labels = torch.from_numpy(golden["measure"]), torch.from_numpy(golden["labels"])
    for options in ({}, {"order": "easiest", "furthest": 0.5, "ridge": 0.3, "judged": "easiest_half", "step": 0.02}):
        together = best_windows(h, hardness, labels, budgets, **options)
        for budget, found in zip(budgets, together, strict=True):
            alone = bws(
                *(hardness, labels, budget, refused, lambda: h, refused, generator()), proxy="reference", **options
            )
            assert torch.equal(found.indices, alone.indices) and found.details.keys() == alone.details.keys()
            for name, value in alone.details.items():
                np.testing.assert_array_equal(found.details[name], value)


def test_a_network_may_be_trained_on_every_window(golden):
    wanted = torch.from_numpy(golden["measure"]).argsort()[100:148]
    judged = []

    def judge(indices, weights=None):
        judged.append(indices)
        return float(torch.isin(indices, wanted).double().mean())

    chosen, _ = whole(golden, evaluator="train", observe=refused, judge=judge)
    accuracy = chosen.details["judged_accuracy"]
    assert len(judged) == len(accuracy) == 17
    assert torch.equal(chosen.indices, judged[int(np.argmax(accuracy))])


def test_the_first_of_equal_windows_wins(golden):
    chosen, _ = whole(golden, evaluator="train", observe=refused, judge=lambda indices: 0.5)
    assert chosen.details["start"] == 0.0


def test_the_easier_half_may_judge_alone(golden):
    measure, labels = torch.from_numpy(golden["measure"]), torch.from_numpy(golden["labels"])
    h, noisy = torch.from_numpy(golden["features_d12"]), labels.clone()
    hard = torch.cat(
        [i[measure[i].argsort()][-len(i) // 5 :] for i in ((labels == c).nonzero()[:, 0] for c in range(4))]
    )
    noisy[hard] = (noisy[hard] + 1) % 4
    given_names = (measure, noisy, 48, refused, lambda: h, refused, generator())
    half = bws(*given_names, proxy="reference", judged="easiest_half")
    everything = bws(*given_names, proxy="reference")
    assert half.details["judged_accuracy"].max() > everything.details["judged_accuracy"].max()
    count = int(((torch.bincount(noisy) + 1) // 2).sum())
    for value in half.details["judged_accuracy"]:
        assert value * count == pytest.approx(round(value * count), abs=1e-9)


@pytest.mark.parametrize("options", [{"budget": 240}, {"furthest": 0.0}])
def test_where_there_is_one_window_nothing_is_trained(golden, options):
    chosen, calls = whole(golden, **options)
    assert calls == [] and chosen.details["start"] == 0.0
    assert len(chosen.indices) == options.get("budget", 48)
    assert np.isnan(chosen.details["judged_accuracy"]).tolist() == [True]


def test_coinciding_windows_are_judged_once():
    labels, calls = torch.arange(3).repeat_interleave(2), []

    def judge(indices):
        calls.append(indices.tolist())
        return 0.0

    chosen = bws(torch.arange(6.0), labels, 3, refused, refused, judge, generator(), evaluator="train")
    assert calls == [[1, 3, 5], [0, 2, 4]] and chosen.details["starts"].tolist() == [0.0, 0.25]


@pytest.mark.parametrize(
    "options",
    [
        {"order": "desc"},
        {"proxy": "none"},
        {"evaluator": "knn"},
        {"judged": "half"},
        {"step": 0.0},
        {"furthest": 1.5},
        {"epochs": 0},
        {"ridge": 0.0},
        {"evaluator": "train", "judged": "easiest_half"},
    ],
)
def test_options_out_of_range_are_refused_before_anything_trains(golden, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        whole(golden, observe=refused, **options)


def test_a_diverged_proxy_is_not_judged(golden):
    with pytest.raises(ValueError, match="not finite"):
        whole(golden, observe=observed(torch.full((240, 3), torch.nan)))
