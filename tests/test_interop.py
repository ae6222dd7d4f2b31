"""Scores and selections outside a run: recorded logits, arrays, files."""

import json

import numpy as np
import pytest
import torch

import prunebench as pb
from prunebench import UserError
from prunebench.training.statistics import statistic

rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(6, 40, 5)).astype(np.float32)
LABELS = rng.integers(0, 5, 40)


def by_hand(name):
    z, y = torch.from_numpy(LOGITS), torch.from_numpy(LABELS)
    return torch.stack([statistic(name)(epoch, y) for epoch in z]).numpy()


def test_any_dynamics_score_from_recorded_logits():
    assert np.allclose(pb.score_log("aum", LOGITS, LABELS).values, by_hand("logit_margin").mean(0), atol=1e-6)
    assert np.allclose(pb.score_log("el2n(epoch=3)", LOGITS, LABELS).values, by_hand("el2n")[2], atol=1e-6)
    margins = pb.score_log("accumulated_margin", torch.from_numpy(LOGITS), torch.from_numpy(LABELS))
    assert np.allclose(margins.values, by_hand("probability_margin").sum(0), atol=1e-5) and margins.hard == "low"
    two = pb.score_log("el2n(epoch=3, runs=2)", np.stack([LOGITS, LOGITS[::-1]]), LABELS)
    assert np.allclose(two.values, (by_hand("el2n")[2] + by_hand("el2n")[3]) / 2, atol=1e-6)


@pytest.mark.parametrize(
    "scorer, logits, labels, told",
    [("el2n", LOGITS, LABELS, "epoch 10, the log has 6"), ("el2n(epoch=1,runs=3)", LOGITS, LABELS, "3 runs"),
     ("aum", LOGITS[0], LABELS, r"\(E, N, C\)"), ("aum", LOGITS, LABELS[:-1], r"\(E, N, C\)"),
     ("aum", LOGITS, LABELS + 3, "labels must lie in"), ("aum", LOGITS * np.inf, LABELS, "not finite"),
     ("moderate", LOGITS, LABELS, "watches no training"), ("random", LOGITS, LABELS, "watches no training")],
)  # fmt: skip
def test_logs_that_do_not_fit_are_refused(scorer, logits, labels, told):
    with pytest.raises(UserError, match=told):
        pb.score_log(scorer, logits, labels)


def test_select_from_scores_and_from_arrays():
    scores = pb.score_log("aum", LOGITS, LABELS)
    found = pb.select("hardest", scores, keep=0.1)
    assert set(found.indices) == set(np.argsort(scores.values, kind="stable")[:4])
    same = pb.select("hardest", scores.values, keep=0.1, hard="low")
    assert np.array_equal(found.indices, same.indices)
    with pytest.raises(UserError, match="which end"):
        pb.select("hardest", scores.values, keep=0.1)


def test_given_scores_are_turned_by_their_own_scorer():
    margin = np.arange(40.0)  # accumulated margin: low = hard, so the cut removes the first ones
    found = pb.select(
        "ccs(cutoff=0.5)", np.ones(40), hard="high", keep=0.5, given={"accumulated_margin": margin}, seed=3
    )
    assert np.array_equal(found.indices, np.arange(20, 40))
    scored = pb.score_log("accumulated_margin", LOGITS, LABELS)
    found = pb.select("ccs(cutoff=0.5)", scored, keep=0.5, given={"accumulated_margin": scored})
    assert np.array_equal(found.indices, np.sort(np.argsort(scored.values, kind="stable")[20:]))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, bool, np.float32])
def test_numbers_of_any_type_are_turned_without_wrapping(dtype):
    values = np.array([0, 1, 1, 1, 1, 1]).astype(dtype)
    assert pb.select("hardest", pb.Scores(values, "low", "x"), keep=0.2).indices.tolist() == [0]
    ramp, cut = np.arange(6.0), "ccs(cutoff=0.2)"
    kept = [
        pb.select(cut, ramp, keep=0.8, hard="high", given={"accumulated_margin": v}).indices.tolist()
        for v in (values, values.astype(np.float64))
    ]
    assert kept[0] == kept[1]


