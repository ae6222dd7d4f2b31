"""Named methods as people cite them: a scorer, a selector, and the options that their authors published.

A published value holds up to the keep ratio it was published for; above the last one the methods' own defaults hold.
So what is kept and what is cut first always fit together, and nothing is interpolated. README: that of the authors'
code. Where nothing was read, the methods' defaults stand and are called not tuned.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import UserError
from ..registry import Registry
from ..spec import Spec, near, parse

ALL = "all"  # every method that is installed
DEFAULTS = "defaults, not tuned"


@dataclass(frozen=True)
class Preset:
    """A scorer and a selector, and what they become at low keep ratios."""

    scorer: str | None  # None: the selector ranks nothing
    selector: str
    values: str = DEFAULTS  # where the options come from
    up_to: tuple[tuple[float, str | None, str], ...] = ()  # (keep ratio, scorer, selector), ascending

    def at(self, keep: float) -> tuple[str | None, str]:
        """The scorer and selector for a keep ratio in (0, 1]."""
        for limit, scorer, selector in self.up_to:
            if keep <= limit + 1e-9:
                return scorer, selector
        return self.scorer, self.selector

    @property
    def texts(self) -> tuple[tuple[str | None, str], ...]:
        """All that it may become, the lowest keep ratio first."""
        return (*((scorer, selector) for _, scorer, selector in self.up_to), (self.scorer, self.selector))


def _hardest(scorer: str, values: str = DEFAULTS) -> Preset:
    return Preset(scorer, "hardest", values)


_EQUAL_D2 = "per_class(d2(k=5, gamma=0.1{}), quota='equal')"
_WINDOW = "bws(order='easiest', furthest=0.5)"

PRESETS: dict[str, Preset] = {
    "random": Preset(None, "random", "none to choose"),
    "balanced": Preset(None, "balanced", "none to choose"),
    "random_order": Preset("random", "hardest", "none to choose; higher keep ratios only add examples"),
    # one score, its hard end
    "forgetting": _hardest("forgetting", "none to choose"),
    "el2n": _hardest("el2n(runs=10)", "runs: README"),
    "grand": _hardest("grand", "runs: README; epoch as el2n's"),
    "aum": _hardest("aum", "none to choose"),
    "entropy": _hardest("entropy"),
    "margin": _hardest("margin"),
    "least_confidence": _hardest("least_confidence"),
    "loss": _hardest("loss"),
    "correctness": _hardest("correctness", "none to choose"),
    "confidence": _hardest("confidence", "none to choose"),
    "first_learned": _hardest("first_learned", "none to choose"),
    "presentations_to_learn": _hardest("presentations_to_learn", "none to choose"),
    "dyn_unc": _hardest("dyn_unc"),
    "tdds": Preset(
        "tdds",
        "hardest",
        "to 0.1: README, for CIFAR-100; above: defaults of the released code",
        ((0.1, "tdds(window=10, epochs=30)", "hardest"),),
    ),
    "prototypicality": _hardest("prototypicality"),
    "zcore": _hardest("zcore", "as published, but for the encoder"),
    # a rule of its own
    "dual": Preset("dual", "beta", "README, for CIFAR-100"),
    "ccs": Preset(
        "accumulated_margin",
        "ccs",
        "cut-off to 0.1: README, for CIFAR-10; above: none, not tuned",
        ((0.1, "accumulated_margin", "ccs(cutoff=0.3)"),),
    ),
    "stratified": Preset("accumulated_margin", "stratified(by='score')", "as ccs, without its cut-off"),
    "window": Preset(
        "accumulated_margin",
        "window",
        "start to 0.1: README of ELFS, for CIFAR-10; above: the hardest, not tuned",
        ((0.1, "accumulated_margin", "window(start=0.4)"),),
    ),
    "bws": Preset("forgetting", "bws", "as published"),
    "moderate": Preset("moderate", "moderate", "none to choose"),
    "d2": Preset(
        "forgetting",
        _EQUAL_D2.format(""),
        "README, for CIFAR-10 at 0.1; above: the same without the cut-off, not tuned",
        ((0.1, "forgetting", _EQUAL_D2.format(", cutoff=0.4")),),
    ),
    "mix_random": Preset("el2n(runs=10)", "mix_random(hardest)"),
    "elfs": Preset(
        "elfs",
        "double_end(cutoff='search')",
        "cut-off to 0.1: README, for CIFAR-10; above: searched without labels",
        ((0.1, "elfs", "double_end(cutoff=0.4)"),),
    ),
    # a set at once
    "kcenter": Preset(None, "kcenter", "none to choose"),
    "kcenter_order": _hardest("kcenter", "as kcenter, one order for all keep ratios"),
    "herding": Preset(None, "herding", "none to choose"),
    "herding_order": Preset("herding", "easiest", "as herding, one order for all keep ratios"),
    "facility_location": Preset(None, "facility_location", "none to choose"),
    "graph_cut": Preset(None, "graph_cut"),
    "craig": Preset(None, "craig", "none to choose"),
    "gradmatch": Preset(None, "gradmatch", "ridge: the authors' configuration, for CIFAR-10"),
    "drop": Preset(None, "class_quota"),
    # diffusion models
    "drd": Preset("drd", _WINDOW, "as published"),
    "elbo": Preset("elbo", _WINDOW, "windows as drd's; not tuned"),
    "classifier_confidence": Preset("classifier_confidence", _WINDOW, "windows as drd's; not tuned"),
}


def preset(name: str, keep: float = 1.0) -> tuple[str | None, str]:
    """The scorer and selector that a paper's method stands for at a keep ratio in (0, 1].

    Raises:
        UserError: no such method; near names are suggested.
    """
    return _named(name).at(keep)


def chosen(names: Iterable[str], registry: Registry, track: str = "open") -> list[Preset]:
    """The presets of some names; ``all`` is those on offer, on the label-free track those that need no labels.

    Raises:
        UserError: no such method; near names are suggested.
    """
    found: list[Preset] = []
    for name in names:
        if name == ALL:
            found += [p for p in offered(registry).values() if track != "label-free" or _label_free(p, registry)]
        else:
            found.append(_named(name))
    return found


def offered(registry: Registry) -> dict[str, Preset]:
    """The presets of which every method is installed."""
    there = {kind: {e.record.name for e in registry.entries[kind].values()} for kind in ("scorer", "selector")}
    return {name: found for name, found in PRESETS.items() if _bears(found, there)}


def methods_of(found: Preset) -> set[tuple[str, str]]:
    """(kind, name) of every scorer and selector that a preset may become."""
    names: set[tuple[str, str]] = set()
    for scorer, selector in found.texts:
        names |= {("scorer", parse(scorer).name)} if scorer else set()
        inner: Spec | None = parse(selector)
        while inner is not None:
            names.add(("selector", inner.name))
            inner = inner.inner
    return names


def _bears(found: Preset, there: dict[str, set[str]]) -> bool:
    return all(name in there[kind] for kind, name in methods_of(found))


def _label_free(found: Preset, registry: Registry) -> bool:
    methods = [registry.method("selector", selector) for _, selector in found.texts]
    methods += [registry.method("scorer", scorer) for scorer, _ in found.texts if scorer]
    return all(method.label_free != "no" for method in methods)


def _named(name: str) -> Preset:
    if name not in PRESETS:
        raise UserError(f"there is no method {name!r}{near(name, [*PRESETS, ALL])}: see `prunebench ls methods`")
    return PRESETS[name]
