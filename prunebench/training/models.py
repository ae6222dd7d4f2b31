"""Networks by timm name, adapted to pictures of 8 to 64 px, with penultimate features and stage activations.

What changes with the side S of a picture (`ADAPTED`, the only place; everything else is timm's network as published):

============  ==========================================  ==========================  ===========
S in px       ResNet stem                                 EfficientNet                ViT patch
============  ==========================================  ==========================  ===========
up to 16      3x3 stride 2, no max-pool                   first 3 strides of 2 are 1  2
17 to 40      3x3 stride 1, no max-pool (as for CIFAR)    stem of stride 1            4
41 to 96      7x7 stride 2, max-pool (as published)       as published                8
above 96      7x7 stride 2, max-pool (as published)       as published                published
============  ==========================================  ==========================  ===========

A ViT is given position embeddings for S px; pictures whose side is no multiple of the patch are padded right and below.
With pretrained weights a ResNet keeps its 7x7 kernel, so that the weights fit; only stride and max-pool follow the
table. Any other timm architecture is used as published and refused where it cannot take pictures of S px. Convolutions
over maps smaller than their kernel are computed without the taps that only ever meet padding (`live_taps`).
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from ..seeds import global_rng
from ..store import sha256_as_it_stands
from .live_taps import leave_out_dead_taps

ALIASES = {
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "efficientnet_b0": "efficientnet_b0",
    "vit_tiny": "vit_tiny_patch16_224",
    "vit_small": "vit_small_patch16_224",
}


@dataclass(frozen=True)
class Adaptation:
    """What is changed for small pictures; None leaves the published value."""

    upto: float  # largest side in px
    resnet_kernel: int | None = None
    resnet_stride: int = 2
    resnet_pool: bool = True
    efficientnet_unstrided: int = 0  # of its five stride-2 layers, from the stem on, these many get stride 1
    vit_patch: int | None = None


ADAPTED = (
    Adaptation(16, resnet_kernel=3, resnet_pool=False, efficientnet_unstrided=3, vit_patch=2),
    Adaptation(40, resnet_kernel=3, resnet_stride=1, resnet_pool=False, efficientnet_unstrided=1, vit_patch=4),
    Adaptation(96, vit_patch=8),
    Adaptation(float("inf")),
)


class Network(nn.Module):
    """A timm network that takes (B, 3, S, S) pixels, uint8 or floats in [0, 1], and normalises them itself.

    Mean and deviation per channel are those of the architecture's timm configuration (ImageNet's for ResNet and
    EfficientNet, 0.5 and 0.5 for ViT), whatever the data. ``name`` is canonical, ``size`` the side S it is built for.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, name: str, classes: int, size: int, multiple: int = 1) -> None:
        super().__init__()
        self.backbone: Any
        self.backbone = backbone
        self.name, self.classes, self.size, self.multiple = name, classes, size, multiple
        config: Any = backbone.pretrained_cfg
        self.register_buffer("mean", torch.tensor(config["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config["std"]).view(1, 3, 1, 1), persistent=False)

    def normalise(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) uint8 or floats in [0, 1] -> float32 of zero mean and unit deviation, padded for a ViT."""
        x = x.float() / 255 if x.dtype == torch.uint8 else x
        x = (x - self.mean) / self.std
        below, right = -x.shape[-2] % self.multiple, -x.shape[-1] % self.multiple
        return F.pad(x, (0, right, 0, below)) if below or right else x

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, C) logits."""
        return self.backbone(self.normalise(x))

    def features(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, D) penultimate features: what the last linear layer sees."""
        return self.backbone.forward_head(self.backbone.forward_features(self.normalise(x)), pre_logits=True)

    def stages(self, x: Tensor) -> list[Tensor]:
        """(B, 3, S, S) -> activations (B, C_l, h_l, w_l) from early to late.

        A stem or stage each for convolutional networks; four evenly spaced blocks, the last one among them, of a ViT.
        """
        stages = self.backbone.forward_intermediates(self.normalise(x), output_fmt="NCHW", intermediates_only=True)
        if len(stages) <= 6:
            return list(stages)
        return [stages[round(len(stages) * (i + 1) / 4) - 1] for i in range(4)]

    def weights(self) -> dict[str, Tensor]:
        """State dictionary as contiguous CPU tensors, ready for safetensors."""
        return {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}


def canonical(name: str) -> str:
    """The one text a model is known by: the alias where there is one, else the timm name.

    Raises:
        UserError: neither an alias nor a timm architecture; near names are suggested.
    """
    for alias, full in ALIASES.items():
        if name in (alias, full):
            return alias
    if re.fullmatch(r"[\w.]+", name) and timm.is_model(name):
        return name
    known = sorted({*ALIASES, *timm.list_models()})
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or sorted(ALIASES)
    raise UserError(f"model {name!r} is neither an alias nor a timm architecture; did you mean {', '.join(near)}?")


def build(name: str, classes: int, size: int, *, seed: int, pretrained: bool | str = False) -> Network:
    """A network for ``classes`` classes and pictures of side ``size``, initial weights a function of ``seed`` alone.

    Args:
        name: alias (`ALIASES`) or timm name.
        classes: C, number of outputs.
        size: S, side of the square pictures in px.
        seed: of the initial weights; the global generators are left as they were.
        pretrained: False: from scratch, nothing is downloaded. True: timm's pretrained weights from the model hub or
            its cache. A path: a local weights file (safetensors, or a PyTorch file without pickled objects).

    Raises:
        UserError: unknown name, pictures too small for the architecture, weights that cannot be had.
    """
    name = canonical(name)
    adaptation = next(row for row in ADAPTED if size <= row.upto)
    options = _size_options(ALIASES.get(name, name), size, adaptation)
    backbone = _create(name, classes, seed, options, pretrained)
    with global_rng(seed):
        adapted = _adapt_stem(backbone, adaptation, keep_kernel=bool(pretrained))
    leave_out_dead_taps(backbone)
    network = Network(backbone, name, classes, size, multiple=options.get("patch_size", 1))
    if not adapted and "patch_size" not in options:
        _check_takes(network, size)
    # channels last is up to 3x faster, on the CPU as well; not so for pictures whose last stages are one pixel wide
    return network.to(memory_format=torch.channels_last if size > 16 else torch.contiguous_format)


def weights_named(name: str, pretrained: bool | str) -> Any:
    """What names the initial weights in a record: False from scratch, timm's name of them, or a file's SHA-256."""
    if isinstance(pretrained, str):
        return {"file": sha256_as_it_stands(Path(pretrained))}
    if not pretrained:
        return False
    found = timm.get_pretrained_cfg(ALIASES.get(canonical(name), name))
    return {"timm": f"{found.architecture}.{found.tag}" if found else name}


def _size_options(full_name: str, size: int, adaptation: Adaptation) -> dict[str, Any]:
    module = timm.model_entrypoint(full_name).__module__.rpartition(".")[2]
    if module not in ("vision_transformer", "deit"):
        return {"img_size": size}  # dropped again for architectures that do not ask
    published = re.search(r"patch(\d+)", full_name)
    patch = adaptation.vit_patch or (int(published[1]) if published else 16)
    return {"img_size": -(-size // patch) * patch, "patch_size": patch}


def _create(name: str, classes: int, seed: int, options: dict[str, Any], pretrained: bool | str) -> nn.Module:
    arguments: dict[str, Any] = {"pretrained": bool(pretrained), "num_classes": classes}
    if isinstance(pretrained, str):
        if not Path(pretrained).is_file():
            raise UserError(f"the weights file {pretrained} for {name} does not exist; give the path of a file")
        arguments["pretrained_cfg_overlay"] = {"file": pretrained}
    for tried in (options, {}):
        try:
            with global_rng(seed), _quiet_downloads():
                made = timm.create_model(ALIASES.get(name, name), **arguments, **tried)
            if isinstance(pretrained, str):
                with global_rng(seed):
                    plain = timm.create_model(ALIASES.get(name, name), **arguments | {"pretrained": False}, **tried)
                _refuse_unread(made, plain)
            return made
        except TypeError:
            if not tried or "patch_size" in tried:
                raise
        except Exception as error:
            raise _refusal(name, pretrained, error) from error
    raise AssertionError("unreachable")


def _refuse_unread(made: nn.Module, plain: Any) -> None:
    """timm passes over what a file does not name: a network that stayed mostly as random as ``plain`` read nothing.

    Raises:
        ValueError: most weights are those of ``plain``.
    """
    random = dict(plain.named_parameters())
    weights = [(name, p) for name, p in made.named_parameters() if p.ndim > 1]
    unread = [name for name, p in weights if torch.equal(p, random[name])]
    if len(unread) > len(weights) / 2:
        raise ValueError(f"it does not hold {unread[0]} and {len(unread) - 1} others of {len(weights)} weights")


@contextmanager
def _quiet_downloads() -> Iterator[None]:
    """A hub that cannot be reached is told once, by our own sentence, not at every attempt."""
    names = ("huggingface_hub", "timm.models._builder")
    levels = [(logging.getLogger(name), logging.getLogger(name).level) for name in names]
    for logger, _ in levels:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in levels:
            logger.setLevel(level)


def _refusal(name: str, pretrained: bool | str, error: Exception) -> UserError:
    reason = (
        f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no reason given'}"
    )
    if type(error).__name__ == "UnpicklingError":  # torch's own words invite to run what is in the file
        reason = "it is neither safetensors nor a file of plain tensors"
    if isinstance(pretrained, str):
        return UserError(f"the weights file {pretrained} does not fit {name} ({reason}); give a file made for it")
    if pretrained:
        return UserError(
            f"pretrained weights of {name} are neither in the local cache nor to be had from the model hub ({reason}); "
            "go online once, give the path of a local weights file, or train from scratch without --pretrained"
        )
    return UserError(f"timm cannot build {name} for such pictures ({reason}); use one of {', '.join(ALIASES)}")


def _adapt_stem(backbone: Any, adaptation: Adaptation, *, keep_kernel: bool) -> bool:
    """Change the stem in place; False where the architecture is none of the adapted ones."""
    kind = type(backbone).__name__
    if kind == "ResNet" and isinstance(backbone.conv1, nn.Conv2d):
        stride = adaptation.resnet_stride
        if adaptation.resnet_kernel and not keep_kernel:
            width = backbone.conv1.out_channels
            backbone.conv1 = nn.Conv2d(3, width, adaptation.resnet_kernel, stride, padding=1, bias=False)
            nn.init.kaiming_normal_(backbone.conv1.weight, mode="fan_out", nonlinearity="relu")
        backbone.conv1.stride = (stride, stride)
        if not adaptation.resnet_pool:
            backbone.maxpool = nn.Identity()
        return True
    if kind == "EfficientNet":
        strided = [m for m in backbone.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
        for convolution in strided[: adaptation.efficientnet_unstrided]:
            convolution.stride = (1, 1)
        return True
    return False


def _check_takes(network: Network, size: int) -> None:
    network.eval()
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, size, size))
    except Exception as error:
        raise UserError(
            f"{network.name} cannot take pictures of {size} px ({type(error).__name__}); "
            f"use a larger --image-size or one of {', '.join(ALIASES)}"
        ) from error
    network.train()
