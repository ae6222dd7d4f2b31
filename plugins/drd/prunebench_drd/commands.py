"""``prunebench drd ...``: train a diffusion model, look at t*, look at the deviations. Parses, calls, prints."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from prunebench import (
    Call,
    CellError,
    Plan,
    PrunebenchError,
    UserError,
    as_json,
    call_of,
    data_options,
    harness_options,
    progress_display,
)

from .configs import reason
from .task import TASK_INPUTS, Task

scorer_option = click.option(
    "--scorer", default="drd", show_default=True, help='With its options: "drd(samples=5, noises=10)".'
)
seed_option = click.option("--score-seed", type=int, default=0, show_default=True, help="Which independent scoring.")


class OneSentence(click.Group):
    """What goes wrong inside a command is told in one sentence, with the exit code of a failed cell."""

    def invoke(self, ctx: click.Context) -> Any:
        """As any group; an unexpected error becomes a `CellError`."""
        try:
            return super().invoke(ctx)
        except (PrunebenchError, click.ClickException, click.exceptions.Exit, click.exceptions.Abort, BrokenPipeError):
            raise
        except Exception as failure:
            told = reason(failure)
            raise CellError(told if told.startswith("drd: ") else f"drd: {type(failure).__name__}: {told}") from failure


@click.group(cls=OneSentence)
def drd() -> None:
    """Diffusion Reconstruction Deviation: its model, its timesteps, its pictures."""


def called(scorer: str, score_seed: int, **given: Any) -> tuple[Call, Task]:
    """The scorer as the harness would call it, and its task."""
    plan = Plan(scorers=(scorer,), selectors=("hardest",), progress=progress_display(), **given)
    call = call_of(plan, score_seed)
    if not set(TASK_INPUTS) <= set(call.inputs) or not {"model", "dit", "dit_steps"} <= set(call.options):
        raise UserError(f"{scorer} works with no diffusion model: give drd, elbo or classifier_confidence")
    return call, Task.of(**{name: call.inputs[name] for name in TASK_INPUTS})


@drd.command()
@click.option("--dit", default="auto", show_default=True, help="nano, small or base; auto by picture size.")
@click.option("--steps", default="auto", show_default=True, help="Training steps; auto by picture size.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the model [default: dit-DATASET].")
@seed_option
@data_options
@harness_options
def pretrain(dit: str, steps: str, out: Path | None, score_seed: int, **given: Any) -> None:
    """Train a class-conditional DiT on a training split, resumably.

    The model is the one that `drd` trains by itself with the same options, store and seed, so scoring finds it; the
    folder beside it can be used elsewhere, as `drd(model="FOLDER")`.
    """
    from .export import exported, refuse_taken
    from .figures import folder_for
    from .gallery import gallery
    from .opening import opened

    place = out or Path(f"dit-{given['dataset'].partition('(')[0].partition(':')[0]}")
    refuse_taken(place)
    folder_for(place)
    folder_for(place.resolve().parent)
    call, task = called(f"drd(model='own', dit={dit!r}, dit_steps={steps if steps == 'auto' else _whole(steps)})",
                        score_seed, **given)  # fmt: skip
    refuse_taken(place, call.dataset.fingerprint)
    chosen, levels = opened(task, **{name: call.options[name] for name in ("model", "dit", "dit_steps")})
    assert chosen.folder is not None
    named = {"name": call.dataset.name, "fingerprint": call.dataset.fingerprint}
    card, sheets = exported(chosen.folder, place, named, lambda folder: gallery(chosen, task, levels, folder))
    for sheet in sheets:
        click.echo(f"sheet: {sheet}")
    click.echo(
        f"model: {place} ({card['recipe']['size']}, {card['parameters']:,} parameters, "
        f"{card['recipe']['steps']} steps, loss {card['loss']:.4f}, {card['seconds']:.0f} s)"
    )
    text = f"drd(model={str(place)!r})"
    scorer = f'"{text}"' if re.fullmatch(r"[\w./-]+", str(place)) else shlex.quote(text)
    data = shlex.quote(given["dataset"])
    click.echo(f"use it: prunebench run --dataset {data}{repeated(given)} --scorer {scorer} --selector bws")


def repeated(given: Mapping[str, Any]) -> str:
    """The options of this command on data and store that are not left as they are, to be given once more."""
    defaults = {option.name: option.default for option in click.get_current_context().command.params}
    kept = ("data_root", "image_size", "label_noise", "imbalance", "corrupt", "store")
    told = [(f"--{name.replace('_', '-')}", given[name]) for name in kept if given[name] not in (None, defaults[name])]
    return "".join(f" {option} {shlex.quote(str(value))}" for option, value in told)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise UserError(f"--steps must be auto or a positive number, got {text!r}")
    return int(text)


@drd.command(short_help="Search t* of every class, and show its curves.")
@scorer_option
@click.option("--out", type=click.Path(path_type=Path), help="Figure to write (.png or .svg).")
@seed_option
@data_options
@harness_options
@as_json
def timesteps(scorer: str, out: Path | None, score_seed: int, as_json: bool, **given: Any) -> None:
    """Search t* of every class and show the curves of eq. 9; scoring finds them again."""
    from .figures import save_curves, writable
    from .models import refuse_unconditional
    from .options import check_classes
    from .timesteps import Plan as Search
    from .timesteps import searched_steps

    if out is not None:
        writable(out)
    call, task = called(scorer, score_seed, **given)
    if not set(Search.__dataclass_fields__) <= set(call.options):
        raise UserError(f"{scorer} searches no timestep: give drd or classifier_confidence")
    refuse_wrong(scorer, call.options)
    check_classes(scorer.partition("(")[0].strip(), "ib", len(call.dataset.classes))
    chosen, levels = open_with(call.options, task)
    refuse_unconditional(chosen.denoiser, "ib")
    search = {name: call.options[name] for name in Search.__dataclass_fields__}
    _, found = searched_steps(task, chosen, levels, Search(**search))
    if out is not None:  # before anything is told: a reader may close the pipe
        save_curves(out, f"{call.dataset.name}, model {Path(chosen.name).name}", call.dataset.classes, found)
    if as_json:
        click.echo(json.dumps({name: _plain(value) for name, value in found.items()}))
    else:
        show_steps(call.dataset.classes, levels, found)
    if out is not None:
        click.echo(f"figure: {out}", err=as_json)


def refuse_wrong(scorer: str, options: Mapping[str, Any]) -> None:
    """As the scorer itself, before anything trains."""
    from .opening import STEPS
    from .options import check
    from .schedule import ddim_levels

    ddim_levels(1000, STEPS, options.get("spacing", "leading"))
    names = ("timestep", "samples", "noises", "draws", "reduction", "rivals", "search", "target")
    check(scorer.partition("(")[0].strip(), **{name: options[name] for name in names if name in options})


def open_with(options: Mapping[str, Any], task: Task) -> Any:
    """The model and its levels, by the options of ``drd`` or one of its relatives."""
    from .opening import opened

    return opened(task, *(options[name] for name in ("model", "dit", "dit_steps", "spacing")))


def show_steps(classes: tuple[str, ...], levels: Any, found: Mapping[str, Any]) -> None:
    """One line per class."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("class", "pictures", "t*", "level", "SNR", "|d log p / dt|", "runner-up"):
        table.add_column(name, justify="left" if name == "class" else "right")
    candidates = found["candidates"].tolist()
    for c, folder in enumerate(classes):
        name = "".join(letter for letter in " ".join(folder.split()) if letter.isprintable())  # a terminal obeys others
        step, curve = int(found["t_star"][c]), found["curve"][c]
        ranked = sorted(range(len(candidates)), key=lambda i: -curve[i] if curve[i] == curve[i] else 0.0)
        second = next((candidates[i] for i in ranked if candidates[i] != step), step)
        snr = float(found["candidate_snr"][candidates.index(step)])
        peak = curve[candidates.index(step)]
        table.add_row(
            *(
                escape(name),
                str(found["samples"][c]),
                str(step),
                str(int(levels[step])),
                f"{snr:.3f}",
            ),
            *(f"{peak:.3f}", f"{second} ({curve[candidates.index(second)] / peak:.0%})" if peak > 0 else "-"),
        )
    Console(width=100).print(table)
    judged = f"t* judged by {found['noises_at_t_star']} of {found['noises']} noises"
    click.echo(f"{found['search_evaluations']:,} network evaluations of one picture each, {judged}")


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return _plain(value.tolist()) if hasattr(value, "tolist") else value


