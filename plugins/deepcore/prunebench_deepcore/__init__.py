"""prunebench inside DeepCore: every scorer x selector as one of its coreset methods, on an unmodified checkout.

prunebench-deepcore path/to/DeepCore --dataset CIFAR10 --model ResNet18 --selection DRD --fraction 0.1
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"
_WHERE = {"extend": "methods", "pictures_of": "pictures"}
__all__ = ["__version__", "extend", "pictures_of"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'prunebench_deepcore' has no attribute {name!r}")
    return getattr(importlib.import_module(f"prunebench_deepcore.{_WHERE[name]}"), name)
