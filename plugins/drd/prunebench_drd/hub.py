"""Where a pretrained model lies: a folder, or a snapshot in the hub cache at a pinned revision. Nothing is fetched."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from prunebench import UserError

IMAGENET_DIT = "facebook/DiT-XL-2-256"
# Its main branch is reported to hold pickled weights alone, which are never read here; the weights as safetensors are
# reported in this pull request. Every record names the commit it came to, and a hash of the weights themselves.
REVISIONS = {IMAGENET_DIT: "refs/pr/1"}
READ = ("*.json", "*.safetensors")  # all that is ever read of a snapshot
WAY_OUT = "or train a model on this data set, which needs no download: model='own'"


@dataclass(frozen=True)
class Found:
    """A model folder, with the commit of its hub snapshot where it is one."""

    folder: Path
    name: str  # as given, a hub id with the commit that was found: owner/name@commit
    commit: str | None = None  # 40 hex digits


def find_model(model: str) -> Found:
    """The local folder that ``model`` names: a path, or ``owner/name`` or ``owner/name@revision`` in the hub cache.

    A revision is a commit, branch, tag or ``refs/pr/1``; without one, the pinned revision of the models in
    `REVISIONS`, of others the commit that was fetched as ``main``. Which commit it came to is in the answer.

    Raises:
        UserError: it is not here.
    """
    if os.path.isdir(model):
        return Found(Path(model), model)
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import LocalEntryNotFoundError

    parts = hub_id(model)
    if parts is None:
        raise UserError(
            f"drd: model {model!r} is neither a folder in diffusers' layout nor a hub id (owner/name or "
            f"owner/name@revision); give one, {WAY_OUT}"
        )
    name, revision = parts[0], parts[1] or REVISIONS.get(parts[0])
    try:
        found = snapshot_download(name, revision=revision, local_files_only=True, allow_patterns=list(READ))
    except LocalEntryNotFoundError as error:
        which = "" if revision is None else f" --revision {revision}"
        raise UserError(
            f"drd: transformer/diffusion_pytorch_model.safetensors of {name} is not on this machine at revision "
            f"{revision or 'main'} (looked in {Path(HF_HUB_CACHE) / f'models--{name}'.replace('/', '--')}); fetch it "
            f"once with 'hf download {name}{which}' (another one: model='{name}@<revision>'), or give a local folder "
            f"as model=, {WAY_OUT}"
        ) from error
    folder = Path(found)
    return Found(folder, f"{name}@{folder.name}", commit=folder.name)


def hub_id(model: str) -> tuple[str, str | None] | None:
    """(owner/name, revision or None) of a text that is a hub id, else None; by the hub's own rules for names."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    parts = re.fullmatch(r"([\w-][\w.-]*/[\w-][\w.-]*)(?:@(\w[\w./-]*))?", model)
    if parts is None:
        return None
    try:
        validate_repo_id(parts[1])
    except HFValidationError:
        return None
    return parts[1], parts[2]
