"""Figures: what is drawn is what the views tell, names are inert, and the same numbers give the same bytes."""

import csv
import io
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text
from trials_by_hand import HOSTILE, balanced, full, seeds, trial, two_ratios

from prunebench import views
from prunebench.figures import atlas, critical_difference, curves, pareto, pictures, quintiles, quotas, transfer_map
from prunebench.figures.drawing import arranged, drawable, drawing, heading, names, terse_names, written
from prunebench.leaderboard import board
from prunebench.views.pictures import PictureRow, PictureSheet


def drawn(sheet):
    with drawing():
        return arranged(sheet.draw())


def numbers(sheet):
    return list(csv.DictReader(io.StringIO(sheet.csv().decode())))


def texts(figure):
    """All that is written in a figure."""
    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


def lines_of(figure):
    return {line.get_label(): line for axes in figure.axes for line in axes.get_lines()}


@pytest.fixture
def two():
    found = board(two_ratios())
    (sheet,) = curves.sheets(views.curves(found), views.palette(found))
    return sheet


def test_the_lines_are_the_means_and_the_bands_the_intervals(two):
    figure = drawn(two)
    found = lines_of(figure)
    assert found["aum + hardest"].get_ydata() == pytest.approx([72, 90])
    assert found["aum + hardest"].get_xdata() == pytest.approx([0.1, 0.3])
    assert list(found["full data"].get_ydata()) == pytest.approx([95, 95])
    (axes,) = figure.axes
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    half = 100 * 4.302653 * 0.02 / 3**0.5
    assert band.max() == pytest.approx(90) and band.min() == pytest.approx(72 - half, abs=1e-4)


def test_one_seed_has_no_band():
    found = board([trial(keep=k, accuracy=a) for k, a in ((0.1, 0.7), (0.3, 0.8))])
    (sheet,) = curves.sheets(views.curves(found), views.palette(found))
    (axes,) = drawn(sheet).axes
    assert not any(np.isfinite(p.vertices).any() for c in axes.collections for p in c.get_paths())
    assert all(row["low"] == row["high"] == "" for row in numbers(sheet))


def test_intervals_beyond_what_can_be_are_cut():
    found = board([*seeds(trial, (0.1, 0.9), keep=0.1), *seeds(trial, (0.5, 0.95), keep=0.5)])
    (sheet,) = curves.sheets(views.curves(found), views.palette(found))
    (axes,) = drawn(sheet).axes
    low, high = axes.get_ylim()
    assert low > -10 and high < 110
    assert float(numbers(sheet)[0]["low"]) < -1  # the numbers are whole


def test_the_csv_tells_every_number_that_is_drawn(two):
    rows = numbers(two)
    assert len(rows) == 7
    ours = rows[0]
    assert (ours["method"], ours["keep"], ours["examples"], ours["seeds"]) == ("aum + hardest", "0.1", "100", "3")
    assert float(ours["mean"]) == pytest.approx(0.72)
    assert rows[-1]["baseline"] == "full" and rows[-1]["examples"] == ""


def test_one_keep_ratio_is_drawn_as_dots_the_best_on_top():
    found = board([*seeds(trial, (0.9, 0.94)), *seeds(balanced, (0.8, 0.82)), full(accuracy=0.95)])
    (sheet,) = curves.sheets(views.curves(found), views.palette(found))
    (axes,) = drawn(sheet).axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["balanced random", "aum + hardest"]
    dots = [line.get_xdata()[0] for line in axes.get_lines() if line.get_marker() not in ("None", "", None)]
    assert dots == pytest.approx([81, 92])


def test_more_methods_than_have_room_are_grey_and_stand_in_the_csv():
    rows = [
        trial(f"prunebench/window(start={i / 100}, order='hardest')", keep=keep, accuracy=0.5 + i / 100)
        for i in range(15)
        for keep in (0.1, 0.3)
    ]
    found = board(rows)
    (sheet,) = curves.sheets(views.curves(found), views.palette(found))
    figure = drawn(sheet)
    assert "3 others" in texts(figure)
    assert sum("window" in text for text in texts(figure)) == curves.MOST
    assert "aum + window(start=0.0)" not in texts(figure)  # the three worst are those without a name
    assert len(numbers(sheet)) == 30


def test_the_front_is_filled_and_the_others_are_hollow():
    found = board([trial(accuracy=0.6), balanced(accuracy=0.8), full(accuracy=0.95)])
    (sheet,) = pareto.sheets(views.pareto(found), views.palette(found))
    lines = lines_of(drawn(sheet))
    assert lines["aum + hardest"].get_markerfacecolor() == "white"
    assert lines["balanced random"].get_markerfacecolor() != "white"
    assert {row["method"]: row["front"] for row in numbers(sheet)}["balanced random"] == "True"


