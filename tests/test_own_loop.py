"""A recorder in one's own loop: the numbers of the harness, from one epoch at a time."""

import numpy as np
import pytest
import torch

import prunebench as pb
from prunebench import UserError, registry
from prunebench.interop.recorded import recorded_history
from prunebench.interop.streams import statistics_of
from prunebench.training.recipes import recipe
from prunebench.training.recorder import Recorder as HarnessRecorder

N, C, E = 40, 5, 12
rng = np.random.default_rng(0)
LOGITS = (3 * rng.normal(size=(E, N, C))).astype(np.float32)
LABELS = rng.integers(0, C, N)
WITH_STREAM = {
    "aum": ("",), "accumulated_margin": ("",), "correctness": ("",), "first_learned": ("",),
    "presentations_to_learn": ("",), "entropy": ("", "(epoch=3)"), "loss": ("", "(epoch=1)"), "margin": ("(epoch=2)",),
    "least_confidence": ("", "(epoch=4)"), "el2n": ("", "(epoch=3)"), "confidence": ("", "(epochs=5)"),
    "forgetting": ("", "(never_learned='zero')"), "dyn_unc": ("", "(window=4)", "(window=12,epochs=12)"),
    "dual": ("(epochs=7,window=3)", "(epochs=12,window=5)"), "tdds": ("", "(window=3,epochs=6,decay=0.4)"),
}  # fmt: skip
TEXTS = [f"{name}{options}" for name, many in WITH_STREAM.items() for options in many]