@pytest.mark.parametrize(
    "changed, told",
    [({"hard": "low"}, "say themselves that high is hard"), ({"keys": tuple("uvwxyz")}, "keys of their own")],
)
def test_scores_say_themselves_what_they_are(changed, told):
    scores = pb.Scores(np.arange(6.0), "high", "x", keys=tuple("abcdef"))
    with pytest.raises(UserError, match=told):
        pb.select("hardest", scores, keep=0.5, **changed)
    with pytest.raises(UserError, match="'High' is hard: it must be 'high' or 'low'"):
        pb.select("hardest", pb.Scores(np.arange(6.0), "High", "x"), keep=0.5)


def test_what_nobody_supplies_is_named():
    for selector, told in [("ccs(cutoff=0.5)", "accumulated_margin"), ("balanced", "labels"), ("bws", "labels")]:
        with pytest.raises(UserError, match=told):
            pb.select(selector, np.arange(40.0), hard="high", keep=0.5)
    with pytest.raises(UserError, match="features"):
        pb.score("moderate", None, given={"labels": LABELS})


def test_ridge_windows_from_given_features():
    features = rng.normal(size=(40, 3)).astype(np.float32)
    found = pb.select(
        "bws(proxy='reference')", np.arange(40.0), hard="high", keep=0.5, labels=LABELS, given={"features": features}
    )
    assert len(found) == 20 and len(found.details["judged_accuracy"]) == len(found.details["starts"])


def test_score_arrays_without_a_harness():
    features = rng.normal(size=(40, 3)).astype(np.float32)
    found = pb.score("moderate", None, given={"features": features, "labels": LABELS})
    expected = [
        np.linalg.norm(x - np.median(features[y == LABELS], axis=0)) for x, y in zip(features, LABELS, strict=True)
    ]
    assert np.allclose(found.values, expected, atol=1e-5)


def test_score_pictures_and_map_style_data_sets():
    pixels = rng.integers(0, 256, (12, 3, 8, 8), dtype=np.uint8)
    labels = np.arange(12) % 3
    first = pb.score("random", pixels, labels)
    items = [(torch.from_numpy(p), int(y)) for p, y in zip(pixels, labels, strict=True)]
    assert np.array_equal(pb.score("random", items).values, first.values)
    assert first.keys == tuple(f"train:{i}" for i in range(12))
    with pytest.raises(UserError, match="uint8"):
        pb.score("random", pixels.astype(float), labels)


@pytest.mark.parametrize("keep", [0.01, 0.37, 1.0])
@pytest.mark.parametrize(
    "selector", ["hardest", "easiest", "moderate", "ccs", "per_class(hardest)", "balanced", "random"]
)
def test_exact_budgets_from_arrays(selector, keep):
    found = pb.select(selector, np.zeros(40), hard="high", keep=keep, labels=LABELS)
    assert len(found) == max(1, int(keep * 40 + 0.5)) == len(set(found.indices))


# -- files ------------------------------------------------------------------------------------------------------------


def test_files_round_trip(tmp_path):
    scores = pb.score_log("aum", LOGITS, LABELS)
    path = pb.save_scores(scores, tmp_path / "s.npz")
    back = pb.load_scores(path)
    assert np.array_equal(back.values, scores.values) and (back.hard, back.scorer) == ("low", scores.scorer)
    chosen = pb.select("hardest", back, keep=0.2)
    for name in ("subset.npy", "subset.npz"):
        again = pb.load_selection(pb.save_selection(chosen, tmp_path / name))
        assert np.array_equal(again.indices, chosen.indices) and again.selector == chosen.selector
    assert np.array_equal(np.load(tmp_path / "subset.npy"), chosen.indices)


def test_files_without_a_card_need_a_direction(tmp_path):
    np.save(tmp_path / "bare.npy", np.arange(5.0))
    np.savez(tmp_path / "bare2.npz", values=np.arange(5.0))
    for name in ("bare.npy", "bare2.npz"):
        with pytest.raises(UserError, match="--hard"):
            pb.load_scores(tmp_path / name)
        assert pb.load_scores(tmp_path / name, hard="high").hard == "high"


def test_files_that_are_not_what_they_say_are_refused(tmp_path):
    scores = pb.score_log("aum", LOGITS, LABELS)
    path = pb.save_scores(scores, tmp_path / "s.npz")
    other = pb.save_scores(pb.score_log("forgetting", LOGITS, LABELS), tmp_path / "o.npz")
    path.write_bytes(other.read_bytes())
    with pytest.raises(UserError, match="not the file"):
        pb.load_scores(path)
    (tmp_path / "o.npz.json").write_text(json.dumps({"kind": "selection"}))
    with pytest.raises(UserError, match="card of selection"):
        pb.load_scores(other)
    (tmp_path / "o.npz.json").write_text("{")
    with pytest.raises(UserError, match="readable card"):
        pb.load_scores(other)
    with pytest.raises(UserError, match="no file"):
        pb.load_scores(tmp_path / "nothing.npz")
    np.save(tmp_path / "twice.npy", np.array([1, 1, 2]))
    np.save(tmp_path / "negative.npy", np.array([-1, 2]))
    np.save(tmp_path / "halves.npy", np.array([0.5]))
    for name in ("twice", "negative", "halves"):
        with pytest.raises(UserError):
            pb.load_selection(tmp_path / f"{name}.npy")


