"""Frozen encoders that saw no labels of the data set."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..arrays import map_npy
from ..errors import UserError
from ..harness.metering import Charge, nobody_pays
from ..harness.shared import Harness
from ..option_files import content_sha256
from ..portable import with_tilde

PLAIN = ("pixels", "pca")  # of no network
COMPONENTS = 64  # of `pca`
_LABEL_FREE = (
    "dino",
    "mae",
    "clip",
    "siglip",
    "swav",
    "moco",
    "simclr",
)  # timm: of weights without class labels


def embed(harness: Harness, encoder: str, charge: Charge = nobody_pays) -> np.ndarray:
    """(N, D) float32 in the harness's order, copy-on-write map.

    ``pixels`` (flat, [0, 1]); ``pca`` (64 principal components of those); else a local folder or a timm name, loaded
    pretrained.
    """
    named = identity(harness, encoder)
    record = harness.store.get("evidence", named)
    if record is None:
        started = time.perf_counter()
        found, told = _compute(harness, encoder)
        told |= {"seconds": time.perf_counter() - started}
        with harness.store.scratch("embeddings", found.nbytes) as scratch:
            np.save(scratch / "embeddings.npy", found, allow_pickle=False)
            files = {"embeddings.npy": scratch / "embeddings.npy"}
            record = harness.store.put("evidence", named, told, files=files)
    charge(record.id, record.result)
    return map_npy(record.file("embeddings.npy"))


def identity(harness: Harness, encoder: str) -> dict[str, Any]:
    """Of the record of an encoder's embeddings."""
    return {
        **harness.conditions(),
        "what": "embeddings",
        "data": harness.dataset.images_fingerprint,
        "encoder": with_tilde(encoder),
        "files": content_sha256(Path(encoder)) if Path(encoder).is_dir() else None,
    }


def _compute(harness: Harness, encoder: str) -> tuple[np.ndarray, dict[str, Any]]:
    """The embeddings, and what the record tells of them."""
    if encoder in PLAIN:
        return (_pixels(harness) if encoder == "pixels" else _pca(_pixels(harness))), {"pretraining": "none"}
    found, weights = _network(harness, encoder)
    if saw_labels(weights, harness.dataset.classes):
        told = {"pretraining": "perhaps labels of these classes", "reached": [f"embeddings({encoder!r})"]}
    else:
        told = {"pretraining": "other data"}
    return found, told | {"forward": len(found)}


def saw_labels(weights: str, classes: Sequence[str]) -> bool:
    """Whether pretrained weights, by timm's name of them, may have been trained on labels of ImageNet's ``classes``."""
    if not all(re.fullmatch(r"n\d{8}", name) for name in classes):
        return False
    return "ft_in" in weights or not any(word in weights.lower() for word in _LABEL_FREE)


def _pixels(harness: Harness) -> np.ndarray:
    images = harness.train.images
    parts = [images.pixels(range(i, min(i + 512, len(images)))).flatten(1) for i in range(0, len(images), 512)]
    return torch.cat(parts).numpy().astype(np.float32) / 255


def _pca(x: np.ndarray) -> np.ndarray:
    from sklearn.decomposition import PCA

    components = min(COMPONENTS, *x.shape)
    return PCA(components, svd_solver="randomized", random_state=0).fit_transform(x).astype(np.float32)


def _network(harness: Harness, encoder: str) -> tuple[np.ndarray, str]:
    """The embeddings, and timm's name of the weights."""
    import timm

    name = f"local-dir:{encoder}" if Path(encoder).is_dir() else encoder
    try:
        network: Any = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as failure:  # timm and the hub raise many kinds
        raise UserError(
            f"the encoder {encoder!r} cannot be loaded ({type(failure).__name__}): give a local timm folder "
            f"(config.json and model.safetensors), or encoder='pixels' or 'pca', which need no weights"
        ) from None
    network = network.to(harness.device).eval()
    config = timm.data.resolve_model_data_config(network)
    mean, std = (torch.tensor(config[k], device=harness.device).view(1, 3, 1, 1) for k in ("mean", "std"))
    found, images, side = [], harness.train.images, config["input_size"][-1]
    with torch.inference_mode():
        for start in range(0, len(images), 64):
            x = images.pixels(range(start, min(start + 64, len(images))), side).to(harness.device) / 255
            found.append(network((x - mean) / std).float().cpu())
    told = network.pretrained_cfg
    return torch.cat(found).numpy(), f"{told.get('architecture', '')}.{told.get('tag', '')}"