def test_a_map_writes_points_and_intervals_into_its_cells():
    other = {"model": "vit_tiny", "recipe": "d" * 64}
    rows = [*seeds(trial, (0.82, 0.84)), *seeds(balanced, (0.80, 0.82))]
    rows += [trial(accuracy=0.56, **other), balanced(accuracy=0.6, **other)]
    (sheet,) = transfer_map.sheets(views.transfer_map(board(rows)))
    found = texts(drawn(sheet))
    assert {"+2.0 ± 0.0", "-4.0", "resnet18 (scored)", "vit_tiny"} <= set(found)
    assert [row["seeds"] for row in numbers(sheet)] == ["2", "1"]


def test_quotas_write_shares_and_colour_by_the_share_of_all():
    (sheet,) = quotas.sheets(views.quotas(board([trial(), balanced(), full()])))
    figure = drawn(sheet)
    assert {"50.0", "30.0", "20.0", "40.0"} <= set(texts(figure))
    assert figure.axes[0].images[0].get_array()[0].tolist() == pytest.approx([1.25, 0.75, 1.0])


def test_a_thousand_classes_are_drawn_without_numbers():
    counts = tuple(range(1, 1001))
    (sheet,) = quotas.sheets(views.quotas(board([trial(class_counts=counts), full(class_counts=(500,) * 1000)])))
    assert "1000 classes" in texts(drawn(sheet))
    assert len(numbers(sheet)) == 1000


def test_a_cross_evaluation_has_both_means():
    sheet = quintiles.sheet(views.cross_evaluation([[1.0, 0.5], [0.6, 1.0]], "digits"))
    found = texts(drawn(sheet))
    assert {"100.0", "50.0", "75.0", "60.0", "80.0"} <= set(found)
    told = {(row["trained_on"], row["tested_on"]): row["accuracy"] for row in numbers(sheet)}
    assert told["1", "mean"] == "0.75" and told["1", "mean of the others"] == "0.5"


def test_bars_of_a_critical_difference_join_what_cannot_be_told_apart():
    ranks = {"average": (1.0, 2.0, 3.5, 3.5), "critical": 1.2, "p": 0.01, "cliques": ((0, 1), (2, 3))}
    found = views.RankDiagram("5 data sets", 0.1, ("a", "b", "c", "d", "e"), ("w", "x", "y", "z"), **ranks)
    (sheet,) = critical_difference.sheets([found], {})
    figure = drawn(sheet)
    bars = [line for line in figure.axes[0].get_lines() if line.get_linewidth() == 2.4]
    assert [tuple(np.round(bar.get_xdata(), 2)) for bar in bars] == [(0.96, 2.04), (3.46, 3.54)]
    assert [row["like_as_far_as"] for row in numbers(sheet)] == ["x", "", "z", ""]


def test_demsars_example_has_one_bar_over_all_four():
    """JMLR 7, Table 6: average ranks 3.143, 2.000, 2.893, 1.964 and a critical difference of 1.25."""
    from test_leaderboard_friedman import C45

    cells = [
        trial(scorer=f"x/{name}()", dataset=f"set{i}", fingerprint=f"{i:064d}", accuracy=float(accuracy))
        for i, row in enumerate(C45)
        for name, accuracy in zip(("c45", "c45m", "c45cf", "c45mcf"), row, strict=True)
    ]
    (sheet,) = critical_difference.sheets(views.critical_differences(board(cells)), {})
    told = [(row["method"].partition(" ")[0], float(row["average_rank"])) for row in numbers(sheet)]
    assert [name for name, _ in told] == ["c45mcf", "c45m", "c45cf", "c45"]
    assert [rank for _, rank in told] == pytest.approx([1.964, 2.0, 2.893, 3.143], abs=5e-4)
    assert {round(float(row["critical_difference"]), 2) for row in numbers(sheet)} == {1.25}
    figure = drawn(sheet)
    (bar,) = [line for line in figure.axes[0].get_lines() if line.get_linewidth() == 2.4]
    assert bar.get_xdata() == pytest.approx([1.964 - 0.04, 3.143 + 0.04], abs=5e-4)
    assert {"critical difference 1.25", "c45mcf + hardest  1.96", "3.14  c45 + hardest"} <= set(texts(figure))


def test_an_atlas_leaves_unknown_pairs_grey():
    found = views.ScoreMap("digits", "spearman", None, ("aum", "el2n"), ((1.0, None), (None, 1.0)))
    (sheet,) = atlas.sheets([found])
    figure = drawn(sheet)
    assert figure.axes[0].images[0].get_array().mask.tolist() == [[False, True], [True, False]]
    assert texts(figure).count("–") == 2


def test_pictures_are_those_of_the_positions():
    rows = tuple(PictureRow(end, (i,), (float(i),), (i,)) for i, end in enumerate(("easiest", "middle", "hardest")))
    found = PictureSheet("r", "digits", "f", 4, "prunebench/aum()", 0, 3, "low", rows)
    stack = np.arange(3 * 3 * 16, dtype=np.uint8).reshape(3, 3, 4, 4)
    sheet = pictures.sheet(found, lambda positions: stack[list(positions)], ("k0", "k1", "k2"), ("a", "b", "c"))
    figure = drawn(sheet)
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(shown) == 3
    for picture, image in zip(stack, shown, strict=True):
        assert (np.moveaxis(picture, 0, -1) == image).all()
    assert [(row["key"], row["class"], row["row"]) for row in numbers(sheet)] == [
        *[("k0", "a", "easiest"), ("k1", "b", "middle"), ("k2", "c", "hardest")]
    ]


