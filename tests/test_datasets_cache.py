"""Pictures decoded once: the same to the bit, found by themselves, sound or not used, resumable, never mixed."""

from __future__ import annotations

import copy
import errno
import json
import multiprocessing
import os
import re
import signal
import time
import zipfile
from functools import wraps
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from prunebench.cli import cli
from prunebench.datasets import cache, cache_making, files
from prunebench.datasets.archives import Archive, Member
from prunebench.datasets.cache import Cached, find, name_of
from prunebench.datasets.cache_making import make
from prunebench.datasets.files import FileImages
from prunebench.datasets.loading import load
from prunebench.datasets.memory import MemoryImages, resident
from prunebench.errors import StoreError, UserError, VerifyError
from prunebench.harness.shared import silent
from prunebench.registry import installed
from prunebench.store import canonical, card_hash

S = 8


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Five pictures of 8 px are a block."""
    monkeypatch.setattr(cache_making, "BLOCK_BYTES", 5 * 3 * S * S)
    monkeypatch.delenv(cache.VARIABLE, raising=False)


def saved(folder: Path, shapes, seed: int = 0, form: str = "png") -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    rng, paths = np.random.default_rng(seed), []
    for i, (height, width) in enumerate(shapes):
        paths.append(folder / f"{i:03}.{form}")
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(paths[-1])
    return paths


@pytest.fixture
def paths(tmp_path):
    return saved(tmp_path / "set", [(12 + i % 5, 10 + i % 3) for i in range(23)])


def made(images: FileImages, folder: Path, size: int = S) -> cache_making.Made:
    return make(images, size, folder, {}, silent)


def looking(paths, folder: Path | None, size: int = S) -> FileImages:
    images = FileImages(paths, size)
    images.look_in(folder)
    return images


def never_decodes(monkeypatch) -> None:
    """Opening a cache still compares some pictures with their files; after that no file may be decoded."""

    def refuse(*_):
        raise AssertionError("a file was decoded")

    monkeypatch.setattr(FileImages, "decoded", refuse)


# ---- the same pictures


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_memory_files_archive_and_cache_give_the_same_pixels(tmp_path_factory, data):
    side = st.integers(1, 24)
    shapes = data.draw(st.lists(st.tuples(side, side), min_size=1, max_size=12), "shapes")
    size, form = data.draw(st.integers(2, 12), "size"), data.draw(st.sampled_from(["png", "jpg"]), "form")
    rows = data.draw(st.lists(st.integers(0, len(shapes) - 1), max_size=15), "rows")
    folder = tmp_path_factory.mktemp("pictures")
    paths = saved(folder / "set", shapes, data.draw(st.integers(0, 99), "seed"), form)
    with zipfile.ZipFile(folder / "set.zip", "w") as archive:
        for path in paths:
            archive.write(path, path.name)
    opened = Archive(folder / "set.zip")
    plain = FileImages(paths, size)
    made(plain, folder / "cache", size)
    cached = looking(paths, folder / "cache", size)
    zipped = looking([Member(opened, path.name) for path in paths], folder / "cache", size)
    memory = MemoryImages(plain.pixels(range(len(paths))), size)
    expected = plain.pixels(rows)
    part = sorted(set(rows))
    for images in (cached, zipped, memory):
        assert torch.equal(images.pixels(rows), expected)
        assert torch.equal(images.take(part).pixels(range(len(part))), plain.pixels(part))
        assert torch.equal(resident(images), plain.pixels(range(len(paths))))
    assert cached._cached(size) is not None and zipped._cached(size) is not None
    assert cached.digest() == zipped.digest() == plain.digest()


def test_a_cache_is_found_and_used_for_the_set_its_parts_and_in_memory(paths, tmp_path, monkeypatch):
    plain = FileImages(paths, S)
    everything = plain.pixels(range(23))
    made(plain, tmp_path / "cache")
    images = looking(paths, tmp_path / "cache")
    taken = images.take([20, 3, 4]).take([2, 0])
    images.pixels([0])
    never_decodes(monkeypatch)
    assert torch.equal(images.pixels([22, 0, 7, 7]), everything[[22, 0, 7, 7]])
    assert torch.equal(taken.pixels([0, 1]), everything[[4, 20]])
    whole = resident(images)
    assert torch.equal(whole, everything)
    assert whole.data_ptr() == images._cached(S).pictures.ctypes.data, "memory that processes share, not a copy"
    whole.zero_()  # nobody may, but where somebody does, the file stays
    assert Cached(tmp_path / "cache", name_of(images, S), 23, S).sound(0)


def test_other_pictures_sizes_and_orders_have_other_caches(paths, tmp_path):
    images, folder = FileImages(paths, S), tmp_path / "cache"
    made(images, folder)
    assert find(folder, FileImages(paths[::-1], S), S) is None
    assert find(folder, images, S + 1) is None
    assert find(folder, FileImages(paths[:-1], S), S) is None
    content = bytearray(paths[3].read_bytes())
    content[-20] ^= 1  # of the same length
    paths[3].write_bytes(content)
    assert find(folder, FileImages(paths, S), S) is None


@pytest.mark.parametrize("zipped", [False, True])
def test_of_sets_too_large_to_be_read_through_a_changed_file_is_noticed(paths, tmp_path, monkeypatch, zipped):
    monkeypatch.setattr(files, "READ_THROUGH", 10)

    def images():
        if not zipped:
            return FileImages(paths, S)
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
            for path in paths:
                archive.write(path, path.name)
        return FileImages([Member(Archive(tmp_path / "set.zip"), path.name) for path in paths], S)

    before = images()
    made(before, tmp_path / "cache")
    assert find(tmp_path / "cache", images(), S) is not None
    content = bytearray(paths[3].read_bytes())
    content[-20] ^= 1
    paths[3].write_bytes(content)
    os.utime(paths[3], ns=(10**18, 10**18))
    after = images()
    assert after.digest() == before.digest()  # the fingerprint is of sizes there
    assert find(tmp_path / "cache", after, S) is None


def test_fingerprints_and_results_do_not_depend_on_a_cache(tmp_path):
    for split, n in (("train", 12), ("val", 6)):
        for c in "ab":
            saved(tmp_path / "data" / "set" / split / c, [(9, 11)] * n, seed=ord(c) + n)
    text, root = f"folder(path='{tmp_path / 'data' / 'set'}')", tmp_path / "data"

    def loaded():
        found = load(installed(), text, root, image_size=S)
        return found, found.train.fingerprint, found.test.fingerprint, found.train.images.pixels(range(24))

    found, *plain, pixels = loaded()
    for split in (found.train, found.test):
        made(split.images, root / cache.FOLDER)
    again, *cached, same = loaded()
    assert again.train.images._cached(S) is not None and again.test.images._cached(S) is not None
    assert plain == cached and torch.equal(pixels, same)


# ---- damage


@pytest.mark.parametrize("place", ["first", "middle", "last", "header"])
def test_a_flipped_byte_is_found_never_used_and_only_its_block_is_made_again(paths, tmp_path, caplog, place):
    images, folder = FileImages(paths, S), tmp_path / "cache"
    everything = images.pixels(range(23))
    path = made(images, folder).path
    sound = path.read_bytes()
    at = {"first": len(sound) - 23 * 3 * S * S, "middle": len(sound) // 2, "last": len(sound) - 1, "header": 9}[place]
    path.write_bytes(sound[:at] + bytes([sound[at] ^ 0x40]) + sound[at + 1 :])
    assert torch.equal(looking(paths, folder).pixels(range(23)), everything)
    assert torch.equal(resident(looking(paths, folder)), everything)
    assert "decoded from their files" in caplog.text
    assert made(images, folder).decoded == (0 if place == "header" else 1)
    assert path.read_bytes() == sound


@pytest.mark.parametrize("left", [0, 100, 128 + 7 * 3 * S * S, -1])
def test_a_torn_file_is_not_used_and_what_stands_of_it_is_kept(paths, tmp_path, left):
    images, folder = FileImages(paths, S), tmp_path / "cache"
    everything, path = images.pixels(range(23)), made(images, folder).path
    sound = path.read_bytes()
    path.write_bytes(sound[:left])
    found = looking(paths, folder)
    assert torch.equal(found.pixels(range(23)), everything) and found._cached(S) is None
    blocks = {0: 5, 100: 5, 128 + 7 * 3 * S * S: 4, -1: 1}[left]
    assert made(images, folder).decoded == blocks
    assert path.read_bytes() == sound


@pytest.mark.parametrize("damage", ["torn", "hash", "shape", "[]", "deep"])
def test_a_damaged_card_is_no_card(paths, tmp_path, damage):
    images, folder = FileImages(paths, S), tmp_path / "cache"
    everything, path = images.pixels(range(23)), made(images, folder).path.with_suffix(".json")
    card = json.loads(path.read_text())
    told = {"torn": path.read_text()[:200], "[]": "[]", "deep": "[" * 100_000}.get(damage)
    if damage == "hash":
        told = json.dumps(card | {"hashes": card["hashes"][::-1]})
    if damage == "shape":
        told = canonical(changed := {k: v for k, v in card.items() if k != "sha256"} | {"block": 0})
        told = canonical(changed | {"sha256": card_hash(changed)})
    path.write_text(told)
    found = looking(paths, folder)
    assert torch.equal(found.pixels(range(23)), everything) and found._cached(S) is None
    assert made(images, folder).path.exists() and looking(paths, folder)._cached(S) is not None


def test_what_another_decoder_made_is_not_used_and_made_again(paths, tmp_path, caplog, monkeypatch):
    images, folder = FileImages(paths, S), tmp_path / "cache"
    with monkeypatch.context() as other:
        other.setattr(files, "_square", lambda source, size: np.full((3, size, size), 7, dtype=np.uint8))
        made(images, folder)
    found = looking(paths, folder)
    assert found._cached(S) is None and "another decoder" in caplog.text
    assert torch.equal(found.pixels(range(23)), images.pixels(range(23)))
    with pytest.raises(ValueError, match="another decoder"):
        cache_making.damaged(images, S, folder)
    assert made(images, folder).decoded == 5
    assert looking(paths, folder)._cached(S) is not None


# ---- making


def test_a_standing_cache_is_checked_and_left(paths, tmp_path):
    images = FileImages(paths, S)
    first = made(images, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert (first.blocks, first.decoded) == (5, 5)
    assert made(images, tmp_path).decoded == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    assert not [name for name in before if name.startswith((".making", ".tmp"))]
    assert np.array_equal(np.load(first.path), images.pixels(range(23)).numpy()), "an ordinary .npy file"


def test_finished_blocks_survive_an_interruption_at_any_moment(paths, tmp_path, monkeypatch):
    images, plain = FileImages(paths, S), FileImages.decoded
    expected = images.pixels(range(23))
    for moment in range(5):
        folder, calls = tmp_path / str(moment), []

        def interrupted(self, rows, size, calls=calls, moment=moment):
            if len(calls) == moment:
                raise KeyboardInterrupt
            calls.append(rows)
            return plain(self, rows, size)

        monkeypatch.setattr(FileImages, "decoded", interrupted)
        with pytest.raises(KeyboardInterrupt):
            made(images, folder)
        monkeypatch.setattr(FileImages, "decoded", plain)
        assert find(folder, images, S) is None, "nothing half done is found"
        assert made(images, folder).decoded == 5 - moment
        assert torch.equal(looking(paths, folder).pixels(range(23)), expected)


def test_what_was_done_before_an_earlier_interruption_is_kept_too(paths, tmp_path, monkeypatch):
    """The second maker is stopped before it has done anything, after the first had done two blocks."""
    images, plain = FileImages(paths, S), FileImages.decoded
    for moment in (2, 0, 1):
        calls = []

        def interrupted(self, rows, size, calls=calls, moment=moment):
            if len(calls) == moment:
                raise KeyboardInterrupt
            calls.append(rows)
            return plain(self, rows, size)

        with monkeypatch.context() as stopping, pytest.raises(KeyboardInterrupt):
            stopping.setattr(FileImages, "decoded", interrupted)
            made(images, tmp_path)
    assert made(images, tmp_path).decoded == 5 - 3


def test_blocks_whose_lines_lie_are_made_again(paths, tmp_path, monkeypatch):
    """After a power cut a line may stand while its block does not, or be torn."""
    images, name = FileImages(paths, S), name_of(FileImages(paths, S), S)
    sound = made(images, tmp_path / "sound").path.read_bytes()
    card = json.loads((tmp_path / "sound" / f"{name}.json").read_text())
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / f".making-{name}.npy").write_bytes(sound[: 128 + 12 * 3 * S * S] + bytes(50))
    lines = "".join(f"{b} {told}\n" for b, told in enumerate(card["hashes"]))
    (folder / f".making-{name}.blocks").write_text(lines[:-10])
    assert made(images, folder).decoded == 3
    assert (folder / f"{name}.npy").read_bytes() == sound


def test_a_file_whose_card_never_came_is_finished(paths, tmp_path, monkeypatch):
    images = FileImages(paths, S)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(cache_making._Making, "_publish_card", killed)
        with pytest.raises(KeyboardInterrupt):
            made(images, tmp_path / "cache")
    assert find(tmp_path / "cache", images, S) is None
    assert made(images, tmp_path / "cache").decoded == 0
    assert find(tmp_path / "cache", images, S) is not None


def test_kill_9_at_random_moments_leaves_nothing_half_done(tmp_path, monkeypatch):
    """F1: each of several makers is killed while it works; the last finishes what they began."""
    monkeypatch.undo()
    paths = saved(tmp_path / "set", [(60, 50)] * 400, form="jpg")
    images, folder, processes = FileImages(paths, 224), tmp_path / "cache", multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["prunebench.datasets.cache_making"])
    name, blocks, rng = name_of(images, 224), 15, np.random.default_rng(0)  # 27 pictures of 224 px are a block
    lines, kept = folder / f".making-{name}.blocks", [0]

    def done() -> int:
        return len(re.findall(r"(?m)^\d+ [0-9a-f]{64}$", lines.read_text())) if lines.exists() else 0

    for _ in range(4):
        maker = processes.Process(target=make, args=(images, 224, folder, {}, silent))
        maker.start()
        while maker.is_alive() and done() <= kept[-1]:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.1))
        os.kill(maker.pid, signal.SIGKILL)
        maker.join()
        assert find(folder, images, 224) is None, "killed too late: nothing half done was seen"
        kept.append(done())
    assert kept == sorted(set(kept)), "each maker went on where the one before was killed"
    assert make(images, 224, folder, {}, silent).decoded == blocks - kept[-1]
    cached = Cached(folder, name, 400, 224)
    assert all(cached.sound(b) for b in range(blocks))
    assert np.array_equal(cached.pictures, images.pixels(range(400)).numpy())
    assert not list(folder.glob(".making*"))


def test_two_makers_make_one_cache(paths, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        decoded = [job.result().decoded for job in [pool.submit(made, FileImages(paths, S), tmp_path) for _ in "1234"]]
    assert sorted(decoded) == [0, 0, 0, 5]


def test_every_file_that_cannot_be_read_is_named_at_once(paths, tmp_path):
    for i in (2, 3, 17):
        paths[i].write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"3 pictures cannot be decoded: .*002\.png.*003\.png.*017\.png"):
        made(FileImages(paths, S), tmp_path / "cache")
    assert find(tmp_path / "cache", FileImages(paths, S), S) is None


def test_empty_and_missing_files_are_told_all_at_once(paths, tmp_path):
    for i in (2, 3, 17):
        paths[i].write_bytes(b"")
    with pytest.raises(files.UnreadableFiles, match=r"^3 pictures cannot .*002\.png.*003\.png.*017\.png") as told:
        FileImages(paths, S).digest()
    assert copy.copy(told.value).told == told.value.told, "workers hand it over as it is"
    with pytest.raises(UserError, match=r"^3 pictures cannot .*002\.png.*003\.png.*017\.png"):
        files.native_size([str(path) for path in paths])
    for i in (4, 9):
        paths[i].unlink()
    with pytest.raises(UserError, match=r"^2 pictures cannot .*004\.png is not there any more.*009\.png"):
        FileImages(paths, S).digest()


@pytest.mark.parametrize("size", [("--image-size", S), ()])
def test_json_lists_every_file_that_cannot_be_read(data_root, size):
    bad = [data_root / "set" / "train" / c / f"{i:03}.png" for c in "ab" for i in range(1, 7)]
    bad += [data_root / "set" / "val" / c / f"{i:03}.png" for c in "ab" for i in range(7)] if size else []
    for path in bad:
        path.write_bytes(b"no picture")
    result = CliRunner().invoke(
        cli, [str(a) for a in ("datasets", "cache", "folder:set", "--data-root", data_root, *size, "--json")]
    )
    told = json.loads(result.stdout)["unreadable"]
    assert isinstance(result.exception, UserError) and len(told) == len(bad)
    assert all(sentence.startswith(f"{path} cannot be read as") for path, sentence in zip(bad, told, strict=True))
    assert str(result.exception).startswith(f"{len(bad)} pictures cannot be decoded: ")
    assert str(result.exception).endswith("; and 6 more") is bool(size)


def test_one_file_is_told_in_the_singular(paths, tmp_path):
    paths[2].write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"^1 picture cannot be decoded: .*002\.png"):
        made(FileImages(paths, S), tmp_path / "cache")


def test_what_was_begun_for_data_that_changed_is_named_and_in_the_end_removed(paths, tmp_path, caplog):
    folder, (old, young, held) = tmp_path, (f"{c * 32}-23x8" for c in "abc")
    for name in (old, young, held):
        (folder / f".making-{name}.npy").write_bytes(bytes(40_000))
        (folder / f".making-{name}.blocks").write_text("")
    (folder / ".making-of-somebody-else.npy").write_bytes(b"")
    for path in folder.glob(".making-*"):
        if young not in path.name:
            os.utime(path, (10**9, 10**9))
    with FileLock(folder / f".{held}.lock"):
        made(FileImages(paths, S), folder)
        cache_making.tell_left(folder)
    kept = {f".making-{name}.{end}" for name in (young, held) for end in ("npy", "blocks")}
    assert {path.name for path in folder.glob(".making-*")} == kept | {".making-of-somebody-else.npy"}
    assert caplog.text.count("begun and not finished") == 1
    assert re.search(rf"holds 0\.0 MB begun and not finished: .*\(\.making-{young}\.npy\)", caplog.text)


# ---- places


def test_a_place_that_cannot_be_written_is_told_and_breaks_nothing(paths, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*--out DIR, and PRUNEBENCH_CACHE=DIR"):
        made(FileImages(paths, S), tmp_path / "file" / "cache")
    assert looking(paths, tmp_path / "file" / "cache").pixels([0]).shape == (1, 3, S, S)

    def read_only(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path / "cache"))

    made(FileImages(paths, S), tmp_path / "cache")
    with monkeypatch.context() as frozen:
        for name in ("mkdir", "touch", "unlink", "rename", "replace"):
            frozen.setattr(Path, name, read_only)
        with pytest.raises(UserError, match="Read-only file system"):
            made(FileImages(paths, S), tmp_path / "cache")
        assert looking(paths, tmp_path / "cache")._cached(S) is not None


def test_a_full_disk_is_told_before_and_while_it_is_written(paths, tmp_path, monkeypatch):
    images, plain = FileImages(paths, S), os.pwrite
    with monkeypatch.context() as full:
        full.setattr(os, "statvfs", lambda _: os.statvfs_result((4096, 4096, 10, 1, 1, 0, 0, 0, 0, 255)))
        with pytest.raises(UserError, match=r"0\.00 GB free and 0\.00 GB are needed.*--out"):
            made(images, tmp_path)
    writes = []

    def fills(*args):
        writes.append(args)
        if len(writes) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return plain(*args)

    monkeypatch.setattr(os, "pwrite", fills)
    with pytest.raises(StoreError, match=r"No space left on device.*go on with the same command"):
        made(images, tmp_path)
    assert made(images, tmp_path).decoded == 2


def test_the_variable_comes_before_the_data_root(paths, tmp_path, monkeypatch, caplog):
    assert cache.cache_folder(tmp_path) == tmp_path / "prunebench-cache"
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "elsewhere"))
    assert cache.cache_folder("data") == tmp_path / "elsewhere"
    cache.tell_missing(tmp_path / "elsewhere")
    assert "which is no folder" in caplog.text


def test_a_folder_that_is_not_there_is_told_once_and_not_where_it_is_made(data_root, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "elsewhere"))
    text = f"folder(path='{data_root / 'set'}')"
    load(installed(), text, data_root, image_size=S)
    assert caplog.text.count("which is no folder") == 1
    caplog.clear()
    call("datasets", "cache", text, "--data-root", data_root, "--image-size", S)
    assert not caplog.text and (tmp_path / "elsewhere").is_dir()


def test_a_read_only_file_system_is_told_as_one(paths, tmp_path, monkeypatch):
    """`os.access` and lock files tell of a lack of permission there."""

    def refused(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "cache"))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(UserError, match=r"cannot write .*cache \(Permission denied\)"):
        made(FileImages(paths, S), tmp_path / "cache")
    state = list(os.statvfs(tmp_path))
    state[8] |= os.ST_RDONLY
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(state))
    with pytest.raises(UserError, match=r"cannot write .*cache \(Read-only file system\)"):
        made(FileImages(paths, S), tmp_path / "cache")


# ---- the commands


@pytest.fixture
def data_root(tmp_path):
    for split in ("train", "val"):
        for c in "ab":
            saved(tmp_path / "data" / "set" / split / c, [(9, 11)] * 7, seed=ord(c) + len(split))
    return tmp_path / "data"


def call(*args: object) -> str:
    return CliRunner().invoke(cli, [str(a) for a in args], catch_exceptions=False, standalone_mode=False).output


def test_datasets_still_lists(capsys):
    assert "fashion-mnist" in call("datasets") and json.loads(call("datasets", "--json"))["datasets"]


def test_cache_and_verify_from_the_shell(data_root, tmp_path, caplog):
    where = ("folder:set", "--data-root", data_root, "--image-size", S)
    with pytest.raises(UserError, match="holds no cache of these pictures at 8 px"):
        call("datasets", "verify", *where)
    assert "train: 14 pictures of 8 px, 0.0 MB: 3 of 3 blocks decoded" in call("datasets", "cache", *where)
    rows = json.loads(call("datasets", "cache", *where, "--json"))
    assert [(row["split"], row["decoded"]) for row in rows] == [("train", 0), ("test", 0)]
    assert call("datasets", "verify", *where).count("are sound") == 2
    path = Path(rows[0]["path"])
    assert path.parent == data_root / "prunebench-cache"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(VerifyError, match="not sound"):
        call("datasets", "verify", *where)
    assert "1 of 3 blocks decoded" in call("datasets", "cache", *where)
    found = json.loads(call("datasets", "verify", *where, "--json"))
    assert found["problems"] == [] and [row["split"] for row in found["checked"]] == ["train", "test"]
    assert found["checked"][0] == {
        **{"split": "train", "pictures": 14, "size": S, "bytes": path.stat().st_size},
        **{"path": str(path), "blocks": 3, "damaged": 0},
    }
    assert "PRUNEBENCH_CACHE=" in call("datasets", "cache", *where, "--out", tmp_path / "other")
    assert "not finished" not in caplog.text
    (tmp_path / "other" / f".making-{'d' * 32}-14x8.npy").write_bytes(bytes(40_000))
    call("datasets", "cache", *where, "--out", tmp_path / "other")
    assert caplog.text.count("begun and not finished") == 1


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("digits",), "lie in memory"),
        (("nothing",), "no dataset 'nothing'"),
        (("folder:set", "--image-size", 0), "at least 2 px, got 0"),
        (("folder:set", "--image-size", 1), "--image-size must be at least 2 px, got 1"),
        (("folder:missing",), "does not exist"),
        (("folder:set(train=9,test=6)",), r"does not exist; .*: folder\(path='set', train=9, test=6\)$"),
    ],
)
@pytest.mark.parametrize("command", ["cache", "verify"])
def test_wrong_data_sets_are_told(data_root, command, args, told):
    with pytest.raises(UserError, match=told):
        call("datasets", command, *args, "--data-root", data_root)


def test_files_in_another_order_are_not_read_again_for_their_names(paths, tmp_path, monkeypatch):
    """A harness takes all examples in an order of its own: that is another set, and may have a cache of its own."""
    images, folder, read = FileImages(paths, S), tmp_path / "cache", []
    made(images, folder)
    checksum = files._checksum
    monkeypatch.setattr(files, "_checksum", wraps(checksum)(lambda source: read.append(source) or checksum(source)))
    whole = looking(paths, folder)
    assert whole.digest() == images.digest() and len(read) == 23
    taken = whole.take(np.arange(23)[::-1].copy())
    assert torch.equal(taken.pixels(range(23)), images.pixels(range(23)).flip(0)) and len(read) == 23
    assert taken.digest() == FileImages(paths[::-1], S).digest() != whole.digest()