@drd.command()
@click.option("--scores", "file", type=click.Path(path_type=Path), required=True, help="Score file of drd.")
@click.option("--examples", metavar="I,J,...", help="Positions in the training split [default: ends and middle].")
@click.option(
    "--each",
    type=int,
    default=1,
    show_default=True,
    help="Pictures from each end and the middle; a small class gives fewer.",
)
@click.option("--out", type=click.Path(path_type=Path), default="explained.png", show_default=True)
@click.option("--factory", metavar="MODULE:NAME", help="The model of the scores, where it is code of yours: it runs.")
@seed_option
@data_options
@harness_options
def explain(
    file: Path, examples: str | None, each: int, out: Path, factory: str | None, score_seed: int, **given: Any
) -> None:
    """Draw original, noised and rebuilt pictures with their scores.

    Without --examples: the lowest, middle and highest deviations of every class.
    """
    from .explain import explained, found_only, refuse_code
    from .figures import writable

    writable(out)
    way_out = (
        "give the --store, --threads and --device of the scoring (here "
        f"--store {given['store']}, --threads {given['threads']}, --device {given['device']}), or train it with "
        "prunebench drd pretrain"
    )

    def opened_with(scorer: str) -> tuple[Call, Task]:
        call, task = called(scorer, score_seed, **given)
        refuse_code(file, call.options["model"], factory)
        return call, found_only(task, way_out)

    sheet, told = explained(file, examples, each, out, opened_with)
    for line in told:
        click.echo(line)
    click.echo(f"sheet: {sheet}")


