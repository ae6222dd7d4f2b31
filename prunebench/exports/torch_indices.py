"""``.pt``: {"indices": (k,) int64, "weights": (k,) float64 where there are any}, the dictionary that DeepCore's methods
return, as tensors that ``torch.load(..., weights_only=True)`` reads.
"""

from __future__ import annotations

import io
from pathlib import Path

from ..interop.files import write_with_card
from . import Export


def write(export: Export) -> Path:
    import torch

    found = {"indices": torch.from_numpy(export.positions)}
    if export.selection.weights is not None:
        found["weights"] = torch.from_numpy(export.selection.weights)
    content = io.BytesIO()
    torch.save(found, content)
    return write_with_card(export.out, content.getvalue(), export.card)
