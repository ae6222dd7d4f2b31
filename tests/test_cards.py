"""Method cards: complete, fresh, readable at 80 and 100 columns, and made without importing a method."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from prunebench import Scorer, Selector
from prunebench.cards.formats import as_markdown, as_text, link, table
from prunebench.cards.reading import arguments, card_of, sections
from prunebench.methods import Plugin
from prunebench.registry import Registry, collect

ROOT = Path(__file__).resolve().parents[1]


def the_builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = the_builder()
CARDS = [card for same in build.cards().values() for card in same]


def test_cards_and_tables_are_fresh():
    written = build.pages()
    stale = [p.relative_to(ROOT).as_posix() for p, text in written.items() if not p.is_file() or p.read_text() != text]
    assert not stale, f"{', '.join(stale)} are not what the records say: run `python docs/build.py`"
    gone = {path.name for path in (ROOT / "docs" / "methods").glob("*.md")} - {path.name for path in written}
    assert not gone, f"no method is called so: {gone}; run `python docs/build.py`"


def test_every_method_of_ours_is_proved_by_a_test():
    lacking = [key for key, tests in build.proofs(build.cards()).items() if not tests]
    assert not lacking, f"mark a test with pytest.mark.proves(NAME, {' | '.join(build.BY)}) for {lacking}"


@pytest.mark.parametrize("card", CARDS, ids=lambda c: f"{c.kind}:{c.name}")
def test_a_card_tells_everything(card):
    assert any(block.startswith("    ") for block in card.definition), "the definition in symbols, indented"
    for name, _, meaning in card.options:
        assert len(meaning) > 5, f"the docstring does not tell what {name} means"
    assert card.title and card.summary and card.returns and card.paper and card.bibtex.startswith("@")
    assert card.costs and all(told.endswith(".") for told in card.costs)
    for word in ("Differs from", "Time O(", "Cost:", "Memory:"):
        assert not any(word in block for block in card.definition)


@pytest.mark.parametrize("width", [80, 100])
def test_cards_fit_the_terminal(width):
    for card in CARDS:
        lines = as_text([card], width).splitlines()
        assert max(map(len, lines)) <= width, (card.name, max(lines, key=len))
        assert card.call.replace(" ", "") in "".join(lines).replace(" ", "")


def test_what_one_module_says_of_two_methods_stands_once():
    both = [card for card in CARDS if card.name == "moderate"]
    for text in (as_text(both), as_markdown(both)):
        assert len(both) == 2 and text.count("coordinate-wise median of h_i") == 1
        assert text.count("Differs from the authors' code") == 1
    assert as_markdown(both).count("@inproceedings{xia2023moderate") == 1


def test_a_card_of_one_method_by_hand():
    (card,) = (card for card in CARDS if card.name == "forgetting")
    assert card.call == "forgetting(never_learned='max')" and card.direction == "high is hard"
    assert card.options[0][:2] == ("never_learned", "max") and "prunes mislabelled" in card.options[0][2]
    assert card.definition[0].startswith("    F(i) = #{e") and card.differs[0].startswith("Differs from DeepCore")
    assert card.costs[0] == "the shared reference training, watched: `correct`."
    assert card.costs[1] == "memory: at most 64 bytes per example of its own."
    assert "bws" in card.presets and "forgetting" in card.presets and "aum" not in card.presets


def test_docstrings_are_read_by_section_and_entry():
    found = sections("First.\n\nArgs:\n    a, b: one\n        and more.\n    c: two.\n\nReturns:\n    (N,).\n")
    assert found == {"": "First.", "Args": "a, b: one\n    and more.\nc: two.", "Returns": "(N,)."}
    assert arguments(found["Args"]) == {"a": "one and more.", "b": "one and more.", "c": "two."}
    assert sections("") == {"": ""} and arguments("") == {}


def strange(history, *, epochs: int = 1):
    """A sum \x1b[31mof\x1b[0m all."""


def card_of_plugin(record):
    registry = Registry()
    plugin = Plugin("strange", "prunebench-strange", "0.1", "strange")
    module = ModuleType("strange")
    from prunebench import hookimpl

    def hook():
        return [record]

    name = f"prunebench_{type(record).__name__.lower()}s"
    setattr(module, name, hookimpl(hook, specname=name))
    registry.add(plugin, module)
    assert not registry.plugins[0].problem, registry.plugins[0].problem
    (entry,) = registry.entries[type(record).__name__.lower()].values()
    return card_of(entry)


def test_a_stranger_without_docstrings_has_a_card_too():
    card = card_of_plugin(Scorer("strange", strange, hard="low", watch=strange))
    assert card.direction == "low is hard" and card.options == (("epochs", 1, ""),) and card.bibtex == ""
    assert "`strange`" in card.costs[0] and card.presets == ()
    assert "Method cards" in card.title  # this module's docstring
    bare = card_of_plugin(Selector("bare", lambda budget, seeds: seeds[:budget], ranks="none"))
    assert bare.summary == "" and "asks for no score" in as_text([bare])
    assert bare.costs == ("nothing is trained or computed for it.", "memory: no bound is declared.")
    assert "# `bare`" in as_markdown([bare])


def test_a_terminal_sees_no_control_characters(capsys, monkeypatch):
    from prunebench.console import listing

    card = card_of_plugin(Scorer("strange", strange, hard="low"))
    monkeypatch.setattr(listing, "card_of", lambda entry: card)
    listing.show("aum", False, False)
    assert "\x1b" not in capsys.readouterr().out


def test_markdown_keeps_symbols_apart_from_emphasis_and_cells_apart_from_each_other():
    assert link("arXiv:1812.05159") == "[arXiv:1812.05159](https://arxiv.org/abs/1812.05159)"
    assert link("https://doi.org/10.1/x") == "[doi:10.1/x](https://doi.org/10.1/x)" and link("a book") == "a book"
    assert table(("a", "b"), [("p(c | x)", "`|`")]).splitlines()[-1] == r"| p(c \| x) | `\|` |"
    (card,) = (card for card in CARDS if card.name == "drd")
    page = as_markdown([card])
    assert r"t\*\_c" in page or r"t\*_c" in page
    assert "`own` (a DiT trained on this split)" in page and "``" not in page.replace("```", "")


@pytest.mark.parametrize(
    "mark, told",
    [
        (("moderate", "golden"), "must name one method, as scorer:NAME"),
        (("forgeting", "golden"), "must name one method"),
        (("scorer:bws", "golden"), "must name one method"),
        (("aum", "hope"), "not by 'hope'"),
    ],
)
def test_a_mark_that_proves_nothing_is_refused(mark, told, monkeypatch):
    monkeypatch.setattr(build, "marks", lambda: iter([("tests/test_x.py", "test_y", *mark)]))
    with pytest.raises(ValueError, match=told):
        build.proofs(build.cards())


def test_marks_are_read_from_the_files(tmp_path, monkeypatch):
    (tmp_path / "tests").mkdir()
    text = 'import nothing_like_this\n@pytest.mark.proves("aum", "golden")\n@pytest.mark.proves("loss", "property")\n'
    (tmp_path / "tests" / "test_a.py").write_text(text + "def test_it(): pass\n\ndef test_other(): pass\n")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    assert list(build.marks()) == [
        ("tests/test_a.py", "test_it", "aum", "golden"),
        ("tests/test_a.py", "test_it", "loss", "property"),
    ]


def test_the_builder_needs_the_plugin(monkeypatch):
    monkeypatch.setattr(build, "collect", lambda: collect(without=["drd"]))
    with pytest.raises(SystemExit, match="pip install -e plugins/drd"):
        build.cards()


def test_building_cards_imports_no_method():
    import subprocess

    code = "import sys; sys.path.insert(0, 'docs'); import build; build.pages(); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout == "False\n", run.stderr
