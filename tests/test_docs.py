"""What README and docs promise is there."""

import csv
import json
import re
from pathlib import Path

import pytest

from prunebench.methods import FUNCTIONS, VALUES
from prunebench.registry import installed
from prunebench.training.recipes import RECIPES

ROOT = Path(__file__).resolve().parents[1]


def test_readme_has_its_two_commands():
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert (
        "pip install -q -e . -e plugins/drd" in blocks[0] and "prunebench run --scorer drd --selector bws" in blocks[0]
    )
    assert '-e ".[test]" -e plugins/drd' in blocks[1] and blocks[1].strip().endswith("pytest")


def test_every_input_is_documented():
    text = (ROOT / "docs" / "plugins.md").read_text()
    for name in (*VALUES, *FUNCTIONS):
        assert re.search(rf"`{name}\b", text), f"docs/plugins.md does not tell of {name}"


def test_every_recipe_is_in_the_protocol():
    text = (ROOT / "docs" / "protocol.md").read_text()
    for (data, kind), row in RECIPES.items():
        length = row.steps or f"{row.epochs:g} passes"
        start = (
            f"| {data} | {kind} | {row.optimizer} | {row.peak_lr:g} | {row.weight_decay:g} | {row.batch} | {length} |"
        )
        assert start in text, f"docs/protocol.md tells another recipe for {data}, {kind}"


def test_every_method_is_one_link_from_the_readme():
    assert "](docs/methods/README.md)" in (ROOT / "README.md").read_text()
    text = (ROOT / "docs" / "methods" / "README.md").read_text()
    for kind in ("scorer", "selector"):
        rows = text.partition(f"| {kind} |")[2].partition("\n\n")[0]
        for entry in installed().entries[kind].values():
            name = entry.record.name
            assert f"\n| [`{name}`]({name}.md) |" in rows, f"the table of {kind}s does not list {name}"


def test_the_readme_is_one_screen():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 45 and max(map(len, lines)) <= 160, "move what is longer into docs/"
    assert sum(line.startswith("![") for line in lines) == 1


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_plugin_of_the_tutorial_works(tmp_path, monkeypatch):
    import importlib

    import numpy as np

    import prunebench as pb
    from prunebench import registry
    from prunebench.methods import Plugin
    from prunebench.registry import collect

    code = re.search(
        r"```python\n# prunebench_late_entropy.py\n(.*?)```", (ROOT / "docs" / "plugins.md").read_text(), re.DOTALL
    )
    (tmp_path / "prunebench_late_entropy.py").write_text(code[1])
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("prunebench_late_entropy")
    found = collect([(Plugin("late_entropy", "prunebench-late-entropy", "0.1", "prunebench_late_entropy"), module)])
    monkeypatch.setattr(registry, "installed", lambda: found)
    logits = np.random.default_rng(0).normal(size=(4, 10, 3)).astype(np.float32)
    p = np.exp(logits[-1]) / np.exp(logits[-1]).sum(1, keepdims=True)
    assert np.allclose(
        pb.score_log("late_entropy", logits, np.zeros(10, int)).values, -(p * np.log(p)).sum(1), atol=1e-5
    )


@pytest.mark.parametrize(
    "name, rho",
    [
        ("digits", "spearman_of_two_scorings"),
        ("choices", "spearman_with_first"),
        ("fashion", "spearman_of_two_scorings"),
    ],
)
def test_the_tables_of_anomalies_are_the_records(name, rho):

    text = (ROOT / "docs" / "drd.md").read_text()
    record = json.loads((ROOT / "benchmarks" / "records" / f"anomalies_{name}.json").read_text())
    for scorer, found in record["scorers"].items():
        numbers = " | ".join(f"{v:.3f}" for v in found["auroc"].values())
        reliable = " / ".join(f"{v:.2f}" for v in found.get("split_half_reliability", [])) or "-"
        assert f"| `{scorer}` | {numbers} | {found[rho]:.2f} | {reliable} |" in text


