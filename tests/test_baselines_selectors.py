"""What every built-in selector owes, whatever it is given; and the plain ones by hand and against published rules."""

import ast
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import prunebench_baselines
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prunebench_baselines.bws import bws
from prunebench_baselines.ccs import ccs
from prunebench_baselines.extremes import easiest, hardest
from prunebench_baselines.moderate import moderate
from prunebench_baselines.per_class import per_class
from prunebench_baselines.uniform import balanced, draw, random

from prunebench import class_budgets

GOLDEN = Path(__file__).parent / "golden"


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# properties

MODES = ("continuous", "tied", "constant", "zero", "negative", "huge", "tiny")


def hardness_of(mode: str, examples: int, rng: np.random.Generator) -> np.ndarray:
    values = rng.standard_normal(examples)
    return {
        "continuous": values,
        "tied": np.floor(values),
        "constant": np.full(examples, 3.7),
        "zero": np.zeros(examples),
        "negative": -1 - np.abs(values),
        "huge": np.clip(values, -3, 3) * 5e307,
        "tiny": values * 1e-310,
    }[mode]


def labels_of(examples: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Unequal classes, some of one example or none."""
    return np.minimum(rng.geometric(0.4, examples) - 1, classes - 1)


@st.composite
def problems(draw_value):
    examples = draw_value(st.integers(1, 60))
    rng = np.random.default_rng(draw_value(st.integers(0, 2**32 - 1)))
    h = torch.from_numpy(rng.standard_normal((examples, 3)).astype(np.float32))
    return SimpleNamespace(
        hardness=torch.from_numpy(hardness_of(draw_value(st.sampled_from(MODES)), examples, rng)),
        labels=torch.from_numpy(labels_of(examples, draw_value(st.integers(1, 6)), rng)),
        seeds=torch.from_numpy(rng.integers(0, 2**63 - 1, examples)),
        budget=draw_value(st.one_of(st.just(1), st.just(examples), st.integers(1, examples))),
        h=h,
        margin=torch.from_numpy(rng.standard_normal(examples)),
        seed=draw_value(st.integers(0, 1000)),
    )


def run_ccs(p, gen, **options):
    return ccs(p.hardness, p.budget, lambda text: p.margin, gen, **options)


def run_bws(p, gen, **options):
    def observe(labels=None, indices=None, epochs=None, seed=0, watch=()):
        assert len(indices) == len(indices.unique()) == p.budget
        return SimpleNamespace(features=lambda: p.h)

    def judge(indices, weights=None):
        assert len(indices) == len(indices.unique()) == p.budget
        return float(p.margin[indices].mean())

    return bws(p.hardness, p.labels, p.budget, observe, lambda: p.h, judge, gen, **options).indices


def run_per_class(p, gen, inner, **options):
    return per_class(p.labels, lambda indices, k: indices[inner(p.hardness[indices], k)], p.budget, **options)


SELECTIONS = {
    "random": lambda p, gen: random(p.seeds, p.budget, gen),
    "balanced": lambda p, gen: balanced(p.labels, p.budget, gen),
    "balanced(quota=equal)": lambda p, gen: balanced(p.labels, p.budget, gen, quota="equal"),
    "hardest": lambda p, gen: hardest(p.hardness, p.budget),
    "easiest": lambda p, gen: easiest(p.hardness, p.budget),
    "moderate": lambda p, gen: moderate(p.hardness, p.budget),
    "ccs": run_ccs,
    "ccs(strata=1)": lambda p, gen: run_ccs(p, gen, strata=1),
    "ccs(cutoff)": lambda p, gen: run_ccs(p, gen, cutoff=(1 - p.budget / len(p.labels)) / 2),
    "bws": run_bws,
    "bws(drd)": lambda p, gen: run_bws(p, gen, order="easiest", furthest=0.5),
    "bws(easiest_half)": lambda p, gen: run_bws(p, gen, judged="easiest_half", proxy="reference", step=0.3),
    "bws(train)": lambda p, gen: run_bws(p, gen, evaluator="train", step=0.2),
    "per_class(hardest)": lambda p, gen: run_per_class(p, gen, hardest),
    "per_class(moderate, quota=equal)": lambda p, gen: run_per_class(p, gen, moderate, quota="equal"),
    "per_class(ccs)": lambda p, gen: run_per_class(p, gen, lambda x, k: ccs(x, k, lambda text: x, gen)),
}
PER_CLASS = [name for name in SELECTIONS if name.startswith(("bws", "per_class")) or name == "balanced"]


@pytest.mark.proves("selector:random", "property")
@pytest.mark.proves("balanced", "property")
@pytest.mark.proves("hardest", "property")
@pytest.mark.proves("easiest", "property")
@pytest.mark.proves("selector:moderate", "property")
@pytest.mark.proves("ccs", "property")
@pytest.mark.proves("bws", "property")
@pytest.mark.proves("per_class", "property")
@pytest.mark.parametrize("name", SELECTIONS)
@settings(max_examples=40, deadline=None)
@given(p=problems())
def test_every_selector_keeps_exactly_k_distinct_examples(name, p):
    before = [tensor.clone() for tensor in (p.hardness, p.labels, p.seeds, p.h, p.margin)]
    state = torch.get_rng_state()
    chosen = SELECTIONS[name](p, generator(p.seed))
    assert chosen.dtype == torch.int64 and chosen.shape == (p.budget,)
    assert len(chosen.unique()) == p.budget
    assert int(chosen.min()) >= 0 and int(chosen.max()) < len(p.labels)
    assert torch.equal(chosen, SELECTIONS[name](p, generator(p.seed)))  # the generator is all the chance there is
    assert torch.equal(torch.get_rng_state(), state)
    for tensor, earlier in zip((p.hardness, p.labels, p.seeds, p.h, p.margin), before, strict=True):
        assert torch.equal(tensor, earlier)


@pytest.mark.parametrize("name", [n for n in PER_CLASS if "equal" not in n])
@settings(max_examples=25, deadline=None)
@given(p=problems())
def test_class_budgets_are_kept_to_the_example(name, p):
    counts = torch.bincount(p.labels)
    taken = torch.bincount(p.labels[SELECTIONS[name](p, generator(p.seed))], minlength=len(counts))
    assert taken.tolist() == class_budgets(counts.numpy(), p.budget).tolist()


@pytest.mark.proves("hardest", "closed form")
@pytest.mark.proves("easiest", "closed form")
@pytest.mark.proves("selector:moderate", "closed form")
@settings(max_examples=60, deadline=None)
@given(p=problems())
def test_rankings_against_a_plain_sort(p):
    order = sorted(range(len(p.labels)), key=lambda i: float(p.hardness[i]))  # Python's sort is stable
    assert easiest(p.hardness, p.budget).tolist() == order[: p.budget]
    assert hardest(p.hardness, p.budget).tolist() == easiest(-p.hardness, p.budget).tolist()
    easy = (len(order) - p.budget) // 2
    assert moderate(p.hardness, p.budget).tolist() == order[easy : easy + p.budget]


# by hand


def test_ties_go_to_the_first_at_either_end():
    hardness = torch.tensor([1.0, 5.0, 1.0, 5.0, 5.0, 1.0])
    assert hardest(hardness, 2).tolist() == [1, 3]
    assert easiest(hardness, 2).tolist() == [0, 2]


def test_moderate_leaves_out_both_ends_and_the_odd_one_at_the_hard_end():
    hardness = torch.tensor([9.0, 1.0, 7.0, 3.0, 5.0])
    assert moderate(hardness, 3).tolist() == [3, 4, 2]
    assert moderate(hardness, 2).tolist() == [3, 4]
    assert moderate(hardness, 5).tolist() == [1, 3, 4, 2, 0]


@pytest.mark.proves("selector:random", "property")
@pytest.mark.proves("balanced", "property")
def test_random_and_balanced_are_uniform():
    labels, runs = torch.tensor([0] * 6 + [1] * 3), 1500
    anywhere, inside = torch.zeros(9), torch.zeros(9)
    for seed in range(runs):
        anywhere[random(labels, 3, generator(seed))] += 1
        inside[balanced(labels, 3, generator(seed))] += 1
    spread = 4.5 * (runs * (1 / 3) * (2 / 3)) ** 0.5
    assert bool(((anywhere - runs / 3).abs() < spread).all())
    assert bool(((inside - runs / 3).abs() < spread).all())
    assert float(inside[:6].sum()) == 2 * runs


@pytest.mark.proves("balanced", "closed form")
def test_equal_quota_gives_small_classes_the_same_and_fills_up_elsewhere():
    labels = torch.tensor([0] * 20 + [1] * 2 + [2] * 20)
    assert torch.bincount(labels[balanced(labels, 12, generator(), quota="equal")]).tolist() == [5, 2, 5]
    with pytest.raises(ValueError, match="quota"):
        balanced(labels, 12, generator(), quota="fair")


def test_draw_takes_only_from_the_groups_with_a_budget():
    groups = torch.tensor([2, 0, 2, 3, 0, 2])
    assert draw(groups, torch.tensor([0, 0, 3, 0]), generator()).tolist() == [0, 2, 5]


@pytest.mark.proves("per_class", "closed form")
def test_per_class_hands_over_each_class_and_its_budget_once():
    labels, calls = torch.tensor([2, 0, 2, 0, 2, 2, 0, 2]), []

    def inner(indices, budget):
        calls.append((indices.tolist(), budget))
        return indices[-budget:]

    assert per_class(labels, inner, 3).tolist() == [6, 5, 7]
    assert calls == [([1, 3, 6], 1), ([0, 2, 4, 5, 7], 2)]  # class 1 is empty and is not asked
    assert len(per_class(labels, inner, 1)) == 1
    with pytest.raises(ValueError, match="between 0 and 8"):
        per_class(labels, inner, 9)


# published rules


@pytest.fixture(scope="module")
def rules():
    with np.load(GOLDEN / "subset_rules.npz", allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.mark.proves("hardest", "golden")
@pytest.mark.proves("easiest", "golden")
@pytest.mark.parametrize("size", [1, 20, 60])
def test_data_diets_extremes(rules, size):
    scores = torch.from_numpy(rules["scores"]).double()
    for function, values, rule in (
        (hardest, scores, "max"),
        (easiest, scores, "min"),
        (hardest, scores.abs(), "max_abs"),
        (easiest, scores.abs(), "min_abs"),
    ):
        assert function(values, size).sort().values.tolist() == rules[f"datadiet_keep_{rule}_scores_{size}"].tolist()


def test_data_diets_keep_nothing_is_nothing(rules):
    assert len(rules["datadiet_keep_max_0_quirk"]) == 60  # [-0:] keeps everything
    assert len(hardest(torch.from_numpy(rules["scores"]), 0)) == 0


def test_data_diets_offset_is_an_easiest_without_a_smaller_easiest(rules):
    scores = torch.from_numpy(rules["scores"]).double()
    window = set(easiest(scores, 27).tolist()) - set(easiest(scores, 12).tolist())
    assert sorted(window) == rules["datadiet_offset12_size15"].tolist()


@pytest.mark.parametrize("permille", [100, 250, 333, 500])
def test_balanced_counts_are_within_one_of_deepcores_and_add_up(rules, permille):
    labels = torch.from_numpy(rules["labels"])
    theirs = np.bincount(rules["labels"][rules[f"f{permille}_seed0_bal1__indices"]], minlength=4)
    assert theirs.tolist() == [round(permille / 1000 * n) for n in rules["class_counts"].tolist()]
    budget = len(rules[f"f{permille}_seed0_bal0__indices"])
    ours = torch.bincount(labels[balanced(labels, budget, generator())], minlength=4).numpy()
    assert ours.sum() == budget and np.abs(ours - theirs).max() <= 1


@pytest.mark.proves("selector:moderate", "golden")
def test_moderate_keeps_the_published_sets():
    with np.load(GOLDEN / "moderate.npz", allow_pickle=False) as z:
        distance = torch.from_numpy(z["distance_intended"])
        for ratio in (10, 20, 25, 30, 50, 75, 90, 100):
            kept = z[f"r{ratio}__kept_intended"]
            assert moderate(distance, len(kept)).sort().values.tolist() == sorted(kept.tolist())


# the catalogue


def records():
    return [*prunebench_baselines.prunebench_scorers(), *prunebench_baselines.prunebench_selectors()]


def test_reading_the_catalogue_does_not_import_torch():
    code = "import sys, prunebench_baselines as b; b.prunebench_scorers(); print(sorted(sys.modules))"
    modules = ast.literal_eval(
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.decode()
    )
    assert not {"torch", "numpy", "prunebench_baselines.aum"} & set(modules)


@pytest.mark.parametrize("record", records(), ids=lambda r: f"{type(r).__name__}:{r.name}")
def test_every_record_names_its_function_and_its_source(record):
    module, function = record.fn.split(":")
    tree = ast.parse(Path(prunebench_baselines.__file__).with_name(f"{module.split('.')[1]}.py").read_text())
    (found,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]
    assert ast.get_docstring(found) and ast.get_docstring(tree)
    assert not found.args.vararg and not found.args.kwarg
    for default in found.args.kw_defaults:
        ast.literal_eval(default)  # options are read without importing
    assert isinstance(record.definition, int) and record.paper and record.bibtex.startswith("@")
    given_names = [argument.arg for argument in found.args.args]
    ranks = getattr(record, "ranks", "none") != "none"
    assert ("hardness" in given_names or "inner" in given_names) == ranks  # a combinator hands the scores on


def test_names_are_unique_per_kind():
    for found in (prunebench_baselines.prunebench_scorers(), prunebench_baselines.prunebench_selectors()):
        names = [record.name for record in found]
        assert len(set(names)) == len(names)
