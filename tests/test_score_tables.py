"""Score files of others: one CSV per metric, names matched to the data set's keys."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import prunebench as pb
from prunebench.cli import main
from prunebench.interop.score_tables import read_table
from prunebench.matching import places_of

WNIDS = ("n02086240", "n02087394")


@pytest.fixture
def folder(tmp_path):
    """train and val with 6 and 2 pictures per class, ImageNet's names."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2)):
        for wnid in WNIDS:
            (tmp_path / "set" / split / wnid).mkdir(parents=True)
            for i in range(count):
                picture = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
                picture.save(tmp_path / "set" / split / wnid / f"{wnid}_{i}.JPEG")
    return tmp_path / "set"


def written(path, names, values, heading=None, counted=False):
    lines = [] if heading is None else [heading]
    lines += [
        f"{f'{i},' if counted else ''}{n},{float(v)!r}" for i, (n, v) in enumerate(zip(names, values, strict=True))
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(("heading", "counted"), [(None, False), ("filename,score", False), (",filename,score", True)])
def test_a_table_is_read_with_or_without_heading_and_count(tmp_path, heading, counted):
    names, values = ("b/2.JPEG", "a/1.JPEG", "3"), np.array([0.25, -1e-7, 3.0])
    path = written(tmp_path / "m.csv", names, values, heading, counted)
    assert read_table(path)[0] == names and np.array_equal(read_table(path)[1], values)
    scores = pb.load_scores(path, hard="high")
    assert scores.keys == names and scores.hard == "high" and scores.scorer == "file m.csv"


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_numbers_survive_to_the_bit(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("table") / "m.csv"
    names = [f'x, "{i}"' for i in range(len(values))]
    path.write_text("".join(f'"x, ""{i}""",{value!r}\n' for i, value in enumerate(values)))
    assert read_table(path)[0] == tuple(names) and np.array_equal(read_table(path)[1], values)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no line"),
        ("name,value\n", "holds no line"),
        ("a,1\nb,x\n", "line 2: a name and a number"),
        ("a,1\nb,nan\n", "line 2: a name and a number"),
        ("a,1\n\nb\n", "line 3: a name and a number"),
        ("a,1\na,2\n", "'a' more than once"),
        ("a,1\n,2\n", "line 2: a name"),
    ],
)
def test_what_is_no_table_is_one_sentence(tmp_path, text, told):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(pb.UserError, match=told):
        pb.load_scores(tmp_path / "m.csv", hard="high")


@pytest.mark.parametrize(
    "text, told",
    [
        ("a.png,nan\nb.png,1\n", "line 1: a name and a number"),
        ("name,label,el2n\na.png,3,0.5\nb.png,1,0.7\n", r"several columns of numbers \(label, el2n\)"),
    ],
)
def test_no_line_is_taken_for_a_heading_and_no_column_for_the_score(tmp_path, text, told):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(pb.UserError, match=told):
        read_table(tmp_path / "t.csv")


def test_text_beside_the_score_is_passed_over(tmp_path):
    (tmp_path / "t.csv").write_text("a.png,0.5,train\nb.png,1,train\n")
    assert read_table(tmp_path / "t.csv")[0] == ("a.png", "b.png")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "m.csv").write_bytes(b"\xff\xfe\x00,1\n")
    with pytest.raises(pb.UserError, match="not a CSV file"):
        pb.load_scores(tmp_path / "m.csv", hard="high")


def test_a_table_says_nothing_of_the_hard_end(tmp_path):
    with pytest.raises(pb.UserError, match="--hard"):
        pb.load_scores(written(tmp_path / "m.csv", "ab", [1, 2]))


def test_names_are_found_by_key_and_by_file_name():
    keys = ("a/1.png", "b/2.png", "b/3.png")
    assert places_of(keys, ("b/3.png", "a/1.png", "b/2.png", "c/9.png"), "it").tolist() == [1, 2, 0]
    assert places_of(keys, ("3.png", "1.png", "2.png"), "it").tolist() == [1, 2, 0]
    assert places_of(("1.png", "2.png"), keys, "it").tolist() == [0, 1]
    long = tuple(f"train/{key}" for key in ("b/1.png", "a/1.png"))  # the last folder tells
    assert places_of(("a/1.png", "b/1.png"), long, "it").tolist() == [1, 0]
    assert places_of(long, ("a/1.png", "b/1.png"), "it").tolist() == [1, 0]
    with pytest.raises(pb.UserError, match=r"has no 'b/3.png' \(1 of 3"):
        places_of(keys, ("1.png", "2.png"), "it")
    repeated = tuple(f"train/{c}/{i}.png" for c in "ab" for i in range(12))  # the file names alone do not tell
    with pytest.raises(pb.UserError, match=r"has no 'train/b/11.png' \(1 of 24 names"):
        places_of(repeated, repeated[:-1], "it")
    with pytest.raises(pb.UserError, match=r"has no 'b/12.png' \(1 of 2 names"):
        places_of(("a/1.png", "b/12.png"), repeated, "it")
    with pytest.raises(pb.UserError, match=r"'a/1.png' of it is asked for twice"):
        places_of(("a/1.png", "a/1.png"), repeated, "it")
    with pytest.raises(pb.UserError, match="must agree"):  # two pictures of one file name: not guessed
        places_of(("a/1.png", "b/1.png"), ("1.png", "2.png"), "it")


