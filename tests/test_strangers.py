"""F2, F13 to F16: a run with plugins that do everything wrong, in worker processes, beside methods that do not."""

from dataclasses import replace
from pathlib import Path

import pytest
from trainings import QUICK

import prunebench as pb
from prunebench.planning.plans import open_harness
from prunebench.running import Workers
from prunebench.store import Store

WORK = Path(__file__).parent / "work"
PLAN = replace(QUICK, scorers=("stranger/blockwise",), selectors=("hardest",), steps=2)
KEPT = ("accuracy", "train_loss", "selection", "scorer", "selector")


@pytest.fixture(autouse=True)
def stranger(tmp_path, monkeypatch):
    """The plugin as an installed distribution: found by its metadata, here and in workers."""
    from prunebench import registry

    info = tmp_path / "site" / "stranger-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[prunebench]\nstranger = stranger\n")
    monkeypatch.syspath_prepend(str(WORK))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    registry._installed.cache_clear()
    yield
    registry._installed.cache_clear()


def test_scores_made_in_shards_by_several_processes_are_the_same_to_the_last_bit(tmp_path):
    found = {}
    for name, workers in {"here": Workers(), "workers": Workers("local", jobs=2)}.items():
        results = list(pb.run(replace(PLAN, store=str(tmp_path / name)), workers))
        (record,) = Store(tmp_path / name).records("scores")
        cells = sorted(tuple(getattr(r, field) or "" for field in KEPT) for r in results)
        found[name] = (record.id, record.arrays["values"].tobytes(), cells)
    assert found["here"] == found["workers"] and len(found["here"][2]) == 4


SCORERS = {
    "raises": ("raised", "RuntimeError: out of luck"),
    "leaves": ("raised", "exited (0)"),
    "exits": ("died", "score exits (stranger 1.0): its process died (exit code 0), 2 times"),
    "crashes": ("died", "SIGSEGV"),
    "hangs": ("timeout", "score hangs (stranger 1.0) took longer than the 20 s"),
    "leaks": ("raised", "leaks (stranger 1.0) failed: MemoryError"),
    "gives_nan": ("raised", "nan to example 7: every score must be finite"),
    "gives_inf": ("raised", "every score must be finite"),
    "one_short": ("raised", "shape (59,), expected (60,)"),
    "of_objects": ("raised", "object"),
    "writes_labels": ("raised", "labels"),
    "draws_globally": ("raised", "global"),
    "moves_away": ("raised", "moves_away (stranger 1.0) changed the working directory of the process"),
    "tells_objects": ("raised", "tells_objects (stranger 1.0) told detail 'o', which is of type object"),
    "says_nothing": ("raised", "says_nothing (stranger 1.0) failed: Unsaid"),
    "leaves_as_generator": ("raised", "leaves_as_generator (stranger 1.0) failed: GeneratorExit"),
}
SELECTORS = {
    "twice_the_same": "distinct",
    "one_too_many": "31",
    "out_of_range": "positions go from 0 to 59",
    "of_floats": "float",
}


def test_every_way_to_go_wrong_is_a_failed_cell_and_the_others_have_their_numbers(tmp_path):
    quiet = list(pb.run(replace(PLAN, store=str(tmp_path / "quiet")), Workers("local", jobs=2)))
    plan = replace(PLAN, scorers=(*PLAN.scorers, *SCORERS), store=str(tmp_path / "loud"))
    results = list(pb.run(plan, Workers("local", jobs=2, timeout=20)))
    harness = open_harness(plan)
    failed = {f["scorer"]: f for f in harness.store.failures()}
    for scorer, (kind, told) in SCORERS.items():
        assert failed[scorer]["kind"] == kind and told in failed[scorer]["error"], failed[scorer]["error"]
        assert failed[scorer]["provenance"]["plugins"]["stranger"] == "1.0"
    assert {tuple(getattr(r, f) for f in KEPT) for r in results} == {tuple(getattr(r, f) for f in KEPT) for r in quiet}
    board = pb.leaderboard([tmp_path / "loud"]).render("md")
    rows = [line for line in board.splitlines() if line.startswith("|") and line.split(" | ")[1] == "0.5"]
    assert f"{len(SCORERS)} failed cells" in board and len(rows) == 3 and harness.store.verify()[1] == []


def test_a_selection_that_breaks_the_rules_is_a_failed_cell(tmp_path):
    plan = replace(PLAN, selectors=tuple(SELECTORS), store=str(tmp_path))
    list(pb.run(plan))
    failed = {f["selector"]: f["error"] for f in open_harness(plan).store.failures()}
    for selector, told in SELECTORS.items():
        assert told in failed[selector], failed[selector]


def test_constant_scores_keep_examples_by_the_hash_of_their_keys(tmp_path):
    """All equally hard: what is kept is decided by keys, the same every time, and no class is favoured."""
    plan = replace(PLAN, scorers=("constant",), store=str(tmp_path))
    (found,) = [r for r in pb.run(plan) if r.scorer]
    assert min(found.class_counts) >= 1 and sum(found.class_counts) == 30
