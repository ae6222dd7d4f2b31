"""What others wrote, brought to a data set: index lists, score arrays, dictionaries of both."""

import contextlib
import json
import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import prunebench as pb
from prunebench import UserError
from prunebench.cli import main
from prunebench.exports import export
from prunebench.interop.fitting import of_the_data, scores_of_the_data
from prunebench.interop.foreign import read_scores, read_selection

N = 12
KEPT = [9, 2, 7]
VALUES = np.random.default_rng(0).normal(size=N)
NAMES = tuple(f"train/{'ab'[i % 2]}/{i}.png" for i in range(N))


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return dataset(NAMES)


def dataset(names, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (len(names), 3, 8, 8), dtype=np.uint8)
    images, labels = pb.MemoryImages(pixels), np.arange(len(names)) % 2
    return pb.Dataset("mine", ("a", "b"), pb.Split(images, labels, names), pb.Split(images.take([]), labels[:0], ()))


SUBSETS = {
    "positions.txt": lambda p: p.write_text("\n".join(map(str, KEPT)) + "\n"),
    "names.txt": lambda p: p.write_text("".join(f"{NAMES[i]}\n" for i in KEPT)),
    "file_names.txt": lambda p: p.write_text("".join(f"{i}.png\n" for i in KEPT)),
    "positions.csv": lambda p: p.write_text("index\n" + "\n".join(map(str, KEPT))),
    "plain.csv": lambda p: p.write_text("\n".join(map(str, KEPT))),
    "names.csv": lambda p: p.write_text("class,filename\n" + "\n".join(f"x,{NAMES[i]}" for i in KEPT)),
    "list.npy": lambda p: np.save(p, np.array(KEPT)),
    "other.npz": lambda p: np.savez(p, coreset=np.array(KEPT, dtype=np.int32)),
    "list.json": lambda p: p.write_text(json.dumps(KEPT)),
    "hf.json": lambda p: p.write_text(json.dumps({"indices": KEPT})),
    "tensor.pt": lambda p: torch.save(torch.tensor(KEPT), p),
    "deepcore.pt": lambda p: torch.save({"indices": np.array(KEPT)}, p),
    "lists.pt": lambda p: torch.save({"indices": KEPT, "weights": [1.0, 2.0, 3.0]}, p),
    "checkpoint.pt": lambda p: torch.save({"epoch": 3, "subset": {"indices": np.array(KEPT)}, "best_acc1": 0.5}, p),
}


@pytest.mark.parametrize("name", SUBSETS)
def test_a_subset_in_any_form_is_brought_to_the_data_set(data, name):
    path = Path(name)
    SUBSETS[name](path)
    found = of_the_data(read_selection(path), data, name)
    assert found.indices.tolist() == sorted(KEPT) and found.keys == tuple(NAMES[i] for i in sorted(KEPT))
    assert (found.size, found.keep, found.fingerprint) == (N, 3 / N, data.fingerprint)
    if name == "lists.pt":
        assert found.weights.tolist() == [2.0, 3.0, 1.0]


SCORES = {
    "array.npy": lambda p: np.save(p, VALUES),
    "ccs.npz": lambda p: np.savez(p, el2n=VALUES),
    "tensor.pt": lambda p: torch.save(torch.from_numpy(VALUES), p),
    "tdds.pt": lambda p: torch.save({"score": VALUES, "logits": torch.zeros(3, 4), "epochs": 10}, p),
    "list.txt": lambda p: p.write_text("".join(f"{v!r}\n" for v in VALUES.tolist())),
    "names.csv": lambda p: p.write_text("".join(f"{NAMES[i]},{float(VALUES[i])!r}\n" for i in range(N - 1, -1, -1))),
}


