"""One picture: resize and crop, colour modes, orientation, limits; and the two ways to hold many of them."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from prunebench.datasets import files, pictures
from prunebench.datasets.archives import Archive, Member
from prunebench.datasets.files import FileImages, native_size
from prunebench.datasets.geometry import square
from prunebench.datasets.memory import MemoryImages, resident
from prunebench.datasets.pictures import decode
from prunebench.errors import UserError


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.Generator(np.random.Philox(seed)).integers(0, 256, shape, dtype=np.uint8)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.fixture
def mixed(tmp_path: Path) -> tuple[list[np.ndarray], list[Path]]:
    """Pictures of several shapes as PNG files, and their pixels (H, W, 3)."""
    shapes = [(20, 30), (30, 20), (16, 16), (5, 5), (17, 40), (1, 1)] * 3
    arrays = [noise(*shape, 3, seed=i) for i, shape in enumerate(shapes)]
    paths = [tmp_path / f"{i}.png" for i in range(len(arrays))]
    for array, path in zip(arrays, paths, strict=True):
        Image.fromarray(array).save(path)
    return arrays, paths


# ---- geometry


def test_square_crops_the_middle_by_hand() -> None:
    strip = torch.arange(5, dtype=torch.uint8).reshape(1, 1, 1, 5).expand(1, 1, 3, 5)
    assert square(strip, 3)[0, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("shape", [(80, 64), (100, 333), (28, 28), (9, 40), (16, 17)])
@pytest.mark.parametrize("size", [16, 40])
def test_square_does_not_depend_on_batch_channels_or_layout(shape: tuple[int, int], size: int) -> None:
    batch = torch.from_numpy(noise(4, 3, *shape))
    whole = square(batch, size)
    assert whole.shape == (4, 3, size, size)
    assert torch.equal(whole, torch.cat([square(one[None], size) for one in batch]))
    assert torch.equal(whole, torch.cat([square(batch[:, c : c + 1], size) for c in range(3)], dim=1))
    assert torch.equal(whole, square(batch.contiguous(memory_format=torch.channels_last), size))


@pytest.mark.parametrize("shape", [(80, 64), (100, 333), (9, 40)])
def test_square_is_torchvisions_resize_and_crop(shape: tuple[int, int]) -> None:
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        pytest.skip("torchvision resizes through floats on this processor")
    from torchvision.transforms.v2 import functional

    batch = torch.from_numpy(noise(2, 3, *shape))
    theirs = functional.center_crop(functional.resize(batch, [32], antialias=True), [32, 32])
    assert torch.equal(square(batch, 32), theirs)


def test_a_thin_strip_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(ValueError, match="too long and thin"):
        square(torch.zeros(1, 3, 1, 1_000_000, dtype=torch.uint8), 64)


# ---- memory


def test_memory_images_take_pixels_and_grey() -> None:
    grey = noise(6, 8, 8)
    images = MemoryImages(grey, flip=False)
    assert (len(images), images.size, images.flip) == (6, 8, False)
    out = images.pixels([4, 1])
    assert out.shape == (2, 3, 8, 8)
    assert all(np.array_equal(out[:, c].numpy(), grey[[4, 1]]) for c in range(3))
    assert torch.equal(images.take([4, 1]).pixels([0, 1]), out)
    assert images.pixels(np.array([0]), size=4).shape == (1, 3, 4, 4)
    assert images.pixels([]).shape == (0, 3, 8, 8)


def test_memory_digest_follows_pixels_and_order_not_size() -> None:
    pixels = noise(6, 3, 8, 8)
    images = MemoryImages(pixels)
    assert images.digest() == MemoryImages(torch.from_numpy(pixels), size=4).digest()
    assert MemoryImages(pixels[:, 0]).digest() == MemoryImages(pixels[:, :1].copy()).digest()
    assert images.take([1, 0]).digest() != images.take([0, 1]).digest()
    changed = pixels.copy()
    changed[3, 1, 2, 2] ^= 1
    assert MemoryImages(changed).digest() != images.digest()


@pytest.mark.parametrize("wrong", [np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 3, 8, 8), np.float32)])
def test_memory_refuses_other_shapes_and_types(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8 of shape"):
        MemoryImages(wrong)


@pytest.mark.parametrize("wrong", [[-1], [6], [True, False], [0.5], [[0, 1]]])
def test_indices_are_checked(wrong: list) -> None:
    with pytest.raises(IndexError, match="picture indices"):
        MemoryImages(noise(6, 8, 8)).pixels(wrong)


# ---- files


@pytest.mark.parametrize("size", [8, 16, 24])
def test_files_archive_and_memory_give_the_same_pixels(
    mixed: tuple[list[np.ndarray], list[Path]], tmp_path: Path, size: int
) -> None:
    arrays, paths = mixed
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, path.name)
    opened = Archive(tmp_path / "all.zip")
    on_disk = FileImages(paths, size, workers=1)
    zipped = FileImages([Member(opened, path.name) for path in paths], size, workers=3)
    memory = [MemoryImages(a.transpose(2, 0, 1)[None].copy(), size).pixels([0]) for a in arrays]
    everything = range(len(paths))
    assert torch.equal(on_disk.pixels(everything), torch.cat(memory))
    assert torch.equal(zipped.pixels(everything), torch.cat(memory))
    assert zipped.digest() == on_disk.digest()
    again = pickle.loads(pickle.dumps(zipped))  # noqa: S301 - what a worker process is sent
    assert torch.equal(again.pixels([3, 1]), on_disk.pixels([3, 1]))


@pytest.mark.parametrize("workers", [2, 5, 16])
def test_workers_change_nothing(mixed: tuple[list[np.ndarray], list[Path]], workers: int) -> None:
    _, paths = mixed
    one, many = (FileImages(paths, 12, workers=n) for n in (1, workers))
    rows = [7, 3, 3, 0, 17, 11]
    assert torch.equal(many.pixels(rows), one.pixels(rows))
    assert many.digest() == one.digest()


def test_resident_equals_pixels_is_kept_and_serves_what_is_taken(
    mixed: tuple[list[np.ndarray], list[Path]],
) -> None:
    _, paths = mixed
    images = FileImages(paths, 12)
    plain = images.pixels(range(len(paths)))
    whole = resident(images)
    assert whole is not None
    assert torch.equal(whole, plain)
    assert resident(images) is whole
    taken = images.take([5, 2, 9]).take([2, 0])
    for path in paths:
        path.unlink()
    assert torch.equal(taken.pixels([0, 1]), plain[[9, 5]])
    assert resident(images, limit=whole.numel() - 1) is None
    assert len(pickle.dumps(images)) < 20_000


def test_resident_of_memory_shares_the_tensor() -> None:
    pixels = torch.from_numpy(noise(4, 3, 8, 8))
    whole = resident(MemoryImages(pixels))
    assert whole is not None
    assert whole.data_ptr() == pixels.data_ptr()
    small = resident(MemoryImages(pixels), 4)
    assert torch.equal(small, MemoryImages(pixels).pixels(range(4), 4))


def test_file_digest_is_of_sizes_in_order_and_of_content_where_sets_are_small(tmp_path: Path, monkeypatch) -> None:
    from prunebench.datasets import files

    for name, text in (("a", b"12"), ("b", b"34"), ("c", b"567")):
        (tmp_path / name).write_bytes(text)
    digest = {names: FileImages([tmp_path / n for n in names], 8).digest() for names in ("ac", "bc", "ca")}
    assert len(set(digest.values())) == 3
    monkeypatch.setattr(files, "READ_THROUGH", 4)
    digest = {names: FileImages([tmp_path / n for n in names], 8).digest() for names in ("ac", "bc", "ca")}
    assert digest["ac"] == digest["bc"] != digest["ca"]


@pytest.mark.parametrize("data", [b"", b"no picture", encoded(Image.new("RGB", (64, 64)), "JPEG")[:400]])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_damaged_picture_is_named(tmp_path: Path, data: bytes, zipped: bool) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.jpg"
    good.write_bytes(encoded(Image.fromarray(noise(64, 64, 3))))
    bad.write_bytes(data)
    sources: list = [good, bad]
    if zipped:
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
            for path in sources:
                archive.write(path, path.name)
        sources = [Member(Archive(tmp_path / "set.zip"), name) for name in ("good.png", "bad.jpg")]
    images = FileImages(sources, 8, workers=2)
    images.pixels([0])
    with pytest.raises(UserError, match=r"bad\.jpg cannot be read as a picture .*replace or remove"):
        images.pixels([0, 1])


def test_the_first_bad_picture_is_named_whatever_the_timing(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i:02}.png" for i in range(40)]
    for i, path in enumerate(paths):
        path.write_bytes(b"" if i in (13, 14, 39) else encoded(Image.new("RGB", (4, 4))))
    for _ in range(5):
        with pytest.raises(UserError, match=r"13\.png"):
            FileImages(paths, 4, workers=8).pixels(range(40))


def test_a_vanished_picture_is_named(tmp_path: Path) -> None:
    images = FileImages([tmp_path / "gone.png"], 8)
    for call in (images.digest, lambda: images.pixels([0])):
        with pytest.raises(UserError, match=r"gone\.png is not there any more"):
            call()


def test_a_damaged_archive_member_is_named(tmp_path: Path) -> None:
    path, picture = tmp_path / "set.zip", encoded(Image.fromarray(noise(32, 32, 3)))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("n1/a.png", picture)
    data = bytearray(path.read_bytes())
    data[data.index(picture) + 60] ^= 255
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"set\.zip/n1/a\.png cannot be read"):
        FileImages([Member(Archive(path), "n1/a.png")], 8).pixels([0])


def test_native_size_is_the_common_shorter_side(tmp_path: Path) -> None:
    def saved(*shapes: tuple[int, int]) -> list[str]:
        paths = [str(tmp_path / f"{len(shapes)}-{i}.png") for i in range(len(shapes))]
        for path, shape in zip(paths, shapes, strict=True):
            Image.new("L", shape).save(path)
        return paths

    assert native_size(saved((48, 48))) == 48
    assert native_size(saved((48, 48), (60, 48))) == 48
    assert native_size(saved((48, 48), (60, 48), (50, 50))) == 224
    assert native_size(saved(*[(400, 400)] * 4)) == 224


# ---- one picture


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = noise(6, 9, 3)
    undo = {2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.transpose(1, 0, 2)}
    undo |= {6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, 3)}
    stored = undo.get(orientation, lambda a: a)(upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for form in ("PNG", "TIFF"):
        data = encoded(Image.fromarray(np.ascontiguousarray(stored)), form, exif=exif)
        assert np.array_equal(decode(data), upright), form


def test_damaged_exif_counts_as_none() -> None:
    pixels = noise(6, 9, 3)
    data = encoded(Image.fromarray(pixels), "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff broken")
    assert np.array_equal(decode(data), pixels)


def test_grey_one_bit_and_16_bit() -> None:
    grey = noise(4, 5)
    assert np.array_equal(decode(encoded(Image.fromarray(grey))), np.stack([grey] * 3, axis=2))
    bits = Image.fromarray(grey > 127)
    assert set(np.unique(decode(encoded(bits)))) == {0, 255}
    deep = np.array([[0, 128, 129, 257, 32896, 65535]], dtype=np.uint16)
    for form in ("PNG", "TIFF"):
        assert decode(encoded(Image.fromarray(deep), form))[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]


def test_transparency_is_laid_over_black() -> None:
    rgba = np.array([[[200, 100, 50, 255], [200, 100, 50, 0], [200, 100, 50, 51]]], dtype=np.uint8)
    assert decode(encoded(Image.fromarray(rgba)))[0].tolist() == [[200, 100, 50], [0, 0, 0], [40, 20, 10]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putdata([0, 1])
    assert decode(encoded(palette, transparency=1))[0].tolist() == [[10, 20, 30], [0, 0, 0]]
    assert decode(encoded(palette))[0].tolist() == [[10, 20, 30], [40, 50, 60]]


def test_cmyk_becomes_rgb() -> None:
    data = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF")
    assert decode(data)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("form", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
def test_allowed_formats(form: str) -> None:
    assert decode(encoded(Image.new("RGB", (5, 4), (0, 0, 0)), form)).shape == (4, 5, 3)


def test_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data)[0, 0].tolist() == [255, 0, 0]


def test_other_formats_floats_and_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {
        "a.tga": encoded(Image.new("RGB", (4, 4)), "TGA"),
        "float.tif": encoded(Image.new("F", (4, 4)), "TIFF"),
        "bomb.png": encoded(Image.new("1", (20_000, 20_000))),
    }
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=name):
            FileImages([tmp_path / name], 8).pixels([0])
    monkeypatch.setattr(pictures, "MAX_PIXELS", 15)
    with pytest.raises(ValueError, match="4 x 4 pixels are more than the 15 allowed"):
        decode(encoded(Image.new("RGB", (4, 4))))
    monkeypatch.setattr(files, "MAX_BYTES", 10)
    with pytest.raises(UserError, match=r"a\.tga .* bytes are more than the 10 allowed"):
        FileImages([tmp_path / "a.tga"], 8).pixels([0])


# ---- archives


@pytest.mark.parametrize("name", ["../a.png", "/a.png", "n1/../../a.png", "C:/a.png", "n1//a.png", "n1\\a.png"])
def test_names_that_leave_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(UserError, match=r"set\.zip: member .* could leave the archive"):
        Archive(tmp_path / "set.zip")


def test_links_and_repeated_members_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("n1/link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, b"/etc/passwd")
    with pytest.raises(UserError, match="is a link"):
        Archive(tmp_path / "link.zip")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.writestr("a.png", b"1")
        archive.writestr("a.png", b"2")
    with pytest.raises(UserError, match="is there twice"):
        Archive(tmp_path / "twice.zip")


def test_a_file_that_is_no_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(b"PK but not really")
    with pytest.raises(UserError, match=r"set\.zip cannot be read as a zip archive"):
        Archive(tmp_path / "set.zip")


def test_pictures_replaced_by_others_of_the_same_size_are_other_data(tmp_path):
    from PIL import Image as Pictures

    from prunebench import FileImages

    digests = []
    for colour in (10, 200):
        Pictures.new("RGB", (8, 8), (colour, 0, 0)).save(tmp_path / "a.bmp")
        digests.append((FileImages([tmp_path / "a.bmp"], 8).digest(), (tmp_path / "a.bmp").stat().st_size))
    assert digests[0][1] == digests[1][1] and digests[0][0] != digests[1][0]
