"""Plugins: whole or not at all, and nobody hurts the others."""

import types

import prunebench_baselines
import pytest

from prunebench import Scorer, Selector, UserError, hookimpl
from prunebench.methods import Plugin
from prunebench.registry import Registry, collect


def doubled(labels, *, factor=2.0):
    """factor * y"""
    return labels * factor


def module(**members):
    made = types.ModuleType("made_by_a_test")
    vars(made).update(members)
    return made


def offering(*records, hook="prunebench_scorers"):
    def give():
        return records

    give.__name__ = hook
    return module(**{hook: hookimpl(give)})


def plugin(name="stranger", distribution="prunebench-stranger", version="1.0"):
    return Plugin(name, distribution, version, "made_by_a_test")


def with_baselines(*modules):
    core = Plugin("baselines", "prunebench", "0", "prunebench_baselines")
    return collect([(core, prunebench_baselines), *modules], installed=False)


def problem_of(made):
    registry = with_baselines((plugin(), made))
    assert registry.find("scorer", "aum").record.name == "aum"  # the others are there
    return next(p.problem for p in registry.plugins if p.name == "stranger")


def test_a_stranger_meets_the_built_ins():
    registry = with_baselines((plugin(), offering(Scorer("doubled", doubled, hard="high"))))
    method = registry.method("scorer", "doubled(factor=3)")
    assert method.text == "prunebench-stranger/doubled(factor=3.0)"
    assert method.label == "doubled(factor=3.0)" and method.label_free == "no"
    assert method.identity["definition"] == "1.0"  # the distribution's version, where the record has none


@pytest.mark.parametrize(
    "made, told",
    [
        (offering(Scorer("x", "there.is.no:module", hard="high")), "no module"),
        (offering(Scorer("bad name", doubled, hard="high")), "letters"),
        (offering(Scorer("x", doubled, hard="upwards")), "hard must be one of"),
        (offering(Scorer("x", lambda label: label, hard="high")), "did you mean 'labels'"),
        (offering(Scorer("x", lambda hardness: hardness, hard="high")), "a scorer is not given"),
        (offering(Scorer("x", lambda labels, *, budget=1: labels, hard="high")), "bears the name of an input"),
        (offering(Scorer("x", lambda labels=None: labels, hard="high")), "a default"),
        (offering(Scorer("x", lambda *args: args, hard="high")), "name every input"),
        (offering(Scorer("x", lambda labels, *, k: labels, hard="high")), "needs a default"),
        (offering("not a record"), "expected Scorer"),
        (offering(Selector("x", doubled), hook="prunebench_selector"), "prunebench_selectors"),
        (offering(Scorer("x", doubled, hard="high"), Scorer("x", doubled, hard="low")), "a second time"),
    ],
)
def test_what_is_wrong_is_told_and_hurts_nobody(made, told):
    assert told in problem_of(made)


@pytest.mark.parametrize("raised", [RuntimeError("no licence"), SystemExit(0), ImportError("libfoo")])
def test_a_plugin_that_raises_or_exits_in_its_hook(raised):
    def prunebench_scorers():
        raise raised

    assert problem_of(module(prunebench_scorers=hookimpl(prunebench_scorers)))


def test_a_plugin_enters_whole_or_not_at_all():
    def prunebench_selectors():
        raise RuntimeError("later")

    made = offering(Scorer("fine", doubled, hard="high"))
    made.prunebench_selectors = hookimpl(prunebench_selectors)
    registry = with_baselines((plugin(), made))
    with pytest.raises(UserError, match="there is no scorer 'fine'"):
        registry.find("scorer", "fine")


def test_strict_mode_raises(monkeypatch):
    monkeypatch.setenv("PRUNEBENCH_STRICT_PLUGINS", "1")
    with pytest.raises(ValueError, match="hard must be"):
        problem_of(offering(Scorer("x", doubled, hard="upwards")))


def test_one_name_two_packages():
    def second(labels):
        """y"""
        return labels

    registry = with_baselines((plugin(), offering(Scorer("aum", second, hard="high"))))
    with pytest.raises(UserError, match=r"prunebench-stranger/aum and prunebench/aum"):
        registry.method("scorer", "aum")
    assert registry.method("scorer", "prunebench/aum").entry.plugin.distribution == "prunebench"


def test_near_names_are_suggested_and_drd_is_explained():
    registry = with_baselines()
    with pytest.raises(UserError, match="did you mean 'forgetting'"):
        registry.method("scorer", "forgeting")
    with pytest.raises(UserError, match="pip install prunebench-drd"):
        registry.method("scorer", "drd")


def test_combinators():
    registry = with_baselines()
    method = registry.method("selector", "per_class(ccs(cutoff=0.1))")
    assert "score" in method.needs and "labels" in method.needs
    assert method.text.startswith("prunebench/per_class(prunebench/ccs(cutoff=0.1, strata=50)")
    for wrong, told in [
        ("per_class", "needs a selector inside"),
        ("per_class(bws)", "class by class already"),
        ("ccs(bws)", "takes no other method inside"),
    ]:
        with pytest.raises(UserError, match=told):
            registry.method("selector", wrong)


@pytest.mark.parametrize(
    "kind, text, free",
    [("scorer", "random", "yes"), ("scorer", "aum", "no"), ("selector", "ccs", "depends"),
     ("selector", "hardest", "yes"), ("selector", "balanced", "no"), ("selector", "per_class(hardest)", "no")],
)  # fmt: skip
def test_label_freeness_is_derived(kind, text, free):
    assert with_baselines().method(kind, text).label_free == free


def test_every_preset_resolves_and_drd_is_the_papers_pair():
    from prunebench.planning.presets import PRESETS, preset

    registry = collect()
    for scorer, selector in map(preset, PRESETS):
        registry.method("selector", selector)
        assert scorer is None or registry.method("scorer", scorer)
    assert registry.method("selector", preset("drd")[1]).options["furthest"] == 0.5
    assert registry.method("scorer", preset("el2n")[0]).options["runs"] == 10


def test_an_allow_list_leaves_strangers_out_and_keeps_the_core(monkeypatch):
    monkeypatch.setenv("PRUNEBENCH_PLUGINS", "")
    registry = collect()
    assert {e.plugin.distribution for e in registry.entries["scorer"].values()} == {"prunebench"}
    assert all(p.skipped for p in registry.plugins if p.distribution != "prunebench")
    monkeypatch.setenv("PRUNEBENCH_PLUGINS", "drd")
    assert not any(p.skipped for p in collect().plugins if p.name == "drd")
    monkeypatch.delenv("PRUNEBENCH_PLUGINS")
    assert all(p.skipped for p in collect(without=["drd"]).plugins if p.name == "drd")


def test_every_built_in_record_is_complete():
    for kind in ("scorer", "selector"):
        for entry in with_baselines().entries[kind].values():
            assert entry.record.paper and entry.record.bibtex and isinstance(entry.record.definition, int), entry.key
            assert entry.call_signature().doc, entry.key
    assert isinstance(Registry().plugins, list)