def test_the_table_of_searches_is_the_record():

    text = (ROOT / "docs" / "drd.md").read_text()
    record = json.loads((ROOT / "benchmarks" / "records" / "timestep_search.json").read_text())
    for world in ("digits, own DiT", "mixture of 200 classes"):
        assert f"{record[world]['ratio']} times fewer" in text
        for search in ("exhaustive", "fast"):
            shares = " / ".join(f"{x:.3f}" for x in record[world][search]["classes_at_95_percent"])
            assert f"| {world} | {search} | {record[world]['evaluations'][search]:,} | {shares} |" in text


def test_the_commands_of_the_record_of_scale_lead_somewhere():
    record = json.loads((ROOT / "benchmarks" / "records" / "scale.json").read_text())
    for name, found in record.items():
        file, function = found["command"].split()[1].split("::")
        assert f"def {function}(" in (ROOT / file).read_text(), f"the command of {name} leads nowhere"


def test_every_fault_has_its_tests():
    """docs/reliability.md: each row names tests, and each test that it names is there."""
    rows = re.findall(r"^\| F\d+ \|.*$", (ROOT / "docs" / "reliability.md").read_text(), re.MULTILINE)
    numbers = [int(row.split()[1][1:]) for row in rows]
    assert len(numbers) > 10 and numbers == sorted(set(numbers))
    for row in rows:
        named = re.findall(r"`([\w/.]+)::(\w+)`", row)
        assert named, row
        for file, test in named:
            assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file} has no {test}"


def test_the_tables_of_imagenet_are_counted_and_hold_no_hours():
    import importlib.util

    spec = importlib.util.spec_from_file_location("imagenet_cost", ROOT / "benchmarks" / "imagenet_cost.py")
    cost = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cost)
    text = cost.PAGE.read_text()
    assert cost.page(text) == text, "run `python benchmarks/imagenet_cost.py --write`"
    assert "hours |" not in text and "| hours |" in cost.tables({"resnet18": 1000.0})
    for page, command in (
        (text, "imagenet_cost.py"),
        ((ROOT / "benchmarks" / "README.md").read_text(), "imagenet_cost"),
    ):
        assert command in page


def figure_rows(name):
    with open(ROOT / "docs" / "figures" / f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_recipes_on_digits_are_the_records():
    """Every mean and interval that the page gives of a comparison is the record's."""
    page = (ROOT / "docs" / "recipes_on_digits.md").read_text()
    for number in (3, 4):
        record = json.loads((ROOT / "docs" / "figures" / f"drd-fig{number}.json").read_text())
        assert not record["failed"] and f"drd-fig{number}" in record["command"]
        for one in (c for c in record["compared"] if c["published"]["paper"] == record["paper"]):
            measured, sign = one["measured"], "+" if number == 4 else ""
            assert f"{measured['mean']:{sign}.2f}" in page, one
            assert f"{measured['sd'] if number == 4 else measured['half']:.2f}" in page, one
    for file in sorted((ROOT / "docs" / "figures").glob("*.json")):
        record = json.loads(file.read_text())
        assert not record["failed"], file.name
        assert record["command"].startswith(f"prunebench recipe run {file.stem} --profile cpu"), file.name
        assert f"(figures/{file.stem}" in page, file.name
    (drd,) = (
        row for row in figure_rows("noise") if row["scorer"].startswith("prunebench-drd/drd(") and row["keep"] == "0.1"
    )
    assert f"{float(drd['vs_balanced']):.1f} ± {float(drd['vs_balanced_half']):.1f} points above" in page
    gaps = {row["method"].split(" ")[0]: row for row in figure_rows("drd-cross-arch-transfer")}
    told = [f"{float(gaps[name]['gap']):.1f} ± {float(gaps[name]['gap_half']):.1f}" for name in ("drd", "forgetting")]
    assert " and ".join(told) in page
    silhouettes = (ROOT / "docs" / "figures" / "drd-fig2-silhouette.csv").read_text().split()[1:]
    assert ", ".join(f"{float(row.split(',')[3]):.3f}" for row in silhouettes) in page
