"""Arrays from strangers: headers are checked before anything is allocated, and nothing runs."""

import io
import zipfile

import numpy as np
import pytest

from prunebench.arrays import read_npy, read_npz, write_npz


def test_round_trip(tmp_path):
    path = tmp_path / "a.npz"
    arrays = {"x": np.arange(6.0).reshape(2, 3), "keys": np.array(["a", "bc"]), "flag": np.array([True])}
    path.write_bytes(write_npz(arrays))
    assert write_npz(arrays) == path.read_bytes()
    found = read_npz(path)
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    fortran = np.asfortranarray(np.arange(6).reshape(2, 3))
    np.save(tmp_path / "f.npy", fortran)
    assert np.array_equal(read_npy(tmp_path / "f.npy"), fortran)


def test_compressed_files_are_read(tmp_path):
    np.savez_compressed(tmp_path / "c.npz", x=np.arange(1000))
    assert np.array_equal(read_npz(tmp_path / "c.npz")["x"], np.arange(1000))


def test_objects_are_refused(tmp_path):
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "o.npz", x=np.array([{}], dtype=object))
    for read, name in ((read_npy, "o.npy"), (read_npz, "o.npz")):
        with pytest.raises(ValueError):
            read(tmp_path / name)
    with pytest.raises(ValueError):
        write_npz({"x": np.array([{}], dtype=object)})


def test_a_lying_header_allocates_nothing(tmp_path):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**11,)})
    (tmp_path / "lie.npy").write_bytes(buffer.getvalue() + b"\0" * 64)
    with pytest.raises(ValueError, match="claims"):
        read_npy(tmp_path / "lie.npy")
    with zipfile.ZipFile(tmp_path / "lie.npz", "w") as archive:
        archive.writestr("x.npy", buffer.getvalue() + b"\0" * 64)
    with pytest.raises(ValueError, match="claims"):
        read_npz(tmp_path / "lie.npz")


def test_a_bomb_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros(25_000_000))
    with pytest.raises(ValueError):
        read_npz(tmp_path / "bomb.npz")


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff{", b"hello" * 100])
def test_rubbish_is_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    for read in (read_npy, read_npz):
        with pytest.raises(ValueError):
            read(tmp_path / "x")
