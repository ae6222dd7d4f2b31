"""Named methods: every one resolves, every method of ours is in one, and what they become at a keep ratio."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trainings import QUICK

from prunebench import UserError, run
from prunebench.planning.plans import cells, open_harness, pairs
from prunebench.planning.presets import ALL, PRESETS, chosen, methods_of, offered, preset
from prunebench.registry import collect, leave_out
from prunebench.spec import parse

PLAN = replace(QUICK, steps=2)


@pytest.mark.parametrize("name", PRESETS)
def test_every_pair_that_a_preset_may_become_resolves(name):
    registry = collect()
    for scorer, selector in PRESETS[name].texts:
        method = registry.method("selector", selector)
        assert (scorer is None) == ("hardness" not in _needs(method) and method.entry.record.ranks != "set")
        assert scorer is None or registry.method("scorer", scorer)


def _needs(method):
    return {*method.inputs, *(_needs(method.inner) if method.inner else ())}


def test_every_method_of_ours_is_in_a_preset():
    named = set().union(*map(methods_of, PRESETS.values()))
    registry = collect()
    ours = {
        (kind, entry.record.name)
        for kind in ("scorer", "selector")
        for entry in registry.entries[kind].values()
        if entry.plugin.distribution in ("prunebench", "prunebench-drd") and not getattr(entry.record, "oracle", False)
    }
    assert ours <= named, sorted(ours - named)
    assert named <= ours, sorted(named - ours)


def test_published_values_hold_up_to_their_keep_ratio():
    assert preset("ccs", 0.05) == preset("ccs", 0.1) == ("accumulated_margin", "ccs(cutoff=0.3)")
    assert preset("ccs", 0.100001) == preset("ccs", 1.0) == ("accumulated_margin", "ccs")
    assert preset("d2", 0.1)[1] != preset("d2", 0.2)[1]
    assert preset("tdds", 0.1)[0] == "tdds(window=10, epochs=30)" and preset("tdds", 0.2)[0] == "tdds"
    assert preset("bws", 0.1) == preset("bws", 0.9) == ("forgetting", "bws")


@given(keep=st.floats(0.001, 1))
def test_what_is_cut_first_always_leaves_what_is_kept(keep):
    for name in PRESETS:
        wanted = parse(preset(name, keep)[1])
        for part in (wanted, wanted.inner):
            if part is not None:
                cut = part.options.get("cutoff", part.options.get("start", 0.0))
                cut = 0.0 if cut == "search" else cut  # among the starts that leave enough
                assert cut + keep <= 1 + 1e-6 or cut == 0, (name, keep)


def test_limits_ascend_and_every_preset_says_where_its_values_come_from():
    for name, found in PRESETS.items():
        limits = [limit for limit, *_ in found.up_to]
        assert limits == sorted(limits) and all(0 < limit < 1 for limit in limits), name
        assert found.values, name
        assert not limits or "README" in found.values, f"{name} changes with the keep ratio without a source"


def test_a_run_has_each_cell_at_its_keep_ratio_only(tmp_path):
    plan = replace(PLAN, keep=(0.05, 0.5), methods=("ccs",), store=str(tmp_path))
    texts = {(cell.selector, cell.keep) for cell in cells(plan, open_harness(plan)) if cell.scorer}
    assert texts == {("ccs(cutoff=0.3)", 0.05), ("ccs", 0.5)}
    assert pairs(plan)[3:] == [("accumulated_margin", "ccs(cutoff=0.3)"), ("accumulated_margin", "ccs")]


def test_all_is_every_preset_that_is_installed(monkeypatch):
    whole, without = collect(), collect(without=["drd"])
    assert set(offered(whole)) == set(PRESETS)
    assert set(PRESETS) - set(offered(without)) == {"drd", "elbo", "classifier_confidence"}
    assert len(chosen([ALL], without)) == len(offered(without))
    monkeypatch.setattr("prunebench.registry.installed", lambda: without)
    plan = replace(PLAN, methods=(ALL,))
    found = pairs(plan)
    assert len(found) == len(set(found)) and ("forgetting", "bws") in found and ("drd", "hardest") not in found
    assert not any("drd" in (scorer or "") for scorer, _ in found)


def test_all_on_the_label_free_track_needs_no_labels():
    registry = collect()
    found = chosen([ALL], registry, "label-free")
    assert PRESETS["zcore"] in found and PRESETS["random_order"] in found and PRESETS["aum"] not in found
    assert PRESETS["balanced"] not in found and PRESETS["d2"] not in found
    assert chosen(["aum"], registry, "label-free") == [PRESETS["aum"]]  # asked for by name: the track refuses it


def test_an_unknown_method_is_told_with_a_near_one():
    with pytest.raises(UserError, match=r"no method 'tdd', did you mean 'tdds'.*ls methods"):
        preset("tdd")
    with pytest.raises(UserError, match="did you mean 'all'"):
        chosen(["alll"], collect())


def test_one_command_runs_the_cheap_methods_to_one_leaderboard(tmp_path):
    """All that a training of twelve epochs serves; the others need longer ones (`--method all`, marked slow)."""
    names = ("forgetting", "aum", "entropy", "ccs", "window", "stratified", "moderate", "d2", "kcenter_order")
    names += ("herding_order", "facility_location", "graph_cut", "drop", "random_order", "tdds", "dyn_unc")
    plan = replace(PLAN, methods=names, reference_epochs=12, store=str(tmp_path))
    results = list(run(plan))
    assert len(results) == 3 + len(names)
    assert len({(r.scorer, r.selector) for r in results}) == len(results)


@pytest.mark.slow
def test_one_command_runs_all_methods_to_one_leaderboard(tmp_path, monkeypatch):
    monkeypatch.setattr("prunebench.registry.installed", lambda: collect(without=["drd"]))
    plan = replace(PLAN, methods=(ALL,), reference_epochs=30, keep=(0.2,), store=str(tmp_path), fail_fast=True)
    assert len(list(run(plan))) == len(pairs(plan))


def test_ls_methods_lists_them(capsys):
    from prunebench.cli import main

    for args in (["ls", "methods"], ["ls", "methods", "--json"], ["ls", "drop"]):
        try:
            main(args)
        except SystemExit as left:
            assert not left.code
        told = capsys.readouterr().out
        if "--json" in args:
            rows = json.loads(told)
            assert {row["method"] for row in rows} == set(PRESETS)
            (low, high) = (row for row in rows if row["method"] == "ccs")
            assert low["up_to"] == 0.1 and low["selector"] == "ccs(cutoff=0.3)" and high["up_to"] == 1.0
        elif "methods" in args:
            assert all(name in told for name in PRESETS) and "not tuned" in told
        else:
            assert "class_quota" in told and "tdds" not in told
    leave_out(())
