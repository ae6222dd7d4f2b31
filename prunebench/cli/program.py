"""The command line: each command parses, calls one library function, prints. Nothing is computed here."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import click

from .. import __version__
from ..console.configuration import config_option
from ..console.options import (
    Numbers,
    Several,
    Shard,
    Words,
    as_json,
    data_options,
    execution_options,
    harness_options,
    policy_option,
    report_options,
    track_option,
    train_options,
)
from ..errors import PrunebenchError, Terminated, UserError
from ..experiments.command import recipe
from ..terminal import OneLine, clean, inert_streams
from . import interchange, looking
from .commands import Commands
from .submissions import submit, verify

_AGAIN = "run the same command again, which goes on from what is stored"


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="prunebench")
@click.option("--no-plugin", multiple=True, metavar="NAME", help="Leave out a plugin or distribution (repeats).")
@click.option("-v", "--verbose", is_flag=True, help="Say more on standard error.")
def cli(no_plugin: tuple[str, ...], verbose: bool) -> None:
    """The data-pruning benchmark: any scorer meets any selector, on one harness, under one protocol."""
    from ..registry import leave_out

    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(OneLine("%(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[lines])
    leave_out(no_plugin)


def _plan(**given: Any) -> Any:
    from ..display import progress_display
    from ..planning.plans import Plan
    from ..registry import left_out

    return Plan(**given, no_plugin=left_out(), progress=progress_display())


# -- the main road ----------------------------------------------------------------------------------------------------


@cli.command()
@click.option("--scorer", "scorers", multiple=True, metavar="SCORER", help="e.g. drd, or el2n(epoch=5) (repeats).")
@click.option("--selector", "selectors", multiple=True, metavar="SELECTOR", help="e.g. bws (repeats).")
@click.option(
    "--method", "methods", multiple=True, metavar="METHOD", help="A paper's pair beside the grid, or all (repeats)."
)
@click.option("--keep", cls=Several, type=Numbers(), default="0.05,0.2", show_default=True, help="Keep ratios.")
@click.option("--score-seeds", type=int, default=1, show_default=True, help="Independent scorings.")
@data_options
@train_options
@policy_option
@harness_options
@execution_options
@click.option("--shard", type=Shard(), help="Only these cells: i/n.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first failed cell.")
@click.option(
    "--dry-run", is_flag=True, help="Say which cells stand, and what the others will take: time, memory, disk."
)
@as_json
@config_option
def run(
    executor: str, ray_address: str, jobs: int | None, timeout: float | None, dry_run: bool, as_json: bool, **given: Any
) -> None:
    """Score, select, train, and print the leaderboard."""
    from ..console import reporting

    plan = _plan(**given)
    for name, value in (("jobs", jobs), ("timeout", timeout)):
        if value is not None and value < 1:
            raise UserError(f"--{name} must be at least 1, got {value:g}")
    how = reporting.workers_for(plan, executor, jobs, timeout, ray_address)
    if dry_run:
        from ..console.dry_run import dry_run as tell

        tell(plan, how.jobs or reporting.default_jobs(plan), as_json)
        return
    failed = reporting.run_and_report(plan, as_json, how)
    if failed:
        sys.exit(3)


@cli.command()
@click.option("--scorer", required=True, help="e.g. drd, or el2n(epoch=5).")
@click.option("--from-log", type=click.Path(path_type=Path), help=".npz with logits (E, N, C) and labels (N,).")
@click.option("--out", type=click.Path(path_type=Path), help="Where the score file goes.")
@click.option("--score-seed", type=int, default=0, show_default=True)
@click.option("--shard", type=Shard(), help="Only these blocks: i/n.")
@data_options
@harness_options
@config_option
def score(scorer: str, from_log: Path | None, out: Path | None, score_seed: int, **given: Any) -> None:
    """Score a data set, or somebody's recorded logits."""
    from ..console import reporting

    if from_log is not None:
        source = click.get_current_context().get_parameter_source("dataset")
        if source is not click.core.ParameterSource.DEFAULT:
            raise UserError("--from-log and --dataset exclude each other: a log is scored as it is")
        reporting.score_from_log(scorer, from_log, out or Path("scores.npz"))
    else:
        reporting.score_dataset(_plan(scorers=(scorer,), selectors=("hardest",), **given), score_seed, out)


