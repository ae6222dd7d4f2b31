"""The grammar of methods, and signatures read without importing."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench import UserError, spec
from prunebench.registry import collect
from prunebench.spec import near

VALUES = st.one_of(
    st.integers(-(10**6), 10**6),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20),
)


@given(st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True), VALUES, max_size=4))
def test_what_is_written_is_read_back(options):
    assert dict(spec.parse(spec.write("some.pkg/ccs", options)).options) == options


@pytest.mark.parametrize(
    "text, name, options",
    [
        ("drd", "drd", {}),
        ("ccs()", "ccs", {}),
        ("ccs(cutoff=0.3, strata=50)", "ccs", {"cutoff": 0.3, "strata": 50}),
        ("bws(order=easiest)", "bws", {"order": "easiest"}),
        ("x(a='b, c)', d=(1, 2))", "x", {"a": "b, c)", "d": (1, 2)}),
        (r"x(a='\\', b='\'')", "x", {"a": "\\", "b": "'"}),  # a backslash that is escaped itself, an escaped quote
        ("folder:/data/my pictures (1)", "folder", {"path": "/data/my pictures (1)"}),
        ("drd(model=package.module:factory)", "drd", {"model": "package.module:factory"}),
    ],
)
def test_texts(text, name, options):
    found = spec.parse(text)
    assert (found.name, dict(found.options)) == (name, options)


def test_combinators_nest():
    found = spec.parse("per_class(prunebench/ccs(cutoff=0.1), quota=equal)")
    assert found.inner.distribution == "prunebench" and found.inner.options == {"cutoff": 0.1}
    assert found.options == {"quota": "equal"}


@pytest.mark.parametrize(
    "text",
    ["", "ccs(", "ccs)", "ccs(cutoff=)", "ccs(a=1, a=2)", "ccs(a=1,,b=2)", "ccs(a=__import__('os'))", "a b", "../x",
     "ccs(a=1e999)", "x" * 5000, "ccs('a)"],
)  # fmt: skip
def test_what_is_not_of_the_grammar_is_refused_in_one_sentence(text):
    with pytest.raises(UserError) as told:
        spec.parse(text)
    assert "\n" not in str(told.value)


def test_a_signature_is_read_without_importing(tmp_path, monkeypatch):
    (tmp_path / "heavy_method.py").write_text(
        'import sys\nsys.modules["was_imported"] = sys\n'
        'def score(labels, history, *, epoch=10, kind="a"):\n    """The equation."""\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = spec.signature_of("heavy_method:score")
    assert found == spec.Signature(("labels", "history"), {"epoch": 10, "kind": "a"}, "The equation.")
    assert "was_imported" not in sys.modules and "heavy_method" not in sys.modules
    assert spec.signature_of("heavy_method:imported_elsewhere") is None
    with pytest.raises(LookupError):
        spec.signature_of("there_is_no_such_module:score")


def test_reading_and_inspecting_agree():
    import inspect

    from prunebench.registry import installed

    for kind in ("scorer", "selector"):
        for entry in installed().entries[kind].values():
            read, seen = entry.signature, spec.signature_of(entry.function())
            assert (read.inputs, dict(read.options)) == (seen.inputs, dict(seen.options)), entry.key
            assert inspect.cleandoc(read.doc) == seen.doc


@pytest.mark.parametrize(
    "default, given_value, expected",
    [(0.5, 1, 1.0), (3, 3.0, 3), (True, False, False), ("auto", 20, 20), (None, "x", "x"), (0.3, "search", "search")],
)
def test_options_take_the_type_of_their_default(default, given_value, expected):
    found = spec.bind({"x": default}, {"x": given_value}, "m")["x"]
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize("default, wrong", [(3, 3.5), (3, "three"), (True, 1), (0.5, True), (3, True)])
def test_other_types_are_refused(default, wrong):
    with pytest.raises(UserError, match="like its default"):
        spec.bind({"x": default}, {"x": wrong}, "m")


def test_a_misspelt_option_is_answered_with_the_near_one():
    with pytest.raises(UserError, match="did you mean 'cutoff'"):
        spec.bind({"cutoff": 0.1}, {"cutof": 0.2}, "the selector ccs")


def test_text_for_an_option_that_is_a_number_is_refused_and_search_is_not():
    registry = collect()
    told = r"option (cutoff|start) of the selector (ccs|window) must be a number, got"
    for text in ("ccs(cutoff='x')", "ccs(cutoff=nan)", "per_class(ccs(cutoff=half))", "window(start=auto)"):
        with pytest.raises(UserError, match=told):
            registry.method("selector", text)
    assert registry.method("selector", "double_end(cutoff=search)").options["cutoff"] == "search"
    assert registry.method("scorer", "drd(draws=auto)").options["draws"] == "auto"


def test_near_names_do_not_mind_capitals():
    for wrong, meant in (("ELFS", "elfs"), ("CCS", "ccs"), ("Forgeting", "forgetting")):
        assert f"did you mean {meant!r}" in near(wrong, ("elfs", "ccs", "forgetting", "window"))