@pytest.mark.parametrize("name", SCORES)
def test_scores_in_any_form_are_brought_to_the_data_set(data, name):
    path = Path(name)
    SCORES[name](path)
    with pytest.raises(UserError, match="--hard"):
        read_scores(path)
    found = scores_of_the_data(read_scores(path, "low"), data, name)
    assert np.array_equal(found.values, VALUES) and found.keys == NAMES
    assert (found.hard, found.fingerprint) == ("low", data.fingerprint)


def test_names_beside_a_card_say_which_are_kept(data):
    """A list of keys has no positions of its own, whatever its card tells."""
    kept = of_the_data(pb.Selection(np.array(sorted(KEPT)), None, "s", 3 / N, 0, N), data, "x")
    export(kept, "txt", "keys.txt", names=True)
    found = of_the_data(read_selection(Path("keys.txt")), data, "keys.txt")
    assert found.indices.tolist() == sorted(KEPT) and found.keys == kept.keys and found.size == N
    with pytest.raises(UserError, match="of another data set"):
        of_the_data(read_selection(Path("keys.txt")), dataset(NAMES, seed=1), "keys.txt")


def test_one_of_several_arrays_is_named(data):
    torch.save({"el2n": torch.from_numpy(VALUES), "forgetting": torch.arange(N)}, "ccs.pt")
    np.savez("ccs.npz", el2n=VALUES, forgetting=np.arange(N))
    for name in ("ccs.pt", "ccs.npz"):
        with pytest.raises(UserError, match="2 rows of numbers: choose by --array from el2n, forgetting"):
            read_scores(Path(name), "high")
        assert np.array_equal(read_scores(Path(name), "high", "el2n").values, VALUES)
        with pytest.raises(UserError, match="no row of numbers named 'aum'"):
            read_scores(Path(name), "high", "aum")
    np.save("one.npy", VALUES)
    with pytest.raises(UserError, match="leave out --array"):
        read_scores(Path("one.npy"), "high", "el2n")


# -- what is of other data, and what is none --------------------------------------------------------------------------


def test_another_data_set_another_length_and_another_order_are_refused(data):
    kept = of_the_data(pb.Selection(np.array([1, 3]), None, "s", float("nan"), 0, 4), data, "x")
    scores = scores_of_the_data(pb.Scores(VALUES, "high", "x"), data, "x")
    pb.save_selection(kept, "kept.npz"), pb.save_scores(scores, "scores.npz")
    others = (dataset(NAMES, seed=1), dataset(NAMES[:-1]), dataset(NAMES[::-1]), dataset(tuple("abcdefghijkl")))
    for other in others:
        with pytest.raises(UserError, match="of another data set"):
            of_the_data(read_selection(Path("kept.npz")), other, "kept.npz")
        with pytest.raises(UserError, match="of another data set"):
            scores_of_the_data(read_scores(Path("scores.npz")), other, "scores.npz")
    np.save("bare.npy", VALUES), np.save("far.npy", np.array([3, N]))
    with pytest.raises(UserError, match=f"holds {N} scores, mine has {N - 1} examples"):
        scores_of_the_data(read_scores(Path("bare.npy"), "high"), others[1], "bare.npy")
    with pytest.raises(UserError, match=f"keeps position {N}, mine has positions 0 to {N - 1}"):
        of_the_data(read_selection(Path("far.npy")), data, "far.npy")
    anonymous = pb.Selection(np.array([1]), None, "s", 1 / 5, 0, 5)
    with pytest.raises(UserError, match=f"selection from 5 examples, mine has {N}"):
        of_the_data(anonymous, data, "x")


@settings(deadline=None, max_examples=60)
@given(
    st.one_of(st.binary(max_size=300), st.text(max_size=100).map(str.encode)),
    st.sampled_from([".txt", ".csv", ".json", ".pt", ".npz", ".npy", ".parquet"]),
)
def test_whatever_the_bytes_there_is_a_result_or_a_sentence(tmp_path_factory, content, suffix):
    path = tmp_path_factory.mktemp("any") / f"x{suffix}"
    path.write_bytes(content)
    for read in (read_selection, lambda p: read_scores(p, "high")):
        with contextlib.suppress(pb.PrunebenchError):
            assert len(read(path)) >= 0


