"""A recorder in one's own loop: stops, ranks, and what does not fit."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_own_loop import LABELS, LOGITS, C, E, N, of_the_log, told

import prunebench as pb
from prunebench import UserError, registry
from prunebench.methods import Entry

WATCH = ("aum", "forgetting", "dyn_unc(window=4)", "tdds(epochs=8,window=4)", "el2n(epoch=3)")


def batch(recorder, e, rows, **more):
    recorder(rows, torch.from_numpy(LOGITS[e, rows]), LABELS[rows], **more)
    recorder.evaluated(rows, torch.from_numpy(LOGITS[e, rows]), LABELS[rows], **more)


# -- stops ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [0, 1, 6])
def test_a_recording_goes_on_from_its_file_in_the_middle_of_an_epoch(tmp_path, stop):
    first = told(pb.Recorder(N, E, WATCH), range(stop))
    batch(first, stop, np.arange(0, 25))
    path = first.save(tmp_path / "deep" / "recorder.safetensors")
    again = pb.Recorder(N, E, WATCH)
    again.load(path)
    batch(again, stop, np.arange(25, N))
    again.end_epoch()
    told(again, range(stop + 1, E))
    for text in WATCH:
        assert np.array_equal(again.scores(text).values, of_the_log(text).values), text


def test_a_state_goes_through_torch_without_pickled_code_and_is_a_copy(tmp_path):
    recorder = told(pb.Recorder(N, watch=WATCH), range(3))
    state = recorder.state_dict()
    before = {name: tensor.clone() for name, tensor in state.items()}
    told(recorder, range(3, 5))
    assert all(np.array_equal(state[name], before[name], equal_nan=True) for name in before)
    torch.save(state, tmp_path / "state.pt")
    again = pb.Recorder(N, watch=WATCH)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    told(again, range(3, E))
    for text in WATCH:
        assert np.array_equal(again.scores(text).values, of_the_log(text).values), text


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        (lambda: pb.Recorder(N + 1, watch="aum"), "n"),
        (lambda: pb.Recorder(N, 9, "aum"), "epochs"),
        (lambda: pb.Recorder(N, watch="loss"), "watch"),
        (lambda: pb.Recorder(N, watch="aum", history=True), "history"),
    ],
)
def test_a_state_of_another_recorder_is_refused(other, differs):
    with pytest.raises(UserError, match=f"with other {differs}: make this one"):
        pb.Recorder(N, watch="aum").load_state_dict(other().state_dict())


def test_files_that_are_no_state_are_refused(tmp_path, monkeypatch):
    recorder = pb.Recorder(N, watch="aum")
    (tmp_path / "x").write_bytes(b"\x80\x04N.")  # a pickle
    with pytest.raises(UserError, match="no safetensors file"):
        recorder.load(tmp_path / "x")
    with pytest.raises(UserError, match="no file"):
        recorder.load(tmp_path / "nothing")
    with pytest.raises(UserError, match="no state of a recorder"):
        recorder.load_state_dict({"weights": torch.zeros(3)})
    state = recorder.state_dict()
    del state["labels"]
    with pytest.raises(UserError, match=r"incomplete \(labels\)"):
        recorder.load_state_dict(state)
    with pytest.raises(UserError, match=r"incomplete \(labels\)"):
        recorder.load_state_dict(state | {"labels": 3})
    with pytest.raises(UserError, match="cannot write"):
        recorder.save(tmp_path / "x" / "below")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for folder in (".", "", "/", "..", "folder"):
        with pytest.raises(UserError, match="cannot write"):
            recorder.save(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "x"]


@pytest.mark.parametrize("lost", ["history/prunebench/tdds:divergence", "previous/presentation"])
def test_a_state_without_what_was_told_before_is_refused(lost):
    recorder = told(pb.Recorder(N, watch="tdds", history=True), range(3))
    state = recorder.state_dict()
    pb.Recorder(N, watch="tdds", history=True).load_state_dict(state)
    for wrong in ({k: v for k, v in state.items() if k != lost}, state | {lost: state[lost][:1]}):
        with pytest.raises(UserError, match=rf"incomplete \({lost}\)"):
            pb.Recorder(N, watch="tdds", history=True).load_state_dict(wrong)


# -- ranks ------------------------------------------------------------------------------------------------------------

ON_RANKS = ("aum", "forgetting", "dual(epochs=6,window=3)", "el2n(epoch=3)", "correctness")


def test_ranks_are_merged_epoch_by_epoch():
    ranks = [pb.Recorder(N, E, ON_RANKS) for _ in range(3)]
    for e in range(E):
        parts = np.array_split(np.random.default_rng(e).permutation(N), 3)
        for recorder, rows in zip(ranks, parts, strict=True):
            batch(recorder, e, rows)
        ranks[0].merge(*ranks[1:])
        ranks[0].end_epoch()
        for other in ranks[1:]:
            other.load_state_dict(ranks[0].state_dict())
    for text in ON_RANKS:
        assert np.array_equal(ranks[0].scores(text).values, of_the_log(text).values), text


def test_an_example_of_two_ranks_is_refused_or_the_first_counts():
    def two():
        first, second = pb.Recorder(N, watch="loss"), pb.Recorder(N, watch="loss")
        first(range(25), LOGITS[0, :25], LABELS[:25])
        second(range(20, N), LOGITS[1, 20:], LABELS[20:])
        return first, second

    first, second = two()
    with pytest.raises(UserError, match="example 20 came on two ranks in epoch 0"):
        first.merge(second)
    first.merge(second, repeats="first")
    mixed = np.concatenate([LOGITS[0, :25], LOGITS[1, 25:]])[None]
    assert np.array_equal(first.scores("loss").values, pb.score_log("loss", mixed, LABELS).values)
    with pytest.raises(UserError, match="repeats must be"):
        first.merge(second, repeats="last")


def test_what_cannot_be_merged_is_refused():
    ahead = told(pb.Recorder(N, watch="aum"), range(1))
    with pytest.raises(UserError, match="at epoch 1, this one at epoch 0"):
        pb.Recorder(N, watch="aum").merge(ahead)
    with pytest.raises(UserError, match="cannot be merged"):
        pb.Recorder(N, watch="aum").merge(pb.Recorder(N, watch="loss"))
    with pytest.raises(UserError, match="logits of the epoch before"):
        pb.Recorder(N, watch="tdds").merge(pb.Recorder(N, watch="tdds"))
    with pytest.raises(UserError, match=r"needs torch\.distributed"):
        pb.Recorder(N, watch="aum").gather()


RANK = """
import sys
from pathlib import Path
import numpy as np, torch
sys.path.insert(0, {tests!r})
from test_own_loop import E, LABELS, LOGITS, N, of_the_log
from test_own_loop_faults import ON_RANKS, batch
import prunebench as pb

