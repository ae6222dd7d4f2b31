"""The commands that take subsets and scores to others and bring theirs: `export` and `import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UserError

if TYPE_CHECKING:
    from ..types import Dataset, Selection

FORMATS = ("npy", "txt", "csv", "parquet", "torch", "hf", "imagefolder", "timm")
_file = click.Path(path_type=Path)


@click.command()
@click.argument("selection", type=_file)
@click.option("--to", type=click.Choice(FORMATS), required=True, help="For whom.")
@click.option("--out", type=_file, required=True, help="The file, or the new folder.")
@click.option("--dataset", help="Of which it is; a tree of pictures needs it, a table takes its keys.")
@click.option("--data-root", default="data", show_default=True, help="Where data sets lie.")
@click.option("--copy", is_flag=True, help="Copies of the pictures in place of links (imagefolder, timm).")
@click.option("--keys", "names", is_flag=True, help="Keys in place of positions (txt).")
def export(selection: Path, to: str, out: Path, dataset: str | None, data_root: str, **how: bool) -> None:
    """Write a subset for other libraries. NumPy, pandas, PyTorch, Hugging Face, torchvision, timm."""
    from ..exports import export as write
    from ..interop.files import load_selection
    from ..interop.fitting import of_the_data

    given = load_selection(selection)
    data = None if dataset is None else _loaded(dataset, data_root)
    given = given if data is None else of_the_data(given, data, str(selection))
    written = write(given, to, out, dataset=data, **how)
    click.echo(f"{len(given)} of {_whole(given)} examples, {to}: {written}")
    if to == "imagefolder" and data is not None and (empty := _classes_without(data, given)):
        click.echo(f"nothing is kept of {', '.join(empty[:5])}: read it with ImageFolder(..., allow_empty=True)")


@click.command("import")
@click.argument("file", type=_file)
@click.option("--dataset", required=True, help="Of which it is: another one is refused.")
@click.option("--data-root", default="data", show_default=True, help="Where data sets lie.")
@click.option("--as", "kind", type=click.Choice(["scores", "selection"]), required=True, help="What the file holds.")
@click.option("--out", type=_file, required=True, help="Where the score or index file goes (.npz, or .npy).")
@click.option("--array", metavar="NAME", help="Which array, where the file holds several.")
@click.option("--hard", type=click.Choice(["high", "low"]), help="Which end of the scores is hard.")
def import_(file: Path, dataset: str, data_root: str, kind: str, out: Path, array: str | None, hard: Any) -> None:
    """Bring others' scores or subset for a data set. `select` and `train` take it from there."""
    from ..interop.files import refuse_unwritable, save_scores, save_selection
    from ..interop.fitting import of_the_data, scores_of_the_data
    from ..interop.foreign import read_scores, read_selection

    refuse_unwritable(out)
    if kind == "selection":
        if hard is not None:
            raise UserError("--hard is for scores: a subset has no hard end")
        subset = of_the_data(read_selection(file, array), _loaded(dataset, data_root), str(file))
        written, told = save_selection(subset, out), f"{len(subset)} of {subset.size} examples"
    else:
        scores = scores_of_the_data(read_scores(file, hard, array), _loaded(dataset, data_root), str(file))
        written, told = save_scores(scores, out), f"{len(scores)} scores, {scores.hard} = hard"
    click.echo(f"{told}; written: {written}")


def _loaded(dataset: str, root: str) -> Dataset:
    from ..datasets.loading import load
    from ..registry import installed

    return load(installed(), dataset, Path(root))


def _whole(selection: Selection) -> str:
    from ..interop.fitting import is_whole

    return str(selection.size) if is_whole(selection) else "an unknown number of"


def _classes_without(data: Dataset, selection: Selection) -> list[str]:
    kept = {int(label) for label in data.train.labels[selection.indices]}
    return [name for i, name in enumerate(data.classes) if i not in kept]