class Exploit:
    def __reduce__(self):
        return subprocess.check_call, (["touch", "executed"],)


@pytest.mark.parametrize("name", ["x.pickle", "x.pkl", "x.pt", "x.pth"])
@pytest.mark.parametrize("read", [read_selection, lambda path: read_scores(path, "high")])
def test_nothing_in_a_file_is_run(data, name, read):
    torch.save({"indices": Exploit()}, name) if "pt" in name else Path(name).write_bytes(pickle.dumps(Exploit()))
    with pytest.raises(UserError, match=r"is a pickle, which can run code|cannot be read \(not plain arrays"):
        read(Path(name))
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.txt", "1\n2\n1\n", "holds the position 1 more than once"),
        ("x.txt", "1\n-2\n", "position -2: positions start at 0"),
        ("x.txt", "99999999999999999999\n", "beyond any data set"),
        ("x.csv", "a,b\n1\n", "as many columns"),
        ("x.csv", "a,b\n1,2\n", "one named position, or key, is expected"),
        ("x.csv", "position,weight\n1,x\n", "line 2: a number is expected"),
        ("x.csv", "position\n1\ncat\n", "a position that is no whole number"),
        ("x.json", "{", "is no JSON"),
        ("x.json", '{"indices": [1, "a"]}', "must list whole numbers"),
        ("x.json", '["a"]', "must list whole numbers"),
        ("x.json", '{"indices": "ab"}', "must hold a list of whole numbers"),
        ("x.json", "{}", "must hold a list of whole numbers"),
        ("x.json", "3", "must hold a list of whole numbers"),
        ("x.pt", "nonsense", "cannot be read"),
        ("x.npz", "nonsense", "cannot be read"),
    ],
)
def test_what_is_no_subset_is_one_sentence(data, name, content, told):
    Path(name).write_text(content)
    with pytest.raises(UserError, match=told):
        read_selection(Path(name))


def test_what_is_no_score_is_one_sentence(data):
    Path("x.txt").write_text("1\ncat\n")
    with pytest.raises(UserError, match="line 2: a number is expected, got 'cat'"):
        read_scores(Path("x.txt"), "high")
    Path("x.txt").write_text("1\n" * (N - 1) + "nan\n")
    with pytest.raises(UserError, match=f"score of example {N - 1} is nan"):
        scores_of_the_data(read_scores(Path("x.txt"), "high"), data, "x.txt")


@pytest.mark.parametrize("content", ["{}", "[1.0, 2.0]", '{"values": [1]}'])
def test_json_that_is_no_record_of_scores_is_one_sentence(data, content):
    Path("x.json").write_text(content)
    with pytest.raises(UserError, match="no record of scores in a store"):
        read_scores(Path("x.json"), "high")


def test_a_record_of_a_store_is_brought_and_a_torn_one_told_as_that(data):
    found = pb.score("random", data, store="runs")
    card = Path(f"runs/scores/{found.id}.json")
    assert np.array_equal(read_scores(card).values, found.values)
    card.write_text(json.dumps(json.loads(card.read_text()) | {"result": {}}))
    with pytest.raises(pb.VerifyError):
        read_scores(card)


def test_the_direction_travels_with_the_file(data):
    pb.save_scores(pb.Scores(VALUES, "high", "theirs"), "s.npz")
    assert read_scores(Path("s.npz"), "high").hard == read_scores(Path("s.npz")).hard == "high"
    for read in (pb.load_scores, lambda path, hard: read_scores(Path(path), hard, "values")):
        with pytest.raises(UserError, match="its card says that high is hard, not low"):
            read("s.npz", "low")


