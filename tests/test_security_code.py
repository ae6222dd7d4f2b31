"""Everything but installed plugins is data and never runs: no reader of ours takes code, and no attack gets any in."""

import ast
import os
import pickle
import re
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

import prunebench as pb
from prunebench.arrays import read_npy, read_npz
from prunebench.cli import main
from prunebench.datasets.archives import Archive
from prunebench.datasets.memory import MemoryImages
from prunebench.datasets.noisy_labels import from_file
from prunebench.training.models import build
from prunebench.types import Split

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = (
    *("prunebench", "baselines", "plugins/drd/prunebench_drd", "plugins/deepcore/prunebench_deepcore"),
    *("docs", "benchmarks"),
)
LOADERS = ("pickle", "cPickle", "_pickle", "dill", "joblib", "cloudpickle", "shelve", "marshal", "yaml", "jsonpickle")
RUNNERS = ("eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput")


def faults(source):
    """What of a source file would run what it reads, hand a text to a shell, or take code from a hub."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            yield from (f"imports {name}" for name in names if name.split(".")[0] in LOADERS)
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if name in RUNNERS:
                yield f"calls {name}"
            if name.endswith("torch.load") and given.get("weights_only") != "True":
                yield "torch.load without weights_only=True"
            if name in ("np.load", "numpy.load") and given.get("allow_pickle") != "False":
                yield "np.load without allow_pickle=False"
            if name.endswith(("extractall", ".extract", "unpack_archive")):
                yield f"unpacks an archive: {name}"
            if name.endswith("from_pretrained") and given.get("use_safetensors") != "True":
                yield "from_pretrained without use_safetensors=True"
            for option in ("shell", "trust_remote_code", "allow_pickle"):
                if given.get(option, "False") != "False":
                    yield f"{option}={given[option]}"


@pytest.mark.parametrize("folder", SHIPPED)
def test_nothing_that_ships_runs_what_it_reads(folder):
    sources = list((ROOT / folder).rglob("*.py"))
    assert sources
    found = {str(path.relative_to(ROOT)): told for path in sources if (told := list(faults(path.read_text())))}
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import yaml as y",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "torch.load(f, weights_only=safe)",
        "np.load(f)",
        "np.load(f, allow_pickle=True)",
        "eval(text)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
        "Model.from_pretrained(f)",
        "AutoModel.from_pretrained(f, use_safetensors=True, trust_remote_code=True)",
        "archive.extractall(place)",
    ],
)
def test_the_search_finds_what_it_looks_for(source):
    assert list(faults(source))


# -- pickles, by every road that reads weights or arrays of others ----------------------------------------------------


class Attack:
    """Unpickled, it makes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "owned"


def attacks(folder, mark):
    """Files with the same code in them, as each tool writes it."""
    torch.save({"conv1.weight": torch.zeros(1), "x": Attack(mark)}, folder / "zip.pt")
    torch.save({"x": Attack(mark)}, folder / "old.pth", _use_new_zipfile_serialization=False)
    (folder / "plain.pt").write_bytes(pickle.dumps(Attack(mark)))
    np.save(folder / "o.npy", np.array([Attack(mark)], dtype=object), allow_pickle=True)
    np.savez(folder / "o.npz", values=np.array([Attack(mark)], dtype=object), indices=np.array([1]))
    return sorted(path for path in folder.iterdir() if path.suffix in (".pt", ".pth", ".npy", ".npz"))


def test_the_attack_is_one(tmp_path, mark):
    """Where a reader would run it, it does run."""
    attacks(tmp_path, mark)
    careless = {
        "old.pth": lambda path: torch.load(path, weights_only=False),
        "zip.pt": lambda path: torch.load(path, weights_only=False),
        "plain.pt": lambda path: torch.load(path, weights_only=False),
        "o.npy": lambda path: np.load(path, allow_pickle=True),
        "o.npz": lambda path: np.load(path, allow_pickle=True)["values"],
    }
    for name, read in careless.items():
        with suppress(RuntimeError):  # torch's word on a plain pickle, once it has run
            read(tmp_path / name)
        assert mark.is_dir(), name
        mark.rmdir()


