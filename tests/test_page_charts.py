"""Charts of the page: marks stand where the numbers of the views are, and a sheet shows the pictures of its score."""

import re

import numpy as np
import page_boards
import pytest

from prunebench import views
from prunebench.leaderboard_page import charts, write_page
from prunebench.leaderboard_page.chart_sets import charts_of
from prunebench.leaderboard_page.charts import BOTTOM, LEFT, RIGHT, TOP
from prunebench.leaderboard_page.class_views import class_maps
from prunebench.leaderboard_page.colours import colours_of
from prunebench.leaderboard_page.overview import groups
from prunebench.leaderboard_page.picture_sheets import sheets_of
from prunebench.leaderboard_page.rank_diagram import RankChart, rank_chart
from prunebench.registry import installed
from prunebench.store import Store
from prunebench.types import Cost
from prunebench.views.palette import COLOURS
from prunebench.views.window_starts import StartCurve, WindowPanel


@pytest.fixture(scope="module")
def found():
    return page_boards.small()


@pytest.fixture(scope="module")
def colours(found):
    return colours_of(found)


def drawn_of(chart, label):
    return next(series for series in chart.series if series.label == label)


def test_every_mark_stands_where_its_number_is(found, colours):
    panel = views.curves(found)[0]
    chart = charts.curves(panel, "accuracy", "", colours)
    for curve in panel.curves:
        drawn = drawn_of(chart, curve.method.name)
        for mark, keep, value in zip(drawn.marks, curve.keep, curve.values, strict=True):
            assert (mark.x, mark.y) == (chart.x.place(keep), chart.y.place(value.mean))
            assert LEFT < mark.x < RIGHT and TOP <= mark.y <= BOTTOM
    aum, el2n = drawn_of(chart, "aum + ccs"), drawn_of(chart, "el2n + hardest")
    assert aum.marks[0].y < el2n.marks[0].y and aum.marks[0].x < aum.marks[1].x
    assert aum.marks[0].said == "aum + ccs, keep 0.1: 92.00 % (95 % interval 87.03 to 96.97, 3 seeds)"
    assert aum.line.count("L") == 1 and aum.bands.count("Z") == 1
    assert chart.rules == ((chart.y.place(0.975), chart.rules[0][1]),)


def test_one_seed_has_no_band_and_one_keep_ratio_no_line(found, colours):
    panel = views.curves(found)[0]
    alone = drawn_of(charts.curves(panel, "accuracy", "", colours), "zcore + hardest")
    assert alone.marks[0].low is None and not alone.bands and not alone.line and "one seed" in alone.marks[0].said
    single = page_boards.board([*page_boards.seeds([0.5, 0.6]), *page_boards.seeds([0.9], **page_boards.FULL)])
    assert charts.curves(views.curves(single)[0], "accuracy", "", colours_of(single)) is None


def test_the_front_is_drawn_through_its_marks(found, colours):
    panel = next(p for p in views.pareto(found) if p.keep == 0.1)
    chart = charts.pareto(panel, colours)
    front = [price for price in panel.prices if price.front]
    assert {s.label for s in chart.series if s.marks[0].big} == {price.method.name for price in front}
    places = [f"{chart.x.place(p.seconds)} {chart.y.place(p.accuracy.mean)}" for p in front]
    assert chart.front == "M" + "L".join(places) and len(front) > 1
    bare = page_boards.board(page_boards.seeds([0.5, 0.6], **page_boards.BALANCED))
    assert charts.pareto(views.pareto(bare)[0], colours_of(bare)) is None


def test_a_heat_map_is_darkest_where_the_difference_is_largest(found, colours):
    (low, *_) = views.transfer_map(found)
    chart = charts.transfer(low, colours)
    boxes = {label: cells for label, _, cells in chart.rows}
    assert chart.columns == ("resnet18", "vit_tiny")
    assert [box.said.split()[0] for box in boxes["el2n + hardest"]] == ["-18.0", "-18.0"]
    assert [box.step for box in boxes["el2n + hardest"]] == [-2, -2]  # of the -40 of zcore
    assert boxes["zcore + hardest"][0].step == -4 and {box.step for box in boxes["aum + ccs"]} == {0}
    assert boxes["zcore + hardest"][1].step is None and boxes["zcore + hardest"][1].said == ""


