"""The commands of submissions: pack the records of a store for others, and check what others packed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..bundles.containers import holds_bundles, refuse_no_store
from ..console.options import as_json
from ..errors import UserError, VerifyError
from ..terminal import counted


@click.command()
@click.argument("store", type=click.Path(path_type=Path), default="runs")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A .zip, or a folder.")
@click.option("--name", default="", help="Who submits, as a board may show it.")
@click.option("--contact", default="", help="How you can be reached.")
@click.option("--link", default="", help="https:// or http:// address of the work.")
@click.option("--scores", is_flag=True, help="Also the numbers of the scores: subsets can be selected again from them.")
@as_json
def submit(store: Path, out: Path, name: str, contact: str, link: str, scores: bool, as_json: bool) -> None:
    """Pack a store's finished trials for others to verify. Their subsets go with them."""
    from ..bundles.packing import submit

    packed = submit(store, out, scores=scores, name=name, contact=contact, link=link)
    manifest = packed.manifest
    if as_json:
        click.echo(json.dumps({"path": str(packed.path), "manifest": manifest}))
        return
    counts = ", ".join(counted(manifest["records"][f"{one}s"], one) for one in ("trial", "selection", "score"))
    click.echo(f"written: {packed.path} ({counts}; manifest {manifest['sha256'][:12]})")
    for reason, many in packed.left_out.items():
        click.echo(f"left out: {many} {reason}")
    for private in packed.private:
        click.echo(f"told of this machine, so left out: {private}")
    click.echo(f"check it as others will: prunebench verify {packed.path}")


@click.command()
@click.argument("path", metavar="STORE|BUNDLE", type=click.Path(path_type=Path), default="runs")
@click.option("--data-root", help="Hold bundles against the data that lie there.")
@click.option("--dataset", default="", help="Your name of the data, for example folder:DIR.")
@click.option("--label-noise", default="", metavar="file:CSV", help="Your file of the labels that a bundle names.")
@click.option("--retrain", type=int, default=0, metavar="N", help="Train N trials of each bundle again.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draw of these trials.")
@click.option(
    "--pretrained",
    default="",
    metavar="FILE",
    help="With --retrain: the file of weights that trials began with, or timm.",
)
@as_json
def verify(path: Path, data_root: str | None, dataset: str, label_noise: str, as_json: bool, **again: Any) -> None:
    """Check a store, a bundle, or a folder of bundles. Hashes, sizes, identities, claims."""
    asked = any(again.values()) or dataset or label_noise or data_root is not None
    if again["pretrained"] and not again["retrain"]:
        raise UserError("--pretrained is for trials that are trained again: give --retrain N too")
    if path.is_dir() and not holds_bundles(path):
        if asked:
            options = "--data-root, --dataset, --retrain, --seed and --pretrained"
            raise UserError(f"{path} is a store: {options} are for bundles")
        _verify_store(path, as_json)
        return
    from ..bundles.against_data import Data
    from ..bundles.verifying import verify
    from ..console.boards import say

    given = dataset or label_noise or data_root is not None
    data = Data(data_root or "data", dataset, label_noise) if given else None
    bundles = verify(path, data=data, say=say, **again)
    verdicts = [bundle.verdict for bundle in bundles]
    if as_json:
        click.echo(json.dumps([verdict.told() for verdict in verdicts]))
    else:
        click.echo("\n".join(verdict.text() for verdict in verdicts))
    if bad := [verdict for verdict in verdicts if not verdict.sound]:
        of = f"{counted(len(verdicts), 'bundle')} {'is' if len(bad) == 1 else 'are'}"
        raise VerifyError(f"{len(bad)} of {of} not sound: {bad[0].bundle}: {bad[0].refusals[0]}")


def _verify_store(store: Path, as_json: bool) -> None:
    from ..store import Store

    refuse_no_store(store)
    sound, problems = Store(store, writes=False).verify()
    if as_json:
        click.echo(json.dumps({"sound": sound, "problems": problems}))
    else:
        click.echo(f"{counted(sound, 'sound record')} in {store}, {len(problems)} damaged")
        for problem in problems:
            click.echo(f"  {problem}")
    if problems:
        one = len(problems) == 1
        raise VerifyError(
            f"{counted(len(problems), 'record')} of {store} {'does' if one else 'do'} not verify; the next run sets "
            f"{'it' if one else 'them'} aside"
        )
