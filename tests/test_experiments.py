"""Recipes are data: every file resolves against what is installed, and says what can be compared."""

import json
from pathlib import Path

import pytest

from prunebench import registry as plugins
from prunebench.errors import UserError
from prunebench.experiments import PROFILES
from prunebench.experiments.endings.ending import ending_of
from prunebench.experiments.measuring import canonical
from prunebench.experiments.performing import refuse_options
from prunebench.experiments.published import FOLDER as REFERENCES
from prunebench.experiments.published import QUANTITIES, published
from prunebench.experiments.recipe import ENDINGS, named, names, read
from prunebench.experiments.telling import arguments, quoted
from prunebench.harness.reference import refuse_epochs_beyond
from prunebench.planning.plans import Plan, pairs, refuse_conflicts
from prunebench.training.recipes import architecture, data_family, recipe_for

PROMISED = {
    *("drd-fig2", "drd-fig3", "drd-fig4", "drd-table1", "drd-fig5", "drd-table2", "drd-fig6", "drd-windows"),
    *("drd-cross-arch", "noise", "score-atlas", "cost"),
}
SIZES = {"digits": 8, "cifar10": 32}
MINIMAL = """
title = "T"
ending = "dots"
[[plans]]
scorers = ["random"]
selectors = ["hardest"]
[[profiles.cpu]]
dataset = "planted"
"""


def own(tmp_path, text, name="mine.toml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_the_recipes_are_those_promised():
    assert set(names()) == PROMISED


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", sorted(PROMISED))
def test_every_plan_resolves(name, profile):
    registry, plans = plugins.installed(), named(name).runs(profile)
    assert plans
    refuse_options(named(name), plans)
    for plan in plans:
        refuse_conflicts(plan)
        registry.dataset(plan.dataset)
        methods = [registry.method("scorer", scorer) for scorer, _ in pairs(plan) if scorer]
        for _, selector in pairs(plan):
            assert selector == "full" or registry.method("selector", selector)
        family = data_family(plan.dataset, plan.image_size or SIZES[plan.dataset])
        epochs = plan.reference_epochs or recipe_for(family, architecture(plan.reference)).reference_epochs
        refuse_epochs_beyond(epochs, *methods)


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_profile_cpu_shares_data_seeds_and_protocol(name):
    for plan in named(name).runs("cpu"):
        assert (plan.dataset, plan.threads, plan.reference_epochs, plan.reference) == ("digits", 1, None, "resnet18")
        assert set(plan.keep) <= {0.1, 0.2, 0.3, 0.5, 0.75} and plan.seeds <= 3


def test_every_ending_has_its_function():
    used = {named(name).ending for name in names()}
    assert used == set(ENDINGS)
    for ending in ENDINGS:
        module = __import__(f"prunebench.experiments.endings.{ending}", fromlist=[ending])
        assert callable(getattr(module, ending)), ending
    assert callable(ending_of)


# -- published numbers ------------------------------------------------------------------------------------------------


def test_published_numbers_are_of_methods_that_are_here():
    registry = plugins.installed()
    files = sorted(path.stem for path in REFERENCES.glob("*.json"))
    assert files == sorted({file for name in names() for file in named(name).references})
    for file in files:
        for entry in published(file):
            found = canonical(registry, entry)
            assert len(found.which) == len(QUANTITIES[entry.quantity])
            assert 0 < entry.mean < 100 and (entry.sd is None or 0 < entry.sd < 5)


@pytest.mark.parametrize("name", ["drd-table1", "drd-table2"])
def test_profile_paper_has_a_cell_for_every_published_one(name):
    registry, recipe = plugins.installed(), named(name)
    cells = {
        (plan.dataset, model, registry.method("scorer", scorer).text, registry.method("selector", selector).text, keep)
        for plan in recipe.runs("paper")
        for model in plan.models
        for scorer, selector in pairs(plan)
        for keep in plan.keep
        if scorer
    }
    wanted = {
        (entry.dataset, entry.network, *canonical(registry, entry).which)
        for file in recipe.references
        for entry in published(file)
    }
    assert wanted <= cells and len(wanted) == 18


def test_the_papers_two_tables_disagree_and_both_are_told():
    registry = plugins.installed()
    told = [canonical(registry, entry) for file in ("drd-table1", "drd-table2") for entry in published(file)]
    usual = (
        registry.method("scorer", "drd").text,
        registry.method("selector", "bws(furthest=0.5, order='easiest')").text,
    )
    assert [entry.mean for entry in told if entry.which == (*usual, 0.75)] == [88.7, 88.5]


ENTRY = json.loads((REFERENCES / "drd-table1.json").read_text())
ENTRY = ENTRY["shared"] | ENTRY["entries"][0]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"quantity": "loss"}, "quantity must be one of"),
        ({"mean": "68.4"}, "mean must not be '68.4'"),
        ({"n": 3.0}, "n must not be 3.0"),
        ({"status": "guessed"}, "status must be one of"),
        ({"page": 7}, "has no 'page'"),
        ({"keep": None}, "keep must not be None"),
    ],
)
def test_a_published_number_of_another_form_is_refused(tmp_path, monkeypatch, changed, told):
    (tmp_path / "x.json").write_text(json.dumps({"shared": ENTRY, "entries": [changed]}))
    monkeypatch.setattr("prunebench.experiments.published.FOLDER", tmp_path)
    published.cache_clear()
    with pytest.raises(UserError, match=told):
        published("x")


