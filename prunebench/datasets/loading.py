"""From the text of a data set to the data set: `fashion-mnist(train=10000)`, `folder:DIR`.

Pictures in files are looked for among those decoded once (`cache`): whether there are any changes no record.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import UserError
from ..registry import Registry
from ..spec import parse
from ..types import Dataset
from .cache import cache_folder, tell_missing
from .files import FileImages
from .geometry import SMALLEST


def load(
    registry: Registry,
    text: str,
    root: Path,
    *,
    image_size: int | None = None,
    download: bool = False,
    tell: bool = True,
) -> Dataset:
    """Load a data set by its text. ``tell``: say in the log where the folder of caches that was named is not there.

    Raises:
        UserError: an image size below 2, unknown name or option, or data that are missing, half there or damaged.
    """
    if image_size is not None and image_size < SMALLEST:
        raise UserError(f"--image-size must be at least {SMALLEST} px, got {image_size}: give a larger one")
    entry, options = registry.dataset(text)
    try:
        found = entry.function()(Path(root), download=download, image_size=image_size, **options)
    except OSError as failure:
        raise UserError(
            f"{text} cannot be read: {failure.strerror or failure} ({failure.filename or root})"
        ) from failure
    if not isinstance(found, Dataset):
        raise UserError(
            f"{entry.key} returned a {type(found).__name__}, not a Dataset: tell {entry.plugin.distribution}"
        )
    caches = cache_folder(root)
    in_files = [split.images for split in (found.train, found.test) if isinstance(split.images, FileImages)]
    if in_files and tell:
        tell_missing(caches)
    for images in in_files:
        images.look_in(caches)
    return replace(found, name=_name(text))


def _name(text: str) -> str:
    """The text without what only this machine knows: of a path its last part stays."""
    wanted = parse(text)
    told = [f"{key}={Path(value).name if isinstance(value, str) else value}" for key, value in wanted.options.items()]
    return f"{wanted.name}({','.join(told)})" if told else wanted.name
