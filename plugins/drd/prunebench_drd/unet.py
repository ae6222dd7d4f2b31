"""diffusers' `UNet2DModel` in pixel space as a denoiser, class-conditional or not.

The folder is the one of `DDPMPipeline`: ``unet/`` (config.json, diffusion_pytorch_model.safetensors) and
``scheduler/``. A factory of two lines in a module of one's own makes it usable::

    # mymodels.py, somewhere on PYTHONPATH
    from prunebench_drd.unet import unet_from

    def digits(classes):
        return unet_from("models/my-unet", classes)

and then ``drd(model="mymodels:digits")``; of an unconditional network ``drd(model="mymodels:digits", timestep=20)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from prunebench import UserError

from .configs import read_config
from .folders import autocast, folder_abar, folder_digest, load_part, precision_for
from .imagenet import class_ids
from .pictures import in_channels_of


class UNetDenoiser:
    """A UNet on pixels in [-1, 1]; it follows the pictures to their device.

    Args:
        unet: a `UNet2DModel` of 1 or 3 channels and square pictures.
        abar: (T+1,), abar[0] = 1.
        class_ids: (C,) int64, the network's id of each class of the data set; ``None``: it ignores the class.
        identity: what tells its weights apart, plain JSON.
        precision: ``float32`` or ``bfloat16``; by default by the device.
    """

    def __init__(
        self,
        unet: Any,
        abar: Tensor,
        class_ids: Tensor | None = None,
        identity: dict[str, str] | None = None,
        precision: str | None = None,
    ) -> None:
        self.unet = unet.eval().requires_grad_(False)
        self.abar, self.class_ids = abar, class_ids
        self.conditional = class_ids is not None
        self.channels, self.size = int(unet.config.in_channels), int(unet.config.sample_size)
        self.identity = identity or {}
        self.precision = precision

    def predict_noise(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """The network's noise (B, channels, S, S) float32; a learned variance is dropped."""
        self.unet.to(x_t.device)
        labels = None if self.class_ids is None else self.class_ids.to(c.device)[c].expand(len(x_t))
        with autocast(x_t.device, precision_for(x_t.device, self.precision)):
            predicted = self.unet(x_t, timestep=t - 1, class_labels=labels).sample
        return predicted[:, : self.channels].float()

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels in [-1, 1], one channel for a grey model.

        Raises:
            UserError: a grey model, and pictures with colours.
        """
        return in_channels_of("this UNet", pixels, self.channels)

    def decode(self, z: Tensor) -> Tensor:
        """Back to (B, 3, S, S) in [0, 1]."""
        return (z / 2 + 0.5).clamp(0, 1).expand(-1, 3, -1, -1)


def unet_from(folder: str | Path, classes: Sequence[str], precision: str | None = None) -> UNetDenoiser:
    """The denoiser of a local `DDPMPipeline` folder; the classes are matched up as for a DiT, see `class_ids`.

    Raises:
        UserError: a file is missing or refused, it is no network on square pictures, or it does not know the classes.
    """
    from diffusers.models.unets.unet_2d import UNet2DModel

    folder = Path(folder)
    read_config(UNet2DModel, folder, "unet")
    unet = load_part(UNet2DModel, folder, "unet")
    config = unet.config
    if not isinstance(config.sample_size, int) or config.in_channels not in (1, 3):
        raise UserError(
            f"drd: the UNet in {folder} must take square pictures of 1 or 3 channels, its config says "
            f"sample_size={config.sample_size} and in_channels={config.in_channels}; use one on pixels"
        )
    if config.class_embed_type is not None:
        raise UserError(
            f"drd: the UNet in {folder} embeds classes by {config.class_embed_type!r}, only numbered classes work "
            "(num_class_embeds); use a model with these"
        )
    known = config.num_class_embeds
    ids = None if known is None else class_ids(folder, classes, int(known))
    return UNetDenoiser(unet, folder_abar(folder), ids, {"weights": folder_digest(folder)}, precision)