@pytest.mark.parametrize("out", [".", "", "/", "..", "a/.."])
def test_a_path_without_a_name_is_refused_before_anything_is_computed(data, capsys, out):
    scores, chosen = pb.Scores(VALUES, "high", "theirs"), pb.select("hardest", VALUES, keep=0.5, hard="high")
    for save in (lambda: pb.save_scores(scores, out), lambda: pb.save_selection(chosen, out)):
        with pytest.raises(UserError, match="is a folder"):
            save()
    pb.save_scores(scores, "s.npz")
    for command in (["score", "--dataset", "digits", "--scorer", "random"],
                    ["select", "--scores", "s.npz", "--selector", "hardest", "--keep", "0.5"],
                    ["import", "s.npz", "--dataset", "digits", "--as", "scores"]):  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main([*command, "--out", out])
        told = capsys.readouterr()
        assert ended.value.code == 2 and "cannot write" in told.err and told.err.count("\n") == 1 and not told.out
    assert not Path("runs").exists()


def test_the_command_brings_them_and_select_goes_on(data, capsys):
    n = 1437  # of the digits
    np.save("theirs.npy", np.arange(float(n)))
    main(["import", "theirs.npy", "--dataset", "digits", "--as", "scores", "--hard", "high", "--out", "s.npz"])
    scores = pb.load_scores("s.npz")
    assert len(scores.keys) == n and scores.fingerprint and scores.hard == "high"
    Path("kept.txt").write_text("5\n3\n")
    main(["import", "kept.txt", "--dataset", "digits", "--as", "selection", "--out", "k.npz"])
    assert pb.load_selection("k.npz").fingerprint == scores.fingerprint
    assert f"2 of {n} examples" in capsys.readouterr().out
    for wrong in (["theirs.npy", "--as", "scores", "--out", "x.npz"],
                  ["k.npz", "--as", "scores", "--out", "x.npz"],
                  ["s.npz", "--as", "scores", "--hard", "low", "--out", "x.npz"],
                  ["kept.txt", "--as", "selection", "--hard", "low", "--out", "x.npz"],
                  ["kept.txt", "--as", "selection", "--out", "x.csv"]):  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main(["import", *wrong, "--dataset", "digits"])
        assert ended.value.code == 2 and capsys.readouterr().err.count("\n") == 1
    assert not Path("x.npz").exists()


# -- subsets of a data set of PyTorch ---------------------------------------------------------------------------------


class Folder(torch.utils.data.Dataset):
    """Looks like torchvision's ImageFolder."""

    def __init__(self, names):
        self.samples = [(f"/data/{name}", 0) for name in names]

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        return self.samples[i]


def test_a_subset_is_of_the_data_that_it_was_selected_from(data):
    chosen = of_the_data(pb.Selection(np.array(sorted(KEPT)), None, "s", 3 / N, 0, N), data, "x")
    pb.save_selection(chosen, "kept.npz")
    kept = pb.load_selection("kept.npz")
    found = kept.subset(Folder(NAMES))
    assert isinstance(found, torch.utils.data.Subset) and [found[i][0] for i in range(3)] == [
        f"/data/{NAMES[i]}" for i in sorted(KEPT)
    ]
    assert len(kept.subset(data.train)) == 3
    with pytest.raises(ValueError, match=r"keeps 'train/a/2\.png' at position 2, where the data set has '/data/train"):
        kept.subset(Folder(NAMES[::-1]))
    with pytest.raises(ValueError, match="from other data"):
        kept.subset(dataset(NAMES, seed=1).train)
    with pytest.raises(ValueError, match=f"from {N} examples, the data set has {N + 1}"):
        kept.subset(list(range(N + 1)))


def test_a_list_without_a_card_fits_any_data_set_that_is_long_enough(data):
    np.save("bare.npy", np.array([1, 5]))
    kept = pb.load_selection("bare.npy")
    assert [kept.subset(list("abcdefgh"))[i] for i in range(2)] == ["b", "f"]
    with pytest.raises(ValueError, match="from 6 examples, the data set has 5"):
        kept.subset(list("abcde"))
