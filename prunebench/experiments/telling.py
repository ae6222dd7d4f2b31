"""Published | measured | difference, as a table of text; and a recipe and its plans for people."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..leaderboard.labels import labels_for
from ..planning.plans import Plan
from .published import QUANTITIES, Comparison, Published
from .recipe import Experiment

_HEAD = ("what", "published", "measured", "difference")


def compared(found: Sequence[Comparison]) -> list[str]:
    """A table for every place of publication, of what was measured, and below why differences are missing.

    Nothing where nothing was published.
    """
    lines, names = list[str](), _names([c.published for c in found])
    measured = [c for c in found if c.measured]
    for place in dict.fromkeys(map(_place, measured)):
        own = [c for c in measured if _place(c) == place]
        rows = [(_what(c.published, names), _theirs(c.published), _ours(c), _apart(c)) for c in own]
        widths = [max(len(row[i]) for row in (_HEAD, *rows)) for i in range(len(_HEAD))]
        told = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (_HEAD, *rows)]
        lines += ["", place, told[0], "  ".join("─" * width for width in widths), *told[1:]]
    reasons = Counter(c.why for c in found if c.why)
    lines += [f"not compared ({count} of {len(found)}): {why}" for why, count in reasons.items()]
    given = [c for c in found if c.difference is not None]
    if given:
        lines.append("difference: measured less published; SE: standard errors of it.")
        if any(c.at_least for c in given):
            lines.append("≥: the paper tells no number of seeds; its deviation is taken for one, the least it can be.")
        if any(c.published.sd is None for c in given):
            lines.append("Where the paper tells no deviation, SE is that of the measured mean alone.")
        if any(c.published.budget is None for c in given):
            lines.append("The paper does not tell how long it trained: its training may be another.")
    return lines


def _place(c: Comparison) -> str:
    entry = c.published
    how = "" if entry.status == "transcribed" else f" ({entry.status})"
    return f"{entry.paper}, {entry.table}{how}: {entry.dataset}, {entry.network}; measured on {c.on}"


def _names(entries: Sequence[Published]) -> dict[tuple[str, str], str]:
    """(kind, canonical text) -> the shortest name that tells it from the others."""
    found = dict[tuple[str, str], str]()
    for kind, fields in (("scorer", ("scorer", "over")), ("selector", ("selector",))):
        texts = {
            str(text)
            for entry in entries
            for name, text in zip(QUANTITIES[entry.quantity], entry.which, strict=True)
            if name in fields and text is not None
        }
        found |= {(kind, text): name for text, name in labels_for(kind, texts).items()}
    return found


def _what(entry: Published, names: Mapping[tuple[str, str], str]) -> str:
    if entry.quantity == "quintile":
        part, diagonal = entry.which
        return f"fifth {part}, mean {'with' if diagonal else 'without'} diagonal"
    if entry.quantity == "margin":
        scorer, over, selector, up_to = entry.which
        rivals = f"{names['scorer', scorer]} over {names['scorer', over]}"
        return f"{rivals} + {names['selector', selector]}, keep to {up_to:g}"
    scorer, selector, keep = entry.which
    return f"{names['scorer', scorer] + ' + ' if scorer else ''}{names['selector', selector]}, keep {keep:g}"


def _theirs(entry: Published) -> str:
    spread = "" if entry.sd is None else f" (sd {entry.sd:g}, n {entry.n or '?'})"
    return f"{entry.mean:g}{spread}"


def _ours(c: Comparison) -> str:
    assert c.measured is not None  # others are counted below
    spread = f"(sd {c.measured.sd:.2f}, n {c.measured.n})" if c.measured.sd is not None else "(one seed)"
    return f"{c.measured.mean:.2f} {spread}"


def _apart(c: Comparison) -> str:
    if c.difference is None:
        return "not compared"
    if c.standard_errors is None:
        return f"{c.difference:+.2f} (no SE: one seed)" if c.measured and c.measured.n == 1 else f"{c.difference:+.2f}"
    return f"{c.difference:+.2f} ({'≥ ' if c.at_least else ''}{abs(c.standard_errors):.1f} SE)"


def described(experiment: Experiment, profiles: Sequence[str]) -> list[str]:
    """What a recipe is, and what each profile runs."""
    found = [experiment.title, ""]
    found += [text for text in (experiment.shows, experiment.says and f"The paper says: {experiment.says}") if text]
    source = ", ".join(part for part in (experiment.paper, experiment.place) if part)
    found += [f"paper      {source or 'none: a view of ours'}"]
    found += [f"ends in    {experiment.ending}"]
    found += [f"published  {', '.join(experiment.references) or 'no number that could be read'}"]
    for profile in profiles:
        found.append(f"profile {profile}")
        found += [f"  {line}" for plan in experiment.runs(profile) for line in told(plan)]
    return found


def told(plan: Plan) -> list[str]:
    """A plan as the options of `prunebench run`."""
    return [" ".join(["prunebench run", *arguments(plan)])]


def arguments(plan: Plan) -> list[str]:
    """Those options of `prunebench run` that differ from its defaults; neither folders nor devices, which are yours."""
    usual, given = Plan(), list[str]()
    for name, flag in (("scorers", "--scorer"), ("selectors", "--selector"), ("methods", "--method")):
        given += [f"{flag} {quoted(text)}" for text in getattr(plan, name)]
    for name, flag in (("keep", "--keep"), ("models", "--model")):
        value = getattr(plan, name)
        if value != getattr(usual, name):
            given.append(f"{flag} {','.join(_number(one) for one in value)}")
    for name in (
        *("dataset", "image_size", "seeds", "score_seeds", "reference", "reference_epochs", "budget", "policy"),
        *("steps", "epochs", "pretrained", "threads", "track", "label_noise", "imbalance", "corrupt"),
    ):
        value = getattr(plan, name)
        if value != getattr(usual, name):
            given.append(f"--{name.replace('_', '-')} {quoted(str(value))}")
    return [*given, *(["--best-epoch"] if plan.best_epoch else [])]


def quoted(text: str) -> str:
    """For a shell; in double quotes where single ones stand inside and nothing would be expanded."""
    return f'"{text}"' if "'" in text and not set(text) & set('"$`\\!') else shlex.quote(text)


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
