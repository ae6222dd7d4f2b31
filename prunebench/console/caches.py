"""`datasets cache` and `datasets verify`: the pictures of a data set decoded once, and whether they still stand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import click

from ..datasets.cache import VARIABLE, cache_folder
from ..datasets.cache_making import damaged, make, tell_left
from ..datasets.files import FileImages, UnreadableFiles
from ..datasets.loading import load
from ..display import progress_display
from ..errors import UserError, VerifyError
from ..registry import installed
from ..types import Dataset


def cache(dataset: str, data_root: str, image_size: int | None, out: Path | None, as_json: bool) -> None:
    """Decode both splits of a data set into the cache that later commands find by themselves.

    Raises:
        UserError: a data set without files to decode, no place or no room to write.
        UnreadableFiles: files of either split that cannot be read; with ``as_json`` all of them are printed.
    """
    folder, rows, unreadable = out or cache_folder(data_root), [], list[str]()
    for split, images, size, found in _splits_or_unreadable(dataset, data_root, image_size, unreadable):
        started = time.perf_counter()
        try:
            made = make(images, size, folder, {"dataset": found.name, "split": split}, progress_display())
        except UnreadableFiles as failure:
            unreadable += failure.told
            continue
        seconds = time.perf_counter() - started
        rows.append({"split": split, "pictures": len(images), "size": size, "bytes": made.bytes})
        rows[-1] |= {"path": str(made.path), "blocks": made.blocks, "decoded": made.decoded, "seconds": seconds}
        if not as_json:
            what = f"{made.decoded} of {made.blocks} blocks decoded in {seconds:.1f} s" if made.decoded else "stands"
            click.echo(
                f"{split}: {len(images):,} pictures of {size} px, {made.bytes / 1e6:,.1f} MB: {what} ({made.path})"
            )
    if unreadable:
        if as_json:
            click.echo(json.dumps({"unreadable": unreadable}, indent=1))
        raise UnreadableFiles(unreadable)
    tell_left(folder)
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
    folder, problems, checked = out or cache_folder(data_root), list[str](), []
    for split, images, size, found in _splits(dataset, data_root, image_size):
        try:
            cached, bad = damaged(images, size, folder)
        except ValueError as failure:
            problems.append(str(failure))
            continue
        keys, path = getattr(found, split).keys, cached.path
        checked.append({"split": split, "pictures": len(images), "size": size, "bytes": path.stat().st_size})
        checked[-1] |= {"path": str(path), "blocks": len(cached.hashes), "damaged": len(bad)}
        problems += [
            f"{path}: {split} pictures {keys[rows[0]]} to {keys[rows[-1]]} are torn or altered" for rows in bad
        ]
        if not bad and not as_json:
            click.echo(f"{split}: {len(images):,} pictures of {size} px are sound ({path})")
    if as_json:
        click.echo(json.dumps({"checked": checked, "problems": problems}, indent=1))
    elif problems:
        click.echo("\n".join(problems))
    if problems:
        raise VerifyError(f"the cache of {dataset} is not sound: `prunebench datasets cache` mends what is damaged")


def _splits_or_unreadable(
    text: str, root: str, image_size: int | None, unreadable: list[str]
) -> Iterator[tuple[str, FileImages, int, Dataset]]:
    """As `_splits`; files whose headers were to give the size and cannot be read are put with ``unreadable``."""
    try:
        yield from _splits(text, root, image_size)
    except UnreadableFiles as failure:
        unreadable += failure.told


def _splits(text: str, root: str, image_size: int | None) -> Iterator[tuple[str, FileImages, int, Dataset]]:
    """(split, its pictures, their side, the data set)."""
    found = load(installed(), text, Path(root), image_size=image_size, tell=False)
    for split in ("train", "test"):
        images = getattr(found, split).images
        if not isinstance(images, FileImages):
            raise UserError(f"the pictures of {found.name} lie in memory as they are: there is nothing to decode")
        yield split, images, images.size, found
