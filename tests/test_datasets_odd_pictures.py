"""F18, S13: every odd picture of docs/datasets.md has one rule, and this is its test."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image, ImageDraw

from prunebench import cli
from prunebench.datasets import pictures
from prunebench.datasets.files import FileImages
from prunebench.datasets.image_folders import folder
from prunebench.datasets.pictures import decode
from prunebench.errors import UserError

DOCS = Path(__file__).resolve().parents[1] / "docs" / "datasets.md"
S = 16


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def scene() -> Image.Image:
    """24 x 16: red with a blue left third, smooth enough for JPEG."""
    image = Image.new("RGB", (24, 16), (200, 40, 40))
    ImageDraw.Draw(image).rectangle((0, 0, 7, 15), fill=(40, 40, 200))
    return image


def told(tmp_path: Path, name: str, data: bytes) -> torch.Tensor:
    """(3, S, S) as a data set gives the picture."""
    (tmp_path / name).write_bytes(data)
    return FileImages([tmp_path / name], S).pixels([0])[0]


def near(found: torch.Tensor, expected: torch.Tensor, by: float = 6) -> None:
    """Equal up to what JPEG loses."""
    assert (found.float() - expected.float()).abs().mean() < by


def refused(tmp_path: Path, name: str, data: bytes, why: str) -> None:
    with pytest.raises(UserError, match=rf"{re.escape(name)} cannot be read as a picture \(.*{why}.*replace or remove"):
        told(tmp_path, name, data)


def set_of(tmp_path: Path) -> Path:
    """An image folder of two classes; its training pictures of class a lie in train/a."""
    for split in ("train", "val"):
        for c in "ab":
            (tmp_path / "set" / split / c).mkdir(parents=True)
            scene().save(tmp_path / "set" / split / c / "0.png")
    return tmp_path / "set"


# one function per row


def exif_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    lying = scene().transpose(Image.Transpose.ROTATE_90)
    upright = told(tmp_path, "plain.jpg", encoded(scene(), "JPEG", quality=95))
    near(told(tmp_path, "turned.jpg", encoded(lying, "JPEG", exif=exif, quality=95)), upright)
    broken = encoded(scene(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff broken", quality=95)
    assert torch.equal(told(tmp_path, "broken.jpg", broken), upright)


def cmyk(tmp_path):
    for space in ("CMYK", "YCCK"):
        data = encoded(scene().convert("CMYK"), "JPEG", quality=95)  # with Adobe's marker, its values inverted
        if space == "YCCK":  # the same samples declared as YCCK are other colours: only that it is read counts
            data = data.replace(b"Adobe\0\x64\0\0\0\0\0", b"Adobe\0\x64\0\0\0\0\2")
            assert decode(data).shape == (16, 24, 3)
            continue
        near(told(tmp_path, "cmyk.jpg", data), told(tmp_path, "rgb.png", encoded(scene(), "PNG")))


def grey(tmp_path):
    found = told(tmp_path, "grey.jpg", encoded(scene().convert("L"), "JPEG"))
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2]) and len(found.unique()) > 1


def sixteen_bit(tmp_path):
    deep = Image.fromarray(np.array([[0, 129], [32896, 65535]], dtype=np.uint16))
    assert decode(encoded(deep, "PNG"))[..., 0].tolist() == [[0, 1], [128, 255]]
    assert len(told(tmp_path, "deep.png", encoded(deep, "PNG")).unique()) > 2


def palette_and_alpha(tmp_path):
    image = scene().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 51))
    found = told(tmp_path, "thin.png", encoded(image, "PNG"))
    assert found.amax(dim=(1, 2)).tolist() == [40, 8, 40]
    flat = told(tmp_path, "palette.gif", encoded(scene().quantize(4), "GIF"))
    near(flat, told(tmp_path, "rgb.png", encoded(scene(), "PNG")), by=12)


def animation(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert told(tmp_path, "moving.gif", data)[:, 0, 0].tolist() == [255, 0, 0]


def one_pixel(tmp_path):
    found = told(tmp_path, "dot.png", encoded(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG"))
    assert torch.equal(found, torch.tensor([1, 2, 3], dtype=torch.uint8)[:, None, None].expand(3, S, S))


def thin_strip(tmp_path):
    refused(tmp_path, "strip.png", encoded(Image.new("L", (800_000, 1)), "PNG"), "too long and thin for size 16")


def truncated(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for form, options in (("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {})):
        data = encoded(noise, form, **options)
        refused(tmp_path, "half.jpg", data[: len(data) // 2], "truncated")
    assert data.endswith(b"IEND\xaeB`\x82")
    assert torch.equal(told(tmp_path, "endless.png", data[:-12]), told(tmp_path, "whole.png", data))


def empty_file(tmp_path):
    refused(tmp_path, "nothing.jpg", b"", "")
    with pytest.raises(UserError, match=r"nothing\.jpg cannot be read as a picture \(the file is empty\)"):
        FileImages([tmp_path / "nothing.jpg"], S).digest()  # before anything is scored


def no_picture(tmp_path):
    refused(tmp_path, "notes.jpg", b"Dear diary, this is no picture.\n" * 40, "cannot identify")


def wrong_suffix(tmp_path):
    data = encoded(scene(), "PNG")
    assert torch.equal(told(tmp_path, "really_a.jpg", data), told(tmp_path, "a.png", data))
    place = set_of(tmp_path)
    (place / "train" / "a" / "picture.dat").write_bytes(data)
    assert len(folder(path=str(place)).train) == 2


def bytes_after_the_end(tmp_path):
    data = encoded(scene(), "JPEG")
    assert torch.equal(told(tmp_path, "two.jpg", data + b"PK\3\4 a zip archive"), told(tmp_path, "one.jpg", data))


def bomb(tmp_path):
    data = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(data) < 100_000
    refused(tmp_path, "bomb.png", data, "400000000 pixels are more than the 89478485 allowed")
    data = encoded(Image.new("1", (9_500, 9_500)), "PNG")
    with pytest.warns(Image.DecompressionBombWarning):  # Pillow itself would go on
        refused(tmp_path, "smaller.png", data, "9500 x 9500 pixels are more than the 89478485 allowed")


def huge_file(tmp_path):
    with (tmp_path / "huge.jpg").open("wb") as stream:
        stream.truncate(pictures.MAX_BYTES + 1)
    with pytest.raises(UserError, match=r"huge\.jpg .*268435457 bytes are more than the 268435456 allowed"):
        FileImages([tmp_path / "huge.jpg"], S).pixels([0])


def floats(tmp_path):
    refused(tmp_path, "float.tif", encoded(Image.new("F", (4, 4)), "TIFF"), "floating-point pictures")


def other_format(tmp_path):
    refused(tmp_path, "icon.png", encoded(scene(), "ICO"), "cannot identify")


def link_loop(tmp_path):
    place = set_of(tmp_path)
    (place / "train" / "a" / "again").symlink_to(place / "train", target_is_directory=True)
    with pytest.raises(UserError, match="again contains itself through a link; remove that link"):
        folder(path=str(place))
    (place / "train" / "a" / "again").unlink()
    (place / "train" / "a" / "self.jpg").symlink_to(place / "train" / "a" / "self.jpg")
    with pytest.raises(UserError, match=r"self\.jpg cannot be read .*symbolic links"):
        folder(path=str(place))


def link(tmp_path):
    place = set_of(tmp_path)
    (place / "train" / "a" / "1.png").symlink_to(place / "train" / "b" / "0.png")
    (place / "train" / "a" / "2.png").symlink_to(tmp_path / "nowhere.png")
    assert folder(path=str(place)).train.keys == ("train/a/0.png", "train/a/1.png", "train/b/0.png")


ROWS: dict[str, Callable[[Path], None]] = {
    "EXIF orientation": exif_orientation,
    "CMYK, YCCK": cmyk,
    "grey, one bit": grey,
    "16-bit grey": sixteen_bit,
    "palette, transparency": palette_and_alpha,
    "several frames": animation,
    "1 x 1": one_pixel,
    "long and thin": thin_strip,
    "truncated": truncated,
    "zero bytes": empty_file,
    "a text file called .jpg": no_picture,
    "a wrong suffix": wrong_suffix,
    "bytes after the end": bytes_after_the_end,
    "decompression bomb": bomb,
    "a huge file": huge_file,
    "floating point": floats,
    "another format": other_format,
    "a link that leads to itself": link_loop,
    "any other link": link,
}


@pytest.mark.parametrize("row", ROWS)
def test_every_odd_picture_has_its_rule(row, tmp_path):
    ROWS[row](tmp_path)


def test_the_table_names_what_is_tested_and_the_limits_as_they_are():
    text = DOCS.read_text()
    table = text[text.index("| picture ") :].split("\n\n")[0].splitlines()[2:]
    assert [line.split("|")[1].strip() for line in table] == list(ROWS)
    assert f"{pictures.MAX_PIXELS:,} pixels" in text and f"{pictures.MAX_BYTES // 2**20} MiB" in text
    for suffix in pictures.SUFFIXES:
        assert f"`{suffix}`" in text


# JPEGs at the scale that is needed


@pytest.mark.parametrize(
    ("shape", "size", "decoded"),
    [((64, 48), 12, (32, 24)), ((64, 48), 13, (64, 48)), ((400, 300), 8, (50, 38)), ((400, 300), 37, (100, 75))],
)
def test_a_jpeg_is_decoded_at_the_scale_that_leaves_twice_the_size(shape, size, decoded):
    image = Image.linear_gradient("L").resize(shape[::-1]).convert("RGB")
    for options in ({}, {"progressive": True}):
        data = encoded(image, "JPEG", **options)
        assert decode(data, size).shape == (*decoded, 3) and decode(data).shape == (*shape, 3)
    assert decode(encoded(image, "PNG"), size).shape == (*shape, 3)


def test_a_reduced_jpeg_looks_like_the_whole_one(tmp_path, monkeypatch):
    data = encoded(Image.linear_gradient("L").rotate(30).resize((320, 240)).convert("RGB"), "JPEG", quality=92)
    reduced = told(tmp_path, "gradient.jpg", data)
    monkeypatch.setattr("prunebench.datasets.files.decode", lambda data, size: decode(data))
    whole = told(tmp_path, "gradient.jpg", data)
    assert not torch.equal(reduced, whole)
    assert 10 * np.log10(255**2 / float((reduced.double() - whole.double()).square().mean())) > 40


def test_pillow_warns_of_nothing_that_has_a_rule_here(tmp_path):
    broken = encoded(scene(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff broken", quality=95)
    (tmp_path / "0.jpg").write_bytes(broken)
    (tmp_path / "1.png").write_bytes(encoded(Image.new("1", (9_500, 9_500)), "PNG"))
    code = (
        "from pathlib import Path\n"
        "from prunebench.datasets.pictures import decode\n"
        "print(decode(Path('0.jpg').read_bytes()).shape)\n"
        "try: decode(Path('1.png').read_bytes())\n"
        "except ValueError as refused: print(refused)\n"
    )
    told = subprocess.run([sys.executable, "-W", "default", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert told.stdout.splitlines() == ["(16, 24, 3)", "9500 x 9500 pixels are more than the 89478485 allowed"]
    assert "PIL" not in told.stderr and "Warning" not in told.stderr


# from the shell


def test_a_bad_picture_is_named_with_exit_code_2(tmp_path):
    place = set_of(tmp_path)
    for c in "ab":
        (place / "train" / c / "1.jpg").write_bytes(b"no picture")
    wanted = ["datasets", "cache", f"folder:{place}", "--data-root", str(tmp_path), "--image-size", "16"]
    failure = CliRunner().invoke(cli.cli, wanted, standalone_mode=False).exception
    assert isinstance(failure, UserError) and failure.exit_code == 2
    assert re.search(r"2 pictures cannot be decoded: .*a/1\.jpg.*b/1\.jpg", str(failure))