def test_an_imagenet_table_makes_a_subset_of_a_part_of_imagenet(folder, tmp_path, monkeypatch, capsys):
    """Names in another order, without folders, and of more pictures than the data set has."""
    monkeypatch.chdir(tmp_path)
    names = [f"{w}_{i}.JPEG" for w in WNIDS for i in range(6)]
    hardness = {name: float(i) for i, name in enumerate(names)}
    others = {f"n00000000_{i}.JPEG": 99.0 for i in range(5)}
    told = list((hardness | others).items())
    order = np.random.default_rng(1).permutation(len(told))
    table = written(tmp_path / "m.csv", *zip(*(told[i] for i in order), strict=True), heading="file,score")
    main(["select", "--scores", str(table), "--hard", "high", "--dataset", f"folder:{folder}", "--selector", "hardest",
          "--keep", "0.25", "--out", "s.npz", "--device", "cpu"])  # fmt: skip
    kept = pb.load_selection(tmp_path / "s.npz")
    assert kept.size == 12 and set(kept.keys) == {f"train/{WNIDS[1]}/{WNIDS[1]}_{i}.JPEG" for i in (3, 4, 5)}
    assert "kept 3 of 12" in capsys.readouterr().out


def test_a_subset_of_names_is_trained_on_those_names(folder, tmp_path, monkeypatch):
    from prunebench.console.reporting import _fitted
    from prunebench.planning.plans import Plan, open_harness

    monkeypatch.chdir(tmp_path)
    names = [f"{w}_{i}.JPEG" for w in WNIDS for i in range(6)][::-1]  # the data set's order is the other way round
    scores = pb.load_scores(written(tmp_path / "m.csv", names, np.arange(12)), hard="high")
    kept = pb.select("hardest", scores, keep=0.25)
    assert kept.keys == tuple(f"{WNIDS[0]}_{i}.JPEG" for i in (2, 1, 0)) and kept.indices.tolist() == [9, 10, 11]
    harness = open_harness(Plan(dataset=f"folder:{folder}", device="cpu"))
    assert _fitted(kept, harness, tmp_path).indices.tolist() == [0, 1, 2]


def test_details_per_example_go_with_the_examples():
    scores = pb.Scores(
        np.arange(4.0), "high", "x", keys=tuple("dcba"), details={"pseudo": np.arange(4) * 10, "runs": 4}
    )
    taken = scores.take(np.array([2, 0]))
    assert taken.keys == ("b", "d") and taken.details["pseudo"].tolist() == [20, 0] and taken.details["runs"] == 4


def test_details_reach_a_selector_in_the_order_of_the_hardness(monkeypatch):
    """`pb.select` hands examples over in the order of their keys' hashes: all of them, or a detail is another's."""
    from prunebench import registry

    seen = {}

    def spy(hardness, budget, details):
        seen.update(hardness=hardness.clone(), pseudo=torch.as_tensor(details["pseudo"]).clone())
        return torch.arange(budget)

    installed = registry.installed()
    method = installed.method("selector", "hardest")
    entry = type(method.entry)("selector", pb.Selector("spy", spy), method.entry.plugin, None)
    monkeypatch.setitem(installed.entries["selector"], "prunebench/spy", entry)
    values = np.random.default_rng(0).permutation(50).astype(float)
    keys = tuple(f"train:{i}" for i in range(50))
    pb.select("spy", pb.Scores(values, "high", "x", keys=keys, details={"pseudo": values * 2}), keep=0.2)
    assert not torch.equal(seen["hardness"], torch.from_numpy(values))  # another order, and
    assert torch.equal(seen["pseudo"], 2 * seen["hardness"])  # the same one for both
