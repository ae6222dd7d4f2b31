"""The check of a scorer's stream finds each way in which one can be wrong, and passes those of our own."""

import pytest
import torch

import prunebench as pb
from prunebench import MethodError, Scorer, UserError, registry
from prunebench.methods import Entry
from prunebench.registry import installed
from prunebench.testing import Subject, checks, skipped
from prunebench.testing.stream_checks import STREAM, stream_checks

STREAMED = [e for e in installed().entries["scorer"].values() if e.record.stream is not None]


def late(history, *, last=2):
    """The sum of the last values of one run."""
    if history.shape[1] < last:
        raise UserError(f"last={last} of {history.shape[1]} epochs: record more")
    return history[0, -last:].double().sum(0)


class Late:
    """As it should be."""

    def __init__(self, examples, *, last=2):
        self.last = last
        self.state = {"rows": torch.zeros(last, examples)}

    def add(self, row, epoch):
        self.state["rows"][epoch % self.last] = row

    def values(self, epochs):
        if epochs < self.last:
            raise UserError("too few epochs")
        first = epochs % self.last  # the oldest row
        return self.state["rows"].roll(-first, 0).double().sum(0)


class OneTooFew(Late):
    """leaves the first of the last epochs out"""

    def values(self, epochs):
        return super().values(epochs) - self.state["rows"][epochs % self.last]


class Rounded(Late):
    """adds up in single precision"""

    def values(self, epochs):
        super().values(epochs)
        return self.state["rows"].sum(0) / 3 * 3


class Forgetful(Late):
    """remembers a row beside its state"""

    def __init__(self, examples, *, last=2):
        super().__init__(examples, last=last)
        self.kept = torch.zeros(last, examples)
        self.state = {"nothing": torch.zeros(examples)}

    def add(self, row, epoch):
        self.kept[epoch % self.last] = row

    def values(self, epochs):
        self.state["rows"] = self.kept
        found = super().values(epochs)
        del self.state["rows"]
        return found


class Disturbed(Late):
    """counts how often it was asked"""

    def values(self, epochs):
        found = super().values(epochs)
        self.state["rows"] += 1
        return found


class Growing(Late):
    """keeps every epoch"""

    def add(self, row, epoch):
        super().add(row, epoch)
        self.state[f"row {epoch}"] = row


class Lenient(Late):
    """tells numbers of any training"""

    def values(self, epochs):
        return self.state["rows"].roll(-(epochs % self.last), 0).double().sum(0)


class Flat(Late):
    """has a state of one number"""

    def __init__(self, examples, *, last=2):
        super().__init__(examples, last=last)
        self.state["count"] = torch.zeros(1)


def record_with(stream):
    return Scorer("late", late, hard="low", watch="true_probability", definition=1, stream=stream)


def check_of(record):
    return dict(checks(record))[STREAM]


def test_a_right_stream_passes_and_without_one_there_is_nothing_to_check():
    check_of(record_with(Late))()
    assert dict(skipped(record_with(None)))[STREAM] == "its record declares none"
    assert STREAM not in {**dict(checks(pb.Selector("kept", lambda hardness, budget: hardness[:budget])))}


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (OneTooFew, "of a training of 30 epochs it says other numbers"),
        (Rounded, "of a training of 30 epochs it says other numbers"),
        (Forgetful, "brought back from its state"),
        (Disturbed, "brought back from its state, or asked for in between"),
        (Growing, "its state grows"),
        (Lenient, "of a training of 1 epochs it tells numbers where the method refuses"),
        (Flat, r"count of its state must be \(..., N\), and is \(1,\) for 40 examples"),
    ],
)
def test_a_wrong_stream_is_found(stream, said):
    with pytest.raises(AssertionError, match=said):
        check_of(record_with(stream))()


@pytest.mark.parametrize("entry", STREAMED, ids=lambda entry: entry.record.name)
def test_ours_pass(entry):
    ((title, check),) = stream_checks(Subject(entry).method)
    assert title == STREAM
    check()


def test_fifteen_of_ours_are_streamed():
    assert len(STREAMED) >= 15


class Raising(Late):
    def add(self, row, epoch):
        raise ValueError("out of luck")


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (Raising, "the stream of late failed: ValueError: out of luck"),
        (lambda n, **options: object(), "the stream of late has no 'add'"),
        (lambda n: None, r"the stream of late cannot be made: TypeError"),
    ],
)
def test_a_recorder_tells_in_a_sentence_what_is_wrong_with_a_stream(stream, said, monkeypatch):
    plugin = installed().method("scorer", "aum").entry.plugin
    entry = Entry("scorer", record_with(stream), plugin, None)
    monkeypatch.setitem(registry.installed().entries["scorer"], "prunebench/late", entry)
    with pytest.raises(MethodError, match=said):
        recorder = pb.Recorder(4, watch="late")
        recorder(range(4), torch.zeros(4, 2), torch.zeros(4, dtype=torch.long))
        recorder.end_epoch()
