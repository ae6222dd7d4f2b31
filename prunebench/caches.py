"""`datasets cache` and `datasets verify`: the pictures of a data set decoded once, and whether they still stand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import click

from .datasets.cache import VARIABLE, cache_folder
from .datasets.cache_making import damaged, make
from .datasets.files import FileImages
from .datasets.loading import load
from .display import progress_display
from .errors import UserError, VerifyError
from .registry import installed
from .types import Dataset


def cache(dataset: str, data_root: str, image_size: int | None, out: Path | None, as_json: bool) -> None:
    """Decode both splits of a data set into the cache that later commands find by themselves.

    Raises:
        UserError: a data set without files to decode, files that cannot be read, no place or no room to write.
    """
    folder, rows = out or cache_folder(data_root), []
    for split, images, size, found in _splits(dataset, data_root, image_size):
        started = time.perf_counter()
        made = make(images, size, folder, {"dataset": found.name, "split": split}, progress_display())
        seconds = time.perf_counter() - started
        rows.append({"split": split, "pictures": len(images), "size": size, "bytes": made.bytes})
        rows[-1] |= {"path": str(made.path), "blocks": made.blocks, "decoded": made.decoded, "seconds": seconds}
        if not as_json:
            what = f"{made.decoded} of {made.blocks} blocks decoded in {seconds:.1f} s" if made.decoded else "stands"
            click.echo(
                f"{split}: {len(images):,} pictures of {size} px, {made.bytes / 1e6:,.1f} MB: {what} ({made.path})"
            )
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    elif folder.resolve() != cache_folder(data_root).resolve():
        click.echo(f"found by commands that are given {VARIABLE}={folder}")


def verify(dataset: str, data_root: str, image_size: int | None, out: Path | None, as_json: bool) -> None:
    """Check every block of both splits' caches against its hash, and some pictures against their files.

    Raises:
        UserError: there is no cache of this data set at this size.
        VerifyError: one is torn, altered or made by another decoder.
    """
    folder, problems = out or cache_folder(data_root), list[str]()
    for split, images, size, found in _splits(dataset, data_root, image_size):
        try:
            path, bad = damaged(images, size, folder)
        except ValueError as failure:
            problems.append(str(failure))
            continue
        keys = getattr(found, split).keys
        problems += [
            f"{path}: {split} pictures {keys[rows[0]]} to {keys[rows[-1]]} are torn or altered" for rows in bad
        ]
        if not bad and not as_json:
            click.echo(f"{split}: {len(images):,} pictures of {size} px are sound ({path})")
    if as_json:
        click.echo(json.dumps({"problems": problems}, indent=1))
    elif problems:
        click.echo("\n".join(problems))
    if problems:
        raise VerifyError(f"the cache of {dataset} is not sound: `prunebench datasets cache` mends what is damaged")


def _splits(text: str, root: str, image_size: int | None) -> Iterator[tuple[str, FileImages, int, Dataset]]:
    """(split, its pictures, their side, the data set)."""
    if image_size is not None and image_size < 1:
        raise UserError(f"--image-size must be at least 1, got {image_size}")
    found = load(installed(), text, Path(root), image_size=image_size)
    for split in ("train", "test"):
        images = getattr(found, split).images
        if not isinstance(images, FileImages):
            raise UserError(f"the pictures of {found.name} lie in memory as they are: there is nothing to decode")
        yield split, images, images.size, found