def test_quotas_are_shaded_by_their_distance_from_all_examples(found, colours):
    panel = views.quotas(found)[0]
    chart = charts.quotas(panel, colours)
    (cells,) = [cells for label, _, cells in chart.rows if label == "aum + ccs"]
    whole = 800 / 1437
    assert [box.said for box in cells] == ["55.6", "44.4"]
    assert [box.step for box in cells] == [round(4 * (80 / 144 - whole) / whole), 0]
    assert charts.quotas(panel, colours, most=1) is None


def test_the_starts_that_seeds_chose_are_large(colours):
    def at(mean):
        return views.Estimate(mean, None, None, 1)

    curve = StartCurve(0.1, (0.0, 0.2, 0.4), (at(0.6), at(0.8), at(0.7)), (0.2,))
    (chart,) = charts.windows(WindowPanel("h", "drd", "x/bws()", "judged", (curve,)), "bws", colours)
    assert [mark.big for mark in chart.series[0].marks] == [False, True, False]
    assert chart.title == "Window starts: drd under bws"
    assert [said for _, said in chart.x.ticks] == ["0", "10", "20", "30", "40"]


def test_bands_are_told_apart_where_there_are_many():
    trials = [
        t
        for i in range(9)
        for keep in (0.1, 0.2)
        for t in page_boards.seeds([0.5, 0.6 + i / 100], scorer=f"x/s{i}()", keep=keep)
    ]
    many = page_boards.board(trials)
    chart = charts.curves(views.curves(many)[0], "accuracy", "", colours_of(many))
    assert chart.many and len({s.look.classes + s.look.outline for s in chart.series}) == 9
    assert len({s.look.colour for s in chart.series}) == len(COLOURS)


def test_charts_stand_below_the_table_they_are_of(found, colours, tmp_path):
    store = Store(tmp_path)
    for name, hard, values in (("x/a()", "high", range(60)), ("x/b()", "low", range(60))):
        identity = {"method": {"text": name}, "score_seed": 0, "data": "f", "reference": {"model": "resnet18"}}
        result = {"hard": hard, "fingerprint": "f" * 64, "dataset": "digits", "comparable": "set", "details": {}}
        result |= {"cost": vars(Cost()), "label_free": False, "per_example": []}
        store.put("scores", identity, result, arrays={"values": np.array(values, float)})
    made = groups(found, colours)
    drawn = charts_of(found, made, [store], colours)
    titles = [[chart.title.split(" at ")[0] for chart in drawn.of[group.id]] for group in made]
    costs = ["Accuracy and cost"] * 2 + ["Class quotas"] * 2
    assert titles == [["Accuracy over keep ratio", "Recall of the worst class", *costs]] * 2
    alike = [chart for chart in drawn.across if "Spearman" in chart.title]
    assert len(drawn.across) == 4 and [[box.said for box in cells] for *_, cells in alike[0].rows] == [
        ["1.00", "-1.00"],
        ["-1.00", "1.00"],
    ]


def test_class_by_class_is_a_mean_over_seeds():
    trials = [page_boards.trial(seed=s, class_accuracy=(1.0, 0.5 + 0.1 * s), class_counts=(3, 1)) for s in (0, 1)]
    row = page_boards.board(trials).tables[0].rows[0]
    recall, share = class_maps([row])
    assert [box.said for box in recall.rows[0][2]] == ["100.0", "55.0"]
    assert [box.said for box in share.rows[0][2]] == ["75.0", "25.0"]
    assert class_maps([page_boards.board([page_boards.trial(class_accuracy=(0.5,))]).tables[0].rows[0]])[1:] == ()


def test_a_sheet_shows_the_pictures_of_its_score_and_says_what_it_cannot_show(tmp_path):
    from PIL import Image

    from prunebench.datasets.loading import load

    data = load(installed(), "planted(train=60,test=20)", tmp_path, tell=False)
    store, values = Store(tmp_path / "store"), np.random.default_rng(0).permutation(60).astype(float)
    for name, dataset, fingerprint in (
        ("x/mine()", data.name, data.fingerprint),
        ("x/changed()", data.name, "0" * 64),
        ("x/away()", "folder(path='/nowhere')", "1" * 64),
    ):
        identity = {"method": {"text": name}, "score_seed": 0, "image_size": data.image_size}
        store.put(
            "scores",
            identity,
            {"hard": "low", "fingerprint": fingerprint, "dataset": dataset},
            arrays={"values": values},
        )
    found = sheets_of([store], tmp_path, installed(), tmp_path, None)
    (sheet,) = found.found
    hardest = sheet.rows[2][1][-1]
    place = int(values.argmin())
    assert [end for end, _ in sheet.rows] == ["easiest", "middle", "hardest"] and hardest.score == "0"
    assert hardest.key == data.train.keys[place] and hardest.label == data.classes[data.train.labels[place]]
    pixels = data.train.images.pixels([place])[0].numpy()
    assert np.array_equal(np.asarray(Image.open(tmp_path / hardest.file)), np.moveaxis(pixels, 0, -1))
    assert re.fullmatch(r"pictures/[0-9a-f]{20}\.png", hardest.file)
    assert "not as it was scored" in found.note and "/nowhere" in found.note
    write_page(page_boards.small(), tmp_path / "page", installed(), [store], data_root=tmp_path)
    assert f'src="{hardest.file}"' in (tmp_path / "page" / "pictures.html").read_text()
    assert (tmp_path / "page" / hardest.file).is_file()
    assert "No pictures of" in (tmp_path / "page" / "index.html").read_text()