rank, folder = int(sys.argv[1]), Path(sys.argv[2])
torch.distributed.init_process_group("gloo", init_method=f"file://{{folder}}/meet", rank=rank, world_size=2)
recorder = pb.Recorder(N, watch=ON_RANKS)
for e in range(E):
    rows = np.random.default_rng(e).permutation(N)[rank::2]
    batch(recorder, e, np.append(rows, 0) if e == 2 and 0 not in rows else rows)  # in epoch 2 the sampler pads
    recorder.gather(repeats="first" if e == 2 else "refuse")
    recorder.end_epoch()
np.savez(folder / f"{{rank}}.npz", **{{text: recorder.scores(text).values for text in ON_RANKS}})
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_processes_gather_what_each_was_told(tmp_path):
    (tmp_path / "rank.py").write_text(RANK.format(tests=str(Path(__file__).parent)))
    ranks = [subprocess.Popen([sys.executable, tmp_path / "rank.py", str(rank), tmp_path]) for rank in range(2)]
    assert [process.wait(300) for process in ranks] == [0, 0]
    for rank in range(2):
        found = np.load(tmp_path / f"{rank}.npz")
        for text in ON_RANKS:
            assert np.array_equal(found[text], of_the_log(text).values), text


# -- what does not fit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "told_so"),
    [
        (
            ([0, N], LOGITS[0, :2], LABELS[:2]),
            rf"index {N} is out of range: this recorder is for positions 0 to {N - 1}",
        ),
        (([-1, 1], LOGITS[0, :2], LABELS[:2]), "index -1 is out of range"),
        (([0, 0], LOGITS[0, :2], LABELS[[0, 0]]), "example 0 came twice in epoch 0"),
        (([7, 8], LOGITS[0, 7:9], LABELS[7:9]), "example 7 came twice in epoch 0"),
        (([0.0, 1.0], LOGITS[0, :2], LABELS[:2]), r"indices must be \(B,\) integers"),
        (([0, 1], LOGITS[0, :3], LABELS[:2]), r"logits must be \(2, 5\) for 2 indices, got shape \(3, 5\)"),
        (([0, 1], LOGITS[0, :2, :4], LABELS[:2]), r"got shape \(2, 4\)"),
        (([0, 1], LOGITS[0, :2] * np.nan, LABELS[:2]), "no finite number"),
        (([0, 1], LOGITS[0, :2], LABELS[:3]), r"labels must be \(2,\) integers"),
        (([0, 1], LOGITS[0, :2], LABELS[:2] + 0.5), "labels must be"),
        (([0, 1], LOGITS[0, :2], np.array([0, C])), r"labels must lie in 0\.\.4"),
        (([0, 1], LOGITS[0, :2], LABELS[:2] + 0j), "labels must be .* integers, got torch.complex128"),
        (([0, 1], LOGITS[0, :2] + 0j, LABELS[:2]), "logits must be real numbers, got torch.complex64"),
        (([0, 1], LOGITS[0, :2] > 0, LABELS[:2]), "logits must be real numbers, got torch.bool"),
        ((None, LOGITS[0, :2], LABELS[:2]), "indices must be a tensor or an array of numbers, which this NoneType"),
        (([0, 1], None, LABELS[:2]), "logits must be a tensor or an array of numbers, which this NoneType is not"),
        (([0, 1], LOGITS[0, :2], ["a", "b"]), "labels must be a tensor or an array of numbers, which this list is not"),
    ],
)
def test_a_batch_that_does_not_fit_is_one_sentence_and_leaves_no_trace(given, told_so):
    recorder = pb.Recorder(N, watch=("aum", "loss"))
    recorder([7, 9], LOGITS[0, [7, 9]], LABELS[[7, 9]])
    before = recorder.state_dict()
    indices, logits, labels = given
    with pytest.raises(UserError, match=told_so):
        recorder(indices, logits, labels)
    after = recorder.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_epochs_that_do_not_fit_are_one_sentence():
    recorder = pb.Recorder(N, 2, watch="aum")
    with pytest.raises(UserError, match="no epoch is recorded yet"):
        recorder.scores("aum")
    batch(recorder, 0, np.arange(N - 3))
    with pytest.raises(UserError, match=rf"epoch 0: example {N - 3} was not presented \(3 of {N} were not\)"):
        recorder.end_epoch()
    batch(recorder, 0, np.arange(N - 3, N))
    with pytest.raises(UserError, match="epoch 2 was told while epoch 0"):
        batch(recorder, 1, np.arange(N), epoch=2)
    batch(recorder, 1, np.arange(N), epoch=1)
    recorder.end_epoch()
    with pytest.raises(UserError, match="all 2 epochs are recorded already"):
        batch(recorder, 1, np.arange(N))


