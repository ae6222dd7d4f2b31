"""Options that several commands share, and the kinds of values they take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Fn = Callable[..., Any]


class Numbers(click.ParamType):
    """Numbers with commas between them."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a number, nor numbers with commas between them", param, ctx)


class Words(click.ParamType):
    """Words with commas between them."""

    name = "words"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        return (
            value if isinstance(value, tuple) else tuple(word.strip() for word in str(value).split(",") if word.strip())
        )


class Several(click.Option):
    """An option of `Numbers` or `Words`, given once with commas or again for each value."""

    def __init__(self, *declared: Any, default: str, **more: Any) -> None:
        super().__init__(*declared, **{**more, "multiple": True, "default": (default,)})

    def type_cast_value(self, ctx: click.Context, value: Any) -> tuple[Any, ...]:
        return tuple(one for given in super().type_cast_value(ctx, value) for one in given)


class Shard(click.ParamType):
    """``i/n`` with 0 <= i < n."""

    name = "i/n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        i, slash, n = str(value).partition("/")
        if not (slash and i.isdigit() and n.isdigit() and int(i) < int(n)):
            self.fail(f"{value!r} is not of the form i/n with 0 <= i < n", param, ctx)
        return int(i), int(n)


def options(*decorators: Fn) -> Fn:
    def decorate(fn: Fn) -> Fn:
        for decorator in reversed(decorators):
            fn = decorator(fn)
        return fn

    return decorate


_PLACE = (
    click.option("--data-root", default="data", show_default=True, help="Where data sets lie."),
    click.option("--image-size", type=int, help="Side of the pictures in px [default: the data set's]."),
)

data_options = options(
    click.option(
        "--dataset",
        default="digits",
        show_default=True,
        help="Name, NAME(train=N), folder:DIR, or folder(path='DIR', train=N).",
    ),
    *_PLACE,
    click.option("--download", is_flag=True, help="Fetch a published set that is missing, over https, checked."),
    click.option("--label-noise", default="", metavar="NOISE", help="sym:0.2, asym:0.2 or file:CSV[:COLUMN]."),
    click.option("--imbalance", default="", metavar="exp:R", help="Smallest class R times the largest."),
    click.option("--corrupt", default="", metavar="gaussian:P", help="A share P of the training pictures noisy."),
)
track_option = click.option(
    "--track",
    type=click.Choice(["open", "label-free"]),
    default="open",
    show_default=True,
    help="label-free: only methods that see no labels.",
)
harness_options = options(
    click.option("--reference", default="resnet18", show_default=True, help="Network that scoring runs train."),
    click.option("--reference-epochs", type=int, help="Length of its schedule [default: the recipe's]."),
    click.option("--threads", type=int, default=2, show_default=True, help="CPU threads, part of every record."),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ..."),
    track_option,
    click.option("--store", default="runs", show_default=True, help="Where records are kept and found again."),
)
train_options = options(
    click.option(
        "--model", "models", cls=Several, type=Words(), default="resnet18", show_default=True, help="timm names."
    ),
    click.option("--seeds", type=int, default=3, show_default=True, help="Seeds 0..N-1 of selection and training."),
    click.option(
        "--budget",
        type=click.Choice(["steps", "epochs", "cost"]),
        default="steps",
        show_default=True,
        help="Steps as on the full data, in proportion to the subset, or what scoring and selecting leave of the "
        "seconds that full training takes.",
    ),
    click.option("--steps", type=int, help="Optimiser steps, with --budget steps [default: the recipe's]."),
    click.option("--epochs", type=int, help="Epochs over the subset, with --budget epochs."),
    click.option(
        "--pretrained",
        default="",
        is_flag=False,
        flag_value="timm",
        metavar="[FILE]",
        help="Trials start from timm's weights, or from a file of them; a track of its own.",
    ),
    click.option(
        "--best-epoch",
        is_flag=True,
        help="Also test along the way, and show the best accuracy in a column of its own; it ranks nothing.",
    ),
)
execution_options = options(
    click.option(
        "--executor",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="Worker processes of this machine, or a Ray cluster.",
    ),
    click.option(
        "--ray-address",
        default="local",
        show_default=True,
        metavar="HOST:PORT",
        help="Which cluster, with --executor ray.",
    ),
    click.option("--jobs", type=int, help="Pieces of work side by side [default: one per GPU, or cores // threads]."),
    click.option("--timeout", type=float, metavar="SECONDS", help="The longest that one piece of work may take."),
)
policy_option = click.option(
    "--policy",
    default="plain",
    show_default=True,
    metavar="POLICY",
    help="rs2 (a new random subset of the size that --keep says each epoch) or infobatch (dynamic pruning by loss; "
    "--keep counts with --budget epochs), with options in brackets: a row of its own beside the baselines, in a table "
    "of its own, without scorer or selector.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
cache_options = options(
    *_PLACE,
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Where the cache lies [default: $PRUNEBENCH_CACHE, else prunebench-cache in the data root].",
    ),
    as_json,
)
report_options = options(
    click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the figures."),
    click.option(
        "--group-by", type=Words(), default="dataset,budget,model", show_default=True, help="As of leaderboard."
    ),
    click.option("--only", type=Words(), default="", metavar="KINDS", help="e.g. curves,pareto [default: all]."),
    click.option("--pictures", is_flag=True, help="Also easy and hard pictures, read from the data sets."),
    click.option("--data-root", default="data", show_default=True, help="Where these data sets lie."),
)
