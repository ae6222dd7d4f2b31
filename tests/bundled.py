"""What tests of bundles share: a store of small trainings, its bundle, and a cheat who computes every hash anew."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
from trainings import QUICK

import prunebench as pb
from prunebench.arrays import read_npz, write_npz
from prunebench.bundles.manifests import seal
from prunebench.bundles.packing import submit
from prunebench.store import canonical, identify

PLAN = replace(QUICK, scorers=("aum", "el2n(epoch=1,runs=1)"), selectors=("hardest",), seeds=2)


def packed(folder, **more):
    """A store of ten trials in ``folder/runs`` and its bundle in ``folder/bundle``."""
    list(pb.run(replace(PLAN, store=str(folder / "runs"))))
    submit(folder / "runs", folder / "bundle", **more)
    return folder / "bundle"


def card_of(bundle, kind, **wanted):
    """The path of the first card of a kind whose result, or identity, holds ``wanted`` (the beginning of a text)."""
    for path in sorted((bundle / kind).glob("*.json")):
        card = json.loads(path.read_text())
        told = {**card["identity"], **card["result"], "text": card["identity"].get("method", {}).get("text", "")}
        if all(_matches(told[name], value) for name, value in wanted.items()):
            return path
    raise LookupError(wanted)


def _matches(told, value):
    return str(told).startswith(value) if isinstance(value, str) else told == value


def forge(path, result=None, identity=None, arrays=None, **parts):
    """Another card, with the id and hashes that belong to it, in the place of one; everybody who names it follows."""
    card = json.loads(path.read_text())
    before = card["id"]
    card.pop("sha256")
    card["result"] |= result or {}
    card["identity"] |= identity or {}
    card |= parts
    card["id"] = identify(card["kind"], card["identity"])
    if arrays is not None:
        _swap(path, card, arrays)
    card["sha256"] = hashlib.sha256(canonical(card).encode()).hexdigest()
    path.unlink()
    new = path.with_name(f"{card['id']}.json")
    new.write_text(canonical(card))
    if card["id"] != before and card["kind"] == "selections":
        for trial in list(path.parents[1].glob("trials/*.json")):
            if json.loads(trial.read_text())["result"]["selection"] == before:
                forge(trial, {"selection": card["id"]}, {"selection": card["id"]})
    reseal(path.parents[1])
    return new


def _swap(path, card, arrays):
    told = card["files"]["arrays.npz"]
    old = path.with_name(told["path"])
    content = write_npz({**read_npz(old), **arrays})
    old.unlink()
    sha = hashlib.sha256(content).hexdigest()
    name = f"{card['id']}.{sha[:16]}.npz"
    path.with_name(name).write_bytes(content)
    card["files"] = {"arrays.npz": {"path": name, "bytes": len(content), "sha256": sha}}


def reseal(bundle):
    """The manifest of what lies there now."""
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    files = sorted(p for p in bundle.rglob("*") if p.is_file() and p != path)
    manifest["files"] = {
        p.relative_to(bundle).as_posix(): {
            "bytes": p.stat().st_size,
            "sha256": hashlib.sha256(p.read_bytes()).hexdigest(),
        }
        for p in files
    }
    manifest["records"] = {k: len(list(bundle.glob(f"{k}/*.json"))) for k in manifest["records"]}
    manifest["sha256"] = seal(manifest)
    path.write_text(json.dumps(manifest))


def copied(bundle, folder):
    """A bundle of one's own, to be spoilt."""
    return shutil.copytree(bundle, folder / "copy")


def positions(path):
    """(k,) the positions of a subset's card."""
    card = json.loads(path.read_text())
    return np.asarray(read_npz(path.with_name(card["files"]["arrays.npz"]["path"]))["indices"])