def told(recorder, epochs=range(E), batch=7, evaluate=True):
    """Every epoch in an order of its own."""
    for e in epochs:
        for rows in np.array_split(np.random.default_rng(e).permutation(N), N // batch):
            recorder(rows, torch.from_numpy(LOGITS[e, rows]), LABELS[rows])
            if evaluate:
                recorder.evaluated(rows, torch.from_numpy(LOGITS[e, rows]), LABELS[rows])
        recorder.end_epoch()
    return recorder


def of_the_log(text):
    return pb.score_log(text, LOGITS, LABELS)


# -- the same numbers -------------------------------------------------------------------------------------------------


def test_every_dynamics_scorer_of_ours_has_a_stream():
    scorers = [entry.record for entry in registry.installed().entries["scorer"].values()]
    history_only = {r.name for r in scorers if registry.installed().method("scorer", r.name).inputs == ("history",)}
    assert history_only == set(WITH_STREAM) == {r.name for r in scorers if r.stream is not None}


@pytest.mark.parametrize("text", TEXTS)
def test_a_stream_gives_what_the_whole_history_gives_bit_for_bit(text):
    recorder = told(pb.Recorder(N, watch=text))
    assert not recorder._kept  # nothing of the history was held
    found, expected = recorder.scores(text), of_the_log(text)
    assert np.array_equal(found.values, expected.values)
    same = [getattr(scores, name) for scores in (found, expected) for name in ("hard", "scorer", "comparable", "keys")]
    assert same[:4] == same[4:] and found.label_free is False


@pytest.mark.parametrize("text", ["tdds(window=4)", "dyn_unc(window=4)", "least_confidence(epoch=2)", "el2n(epoch=2)"])
def test_a_kept_history_tells_options_that_were_not_watched(text):
    recorder = told(pb.Recorder(N, watch=("tdds", "dyn_unc", "least_confidence", "el2n"), history=True))
    assert np.array_equal(recorder.scores(text).values, of_the_log(text).values)


def test_the_same_numbers_as_the_harness_from_one_training(tmp_path, one_thread):
    """Both recorders see one training of the harness, with its augmentation and its passes at the ends of epochs."""
    from prunebench.datasets.loading import load
    from prunebench.training.loop import train

    data = load(registry.installed(), "planted(train=24,test=12)", tmp_path, image_size=16)
    options = {
        "el2n": "(epoch=3)",
        "dyn_unc": "(window=3)",
        "dual": "(epochs=4,window=3)",
        "tdds": "(epochs=4,window=3)",
    }
    methods = [registry.installed().method("scorer", name + options.get(name, "")) for name in WITH_STREAM]
    watches = {k: (w.fn, w.at) for method in methods for k, w in statistics_of(method).items()}
    own = pb.Recorder(24, 4, watch=[method.text for method in methods])

    class Both(HarnessRecorder):
        def presented(self, positions, logits, labels):
            super().presented(positions, logits, labels)
            own(positions, logits, labels)

        def evaluated(self, positions, logits, labels):
            super().evaluated(positions, logits, labels)
            own.evaluated(positions, logits, labels)

        def finish_epoch(self):
            super().finish_epoch()
            own.end_epoch()

    both, plan = Both(watches, 24, 4, tmp_path), recipe(data, "test_resnet")
    train(
        data.train.images, data.train.labels, len(data.classes), model="test_resnet", recipe=plan, seed=0, epochs=4,
        recorder=both,
    )  # fmt: skip
    files = both.close()
    for method in methods:
        rows = {k: torch.from_numpy(np.load(files[k]))[None] for k in statistics_of(method)}
        given = rows if isinstance(method.entry.record.watch, tuple) else next(iter(rows.values()))
        expected = pb.score(method.text, None, given={"history": given})
        assert np.array_equal(own.scores(method.text).values, expected.values), method.label
        assert len(np.unique(expected.values)) > 1, method.label


def test_the_log_itself_agrees_with_the_statistics_by_hand():
    method = registry.installed().method("scorer", "aum")
    history = recorded_history(method, torch.from_numpy(LOGITS)[None], torch.from_numpy(LABELS))
    margins = [[z[y] - np.delete(z, y).max() for z, y in zip(epoch, LABELS, strict=True)] for epoch in LOGITS]
    assert np.allclose(history[0], margins, atol=1e-6)
    assert np.allclose(told(pb.Recorder(N, watch="aum")).scores("aum").values, np.mean(margins, 0), atol=1e-6)


# -- memory -----------------------------------------------------------------------------------------------------------


def held(recorder):
    return sum(tensor.nbytes for name, tensor in recorder.state_dict().items() if name != "told")


def test_what_is_held_does_not_grow_with_the_epochs():
    recorder = pb.Recorder(N)
    before = held(told(recorder, range(1)))
    assert held(told(recorder, range(1, E))) == before < 500 * N
    kept = pb.Recorder(N, watch="aum", history=True)
    assert held(told(kept, range(5))) - held(told(pb.Recorder(N, watch="aum"), range(5))) == 5 * 4 * N


def test_by_default_all_is_watched_that_takes_little():
    recorder = told(pb.Recorder(N))
    for name in sorted(set(WITH_STREAM) - {"tdds", "dual"}):
        assert np.array_equal(recorder.scores(name).values, of_the_log(name).values), name
    with pytest.raises(UserError, match=r"watch=\('tdds',\)"):  # it takes (N, C): only for who asks
        recorder.scores("tdds")
    with pytest.raises(UserError, match="epochs=30 is not among the 12"):
        recorder.scores("dual")


# -- the loop ---------------------------------------------------------------------------------------------------------


def test_epochs_are_told_by_number_too():
    recorder = pb.Recorder(N, E, watch=("aum", "el2n(epoch=3)"))
    for e in range(E):
        for rows in np.array_split(np.arange(N), 3):
            recorder(torch.from_numpy(rows), torch.from_numpy(LOGITS[e, rows]), torch.from_numpy(LABELS[rows]), epoch=e)
        if e == 2:  # the only epoch that is asked for
            recorder.evaluated(range(N), LOGITS[e], LABELS, epoch=e)
    for text in ("aum", "el2n(epoch=3)"):
        assert np.array_equal(recorder.scores(text).values, of_the_log(text).values)


def test_keys_and_fingerprint_travel_into_the_file(tmp_path):
    keys = [f"cat/{i}.png" for i in range(N)]
    scores = told(pb.Recorder(N, watch="aum", keys=keys, fingerprint="f" * 64)).scores("aum")
    back = pb.load_scores(pb.save_scores(scores, tmp_path / "s.npz"))
    assert back.keys == tuple(keys) and back.fingerprint == "f" * 64 and back.hard == "low"


@pytest.mark.parametrize("whole", [lambda z: z.astype(np.int64), lambda z: torch.from_numpy(z).to(torch.int8)])
def test_whole_numbers_are_logits_and_sizes_too(whole):
    recorder = pb.Recorder(np.int64(N), np.int32(1), watch="aum")
    recorder(range(N), whole(LOGITS[0]), LABELS.astype(np.uint16))
    expected = pb.score_log("aum", LOGITS[:1].astype(np.int64), LABELS)
    assert np.array_equal(recorder.scores("aum").values, expected.values)


def test_half_precision_logits_are_taken_as_the_harness_takes_them():
    recorder = pb.Recorder(N, watch="aum")
    recorder(range(N), torch.from_numpy(LOGITS[0]).half().requires_grad_(), LABELS)
    rounded = LOGITS[:1].astype(np.float16).astype(np.float32)
    assert np.array_equal(recorder.scores("aum").values, pb.score_log("aum", rounded, LABELS).values)
