"""Perceptual features f_l of eq. (7): pictures in, one feature map per stage out.

features   channel-normalised activations of the reference network's stages
l2         the pixels themselves
lpips-*    LPIPS v0.1 (Zhang et al., CVPR 2018): channel-normalised trunk activations, times the square root of the
           learned non-negative channel weights, so that eq. (7) over them is the LPIPS distance

All take (B, 3, S, S) float in [0, 1]. What depends on the real picture alone is so computed once per picture.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunebench import UserError

Features = Callable[[Tensor], list[Tensor]]

TRUNKS = {  # file names of torchvision's ImageNet weights
    "lpips-alex": "alexnet-owt-7be5be79.pth",
    "lpips-vgg": "vgg16-397923af.pth",
    "lpips-squeeze": "squeezenet1_1-b8a52dc0.pth",
}
SMALLEST = {"lpips-alex": 31, "lpips-vgg": 16, "lpips-squeeze": 17}  # px that leave its last stage a place
PERCEPTUALS = ("features", "l2", *TRUNKS)


def resolve_perceptual(name: str, size: int) -> str:
    """``auto`` is ``lpips-alex`` for data sets of 128 px and more, else ``features``: by the data set alone.

    Raises:
        UserError: unknown name.
    """
    if name == "auto":
        return "lpips-alex" if size >= 128 else "features"
    if name not in PERCEPTUALS:
        raise UserError(f"drd: perceptual must be auto or one of {', '.join(PERCEPTUALS)}, got {name!r}")
    return name


def require_trunk(name: str) -> None:
    """Refuse an LPIPS distance whose trunk weights are not here, before anything long starts.

    Raises:
        UserError: naming the file, the folder and the way out.
    """
    if name in TRUNKS and not trunk_file(name).is_file():
        raise UserError(
            f"drd: the {name} trunk weights {TRUNKS[name]} are not in {trunk_file(name).parent}; put torchvision's "
            "file there (https://download.pytorch.org/models/) or use perceptual='features', which needs no download"
        )


def require_size(name: str, size: int) -> None:
    """Refuse an LPIPS distance between pictures that are too small for its trunk.

    Args:
        size: side in px of the pictures compared.

    Raises:
        UserError: naming the smallest size and the way out.
    """
    if size < SMALLEST.get(name, 0):
        raise UserError(
            f"drd: perceptual={name!r} compares pictures of at least {SMALLEST[name]} px, here they have {size} px; "
            "use perceptual='features'"
        )


def trunk_file(name: str) -> Path:
    """Where torchvision keeps the trunk weights of ``name``."""
    return Path(torch.hub.get_dir()) / "checkpoints" / TRUNKS[name]


def load_perceptual(name: str, network: Callable[[], Any], device: torch.device, size: int) -> Features:
    """The feature function; ``network`` is called for ``features`` only, ``size`` is what that network was trained at.

    Raises:
        UserError: the trunk weights of LPIPS are not on this machine, or damaged.
    """
    require_trunk(name)
    if name == "l2":
        return lambda pictures: [pictures]
    if name == "features":
        return _network_features(network(), size)
    return LpipsFeatures(name).to(device)


def unit_channels(activations: Tensor, floor: float = 1e-10) -> Tensor:
    """(B, F, h, w) -> the same with every place's channel vector at length one."""
    return activations / (activations.square().sum(dim=1, keepdim=True).sqrt() + floor)


def _network_features(net: Any, size: int) -> Features:
    def features(pictures: Tensor) -> list[Tensor]:
        if pictures.shape[-1] != size:
            pictures = F.interpolate(pictures, size=(size, size), mode="bilinear", antialias=True)
        return [unit_channels(stage.float()) for stage in net.stages(pictures)]

    return features


class LpipsFeatures(nn.Module):
    """The `lpips` package's network with trunk weights from torch's checkpoint folder; nothing is downloaded."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.lpips = lpips_network(name.removeprefix("lpips-"))
        names = self.lpips.net.state_dict()
        try:
            weights = torch.load(trunk_file(name), map_location="cpu", weights_only=True)
            self.lpips.net.load_state_dict({key: weights["features." + key.split(".", 1)[1]] for key in names})
        except Exception as error:  # torn, of another network, or with code inside: refused all the same
            raise UserError(
                f"drd: {trunk_file(name)} is not torchvision's {name} trunk; put the right file there or use "
                "perceptual='features', which needs no download"
            ) from error
        self.requires_grad_(False).eval()

    @torch.inference_mode()
    def forward(self, pictures: Tensor) -> list[Tensor]:
        """(B, 3, S, S) in [0, 1] -> list of (B, F, h, w), weighted."""
        stages = self.lpips.net(self.lpips.scaling_layer(2 * pictures - 1))
        return [
            unit_channels(stage) * linear.model[-1].weight.clamp(min=0).sqrt()
            for stage, linear in zip(stages, self.lpips.lins, strict=True)
        ]


def lpips_network(trunk: str) -> Any:
    """LPIPS v0.1 with its packaged channel weights and a random trunk, the global generator left alone."""
    import lpips

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package asks torchvision in its old manner
        return lpips.LPIPS(net=trunk, version="0.1", pnet_rand=True, verbose=False)