@drd.command()
@scorer_option
@click.option("--dataset", default="imagenet", show_default=True, help="A known name, or any that can be loaded.")
@click.option("--data-root", default="data", show_default=True, help="Where data sets lie.")
@click.option("--image-size", type=int, help="Side of the pictures in px.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ...")
@click.option("--tflops", type=float, help="Rate of another machine, instead of measuring this one.")
@click.option("--seconds", type=float, default=10.0, show_default=True, help="Of measuring.")
@as_json
def estimate(scorer: str, tflops: float | None, seconds: float, as_json: bool, **given: Any) -> None:
    """Say what scoring will cost, before anything starts.

    Counts, hours and memory, from the cost model and ten seconds of measuring. Of the data sets that prunebench knows
    by name nothing has to be on disk, also as NAME(train=N).
    """
    from .forecast import forecast

    options, size, device = measured_by(scorer, **given)
    bill, notes = forecast(options, size, device, seconds, None if tflops is None else tflops * 1e12)
    if as_json:
        rows = [{"what": what, "count": count, "hours": hours} for what, count, hours in bill.rows()]
        told = {"rows": rows, "hours": bill.hours, "flops": bill.flops, "evaluations": bill.evaluations}
        click.echo(json.dumps({**told, "notes": notes}))
        return
    click.echo(f"{given['dataset']}: {size.examples:,} pictures of {size.pixels} px, {size.classes} classes")
    for what, count, hours in bill.rows():
        click.echo(f"  {what:<26} {count:>15,}  {hours:>10.3g} h")
    click.echo(f"  {'all':<26} {'':>15}  {bill.hours:>10.3g} h")
    for note in notes:
        click.echo(note)


def measured_by(scorer: str, dataset: str, data_root: str, image_size: int | None, device: str) -> Any:
    """Options, size of the data set and device; known data sets need not be on disk."""
    from .estimate import Size, published_size
    from .imagenet import are_wnids

    known = published_size(dataset, image_size)
    plan = Plan(scorers=(scorer,), selectors=("hardest",), device=device)
    if known is None:
        plan = replace(plan, dataset=dataset, data_root=data_root, image_size=image_size)
    call = call_of(plan)
    if "search" not in call.options or "target" not in call.options:
        raise UserError(f"the cost of {scorer} is not known: estimate tells that of drd")
    refuse_wrong(scorer, call.options)
    if known is not None:
        return call.options, known, call.inputs["device"]
    data = call.dataset
    size = Size(len(data.train), len(data.classes), data.image_size, are_wnids(data.classes), tuple(data.classes))
    return call.options, size, call.inputs["device"]