@pytest.mark.parametrize("field", sorted(set(ENTRY)))
def test_a_published_number_tells_every_field(tmp_path, monkeypatch, field):
    (tmp_path / "x.json").write_text(
        json.dumps({"shared": {k: v for k, v in ENTRY.items() if k != field}, "entries": [{}]})
    )
    monkeypatch.setattr("prunebench.experiments.published.FOLDER", tmp_path)
    published.cache_clear()
    with pytest.raises(UserError, match=field):
        published("x")


# -- files of one's own -----------------------------------------------------------------------------------------------


def test_a_plan_is_told_as_its_command():
    plan = Plan(scorers=("drd",), selectors=("bws(order='easiest')",), keep=(0.1,), threads=1, best_epoch=True)
    told = "--scorer drd --selector \"bws(order='easiest')\" --keep 0.1 --threads 1 --best-epoch"
    assert " ".join(arguments(plan)) == told
    assert quoted("it's $HOME") == "'it'\"'\"'s $HOME'"


def test_a_profile_replaces_fields_and_plans_may_belong_to_some(tmp_path):
    text = (
        MINIMAL
        + '[[plans]]\nmethods = ["moderate"]\nprofiles = ["gpu"]\n[[profiles.gpu]]\ndataset = "digits"\nkeep = [0.3]\n'
    )
    found = read(own(tmp_path, text))
    assert [plan.methods for plan in found.runs("cpu")] == [()]
    assert [plan.methods for plan in found.runs("gpu")] == [(), ("moderate",)]
    assert {plan.keep for plan in found.runs("gpu")} == {(0.3,)}
    assert {plan.dataset for plan in found.runs("gpu", "planted", seeds=2)} == {"planted"}


def test_a_data_set_of_ones_own_takes_the_place_of_the_first():
    noisy = named("noise").runs("gpu", "planted")
    assert [(plan.dataset, plan.label_noise) for plan in noisy] == [("planted", "sym:0.2"), ("planted", "sym:0.4")]
    assert {plan.models for plan in named("drd-fig4").runs("paper", "cifar10")} == {("resnet18",)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("title = ", "no TOML file of a recipe"),
        (MINIMAL.replace('ending = "dots"', ""), "ending is missing"),
        (MINIMAL.replace('"dots"', '"dotts"'), "did you mean 'dots'"),
        (MINIMAL.replace("selectors", "selector"), "did you mean 'selectors'"),
        (MINIMAL.replace('["random"]', '"random"'), "scorers in plans must be a list of texts"),
        (MINIMAL.replace("[[plans]]", "[plans]"), r"write \[\[plans\]\]"),
        (MINIMAL.replace("profiles.cpu", "profiles.tpu"), "profiles has no 'tpu'"),
        (MINIMAL + 'seeds = "three"', "seeds in profiles.cpu must be a whole number"),
        (MINIMAL + "seeds = true", "seeds in profiles.cpu must be a whole number"),
        (MINIMAL.replace('"random"', "\"drd(model='a.b:c')\""), "names Python code"),
        ("title = 3\n" + MINIMAL.replace('title = "T"', ""), "title must be a text"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_in_one_sentence(tmp_path, text, told):
    with pytest.raises(UserError, match=told) as refused:
        read(own(tmp_path, text))
    assert "\n" not in str(refused.value).replace("\\n", "") or "TOML" in told


def test_names_that_are_no_recipes(tmp_path):
    with pytest.raises(UserError, match="did you mean 'drd-fig6'"):
        named("drd-fig66")
    with pytest.raises(UserError, match="cannot be read"):
        named(str(tmp_path / "none.toml"))
    with pytest.raises(UserError, match="no name for a recipe"):
        read(own(tmp_path, MINIMAL, "<b>.toml"))
    with pytest.raises(UserError, match="has no profile 'paper'"):
        read(own(tmp_path, MINIMAL)).runs("paper")


def test_the_page_of_the_recipes_names_all_of_them():
    page = (Path(__file__).resolve().parents[1] / "docs" / "recipes.md").read_text()
    assert {name for name in names() if f"| `{name}` |" in page} == PROMISED
    assert all(ending in page for ending in ENDINGS)
