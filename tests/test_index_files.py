"""Subsets from elsewhere: ``train --subset`` takes those of its data, and says what else to run beside them."""

import numpy as np
import pytest
from test_cli import call

from prunebench import Selection, load_selection, save_selection

PLANTED = "planted(train=60,test=20)"
SHORT = ["--dataset", PLANTED, "--steps", "1", "--seeds", "1", "--threads", "1", "--device", "cpu"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def saved(indices, size):
    indices = np.asarray(indices)
    told = Selection(indices, None, "subset", len(indices) / size, 0, size)
    save_selection(told, "subset.npz")
    assert load_selection("subset.npz").size == size


def test_a_subset_of_a_set_of_another_size_is_refused(here, capsys):
    saved(range(30), 200)
    assert call("train", "--subset", "subset.npz", *SHORT) == 2
    assert "subset.npz is a selection from 200 examples, planted(train=60,test=20) has 60" in capsys.readouterr().err


def test_what_stands_beside_a_subset_is_a_command_and_its_rows_meet(here, capsys):
    saved(range(0, 60, 2), 60)
    assert call("train", "--subset", "subset.npz", *SHORT, "--store", "s") == 0
    assert "prunebench run --selector random --keep 0.5 --store s" in capsys.readouterr().err
    assert call("run", "--selector", "random", "--keep", "0.5", "--store", "s", *SHORT, "--jobs", "1") == 0
    capsys.readouterr()
    assert call("leaderboard", "s") == 0
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "index file" in line)
    assert "(one seed)" in row.partition("(one seed)")[2]  # a difference to the balanced row of as many examples


@pytest.mark.parametrize(
    ("indices", "told"),
    [
        ([3, 3, 4], "holds the position 3 more than once"),
        (np.ones(60, bool), "a mask: save numpy.flatnonzero of it"),
        ([0.5], "must hold distinct (k,) integers, got float64 of shape (1,)"),
    ],
)
def test_what_is_no_subset_is_told(here, capsys, indices, told):
    np.save("x.npy", np.asarray(indices))
    assert call("train", "--subset", "x.npy", *SHORT) == 2
    assert told in capsys.readouterr().err
