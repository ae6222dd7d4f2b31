"""One function makes every picture square, so that for one S all backends give the same pixels bit for bit."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate

SMALLEST = 2  # px: torch refuses to resize a colour picture to 1 x 1
MAX_CANVAS = 89_478_485  # pixels of a resized picture before the crop: a 1 x 10^6 strip must not fill the memory


def square(pixels: Tensor, size: int) -> Tensor:
    """Shorter side resized to S with antialias, then centre crop: (B, C, H, W) uint8 -> (B, C, S, S) uint8.

    ``pixels`` itself where it is S x S already. Equal to torchvision's ``resize(bilinear, antialias)`` and
    ``center_crop`` on uint8 tensors where those take the integer path (AVX2 and newer, ARM); that path is always taken
    here, so the result does not depend on the processor, on the batch or on the memory layout.

    Raises:
        ValueError: the picture is so long and thin that its resized form exceeds `MAX_CANVAS`.
    """
    height, width = int(pixels.shape[-2]), int(pixels.shape[-1])
    if (height, width) == (size, size):
        return pixels
    short = min(height, width)
    if short != size:
        height, width = size * height // short, size * width // short
        if height * width > MAX_CANVAS:
            raise ValueError(f"{pixels.shape[-1]} x {pixels.shape[-2]} pixels are too long and thin for size {size}")
        if len(pixels):  # interpolate refuses empty batches
            pixels = interpolate(pixels.contiguous(), (height, width), mode="bilinear", antialias=True)
        else:
            pixels = pixels.new_empty((*pixels.shape[:-2], height, width))
    top, left = round((height - size) / 2), round((width - size) / 2)
    return pixels[..., top : top + size, left : left + size]
