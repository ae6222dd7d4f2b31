"""The pictures as a method is given them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..types import Images


class Pictures(Images):
    """The pictures alone: nothing here leads to files, keys or labels."""

    def __init__(self, images: Images) -> None:
        self.size, self.flip = images.size, images.flip
        self._call = lambda name, *args: getattr(images, name)(*args)

    def __len__(self) -> int:
        return int(self._call("__len__"))

    def take(self, indices: Any) -> Images:
        return Pictures(self._call("take", indices))

    def pixels(self, indices: Any, size: int | None = None) -> Tensor:
        return self._call("pixels", indices, size)

    def digest(self) -> str:
        return str(self._call("digest"))
