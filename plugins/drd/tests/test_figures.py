"""Sheets and curves: what stands in them, for many classes, small ones, and names that a font cannot draw."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image
from prunebench_drd.explain import PLACES, ROWS, chosen_lines, extreme_lines
from prunebench_drd.figures import MOST, Row, drawable, save_curves, save_sheet, short_names

from prunebench import UserError


def scored(counts, classes=None):
    """Scores 0, 1, 2, ... of classes of these sizes, in one order, and the call they come from."""
    labels = np.repeat(np.arange(len(counts)), counts)
    names = classes or tuple(f"class {c}" for c in range(len(counts)))
    data = SimpleNamespace(classes=names, train=SimpleNamespace(labels=labels))
    return SimpleNamespace(values=np.arange(len(labels), dtype=float)), SimpleNamespace(dataset=data)


def test_every_picture_stands_under_its_own_heading_also_where_a_class_is_small():
    """Classes of 10, 2, 1 and no pictures; asked for five of each place."""
    _, lines = extreme_lines(*scored([10, 2, 1, 0]), 5)
    assert lines == [
        ("class 0", [0, 3, 9]),
        ("", [1, 4, 8]),
        ("", [2, 5, 7]),
        ("class 1", [10, None, 11]),
        ("class 2", [12, None, None]),
    ]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=60).filter(any), st.integers(1, ROWS))
def test_lines_are_three_wide_ordered_and_bounded(counts, each):
    scores, call = scored(counts)
    title, lines = extreme_lines(scores, call, each)
    assert 0 < len(lines) <= ROWS and all(len(places) == len(PLACES) for _, places in lines)
    for _, places in lines:
        there = [scores.values[place] for place in places if place is not None]
        assert there == sorted(set(there)) and places[0] is not None
    held = {name: count for name, count in zip(call.dataset.classes, counts, strict=True) if count}
    for name, places in lines:
        assert not name or len([place for place in places if place is not None]) == min(3, held[name])
    filled, named = sum(count > 0 for count in counts), [name for name, _ in lines if name]
    assert len(named) == min(filled, MOST, max(1, ROWS // each))
    assert (f"the first {len(named)} of {filled}" in title) == (len(named) < filled)


def test_more_examples_than_a_sheet_holds_are_refused():
    _, call = scored([200])
    with pytest.raises(UserError, match=f"takes {ROWS} positions at once, got {ROWS + 1}"):
        chosen_lines(call, ",".join(["7"] * (ROWS + 1)), 200)
    assert chosen_lines(call, " 7 ,08", 200) == [("7 (class 0)", [7]), ("8 (class 0)", [8])]


def test_names_that_begin_alike_are_told_apart():
    assert short_names(["short", "exactly sixteen."]) == ["short", "exactly sixteen."]
    assert short_names(["a longer name than fits"]) == ["a longer name t…"]
    assert short_names([f"n02086240_terrier_{i}" for i in range(2)]) == ["n020862…errier_0", "n020862…errier_1"]
    both_ends = [f"a common beginning {i} and a common end" for i in range(2)]
    assert [name[:3] for name in short_names(both_ends)] == ["0: ", "1: "]
    assert short_names(["猫", "犬", "cat\nor dog"]) == ["0: ?", "1: ?", "cat or dog"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=30, unique_by=lambda name: " ".join(name.split())))
def test_short_names_fit_and_differ(names):
    found = short_names(names)
    assert len(set(found)) == len(names) and all(len(name) <= 16 and "\n" not in name for name in found)


def texts(monkeypatch):
    """The texts of the next figure saved, gathered when it is."""
    seen = []
    right = Figure.savefig

    def saved(figure, *args, **options):
        seen.extend(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))
        return right(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", saved)
    return seen


def test_sheets_of_any_names_are_drawn_without_a_warning(monkeypatch, tmp_path):
    seen = texts(monkeypatch)
    tile = torch.zeros(3, 4, 4)
    rows = [Row(name, [tile, None, tile], ["", "", "0.5"]) for name in short_names(["$x$ and $", "猫", "a\nb"])]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_sheet(tmp_path / "sheet.png", "folder(path='猫'):\n" + "a long title " * 8, ["real", "", "rebuilt"], rows)
    assert {r"\$x\$ and \$", "1: ?", "a b", "real", "rebuilt", "0.5"} <= set(seen)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert 900 < sheet.width < 1300  # as wide as the title, no wider


def details(curves, t_star=20):
    curves = np.asarray(curves, dtype=float)
    used = np.where(np.isnan(curves), 0, 20)
    stars = np.full(len(curves), t_star)
    return {"candidates": np.arange(13, 28), "curve": curves, "curve_noises": used, "t_star": stars}


@pytest.mark.parametrize("height", [0.0, 3e-9, 3e-5, 2e4])
def test_one_class_and_flat_or_tiny_curves_have_plain_axes(monkeypatch, tmp_path, height):
    """No offset such as 1e-5 beside the axis: every tick says its own number."""
    seen = texts(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_curves(tmp_path / "one.png", "digits, model own", ["only"], details([height * np.linspace(0.5, 1, 15)]))
    ticks = [float(text) for text in seen if text and text[0].isdigit() and "," not in text]
    assert max(t for t in ticks if t < 50) >= 13 and "only: t* = 20" in seen
    assert any(height * 0.4 <= tick <= height * 1.2 for tick in ticks if height) or not height
    with Image.open(tmp_path / "one.png") as figure:
        assert figure.width > 300


def test_curves_of_many_classes_say_that_some_are_left_out_and_which_have_no_pictures(monkeypatch, tmp_path):
    seen = texts(monkeypatch)
    curves = np.linspace(1, 2, 15)[None].repeat(MOST + 3, axis=0)
    curves[1] = np.nan
    save_curves(tmp_path / "many.png", "many", [str(c) for c in range(MOST + 3)], details(curves))
    titles = [text for text in seen if "t* =" in text]
    assert len(titles) == MOST and titles[1] == "1: t* = 20, no pictures"
    assert any(f"the first {MOST} of {MOST + 3} classes" in text for text in seen)


def test_what_the_font_draws_is_left_as_it_is():
    assert drawable("Bärenhund, 3 %  –  n02\t") == "Bärenhund, 3 % – n02"
