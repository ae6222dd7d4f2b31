"""Files of strangers: whatever their bytes, a reader gives what they hold or one sentence, and allocates no more."""

import io
import json
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import prunebench as pb
from prunebench.arrays import as_labels, map_npy, read_npy, read_npz
from prunebench.cli import main
from prunebench.console.configuration import options_of
from prunebench.datasets.archives import Archive
from prunebench.datasets.memory import MemoryImages
from prunebench.datasets.noisy_labels import from_file
from prunebench.datasets.torchvision_sets import _idx
from prunebench.errors import PrunebenchError
from prunebench.interop.score_tables import read_table
from prunebench.json_files import read_object
from prunebench.store import Store
from prunebench.types import Split


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npz(compressed=False, **arrays):
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


def zipped(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


SPLIT = Split(MemoryImages(np.zeros((3, 4, 4), dtype=np.uint8)), np.array([0, 1, 0]), ("train:0", "train:1", "train:2"))
CARD = {"kind": "scores", "scorer": "x", "hard": "high", "cost": {"seconds": 1.0}, "details": {"a": 1}, "keep": 0.5}
VALUES, SCORES = npy(np.arange(4.0)), npz(values=np.arange(4.0), keys=np.array(["a", "b", "c", "d"]))


def scores_with_card(path):
    """The bytes are the card's, the values are sound."""
    path.with_suffix("").write_bytes(SCORES)
    pb.load_scores(path.with_suffix(""), hard="high")


def run_command():
    from prunebench.cli.program import run

    return run


# name of the file -> a sound one, its reader, and what the reader may raise
READERS = {
    "a.npy": (VALUES, read_npy, (ValueError,)),
    "m.npy": (VALUES, map_npy, (ValueError,)),
    "a.npz": (SCORES, read_npz, (ValueError, OSError)),
    "c.npz": (npz(True, values=np.arange(40)), read_npz, (ValueError, OSError)),
    "s.npz": (SCORES, lambda path: pb.load_scores(path, hard="high"), PrunebenchError),
    "s.csv": (b"name,value\na,1\nb,2\n", lambda path: pb.load_scores(path, hard="high"), PrunebenchError),
    "i.npy": (npy(np.array([1, 2])), pb.load_selection, PrunebenchError),
    "i.npz": (npz(indices=np.array([2, 1]), weights=np.ones(2)), pb.load_selection, PrunebenchError),
    "c.npz.json": (json.dumps(CARD).encode(), scores_with_card, PrunebenchError),
    "o.json": (json.dumps({"a": [1, {"b": 2.5}]}).encode(), read_object, (ValueError,)),
    "t.csv": (b"name,value\na,1\nb,2\n", read_table, PrunebenchError),
    "n.csv": (b"path,label\ntrain:0,1\ntrain:1,0\ntrain:2,1\n", None, PrunebenchError),
    "n.csv.gz": (__import__("gzip").compress(b"path,label\ntrain:0,1\ntrain:1,0\ntrain:2,1\n"), None, PrunebenchError),
    "n.npy": (npy(np.array([0, 1, 1])), None, PrunebenchError),
    "z.zip": (zipped({"n1/a.png": b"x", "n2/b.png": b"y" * 50}), None, PrunebenchError),
    "f.toml": (b'scorer = ["aum"]\nkeep = [0.1, 0.3]\n', lambda path: options_of(run_command(), path), PrunebenchError),
    "d-ubyte": (b"\0\0\x08\x02\0\0\0\x02\0\0\0\x02abcd", _idx, (ValueError,)),
}


def read_archive(path):
    archive = Archive(path)
    for name in archive.sizes:
        try:
            archive.read(name)
        except Exception as error:
            assert not isinstance(error, MemoryError)  # `files` gives each its sentence, whatever it is


def reader_of(name):
    if name == "z.zip":
        return read_archive
    return READERS[name][1] or (lambda path: from_file(SPLIT, path, None, ("a", "b")))


@st.composite
def damaged(draw, sound):
    """A sound file with bytes changed, a piece cut out, doubled or put in; or any bytes at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    content = bytearray(sound)
    for _ in range(draw(st.integers(1, 4))):
        at, end = sorted(draw(st.tuples(st.integers(0, len(content)), st.integers(0, len(content)))))
        kind = draw(st.sampled_from(["set", "cut", "double", "put"]))
        if kind == "set" and at < len(content):
            content[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del content[at:end]
        elif kind == "double" and len(content) < 5000:
            content[at:at] = content[at:end]
        else:
            content[at:at] = draw(
                st.sampled_from([b"\0", b"\xff" * 8, b"9" * 5000, b"[" * 2000, b"-1", b"\x1b[2J", b'"'])
            )
    return bytes(content)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", READERS)
def test_whatever_the_bytes_a_reader_gives_a_result_or_a_sentence(name, tmp_path):
    sound, _, refusals = READERS[name]
    path, read = tmp_path / name, reader_of(name)
    path.write_bytes(sound)
    read(path)  # the sound file is read

    @settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(content=damaged(sound))
    def any_bytes(content):
        path.write_bytes(content)
        try:
            read(path)
        except refusals as refusal:
            assert str(refusal)

    any_bytes()


# -- arrays -----------------------------------------------------------------------------------------------------------


def with_header(shape, descr="<f8", body=b""):
    stream = io.BytesIO()
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    stream.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        with_header("(100000000000,)", body=b"\0" * 64),
        with_header("(0, 1000000000000000000000000000000)"),
        with_header("(-1,)", body=b"\0" * 8),
        with_header("(-2, -3)", body=b"\0" * 48),
        with_header("(True,)", "|O", b"\0" * 8),
        with_header("(1,)", [("a", "<f8")], b"\0" * 8),
        with_header("(3,)", "<c16", b"\0" * 48),
        with_header("(" * 3000),
        with_header("(" + "9" * 5000 + ",)"),
        with_header("(5,)", "<U0"),
        b"\x93NUMPY\x03\x00" + struct.pack("<I", 2**31) + b"{",
    ],
    ids=range(11),
)
def test_headers_that_lie_are_told_and_nothing_is_allocated(content, tmp_path):
    import tracemalloc

    (tmp_path / "a.npy").write_bytes(content)
    (tmp_path / "a.npz").write_bytes(zipped({"values.npy": content}))
    tracemalloc.start()
    for read, name in ((read_npy, "a.npy"), (map_npy, "a.npy"), (read_npz, "a.npz")):
        with pytest.raises(ValueError, match=r"a\.np[yz] "):
            read(tmp_path / name)
    assert tracemalloc.get_traced_memory()[1] < 30_000_000
    tracemalloc.stop()
    for name in ("a.npy", "a.npz"):
        with pytest.raises(pb.UserError, match="cannot be read"):
            pb.load_scores(tmp_path / name, hard="high")


def test_members_that_share_their_bytes_are_counted_each(tmp_path):
    """A directory of 2,000 members that all point at one and the same megabyte: 2 GB from a file of 1.2 MB."""
    array = npy(np.random.default_rng(0).integers(0, 255, 1_000_000, dtype=np.uint8))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.npy", array)
        first = archive.infolist()[0]
        for i in range(2000):
            again = zipfile.ZipInfo(f"b{i}.npy")
            for name in ("CRC", "file_size", "compress_size", "header_offset", "compress_type"):
                setattr(again, name, getattr(first, name))
            archive.filelist.append(again)
        archive._didModify = True
    (tmp_path / "a.npz").write_bytes(stream.getvalue())
    with pytest.raises(ValueError, match="unpacks to more than 64 times its size"):
        read_npz(tmp_path / "a.npz")


def test_members_of_one_name_and_other_kinds_are_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "twice.npz", "w") as archive:
        archive.writestr("a.npy", VALUES)
        archive.writestr("a.npy", VALUES)
    with pytest.raises(ValueError, match="twice"):
        read_npz(tmp_path / "twice.npz")
    with zipfile.ZipFile(tmp_path / "l.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.npy", VALUES)
    with pytest.raises(ValueError, match="not a plain array"):
        read_npz(tmp_path / "l.npz")


def test_numbers_of_another_machine_are_turned_to_this_ones_order(tmp_path):
    np.save(tmp_path / "big.npy", np.arange(3, dtype=">f8"))
    found = read_npy(tmp_path / "big.npy")
    assert found.dtype.isnative and found.tolist() == [0, 1, 2]


def test_labels_that_no_class_can_have_are_refused_before_classes_are_counted():
    for worst in (10**12, 2**63 + 5):
        with pytest.raises(pb.UserError, match="numbers of classes"):
            as_labels(np.array([0, worst], dtype=np.uint64))
    assert as_labels(np.array([21_840])).tolist() == [21_840]


# -- scores, index files, logs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array, told",
    [
        (np.array([0, 2**63 + 1], dtype=np.uint64), "keeps position"),
        (np.array([0, 2**63 - 1], dtype=np.int64), "keeps position"),
        (np.array([[0, 1]]), "distinct"),
        (np.array([0.0, 1.0]), "distinct"),
        (np.array([1, 1]), "distinct"),
        (np.array([-1, 1]), "start at 0"),
    ],
)
def test_index_files_that_are_no_selection(array, told, tmp_path):
    np.save(tmp_path / "i.npy", array)
    with pytest.raises(pb.UserError, match=told):
        pb.load_selection(tmp_path / "i.npy")


def test_keys_and_sizes_must_fit_what_they_are_of(tmp_path):
    np.savez(tmp_path / "i.npz", indices=np.array([3, 1]), keys=np.array(["a"]))
    with pytest.raises(pb.UserError, match="keys of shape"):
        pb.load_selection(tmp_path / "i.npz")
    np.savez(tmp_path / "s.npz", values=np.arange(3.0), keys=np.array([["a", "b", "c"]]))
    with pytest.raises(pb.UserError, match="keys of shape"):
        pb.load_scores(tmp_path / "s.npz", hard="high")
    np.save(tmp_path / "i.npy", np.array([0, 7]))
    (tmp_path / "i.npy.json").write_text(json.dumps({"kind": "selection", "size": 5}))
    with pytest.raises(pb.UserError, match="keeps position 7 of 5"):
        pb.load_selection(tmp_path / "i.npy")


def test_a_log_with_keys_for_other_examples(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("log.npz", logits=np.zeros((2, 4, 3)), labels=np.zeros(4, int), keys=np.array(["a"]))
    with pytest.raises(SystemExit) as left:
        main(["score", "--from-log", "log.npz", "--scorer", "aum"])
    assert left.value.code == 2 and "keys of shape (1,) for 4 examples" in capsys.readouterr().err
    assert not (tmp_path / "scores.npz").exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"hard": "sideways"},
        {"hard": ["high"]},
        {"comparable": 1},
        {"scorer": {}},
        {"details": []},
        {"cost": {"seconds": "1"}},
        {"cost": {"__class__": 1}},
        {"cost": 5},
        {"id": 7},
        {"label_free": "yes"},
    ],
    ids=str,
)
def test_cards_that_say_what_no_card_can(changed, tmp_path):
    (tmp_path / "s.npz").write_bytes(SCORES)
    (tmp_path / "s.npz.json").write_text(json.dumps({**CARD, **changed}))
    with pytest.raises(pb.UserError, match=r"s\.npz\.json .*write the file again"):
        pb.load_scores(tmp_path / "s.npz")


# -- JSON -------------------------------------------------------------------------------------------------------------

HOSTILE_JSON = {
    "deep": '{"a":' + "[" * 10_000 + "]" * 10_000 + "}",
    "deep objects": '{"a":' * 500 + "1" + "}" * 500,
    "digits": '{"a": ' + "9" * 1_000_000 + "}",
    "just too large": '{"keep": ' + str(2**64) + "}",
    "no object": "[1, 2]",
    "no UTF-8": "\xff",
    "torn": '{"a": 1',
}


@pytest.mark.parametrize("name", HOSTILE_JSON)
def test_json_that_is_deep_or_long_is_one_sentence_everywhere(name, tmp_path, capsys):
    text = HOSTILE_JSON[name].encode("latin-1")
    path = tmp_path / "x.json"
    path.write_bytes(text)
    with pytest.raises(ValueError):
        read_object(path)
    (tmp_path / "s.npz").write_bytes(SCORES)
    (tmp_path / "s.npz.json").write_bytes(text)
    with pytest.raises(pb.UserError, match="is not a readable card"):
        pb.load_scores(tmp_path / "s.npz")
    store = Store(tmp_path / "store")
    for kind in ("trials", "failures"):
        (store.root / kind / f"{'a' * 64}.json").write_bytes(text)
    assert store.failures() == [] and list(store.records("trials")) == []
    assert len(store.verify()[1]) >= 1
    with pytest.raises(SystemExit) as left:
        main(["leaderboard", str(store.root)])
    assert left.value.code == 2 and "no finished trial" in capsys.readouterr().err


def test_json_is_measured_before_it_is_read(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"a": "b" * 1000}))
    assert read_object(path) == {"a": "b" * 1000}
    with pytest.raises(ValueError, match="bytes"):
        read_object(path, limit=1000)
    with path.open("r+b") as stream:
        stream.truncate(2**36)  # of zeros, on no disk
    with pytest.raises(ValueError, match="are allowed"):
        read_object(path)


def test_a_table_with_many_names_and_one_twice_is_told_at_once(tmp_path):
    import time

    names = [*range(60_000), 59_999]
    (tmp_path / "s.csv").write_text("".join(f"n{i},1\n" for i in names))
    started = time.monotonic()
    with pytest.raises(pb.UserError, match="'n59999' more than once"):
        read_table(tmp_path / "s.csv")
    assert time.monotonic() - started < 10  # one count of all names for every name takes minutes