def test_positions_in_the_batch_are_told_from_positions_in_the_data_set():
    recorder = pb.Recorder(N, watch="aum")
    recorder(range(N), LOGITS[0], LABELS, epoch=0)
    shuffled = np.random.default_rng(1).permutation(N)
    with pytest.raises(UserError, match="are these positions in the data set"):
        recorder(range(N), LOGITS[1, shuffled], LABELS[shuffled], epoch=1)


@pytest.mark.parametrize(
    ("make", "told_so"),
    [
        (lambda: pb.Recorder(0), "n as a whole number from 1 on, got 0"),
        (lambda: pb.Recorder(True), "whole number"),
        (lambda: pb.Recorder(N, 1.5), "epochs as a whole number"),
        (lambda: pb.Recorder(N, watch=()), "names no scorer"),
        (lambda: pb.Recorder(N, watch="amu"), "aum"),
        (lambda: pb.Recorder(N, watch="moderate"), "watches no training"),
        (lambda: pb.Recorder(N, watch="el2n(runs=3)"), "asks for 3 trainings, a recorder holds one"),
        (lambda: pb.Recorder(N, 5, "el2n"), "asks for epoch=10, the recorder is told of 5"),
        (lambda: pb.Recorder(N, watch="el2n(epoch=0)"), "a whole number from 1 on, got 0"),
        (lambda: pb.Recorder(N, watch="entropy(epoch=2.5)"), "a whole number from 1 on, got 2.5"),
        (lambda: pb.Recorder(N, watch="forgetting(never_learned='huh')"), "must be 'max' or 'zero', got 'huh'"),
        (
            lambda: told(pb.Recorder(N, watch="forgetting", history=True)).scores("forgetting(never_learned='huh')"),
            "must be 'max' or 'zero', got 'huh'",
        ),
        (
            lambda: told(pb.Recorder(N, watch="entropy", history=True)).scores("entropy(epoch=2.5)"),
            "epoch=2.5 is not among the 12 recorded",
        ),
        (lambda: pb.Recorder(N, watch="aum", keys=["a"] * N), "as many different keys"),
        (lambda: told(pb.Recorder(N, watch="aum")).scores("loss"), r"watches aum, and keeps no loss for loss: make it"),
        (lambda: pb.Recorder(N, watch=3), r"watch takes texts of scorers, such as .*, got 3"),
        (lambda: pb.Recorder(N, watch=[None]), "a method is named by a text such as 'aum', got None"),
        (lambda: told(pb.Recorder(N, watch="aum")).scores(None), "a method is named by a text"),
        (
            lambda: told(pb.Recorder(N, watch="aum", history=True)).scores("tdds"),
            r"watch=\('tdds',\), beside .* wanted$",
        ),
        (lambda: told(pb.Recorder(N)).scores("el2n(epoch=2)"), r"or with history=True$"),
        (
            lambda: told(pb.Recorder(N, watch="el2n", history=True)).scores("el2n(epoch=13)"),
            "the log has 12 epochs",
        ),
        (
            lambda: told(pb.Recorder(N, watch="dyn_unc"), range(1)).scores("dyn_unc"),
            "count: 1; a window takes 2 or more",
        ),
        (lambda: told(pb.Recorder(N)).scores("dual"), "lower it or record more epochs$"),
        (lambda: told(pb.Recorder(N), evaluate=False).scores("el2n"), r"call evaluated\(indices"),
        (lambda: told(pb.Recorder(N, watch="el2n", history=True), evaluate=False).scores("el2n(epoch=2)"), "evaluated"),
    ],
)
def test_what_cannot_be_watched_is_one_sentence(make, told_so):
    with pytest.raises(UserError, match=told_so):
        make()


def test_a_partly_evaluated_epoch_is_refused():
    recorder = pb.Recorder(N, watch="el2n(epoch=1)")
    recorder(range(N), LOGITS[0], LABELS)
    recorder.evaluated(range(5), LOGITS[0, :5], LABELS[:5])
    with pytest.raises(UserError, match="example 5 was not evaluated"):
        recorder.end_epoch()


def test_a_scorer_without_a_stream_keeps_its_history(monkeypatch):
    installed = registry.installed()
    record = pb.Scorer("late", lambda history: history[0, -2:].mean(0), "high", watch="entropy")
    plugin = installed.method("scorer", "aum").entry.plugin
    monkeypatch.setitem(installed.entries["scorer"], "prunebench/late", Entry("scorer", record, plugin, None))
    recorder = told(pb.Recorder(N, watch="late"))
    assert [len(rows) for rows in recorder._kept.values()] == [E]
    assert np.array_equal(recorder.scores("late").values, of_the_log("late").values)
    assert "late" not in [watch.method.label for watch in pb.Recorder(N)._watches]  # it does not take little