def test_a_store_card_loads_as_well(tmp_path):
    pixels = rng.integers(0, 256, (12, 3, 8, 8), dtype=np.uint8)
    found = pb.score("random", pixels, np.arange(12) % 3, store=tmp_path)
    assert np.array_equal(pb.load_scores(tmp_path / "scores" / f"{found.id}.json").values, found.values)


@pytest.mark.parametrize(
    "call, told",
    [(lambda x, y: pb.score("random", x.transpose(0, 2, 3, 1), y), "uint8"),
     (lambda x, y: pb.score("random", x, y[:-1]), "one label"),
     (lambda x, y: pb.score("random", x, y + 0.5), "integers"),
     (lambda x, y: pb.score("random", x, y - 1), "integers from 0"),
     (lambda x, y: pb.score("random", x, y, classes=["a"]), "beyond the 1 classes"),
     (lambda x, y: pb.score("random", x, y, keys=["a"] * 12), "different keys"),
     (lambda x, y: pb.score("random", x[:0], y[:0]), "N >= 1"),
     (lambda x, y: pb.score("random", "digits"), "no data"),
     (lambda x, y: pb.score("random", [x[0], x[1]]), "pairs"),
     (lambda x, y: pb.score("random", [(torch.randn(3, 8, 8), 0)]), "leaves"),
     (lambda x, y: pb.score_log("aum", LOGITS, LABELS + 0.5), "integers"),
     (lambda x, y: pb.score_log("aum", LOGITS[:0], LABELS), "no epoch"),
     (lambda x, y: pb.score_log("el2n(epoch=0)", LOGITS, LABELS), "epoch 0"),
     (lambda x, y: pb.select("hardest", y, keep=0.5, hard="up"), "'high' or 'low'"),
     (lambda x, y: pb.select("hardest", y, keep="a", hard="low"), "keep must lie"),
     (lambda x, y: pb.select("hardest", y, keep=0.5, hard="low", keys=["a"] * 12), "different keys"),
     (lambda x, y: pb.select("ccs(cutoff=0.1)", y, keep=0.5, hard="low", given={"accumulated_margin": y * np.nan}),
      "finite"),
     (lambda x, y: pb.select("hardest", y, keep=0.5, hard="low", given={"hardness": y}), "comes from the scores")],
)  # fmt: skip
def test_what_does_not_fit_is_one_sentence(call, told):
    pixels, labels = rng.integers(0, 256, (12, 3, 8, 8), dtype=np.uint8), np.arange(12) % 3
    with pytest.raises(UserError, match=told):
        call(pixels, labels)


def test_one_card_per_file(tmp_path):
    chosen = pb.select("hardest", np.arange(10.0), keep=0.3, hard="high")
    for name in ("x.npy", "x.npz"):
        pb.save_selection(chosen, tmp_path / name)
    assert all(np.array_equal(pb.load_selection(tmp_path / n).indices, chosen.indices) for n in ("x.npy", "x.npz"))


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        (np.ones(3), r"float64 weights of shape \(3,\) for 4 positions"),
        (np.array([1, -1, 1, 1.0]), "the weight -1.0 at place 1"),
        (np.array([1, 1, np.nan, 1]), "the weight nan at place 2"),
        (np.zeros(4), "weights that are all 0"),
        (np.array(list("abcd")), "<U1 weights"),
    ],
)
def test_weights_of_a_subset_file_are_looked_at_when_it_is_read(tmp_path, weights, told):
    np.savez(tmp_path / "s.npz", indices=np.array([3, 1, 2, 0]), weights=weights)
    with pytest.raises(pb.UserError, match=told):
        pb.load_selection(tmp_path / "s.npz")


def test_no_scores_are_told_as_that():
    with pytest.raises(pb.UserError, match="there are no scores"):
        pb.select("ccs", np.zeros(0), keep=0.1, hard="high")