@cli.command()
@click.option(
    "--scores", "file", type=click.Path(path_type=Path), required=True, help="Score file (.npz, .npy, .csv, card)."
)
@click.option("--selector", required=True, help="e.g. ccs(cutoff=0.3).")
@click.option("--keep", type=float, required=True, help="Keep ratio in (0, 1].")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the index file goes (.npy or .npz).")
@click.option("--hard", type=click.Choice(["high", "low"]), help="Which end is hard, for a file without a card.")
@click.option("--labels", type=click.Path(path_type=Path), help="(N,) integers as .npy.")
@click.option("--dataset", help="Take labels from this data set, and functions such as features too.")
@click.option("--data-root", default="data", show_default=True)
@click.option("--given", multiple=True, metavar="NAME=FILE", help="Another thing the selector asks for (repeats).")
@click.option("--seed", type=int, default=0, show_default=True)
@harness_options
def select(**given: Any) -> None:
    """Select from a score file."""
    from ..console import reporting

    reporting.select_from_file(**given)


@cli.command()
@click.option("--subset", type=click.Path(path_type=Path), required=True, help="Index file: bring your own.")
@data_options
@train_options
@harness_options
@as_json
@config_option
def train(subset: Path, as_json: bool, **given: Any) -> None:
    """Train and test on an index file."""
    from ..console import reporting

    if reporting.train_subset(_plan(**given), subset, as_json):
        sys.exit(3)


@cli.command()
@click.argument("stores", nargs=-1, type=click.Path(path_type=Path))
@click.option("--group-by", cls=Several, type=Words(), default="dataset,budget,model", show_default=True)
@click.option(
    "--format", "form", type=click.Choice(["table", "md", "csv", "json", "html"]), default="table", show_default=True
)
@click.option("--columns", type=click.Choice(["results", "cost", "tests"]), default="results", help="Of table and md.")
@click.option("--margin", type=float, default=0.5, show_default=True, help="Points that count as a tie.")
@click.option("--pictures", is_flag=True, help="Of html: also easy and hard pictures, read from the data sets.")
@click.option("--data-root", default="data", show_default=True, help="Where these data sets lie.")
@track_option
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write here instead of standard output; of html, the folder."
)
def leaderboard(stores: tuple[Path, ...], group_by: tuple[str, ...], form: str, columns: str, **shown: Any) -> None:
    """Show the leaderboard of stores and bundles. [default: runs]; CSV and JSON hold all columns."""
    from ..console import boards

    out, track, margin = shown["out"], shown["track"], shown["margin"]
    data = Path(shown["data_root"]) if shown["pictures"] else None
    boards.leaderboard_of(stores or (Path("runs"),), group_by, form, out, track, columns, margin, data)


@cli.command()
@click.argument("stores", nargs=-1, type=click.Path(path_type=Path))
@report_options
def report(stores: tuple[Path, ...], pictures: bool, data_root: str, **given: Any) -> None:
    """Draw the figures of stores and bundles, with their data. [default: runs] PNG, SVG, CSV, index.md."""
    from ..console import boards

    asked = pictures or "pictures" in given["only"]
    boards.report_of(stores or (Path("runs"),), data=Path(data_root) if asked else None, **given)


for command in (
    *(recipe, submit, verify, interchange.export, interchange.import_),
    *(looking.ls, looking.plugins, looking.datasets, looking.check, looking.new_plugin, looking.doctor),
):
    cli.add_command(command)


# -- beginning and end ------------------------------------------------------------------------------------------------


def main(args: list[str] | None = None) -> None:
    """Entry point: errors of ours in one sentence, exit codes as documented, nothing printed that moves a cursor."""
    with inert_streams():
        try:
            _main(args)
        except Exception:  # a fault of ours: the message may repeat any name
            traceback.print_exc()
            sys.exit(1)


def _main(args: list[str] | None) -> None:
    signal.signal(signal.SIGTERM, _terminate)
    # torch makes this folder when it is imported; we compile nothing, so a folder that is there already will do
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", tempfile.gettempdir())
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # a thread that waits may not spin for long: cores are shared
    try:
        cli.main(args=args, standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _leave(f"interrupted: {_AGAIN}", 130)
    except Terminated:
        _leave(f"terminated: {_AGAIN}", 143)
    except click.ClickException as wrong:
        _leave(_usage(wrong), 2)
    except PrunebenchError as failure:
        _leave(f"error: {failure}", failure.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as failure:
        if failure.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        where = failure.filename or "all of the output"
        _leave(f"error: cannot write {where} ({failure.strerror}): free some room there, or send it elsewhere", 1)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)


def _usage(wrong: click.ClickException) -> str:
    context = getattr(wrong, "ctx", None)
    hint = f" (see `{context.command_path} --help`)" if context else ""
    return f"error: {wrong.format_message()}{hint}"


def _terminate(signum: int, frame: Any) -> None:
    raise Terminated


def _leave(text: str, code: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever interrupts twice is not answered twice
    print(clean(text), file=sys.stderr, flush=True)
    sys.exit(code)