# -- letters and bytes ------------------------------------------------------------------------------------------------


def hostile():
    rows = [trial(keep=k, accuracy=0.5 + k, dataset=HOSTILE) for k in (0.1, 0.3)]
    rows += [balanced(keep=k, accuracy=0.6, dataset=HOSTILE) for k in (0.1, 0.3)]
    found = board(rows, labels=lambda kind, text: f"{kind}{HOSTILE}")
    return found, curves.sheets(views.curves(found), views.palette(found))[0]


def test_hostile_names_are_letters_and_nothing_else():
    _, sheet = hostile()
    figure = drawn(sheet)
    shown = [text for text in texts(figure) if "img" in text]
    assert len(shown) == 2  # heading and legend
    assert all(len(line) < 70 for text in shown for line in text.splitlines())
    assert not any(char in text for text in shown for char in "\x1b\u202e")
    assert not any(text.get_parse_math() for text in figure.findobj(Text))
    with drawing():
        svg = written(figure, "svg", sheet.title)
    tree = ET.fromstring(svg)
    tags = {element.tag.rpartition("}")[2] for element in tree.iter()}
    assert not tags & {"img", "script", "a", "image", "foreignObject"}
    assert not any(name.lower().startswith("on") for element in tree.iter() for name in element.attrib)
    assert numbers(sheet)[0]["heading"].startswith("<img")  # as it is: a CSV has no markup


def test_no_spreadsheet_takes_a_name_for_a_formula():
    found = board([trial(dataset="=cmd()")])
    (sheet,) = curves.sheets(views.curves(found), views.palette(found))
    assert numbers(sheet)[0]["heading"].startswith("'=cmd()")


@pytest.mark.parametrize("form", ["png", "svg"])
def test_the_same_numbers_give_the_same_bytes(form):
    with drawing():
        first, second = (written(arranged(hostile()[1].draw()), form, "t") for _ in range(2))
    assert first == second
    assert b"Date" not in first and b"Software" not in first


def test_settings_of_others_change_no_figure_and_ours_change_nothing(two):
    with drawing():
        plain = written(arranged(two.draw()), "svg", "t")
    before = matplotlib.rcParams["lines.linewidth"]
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "axes.grid": True, "xtick.direction": "in"}):
        with drawing():
            assert written(arranged(two.draw()), "svg", "t") == plain
        assert matplotlib.rcParams["lines.linewidth"] == 9
    assert matplotlib.rcParams["lines.linewidth"] == before


def test_pyplot_is_not_needed(two):
    import subprocess
    import sys

    code = (
        "import sys; from prunebench.figures import report\n"
        "from prunebench.figures.drawing import drawing, new_figure\n"
        "with drawing(): new_figure(1, 1).draw_without_rendering()\n"
        "print([name for name in ('matplotlib.pyplot', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_letter_that_the_font_lacks_is_a_question_mark():
    assert drawable("a\u4e2d b\x00\u200f\tc") == "a? b c"
    assert drawable("x" * 100, 20) == "x" * 13 + "…" + "x" * 6


def test_names_that_were_cut_stay_apart():
    first, second = names(["m" * 60 + "a" + "m" * 60, "m" * 60 + "b" + "m" * 60])
    assert first != second and max(len(first), len(second)) <= 38
    assert names(["a", "b"]) == ["a", "b"]


def test_long_names_leave_out_what_all_share_and_the_title_tells_it():
    windows = ["drd + bws(furthest=0.5, order='easiest')", "el2n(epoch=3) + bws(furthest=0.5, order='easiest')"]
    told = [*windows, "margin + ccs", "margin + ccs(cutoff=0.3)", "balanced random"]
    shorter = ["drd + bws", "el2n + bws", "margin + ccs", "margin + ccs(cutoff=0.3)", "balanced random"]
    assert terse_names(told, "digits") == (shorter, "digits · bws(furthest=0.5, order='easiest'), el2n(epoch=3)")
    assert terse_names(told[2:], "digits") == (told[2:], "digits")  # nothing is too long
    inside = [f"drd + per_class(window(start={start}, order='easiest'))" for start in (0.0, 0.25)]
    shorter = ["drd + per_class(window(start=0.0))", "drd + per_class(window(start=0.25))"]
    assert terse_names(inside, "d") == (shorter, "d · window(order='easiest')")


def test_a_heading_breaks_where_its_parts_meet():
    assert heading("digits · resnet18", 3.5) == "digits · resnet18"
    assert heading(" · ".join(["abcdefghij"] * 5), 3.5).count("\n") == 1
    assert heading("digits · " + "word " * 20, 3.5).count("\n") == 2
    assert heading(" · ".join(["abcdefghij" * 4] * 9), 3.5).count("\n") == 2