# -- ranks over data sets ---------------------------------------------------------------------------------------------


def c45():
    """Demsar's Table 6 as trials: four methods on 14 data sets."""
    from test_leaderboard_friedman import C45

    names = ("c45", "c45m", "c45cf", "c45mcf")
    return page_boards.board(
        page_boards.trial(scorer=f"x/{name}()", dataset=f"set{i}", fingerprint=f"{i:064d}", accuracy=float(accuracy))
        for i, row in enumerate(C45)
        for name, accuracy in zip(names, row, strict=True)
    )


def test_the_rank_diagram_of_demsars_example():
    """Average ranks 3.143, 2.000, 2.893 and 1.964, critical difference 1.25: one bar over all four."""
    found = c45()
    drawn = charts_of(found, groups(found, colours_of(found)), [], colours_of(found))
    (chart,) = [each for each in drawn.across if isinstance(each, RankChart)]
    assert [(m.label, m.rank) for m in chart.methods] == [
        *(("c45mcf + ccs", "1.96"), ("c45m + ccs", "2.00"), ("c45cf + ccs", "2.89"), ("c45 + ccs", "3.14"))
    ]
    unit = (chart.axis.end - chart.axis.start) / 3
    assert [m.x for m in chart.methods] == [
        pytest.approx(chart.axis.start + unit * (rank - 1), abs=0.06) for rank in (1.9643, 2.0, 2.8929, 3.1429)
    ]
    assert chart.critical[1] == "critical difference 1.254" and "p = 0.017" in chart.caption
    assert chart.critical[0] == pytest.approx(chart.axis.start + unit * 1.2536, abs=0.06)
    ((first, last, y),) = chart.bars
    assert (first, last) == (chart.methods[0].x, chart.methods[-1].x)
    assert y < min(m.y for m in chart.methods) < max(m.y for m in chart.methods) < chart.height
    assert not any("critical-difference" in note for note in drawn.notes)


def test_bars_span_the_longest_groups_that_do_not_differ(colours):
    ranks = {"average": (1.2, 2.0, 3.1, 3.7), "critical": 1.5, "p": 0.01, "cliques": ((0, 1), (1, 2), (2, 3))}
    found = views.RankDiagram("5 data sets", 0.1, tuple("vwxyz"), ("a", "b", "c", "d" * 90), **ranks)
    chart = rank_chart(found, colours)
    x = [m.x for m in chart.methods]
    assert [bar[:2] for bar in chart.bars] == [(x[0], x[1]), (x[1], x[2]), (x[2], x[3])]
    assert len({bar[2] for bar in chart.bars}) == 3 and [m.left for m in chart.methods] == [False, False, True, True]
    assert "…" in chart.methods[3].label and len(chart.methods[3].label) < 60 and "d" * 90 in chart.methods[3].said


def test_why_there_is_no_rank_diagram_is_one_sentence(found, colours, tmp_path):
    (told,) = charts_of(found, groups(found, colours), [], colours).notes
    assert told == (
        "No critical-difference diagram: it takes 5 data sets with 3 methods in common at one keep ratio, and there "
        "is 1 here."
    )
    few = page_boards.board(
        t
        for i in range(6)
        for t in page_boards.seeds([0.5, 0.6], scorer=f"x/s{i}()", dataset=f"set{i}", fingerprint=f"{i}" * 64)
    )
    write_page(few, tmp_path / "page", installed())
    assert "and no tables here that may be compared have them." in (tmp_path / "page" / "index.html").read_text()
