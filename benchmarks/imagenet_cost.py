"""What ImageNet-1K costs: examples through networks, bytes of disk and memory, by the counts behind `run --dry-run`.

    python benchmarks/imagenet_cost.py                                       # the tables of docs/scale.md
    python benchmarks/imagenet_cost.py --write                               # ... written there
    python benchmarks/imagenet_cost.py --rate resnet18=2500 --rate drd=900   # ... with hours at rates of your own

Everything is counted (`prunebench.foresight`, and for DRD `prunebench drd estimate`); nothing here is measured.
A rate is yours: training examples a second of a model at its recipe, as `run --dry-run` tells them of your machine, and
for ``drd`` evaluations of its network a second, as `prunebench drd estimate` finds.

    hours = (backward + (forward - backward) / 3) / rate / 3600             DRD: evaluations / rate / 3600
"""

from __future__ import annotations

import argparse
import math
import operator
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, reduce
from pathlib import Path

from prunebench_drd.estimate import (
    SIZES,
    agreement_pictures,
    rebuilding_evaluations,
    search_evaluations,
)

from prunebench.console.dry_run import size
from prunebench.foresight.forecast import (
    Architecture,
    Data,
    Work,
    embeddings,
    features,
    reference_training,
    scores,
    selection,
    trained_steps,
    training,
)
from prunebench.foresight.foreseen import architecture_of
from prunebench.registry import installed
from prunebench.training.recipes import Recipe, architecture, recipe_for

DATA = Data(1_281_167, 50_000, 1000, 224, key=len("n01440764/n01440764_10026.JPEG"))
REFERENCE, MODELS = "resnet18", ("resnet18", "resnet50", "efficientnet_b0", "vit_tiny", "vit_small")
RATIOS, SEEDS = tuple(i / 10 for i in range(1, 10)), 3
PAGE = Path(__file__).resolve().parents[1] / "docs" / "scale.md"
BEGIN = "<!-- imagenet: written by benchmarks/imagenet_cost.py -->\n"
END = "<!-- imagenet end -->\n"
Row = tuple[str, Work]


def recipe_of(model: str) -> Recipe:
    """Its row for photographs, with the steps at full data."""
    row = recipe_for("photographs", architecture(model))
    return replace(row, steps=math.ceil(row.epochs * DATA.examples / row.batch))


@cache
def network_of(model: str) -> Architecture:
    """Its weights, features and activations on these pictures."""
    return architecture_of(model, DATA.classes, DATA.size)


def scoring() -> list[Row]:
    """What the scorers of a family need together; every scorer then adds the last row."""
    net, row = network_of(REFERENCE), recipe_of(REFERENCE)
    epoch = int(installed().method("scorer", "grand").options["epoch"])
    once = reference_training(DATA, net, row, row.reference_epochs)
    early = reference_training(DATA, net, row, epoch, recorded=False)
    clusters = reference_training(DATA, net, row, row.reference_epochs, again=True, own=1)
    clusters = replace(clusters, disk=clusters.disk + net.file(), forward=clusters.backward)
    return [
        ("one training, recorded: forgetting, aum, el2n and all others of `needs: training`", once),
        ("ten such, `el2n(runs=10)`", _times(once, 10)),
        (f"ten to epoch {epoch}, `grand`; its gradients of every example beside", _times(early, 10)),
        ("features of that network: moderate, kcenter, herding, d2, ...", features(DATA, net)),
        ("64 principal components of the pixels: zcore, prototypicality, elfs", embeddings(DATA, 64)),
        ("one training on cluster labels, `elfs`", clusters),
        ("any scorer's numbers", scores(DATA)),
    ]


def selecting() -> list[Row]:
    """One selection at some keep ratios; a selector that only ranks trains nothing."""
    net, row = network_of(REFERENCE), recipe_of(REFERENCE)
    epochs = int(installed().method("selector", "bws").options["epochs"])
    found = []
    for keep in (0.1, 0.3, 0.9):
        chosen = selection(DATA, keep)
        part = replace(DATA, examples=round(keep * DATA.examples))
        proxy = reference_training(part, net, row, epochs, recorded=False) + features(DATA, net) + chosen
        found += [(f"indices and names, keep {keep:g}", chosen), (f"`bws`, keep {keep:g}: its proxy", proxy)]
    return found


def trials(model: str) -> list[Row]:
    """One full-data training, and the trainings of one method at nine ratios and three seeds under both budgets."""
    net, row = network_of(model), recipe_of(model)
    found = [(f"{model}, full data: {row.steps:,} steps of {row.batch}", training(DATA, net, row, row.steps))]
    for budget in ("steps", "epochs"):
        steps = [trained_steps(DATA, row, keep, budget) for keep in RATIOS]
        each = [training(DATA, net, row, many) for many in steps for _ in range(SEEDS)]
        found.append((f"{model}, nine ratios, three seeds, budget {budget}", reduce(operator.add, each)))
    return found


def deviations() -> list[tuple[str, int]]:
    """(what, network evaluations) of DRD with one draw from the middle of the searched steps."""
    known = SIZES["imagenet"]
    return [
        ("searching t*", search_evaluations(known)),
        ("rebuilding every picture, t* = 20", rebuilding_evaluations(known.examples, 1, 20.0)),
        ("agreement of draws", rebuilding_evaluations(agreement_pictures(known), 2, 20.0)),
    ]


def tables(rates: Mapping[str, float]) -> str:
    """The tables as Markdown, with hours where ``rates`` are given."""
    groups = {
        "Scoring": scoring(),
        "Selection": selecting(),
        "Training": [row for model in MODELS for row in trials(model)],
    }
    hours = [" hours |", " --- |"] if rates else ["", ""]
    told = []
    for title, rows in groups.items():
        told += ["", f"**{title}**", "", f"| step | examples forward | backward | disk | memory |{hours[0]}"]
        told += [f"| --- | --- | --- | --- | --- |{hours[1]}"]
        for name, work in rows:
            memory = size(work.memory) if work.memory else "-"
            cells = [f"{work.forward:,}", f"{work.backward:,}", size(work.disk), memory]
            told.append(f"| {name} | " + " | ".join(cells) + " |" + (_hours(work.seconds(rates)) if rates else ""))
    told += ["", "**DRD**", "", f"| step | network evaluations |{hours[0]}", f"| --- | --- |{hours[1]}"]
    for what, count in deviations():
        spent = count / rates["drd"] if "drd" in rates else None
        told.append(f"| {what} | {count:,} |" + (_hours(spent) if rates else ""))
    return "\n".join(told[1:]) + "\n"


def _times(work: Work, many: int) -> Work:
    return reduce(operator.add, [work] * many)


def _hours(seconds: float | None) -> str:
    return " - |" if seconds is None else f" {seconds / 3600:.3g} |"


def page(text: str) -> str:
    """The page with the tables between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables({})}\n{END}{after}"


def rate(text: str) -> tuple[str, float]:
    """``MODEL=EXAMPLES_A_SECOND``."""
    name, _, value = text.partition("=")
    if name not in (*MODELS, "drd"):
        raise argparse.ArgumentTypeError(f"{name!r} has no rows here: give one of {', '.join((*MODELS, 'drd'))}")
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not MODEL=EXAMPLES_A_SECOND with a number above 0")
    return name, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=rate, action="append", default=[], metavar="MODEL=EXAMPLES_A_SECOND")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name}, without hours")
    given = parser.parse_args()
    if not given.write:
        print(tables(dict(given.rate)))
        return
    if given.rate:
        parser.error("--write takes no --rate: hours on somebody's machine are not for the page")
    PAGE.write_text(page(PAGE.read_text()))
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
