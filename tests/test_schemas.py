"""What is written as JSON keeps to the schema that is shipped for it, and what is broken does not."""

import copy
import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from trainings import QUICK

import prunebench as pb
from prunebench.exports import FORMATS, export
from prunebench.leaderboard import board

ROOT = Path(__file__).resolve().parents[1]
SCHEMAS = {path.stem: json.loads(path.read_text()) for path in (ROOT / "prunebench" / "schemas").glob("*.json")}
RECORDS = ("trials", "selections", "scores", "evidence", "models")


def wrong(name, document):
    """Every place where a document does not keep to a schema."""
    found = Draft202012Validator(SCHEMAS[name]).iter_errors(document)
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in found]


@pytest.fixture(scope="module")
def store(bundle):
    """Ten small trials and what they were made from."""
    return bundle.parent / "runs"


@pytest.fixture(scope="module")
def trials(store):
    return [t for table in pb.leaderboard(store).tables for row in table.rows for t in row.trials]


@pytest.fixture(scope="module")
def note(tmp_path_factory):
    """The note of a cell that failed: open to labels, then run again where none may be seen."""
    runs = tmp_path_factory.mktemp("failing") / "runs"
    plan = replace(QUICK, scorers=("random",), selectors=("ccs(cutoff=0.1)",), store=str(runs))
    list(pb.run(plan))
    list(pb.run(replace(plan, track="label-free")))
    (path,) = (runs / "failures").glob("*.json")
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def documents(store, bundle, trials, note, tmp_path_factory):
    """A sound document for every schema but `reproduced`, which `tests/test_bundles_again.py` has."""
    folder = tmp_path_factory.mktemp("files")
    pb.save_scores(pb.Scores(np.arange(9.0), "high", "prunebench/aum()"), folder / "scores.npz")
    pb.save_selection(pb.select("hardest", np.arange(9.0), hard="low", keep=0.5), folder / "kept.npy")
    found = {kind: json.loads(next((store / kind).glob("*.json")).read_text()) for kind in RECORDS}
    found |= {
        "failures": note,
        "score_file": json.loads((folder / "scores.npz.json").read_text()),
        "selection_file": json.loads((folder / "kept.npy.json").read_text()),
        "leaderboard": json.loads(board(trials).render("json")),
        "manifest": json.loads((bundle / "manifest.json").read_text()),
        "recipe": json.loads((ROOT / "docs" / "figures" / "drd-fig4.json").read_text()),
    }
    return found


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one_is_shipped_and_stands_on_the_page_of_files(name):
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["$schema"].endswith("2020-12/schema") and SCHEMAS[name]["title"]
    assert json.loads(files("prunebench").joinpath(f"schemas/{name}.json").read_text()) == SCHEMAS[name]
    assert f"| [`{name}`](../prunebench/schemas/{name}.json) |" in (ROOT / "docs" / "files.md").read_text()


def test_the_page_of_files_names_no_other_schema_and_wheels_hold_them():
    named = set(re.findall(r"\]\(\.\./prunebench/schemas/(\w+)\.json\)", (ROOT / "docs" / "files.md").read_text()))
    assert named == set(SCHEMAS)
    assert '"schemas/*.json"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("kind", RECORDS)
def test_every_record_of_a_store_keeps_to_its_schema(store, kind):
    cards = list((store / kind).glob("*.json"))
    assert cards
    for path in cards:
        assert wrong(kind, json.loads(path.read_text())) == [], path


def test_a_note_of_a_failure_keeps_to_its_schema(note):
    assert "no place on the label-free track" in note["error"] and wrong("failures", note) == []


def test_a_trials_result_is_a_trial_result(store, trials):
    """What stands in the schema and what Python calls it: the same fields, but for those a reader adds."""
    told = set(SCHEMAS["trials"]["properties"]["result"]["properties"])
    assert set(vars(trials[0])) - told == {"id", "provenance", "source", "reproduced"} and told <= set(vars(trials[0]))


@pytest.mark.parametrize("to", [name for name, (ending, *_) in FORMATS.items() if ending])
def test_the_card_of_every_export_keeps_to_its_schema(to, tmp_path):
    if to == "parquet":
        pytest.importorskip("pyarrow")
    kept = pb.select("hardest", np.arange(9.0), hard="low", keep=0.5)
    place = export(kept, to, tmp_path / f"kept{FORMATS[to][0]}")
    card = json.loads(place.with_name(f"{place.name}.json").read_text())
    assert card["export"] == to and wrong("selection_file", card) == []
    assert card["export"] in SCHEMAS["selection_file"]["properties"]["export"]["enum"]


def test_a_board_with_ranks_transfer_and_bundles_keeps_to_its_schema(trials, bundle, note):
    many = [
        replace(
            t,
            **{"dataset": f"set {i}", "fingerprint": str(i) * 64, "model": model},
            accuracy=t.accuracy - 0.001 * t.seed * bool(t.scorer),  # else no seed differs from another
            id=f"{i}{len(model):02}{t.id[3:]}",
        )
        for i in range(5)
        for t in trials
        for model in (t.model, "resnet34")
    ]
    found = board(many, [note])
    told = json.loads(found.render("json"))
    assert told["ranks"] and told["transfer"] and told["tallies"] and told["failed"]
    assert wrong("leaderboard", told) == []
    assert wrong("leaderboard", json.loads(pb.leaderboard(bundle).render("json"))) == []
    free = [replace(t, label_free=True) for t in trials if "balanced" not in t.selector]
    assert wrong("leaderboard", json.loads(board(free, track="label-free").render("json"))) == []


def test_the_records_of_recipes_keep_to_their_schema():
    places = sorted((ROOT / "docs" / "figures").glob("*.json"))
    assert places
    for place in places:
        assert wrong("recipe", json.loads(place.read_text())) == [], place


@pytest.mark.parametrize("name", sorted(set(SCHEMAS) - {"reproduced"}))
def test_a_broken_document_does_not_keep_to_its_schema(documents, name):
    """Each field by itself: left out where it must be there, of another type in any case."""
    sound, schema = documents[name], SCHEMAS[name]
    assert wrong(name, sound) == []
    for field in schema["required"]:
        assert wrong(name, {k: v for k, v in sound.items() if k != field}), f"{field} may be missing"
    for field in sound:
        broken = copy.deepcopy(sound) | {field: [1.5, {}, "?"]}
        assert wrong(name, broken), f"{field} may be anything"
