"""Convolutions over maps smaller than their kernel, without the taps that only ever meet padding.

A 3x3 kernel over a map of one pixel multiplies eight of its nine taps with zeros. Where a ResNet-18 looks at pictures
of 8 px, half of its layers do so, with nine tenths of its weights. Leaving such taps out leaves zeros out of a sum:
outputs and gradients are the same up to rounding; weights, names and state dictionary stay the published network's.
"""

from __future__ import annotations

from functools import cache

from torch import Tensor, nn
from torch.nn import functional as F


@cache
def live_taps(length: int, kernel: int, stride: int, padding: int) -> tuple[int, int, int]:
    """Along one side of a map of ``length``: first live tap, last live tap + 1, and the padding that these need.

    Tap k of output o lies at ``o * stride - padding + k``; it is live when this is in [0, length) for some o. All taps
    are live where the rest with one padding for both ends would have another number of outputs.
    """
    outputs = (length + 2 * padding - kernel) // stride + 1
    origins = [o * stride - padding for o in range(outputs)]
    live = [k for k in range(kernel) if any(0 <= origin + k < length for origin in origins)]
    if not live:
        return 0, kernel, padding
    first, end = live[0], live[-1] + 1
    left = padding - first
    if left < 0 or (length + 2 * left - (end - first)) // stride + 1 != outputs:
        return 0, kernel, padding
    return first, end, left


class LiveTapsConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` that leaves dead taps out; padded with zeros, undilated."""

    @classmethod
    def of(cls, convolution: nn.Conv2d) -> LiveTapsConv2d:
        """The same layer, with the very same parameters."""
        made = cls.__new__(cls)
        made.__dict__ = convolution.__dict__.copy()
        return made

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        assert not isinstance(self.padding, str)
        sides = zip(input.shape[-2:], self.kernel_size, self.stride, self.padding, strict=True)
        (top, bottom, above), (left, right, beside) = (live_taps(n, k, s, p) for n, k, s, p in sides)
        if (bottom - top, right - left) != self.kernel_size:
            weight = weight[:, :, top:bottom, left:right]
        return F.conv2d(input, weight, bias, self.stride, (above, beside), groups=self.groups)


def leave_out_dead_taps(network: nn.Module) -> None:
    """Replace the convolutions that can have dead taps (padded with zeros, undilated), in place.

    Depthwise ones stay: their kernels hold next to nothing, and cutting them costs as much as it saves.
    """
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Conv2d and _can_have_dead(child):
                setattr(parent, name, LiveTapsConv2d.of(child))


def _can_have_dead(convolution: nn.Conv2d) -> bool:
    padding = convolution.padding
    return (
        not isinstance(padding, str)
        and convolution.padding_mode == "zeros"
        and set(convolution.dilation) == {1}
        and convolution.groups == 1
        and any(p > 0 for p in padding)
    )