def test_weights_for_pretrained_never_run(tmp_path, mark, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in attacks(tmp_path, mark):
        with pytest.raises(pb.UserError, match=f"the weights file .*{path.name} does not fit resnet18"):
            build("resnet18", 3, 8, seed=0, pretrained=str(path))
    args = ["run", "--selector", "random", "--dataset", "planted(train=30,test=10)", "--pretrained", "zip.pt"]
    with pytest.raises(SystemExit) as left:
        main(args)
    told = capsys.readouterr().err
    assert left.value.code == 2 and "zip.pt does not fit" in told and len(told.splitlines()) == 1
    assert not mark.exists()


def test_label_files_never_run(tmp_path, mark):
    split = Split(MemoryImages(np.zeros((1, 4, 4), dtype=np.uint8)), np.array([0]), ("train:0",))
    for path in attacks(tmp_path, mark):
        path = path.rename(path.with_suffix(".pt")) if path.suffix == ".pth" else path
        with pytest.raises(pb.UserError, match=re.escape(path.name)):
            from_file(split, path, None, ("a", "b"))
    assert not mark.exists()


@pytest.mark.parametrize("held", [7, {"a": 1}, {"a": [[1], [2, 3]]}, torch.zeros(2, 2), ["x"], None], ids=str)
def test_tensor_files_that_hold_no_labels_are_one_sentence(held, tmp_path):
    split = Split(MemoryImages(np.zeros((1, 4, 4), dtype=np.uint8)), np.array([0]), ("train:0",))
    torch.save(held, tmp_path / "n.pt")
    with pytest.raises(pb.UserError, match=r"n\.pt "):
        from_file(split, tmp_path / "n.pt", None, ("a", "b"))


def test_arrays_scores_index_files_and_logs_never_run(tmp_path, mark, capsys):
    attacks(tmp_path, mark)
    for name, read in (("o.npy", read_npy), ("o.npz", read_npz)):
        with pytest.raises(ValueError):
            read(tmp_path / name)
        with pytest.raises(pb.UserError):
            pb.load_scores(tmp_path / name, hard="high")
        with pytest.raises(pb.UserError):
            pb.load_selection(tmp_path / name)
    with pytest.raises(SystemExit) as left:
        main(["score", "--scorer", "aum", "--from-log", str(tmp_path / "o.npz"), "--out", str(tmp_path / "s.npz")])
    assert left.value.code == 2 and not mark.exists()


# -- archives that are read in place ----------------------------------------------------------------------------------


def archive_of(path, *members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, content in members:
            archive.writestr(info, content)
    return path


@pytest.mark.parametrize("kind", [0o020666, 0o060660, 0o010644, 0o140777, 0o120777], ids=oct)
def test_devices_pipes_sockets_and_links_are_refused(kind, tmp_path):
    info = zipfile.ZipInfo("n1/a.png")
    info.external_attr = kind << 16
    with pytest.raises(pb.UserError, match=r"is a link|is no file"):
        Archive(archive_of(tmp_path / "set.zip", (info, b"x")))


def test_a_name_with_a_zero_byte_is_refused(tmp_path):
    path = archive_of(tmp_path / "set.zip", ("n1/aXpng", b"x"))
    path.write_bytes(path.read_bytes().replace(b"n1/aXpng", b"n1/a\0png"))
    with pytest.raises(pb.UserError, match="could leave the archive"):
        Archive(path)


def test_a_member_that_lies_about_its_size_is_never_unpacked_whole(tmp_path):
    """60 MB of zeros that claim to be 100 bytes: unpacked are 100 and a buffer."""
    import tracemalloc
    import zlib

    true = 60 * 2**20
    path = archive_of(tmp_path / "set.zip", ("n1/a.png", b"\0" * true))
    content, told = path.read_bytes(), true.to_bytes(4, "little")
    assert content.count(told) == 2  # before the member, and in the directory
    sums = [zlib.crc32(b"\0" * size).to_bytes(4, "little") for size in (true, 100)]
    path.write_bytes(content.replace(told, (100).to_bytes(4, "little")).replace(*sums))
    archive = Archive(path)
    tracemalloc.start()
    assert archive.read("n1/a.png") == b"\0" * 100
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()
    path.write_bytes(content.replace(told, (2 * true).to_bytes(4, "little")))
    with pytest.raises((ValueError, zipfile.BadZipFile)):
        Archive(path).read("n1/a.png")


def test_nothing_is_unpacked_to_the_disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    archive = Archive(archive_of(tmp_path / "set.zip", ("n1/a.png", b"x"), ("n2/b.png", b"y")))
    assert [archive.read(name) for name in archive.sizes] == [b"x", b"y"]
    assert [path.name for path in tmp_path.rglob("*")] == ["set.zip"]


def test_a_table_of_labels_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    import gzip

    from prunebench.datasets import noisy_labels

    split = Split(MemoryImages(np.zeros((1, 4, 4), dtype=np.uint8)), np.array([0]), ("train:0",))
    monkeypatch.setattr(noisy_labels, "MAX_BYTES", 10_000)
    (tmp_path / "n.csv.gz").write_bytes(gzip.compress(b"path,label\n" + b"train:0,a\n" * 5000))
    with pytest.raises(pb.UserError, match="more than 10000 bytes"):
        from_file(split, tmp_path / "n.csv.gz", None, ("a", "b"))


def test_every_rule_of_the_security_page_names_tests_that_are_there():
    rows = [line for line in (ROOT / "SECURITY.md").read_text().splitlines() if line.startswith("| ")][2:]
    assert len(rows) >= 16
    for row in rows:
        held, attacked = row.split("|")[3:5]
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", attacked)
        assert named, row
        for file, test in named:
            assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.MULTILINE), (file, test)
        for module in re.findall(r"`([\w/]+\.py)`", held):
            place = "plugins/drd" if module.startswith("prunebench_drd/") else "prunebench"
            assert (ROOT / place / module).is_file(), module
